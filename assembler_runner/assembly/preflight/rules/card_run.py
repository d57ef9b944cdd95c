"""The front matter: how a Space is run (Hub documentation, Spaces configuration reference)."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator

from assembler_runner.assembly.preflight.card_fixes import at_key, set_key
from assembler_runner.assembly.preflight.context import README, Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.tables import HARDWARE
from assembler_runner.core.fixes import Edit, Fix

_PYTHON = re.compile(r"3\.\d{1,2}(\.\d{1,2})?")


_SDK_VERSION = re.compile(r"\d+(\.\d+){0,3}([ab]|rc|\.?dev|\.post|-?beta\.?|-?alpha\.?)?\d*")


_TIMEOUT = re.compile(r"\d+(\.\d+)? ?(s|m|h|d|sec|secs|seconds?|min|mins|minutes?|hours?|days?)?", re.I)


def drop_key(context: Context, key: str, *, safe: bool) -> Fix | None:
    """Returns the fix that takes a key with its value off the front matter; None where it has several lines."""
    line = context.card.lines.get(key)
    if line is None or not context.card.raw.get(key):
        return None
    return Fix(f"Take {clean(key)} out", safe, (Edit(README, "delete", line, context.card.texts[key]),))


@rule(
    "card_app_port",
    "error",
    "readme",
    explanation="app_port is the port that the Hub asks the app on: a number from 1 to 65535.",
    example="app_port: http",
)
def card_app_port(context: Context) -> Iterator[Found]:
    """Finds an app_port that is no port."""
    value = context.card.values.get("app_port")
    text = value.strip() if isinstance(value, str) else None
    number = int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 7 else value
    if value is None or (isinstance(number, int) and not isinstance(number, bool) and 0 < number < 65_536):
        return
    yield at_key(
        context,
        "app_port",
        f"README.md has app_port: {quote(value)}, which is no port.",
        "Write a number from 1 to 65535, such as app_port: 7860.",
        value=clean(value),
    )


@rule(
    "card_app_port_text",
    "warning",
    "readme",
    explanation="The Hub wants a number; in quotes the port is a text. It is taken as the number that was meant.",
    example='app_port: "8501"',
    has_fix=True,
)
def card_app_port_text(context: Context) -> Iterator[Found]:
    """Finds a port in quotes."""
    value = context.card.values.get("app_port")
    if (
        isinstance(value, str)
        and value.strip().isdecimal()
        and value.isascii()
        and len(value) < 7
        and 0 < int(value) < 65_536
    ):
        number = str(int(value))
        fix = set_key(context, "app_port", number, title=f"Write app_port: {number}", safe=True)
        yield at_key(
            context,
            "app_port",
            f"README.md has app_port in quotes; it is taken as {number}.",
            "Write the number without quotes.",
            fix,
            port=int(number),
        )


@rule(
    "card_base_path",
    "error",
    "readme",
    explanation="base_path is the page that is shown first; the Hub wants a path that begins with a slash.",
    example="base_path: docs",
    has_fix=True,
)
def card_base_path(context: Context) -> Iterator[Found]:
    """Finds a base_path that does not begin with a slash."""
    value = context.card.values.get("base_path")
    if value is None or (isinstance(value, str) and value.startswith("/")):
        return
    path = "/" + str(value)
    written = path if re.fullmatch(r"/[\w./-]*", path) else json.dumps(path, ensure_ascii=False)
    is_url = "://" in path
    fix = None if is_url else set_key(context, "base_path", written, title=f"Write base_path: {clean(path)}", safe=True)
    yield at_key(
        context,
        "base_path",
        f"README.md has base_path: {quote(value)}, which does not begin with /.",
        "Begin the path with /.",
        fix,
        value=clean(value),
    )


@rule(
    "card_sdk",
    "error",
    "readme",
    explanation="The Hub runs gradio, docker and static; streamlit is published as docker by the type streamlit.",
    example="sdk: flask",
    has_fix=True,
)
def card_sdk(context: Context) -> Iterator[Found]:
    """Finds an SDK that neither the Hub nor a type of this service is."""
    value = context.card.values.get("sdk")
    if value is None or value in ("gradio", "docker", "static", "streamlit", context.space_type):
        return
    name = str(value).strip().lower()
    near = name if name in ("gradio", "docker", "static") else ""
    fix = set_key(context, "sdk", near, title=f"Write sdk: {near}", safe=True) if near else None
    yield at_key(
        context,
        "sdk",
        f"README.md has sdk: {quote(value)}, which the Hub does not run.",
        f"Write sdk: {near or context.sdk}, or leave the line out.",
        fix,
        value=clean(value),
    )


@rule(
    "card_sdk_streamlit",
    "info",
    "readme",
    explanation="The Hub has no Streamlit SDK any more: such a Space is published as a Docker Space that runs "
    "Streamlit with the app_file, python_version and sdk_version of the README.",
    example="sdk: streamlit",
)
def card_sdk_streamlit(context: Context) -> Iterator[Found]:
    """Says what becomes of `sdk: streamlit`."""
    if str(context.card.values.get("sdk")).strip().lower() == "streamlit" and context.space_type == "streamlit":
        yield at_key(
            context,
            "sdk",
            "README.md has sdk: streamlit; the Space is published with sdk: docker and runs Streamlit.",
            "Nothing to do.",
        )


@rule(
    "card_number_shortened",
    "warning",
    "readme",
    explanation="YAML reads 3.10 as the number 3.1. The Hub reads it that way, too; a version belongs in quotes.",
    example="python_version: 3.10",
    has_fix=True,
)
def card_number_shortened(context: Context) -> Iterator[Found]:
    """Finds versions that lose a zero because they are not in quotes."""
    for key in ("python_version", "sdk_version"):
        raw = context.card.raw.get(key, "")
        if re.fullmatch(r"\d+\.\d*0", raw) and not re.fullmatch(r"\d+\.0", raw):
            fix = set_key(context, key, f'"{raw}"', title=f'Write {key}: "{raw}"', safe=True)
            yield at_key(
                context,
                key,
                f"README.md has {key}: {clean(raw)} without quotes, which YAML reads as {float(raw)}.",
                f'Write {key}: "{clean(raw)}".',
                fix,
                key=key,
                written=clean(raw),
            )


@rule(
    "card_python_version",
    "error",
    "readme",
    explanation="python_version is a Python 3 that the Hub has an image of, such as 3.12 or 3.12.4.",
    example='python_version: "2.7"',
    has_fix=True,
)
def card_python_version(context: Context) -> Iterator[Found]:
    """Finds a python_version that is no version of Python 3."""
    text = context.card.text_of("python_version")
    if "python_version" not in context.card.values or (text is not None and _PYTHON.fullmatch(text.strip())):
        return
    value = context.card.values["python_version"]
    if value is None:
        return
    match = re.search(r"3\.\d{1,2}(?:\.\d{1,2})?", str(value))
    named = re.fullmatch(r"(?i)(python|py|>=|==|~=|v|\s|-)*3\.\d{1,2}(\.\d{1,2})?(\.x)?\+?", str(value).strip())
    fix = None
    if match and named:
        fix = set_key(
            context, "python_version", f'"{match[0]}"', title=f'Write python_version: "{match[0]}"', safe=True
        )
    yield at_key(
        context,
        "python_version",
        f"README.md has python_version: {quote(value)}, which is no version of Python 3.",
        'Write it as python_version: "3.12".',
        fix,
        value=clean(value),
    )


@rule(
    "card_sdk_version",
    "error",
    "readme",
    explanation="sdk_version is a published version of Gradio, such as 5.49.1.",
    example="sdk_version: latest",
)
def card_sdk_version(context: Context) -> Iterator[Found]:
    """Finds an sdk_version that is no version."""
    text = context.card.text_of("sdk_version")
    value = context.card.values.get("sdk_version")
    if value is None or context.sdk != "gradio" or (text is not None and _SDK_VERSION.fullmatch(text.strip())):
        return
    yield at_key(
        context,
        "sdk_version",
        f"README.md has sdk_version: {quote(value)}, which is no version.",
        "Write a version such as 5.49.1, or leave the line out.",
        value=clean(value),
    )


@rule(
    "card_app_file_path",
    "error",
    "readme",
    explanation="app_file is a path below the top of the Space, with / between folders.",
    example="app_file: ../app.py",
    has_fix=True,
)
def card_app_file_path(context: Context) -> Iterator[Found]:
    """Finds an app_file that is absolute or leads out of the Space."""
    value = context.card.values.get("app_file")
    if value is None:
        return
    text = str(value)
    path = text.replace("\\", "/")
    wrong = (
        not isinstance(value, str)
        or path.startswith(("/", "../"))
        or "/../" in path
        or "\\" in text
        or not text.strip()
    )
    if not wrong:
        return
    meant = path.lstrip("/")
    fits = meant in context.files and re.fullmatch(r"[\w./-]+", meant)
    fix = set_key(context, "app_file", meant, title=f"Write app_file: {clean(meant)}", safe=True) if fits else None
    yield at_key(
        context,
        "app_file",
        f"README.md has app_file: {quote(value)}, which is no path in the Space.",
        "Write the path from the top of the Space, such as app_file: web/app.py.",
        fix,
        value=clean(value),
    )


@rule(
    "card_app_file_kind",
    "error",
    "readme",
    explanation="A Gradio Space starts with a Python file, a static one with an HTML page.",
    example="sdk: gradio with app_file: notebook.ipynb",
)
def card_app_file_kind(context: Context) -> Iterator[Found]:
    """Finds an app_file of another kind than the SDK runs."""
    value = context.card.values.get("app_file")
    endings = {"gradio": (".py",), "static": (".html", ".htm")}.get(context.sdk)
    if isinstance(value, str) and value and endings and not value.lower().endswith(endings):
        yield at_key(
            context,
            "app_file",
            f"README.md has app_file: {quote(value)}, but a {context.sdk} Space needs a {endings[0]} file.",
            f"Name a {endings[0]} file.",
            value=clean(value),
        )


@rule(
    "card_hardware",
    "warning",
    "readme",
    explanation="suggested_hardware names a flavour of the Hub; it is proposed to those who duplicate the Space.",
    example="suggested_hardware: gpu",
)
def card_hardware(context: Context) -> Iterator[Found]:
    """Finds hardware that the Hub does not have."""
    value = context.card.values.get("suggested_hardware")
    if value is not None and value not in HARDWARE:
        near = difflib.get_close_matches(str(value).lower(), HARDWARE, 3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Use one of: {', '.join(HARDWARE)}."
        yield at_key(
            context,
            "suggested_hardware",
            f"README.md has suggested_hardware: {quote(value)}, which the Hub does not have.",
            hint,
            value=clean(value),
        )


@rule(
    "card_storage_ignored",
    "info",
    "readme",
    explanation="The Hub ignores suggested_storage.",
    example="suggested_storage: small",
    has_fix=True,
)
def card_storage_ignored(context: Context) -> Iterator[Found]:
    """Finds a key that has no effect any more."""
    if "suggested_storage" in context.card.values:
        fix = drop_key(context, "suggested_storage", safe=True)
        yield at_key(
            context,
            "suggested_storage",
            "README.md has suggested_storage, which the Hub ignores.",
            "Leave it out.",
            fix,
        )


@rule(
    "card_startup_timeout",
    "error",
    "readme",
    explanation="startup_duration_timeout is a length of time, such as 1h or 30m.",
    example="startup_duration_timeout: soon",
)
def card_startup_timeout(context: Context) -> Iterator[Found]:
    """Finds a start timeout that is no length of time."""
    value = context.card.values.get("startup_duration_timeout")
    if value is not None and not (isinstance(value, (str, int)) and _TIMEOUT.fullmatch(str(value).strip())):
        yield at_key(
            context,
            "startup_duration_timeout",
            f"README.md has startup_duration_timeout: {quote(value)}.",
            "Write it as 30m or 1h.",
            value=clean(value),
        )


@rule(
    "card_without_effect",
    "info",
    "readme",
    explanation="Some keys count for one SDK only: app_port for docker, app_build_command for static.",
    example="sdk: gradio with app_port: 8080",
)
def card_without_effect(context: Context) -> Iterator[Found]:
    """Finds keys that have no effect with this SDK."""
    if not context.given(README):
        return
    for key, sdk in (("app_build_command", "static"), ("app_port", "docker")):
        value = context.card.values.get(key)
        if value is not None and context.sdk != sdk and not (key == "app_port" and value in (7860, "7860")):
            yield at_key(
                context, key, f"README.md has {key}, which counts for sdk: {sdk} only.", "Leave it out.", key=key
            )
