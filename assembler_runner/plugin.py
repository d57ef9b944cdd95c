"""The API for authors of plugins: `SpacePlugin`, `SpaceFile`, `CommonOptions`, `Finding` and helpers.

A plugin is a package directly inside a plugin folder that contains subclasses of :class:`SpacePlugin`. A plugin returns
data and the service does the work: it gives a plugin no token, secret, database or network access.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import marshmallow as ma
from flask import Blueprint
from packaging.version import InvalidVersion, Version

from assembler_runner.core.errors import Finding
from assembler_runner.files.tree import Origin, SpaceFile, Tree

__all__ = [
    "COLORS",
    "CommonOptions",
    "Finding",
    "Origin",
    "Recognition",
    "SpaceFile",
    "SpacePlugin",
    "Template",
    "Tree",
    "app_file_missing",
    "app_file_option",
    "from_card",
    "on_card",
    "python_dockerfile",
    "python_version_option",
]

COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
"""Colours of a Space's card (Hub documentation, Spaces configuration reference)."""

SDKS = ("gradio", "docker", "static", "flame")
"""SDKs supported by the Hub (Hub documentation, Spaces configuration reference)."""

_SPACE_TYPE = re.compile(r"[a-z][a-z0-9-]{0,49}")


def from_card(key: str, description: str) -> dict[str, str]:
    """Returns the metadata of an option that is read from the card, but not written to it.

    Args:
        key: its key in the README front matter.
        description: one line for people.
    """
    return {"from_card": key, "description": description}


def on_card(key: str, description: str) -> dict[str, str]:
    """Returns the metadata of an option that is written to the card, the README front matter.

    Args:
        key: its key in the README front matter.
        description: one line for people.
    """
    return {"card": key, "description": description}


class CommonOptions(ma.Schema):
    """Options of every type: fields of a Space's card (Hub documentation, Spaces configuration reference)."""

    title = ma.fields.String(
        validate=ma.validate.Length(1, 100), metadata=on_card("title", "Title of the Space; its name if left out.")
    )
    emoji = ma.fields.String(
        load_default="🚀", validate=ma.validate.Length(1, 16), metadata=on_card("emoji", "Emoji on the card.")
    )
    color_from = ma.fields.String(
        load_default="blue",
        validate=ma.validate.OneOf(COLORS),
        metadata=on_card("colorFrom", "Left colour of the card."),
    )
    color_to = ma.fields.String(
        load_default="indigo",
        validate=ma.validate.OneOf(COLORS),
        metadata=on_card("colorTo", "Right colour of the card."),
    )
    short_description = ma.fields.String(
        validate=ma.validate.Length(1, 60),
        metadata=on_card("short_description", "One line below the title, at most 60 characters."),
    )
    pinned = ma.fields.Boolean(
        load_default=False, metadata=on_card("pinned", "Pin the Space to the top of the profile.")
    )
    license = ma.fields.String(
        validate=ma.validate.Length(1, 64), metadata=on_card("license", "Licence, e.g. apache-2.0.")
    )
    tags = ma.fields.List(
        ma.fields.String(validate=ma.validate.Length(1, 64)), metadata=on_card("tags", "Tags for search.")
    )
    models = ma.fields.List(ma.fields.String(), metadata=on_card("models", "Ids of the models that the app uses."))
    datasets = ma.fields.List(
        ma.fields.String(), metadata=on_card("datasets", "Ids of the datasets that the app uses.")
    )
    thumbnail = ma.fields.Url(schemes={"http", "https"}, metadata=on_card("thumbnail", "Picture for social sharing."))
    full_width = ma.fields.Boolean(metadata=on_card("fullWidth", "Show the app at full page width."))
    header = ma.fields.String(
        validate=ma.validate.OneOf(("mini", "default")), metadata=on_card("header", "Height of the page header.")
    )
    disable_embedding = ma.fields.Boolean(
        metadata=on_card("disable_embedding", "Forbid other sites from embedding the Space.")
    )
    startup_duration_timeout = ma.fields.String(
        validate=ma.validate.Regexp(r"^[0-9]+ ?(s|m|h|seconds|minutes|hours)?(?!\n)$"),
        metadata=on_card("startup_duration_timeout", "Maximum time the app has to start, e.g. 30m."),
    )


