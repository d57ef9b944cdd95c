"""What kind of app a set of files is: one guess for archives, bodies without a type and folders alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from assembler_runner.assembly.preflight.card_lines import read_card_lines
from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.rules.card_keys import readme_of
from assembler_runner.assembly.preflight.rules.docker import COMPOSE
from assembler_runner.assembly.preflight.rules.docker_start import dockerfile_port
from assembler_runner.assembly.recognise_others import by_other_files, npm_packages
from assembler_runner.assembly.recognise_python import by_python, start_file, starting_order
from assembler_runner.assembly.recognised import Hint, Recognised
from assembler_runner.files.tree import SpaceFile


def recognise(files: Mapping[str, SpaceFile], types: Iterable[str], hints: Iterable[Hint] = ()) -> Recognised:
    """Guesses the type of an app.

    In this order: what README.md says, a Dockerfile, what plugins declare, the framework that the Python file imports
    which is started, then other languages and pages.

    Args:
        files: path → file.
        types: names of the types there are.
        hints: how plugins' own types are recognised.
    Returns:
        The type, why, and the options that follow.
    """
    known = set(types)
    context = Context(files, sdk="docker", space_type="docker")
    readme = readme_of(files)
    card = read_card_lines(context.text(readme) or "") if readme is not None else read_card_lines("")
    by_card = _by_card(context, card.values, known)
    if by_card is not None:
        return by_card
    if "Dockerfile" in files or any("/" not in path and path.lower() == "dockerfile" for path in files):
        port = dockerfile_port(context)
        name = "Dockerfile" if "Dockerfile" in files else next(path for path in files if path.lower() == "dockerfile")
        return Recognised(
            "docker", f"There is a file {quote(name)}.", {"app_port": port} if port not in (None, 7860) else {}
        )
    for hint in hints:
        reason = _fits(context, hint)
        if reason is not None and hint.space_type in known:
            return Recognised(hint.space_type, reason)
    return by_python(context, card.values) or by_other_files(context) or _unknown(context)


def _by_card(context: Context, card: Mapping[str, Any], known: set[str]) -> Recognised | None:
    sdk = str(card.get("sdk") or "").strip().lower()
    if sdk not in known and sdk not in ("gradio", "docker", "static", "streamlit"):
        return None
    options: dict[str, Any] = {}
    reason = f"README.md says sdk: {clean(sdk)}."
    if sdk == "docker" and "Dockerfile" not in context.files and "streamlit" in known:
        # Such a Space was published by the type streamlit, which writes sdk: docker.
        start = start_file(context, card)
        if start is not None and start[1] == "streamlit":
            options = {"app_file": start[0]} if start[0] != "app.py" else {}
            return Recognised(
                "streamlit",
                f"README.md says sdk: docker, and {quote(start[0])} imports streamlit.",
                options,
                "streamlit",
            )
    if sdk in ("gradio", "streamlit") and not isinstance(card.get("app_file"), str) and "app.py" not in context.files:
        start = start_file(context, card)
        if start is not None and start[1] == sdk:
            options["app_file"] = start[0]
    if sdk == "streamlit" and isinstance(card.get("app_file"), str) and card["app_file"] != "app.py":
        options["app_file"] = card["app_file"]
    if sdk == "docker" and (port := dockerfile_port(context)) not in (None, 7860) and "app_port" not in card:
        options["app_port"] = port
    framework = ""
    if sdk == "docker" and "Dockerfile" not in context.files and (made := by_python(context, card)) is not None:
        return Recognised(
            "docker", reason, made.options if made.space_type == "docker" else {}, made.framework, made.app
        )
    return Recognised(sdk, reason, options, framework or (sdk if sdk in ("gradio", "streamlit") else ""))


def _fits(context: Context, hint: Hint) -> str | None:
    top = [path for path in context.files if "/" not in path]
    for name in hint.files:
        found = next(
            (path for path in top if path == name or (name.startswith("*.") and path.endswith(name[1:]))), None
        )
        if found is not None or name in context.files:
            return f"There is a file {quote(found or name)}."
    if hint.imports:
        for path in starting_order(context)[:10]:
            parsed = context.python(path)
            module = next((name for name in hint.imports if parsed is not None and name in parsed.imported), None)
            if module is not None:
                return f"{quote(path)} imports {clean(module)}."
    if hint.packages:
        named = npm_packages(context)
        package = next((name for name in hint.packages if name in named), None)
        if package is not None:
            return f"package.json names {clean(package)}."
    return None


def _unknown(context: Context) -> Recognised:
    compose = next((path for path in COMPOSE if path in context.files), None)
    if compose is not None:
        return Recognised(None, f"{compose} is not run: a Space is one container, built from a Dockerfile at the top.")
    notebook = next((path for path in context.files if path.endswith(".ipynb")), None)
    if notebook is not None:
        return Recognised(None, f"{quote(notebook)} is a notebook, which is not run: save it as app.py.")
    inside = next((path for path in context.files if path.rpartition("/")[2] == "Dockerfile"), None)
    if inside is not None:
        return Recognised(None, f"{quote(inside)} is not at the top of the Space, where a Dockerfile is built.")
    return Recognised(None, "There is no app.py, no index.html and no Dockerfile to guess the type from.")