@dataclass(frozen=True)
class Recognition:
    """How the type of given files is recognized where a request names none.

    Args:
        files: names at the top of the Space, any of which decides; `*.x` for an extension.
        imports: Python modules, any of which the app file imports.
        packages: dependencies in package.json, any of which decides.
    """

    files: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


class NoParameters(ma.Schema):
    """The parameters of a template without parameters."""


@dataclass(frozen=True)
class Template:
    """A named starter app.

    Args:
        name: its name in a request.
        description: one sentence for people.
        files: its files; files of the request with the same path replace them.
        parameters: marshmallow schema of its parameters, with their defaults; they become `PARAMS`.
        title: its name for people; by default made from the name.
    """

    name: str
    description: str
    files: tuple[SpaceFile, ...]
    parameters: type[ma.Schema] = NoParameters
    title: str = ""

    @property
    def shown(self) -> str:
        """Its name for people."""
        return self.title or self.name.replace("-", " ").capitalize()


class SpacePlugin:
    """A space type. Subclass it, set the class attributes, and put default files into the folder `defaults/`.

    Class attributes:
        space_type: name of the type: lower-case letters, digits and `-`.
        version: PEP 440 version of the plugin.
        sdk: SDK of the Space on the Hub: `gradio`, `docker` or `static`; `flame` for an analysis on a FLAME Hub.
        description: one sentence that helps people choose a type.
        tags: search terms for the type.
        Options: marshmallow schema of the type's options; unknown options are rejected.
        parameter_files: whether parameters are also written to `params.json` and `params.js`.
        container: framework for which a missing Dockerfile is generated, or `any`; None for no generated files.
        recognition: how files of this type are recognized; None for not at all.
    """

    space_type: ClassVar[str]
    version: ClassVar[str]
    sdk: ClassVar[str]
    description: ClassVar[str] = ""
    tags: ClassVar[tuple[str, ...]] = ()
    parameter_files: ClassVar[bool] = False
    container: ClassVar[str | None] = None
    recognition: ClassVar[Recognition | None] = None

    class Options(CommonOptions):
        """The options of a type without options of its own."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Checks the class attributes; an abstract intermediate class may omit all of them.

        Raises:
            TypeError: an attribute is missing or invalid; the message names it and the allowed values.
        """
        super().__init_subclass__(**kwargs)
        given = [name for name in ("space_type", "version", "sdk") if hasattr(cls, name)]
        if not given:
            return
        missing = {"space_type", "version", "sdk"} - set(given)
        if missing:
            raise TypeError(f"{cls.__name__} must set {', '.join(sorted(missing))}")
        if not isinstance(cls.space_type, str) or not _SPACE_TYPE.fullmatch(cls.space_type):
            raise TypeError(
                f"{cls.__name__}.space_type must be lower-case letters, digits and '-', not {cls.space_type!r}"
            )
        if cls.sdk not in SDKS:
            raise TypeError(f"{cls.__name__}.sdk must be one of {', '.join(SDKS)}, not {cls.sdk!r}")
        try:
            Version(cls.version)
        except (InvalidVersion, TypeError):
            raise TypeError(
                f"{cls.__name__}.version must be a PEP 440 version such as '1.0', not {cls.version!r}"
            ) from None
        if not (isinstance(cls.Options, type) and issubclass(cls.Options, ma.Schema)):
            raise TypeError(f"{cls.__name__}.Options must be a marshmallow Schema")

    @cached_property
    def options_schema(self) -> ma.Schema:
        """The schema that validates options; unknown options are errors."""
        return self.Options(unknown=ma.RAISE)

    @property
    def folder(self) -> Path:
        """The folder that contains the plugin's module."""
        return Path(inspect.getfile(type(self))).parent

    def defaults(self, options: Mapping[str, Any]) -> list[SpaceFile]:
        """Returns the default files, used unless the request has a file with the same path.

        Without an override: all files below `defaults/` next to the plugin's module.

        Args:
            options: the checked options.
        """
        return _files_below(self.folder / "defaults")

    def templates(self) -> list[Template]:
        """Returns the templates of the type, usually created with :meth:`template`."""
        return []

    def template(
        self, name: str, description: str, parameters: type[ma.Schema] = NoParameters, title: str = ""
    ) -> Template:
        """Creates a template from the files below `templates/<name>/` next to the plugin's module.

        Args:
            name: its name in a request; also the name of the folder.
            description: one sentence for people.
            parameters: marshmallow schema of its parameters, with their defaults.
            title: its name for people; by default made from the name.
        """
        return Template(name, description, tuple(_files_below(self.folder / "templates" / name)), parameters, title)

    def card(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the README front matter without `sdk`, which the service sets.

        Without an override: every option declared with :func:`on_card`.

        Args:
            options: the checked options.
        """
        keys = {
            name: field.metadata["card"]
            for name, field in self.options_schema.fields.items()
            if "card" in field.metadata
        }
        return {key: options[name] for name, key in keys.items() if options.get(name) is not None}

    def check(self, tree: Tree, options: Mapping[str, Any]) -> list[Finding]:
        """Checks the finished tree; returns one finding per problem.

        Args:
            tree: all files as they would be published.
            options: the checked options.
        """
        return []

    def get_requirements(self) -> str:
        """Returns the Python requirements of the plugin itself inside the service, as lines of a requirements file."""
        return ""

    def get_blueprint(self) -> Blueprint | None:
        """Returns the plugin's own endpoints, or None.

        They are mounted under `/plugins/{space_type}@{version}/` and require a token like all others. A flask-smorest
        blueprint is also included in the OpenAPI document. A plain Flask blueprint is served to signed-in people, too,
        under `/ui/plugins/{space_type}@{version}/`; a template that extends `base.html` gets the frame of the pages,
        and a page at `/` is linked from the list of types.
        """
        return None


def _files_below(root: Path) -> list[SpaceFile]:
    found = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [SpaceFile(path.relative_to(root).as_posix(), path.read_bytes()) for path in found]


def app_file_option(default: str, *, card: bool = True) -> ma.fields.String:
    """Returns the option for the file to run or show; its suffix must be that of the default.

    Args:
        default: the default file name.
        card: whether the Hub reads it from the card.
    """
    ending = re.escape(Path(default).suffix)
    description = "The file that is run or shown first."
    return ma.fields.String(
        load_default=default,
        validate=ma.validate.Regexp(rf"^[^/\\\x00-\x1f][^\\\x00-\x1f]*{ending}(?!\n)$"),
        metadata=on_card("app_file", description) if card else from_card("app_file", description),
    )


def python_version_option(*, card: bool = True) -> ma.fields.String:
    """Returns the option for the Python version of the app; the default is 3.12.

    Args:
        card: whether the Hub reads it from the card, and has a default of its own; without it the default is 3.12.
    """
    description = "Python version the app runs with."
    return ma.fields.String(
        load_default=ma.missing if card else "3.12",
        validate=ma.validate.Regexp(r"^3\.[0-9]{1,2}(\.[0-9]{1,2})?(?!\n)$"),
        metadata=on_card("python_version", description) if card else from_card("python_version", description),
    )


def app_file_missing(tree: Tree, app_file: str, space_type: str) -> list[Finding]:
    """Returns a finding if the tree does not contain the file that its type runs or shows."""
    if app_file in tree:
        return []
    message = f"A {space_type} Space starts with {app_file}, which is missing."
    hint = f"Send a file named {app_file}, or name the file in options.app_file."
    return [Finding("no_app_file", message, path=app_file, hint=hint)]


def python_dockerfile(python_version: str, port: int, command: list[str]) -> SpaceFile:
    """Returns a Dockerfile for a Python app that runs as uid 1000.

    User, order of the copies and the required requirements file: Hub documentation, Docker Spaces.

    Args:
        python_version: tag of the base image, e.g. `3.12`.
        port: the port the app listens on.
        command: the command that starts it, word by word.
    """
    lines = [
        f"FROM python:{python_version}-slim-bookworm",
        "RUN useradd --create-home --uid 1000 user",
        "WORKDIR /app",
        "RUN chown user /app",
        "COPY --chown=user ./requirements.txt requirements.txt",
        "RUN pip install --no-cache-dir -r requirements.txt",
        "COPY --chown=user . /app",
        "USER user",
        "ENV HOME=/home/user PATH=/home/user/.local/bin:$PATH PYTHONUNBUFFERED=1",
        f"EXPOSE {port}",
        f"CMD {json.dumps(command)}",
    ]
    return SpaceFile("Dockerfile", ("\n".join(lines) + "\n").encode())
