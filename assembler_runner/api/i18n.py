"""The language of a caller, by Accept-Language: messages and hints of errors, and pages. Codes and names stay.

What is put together from parts (`There is no column x.`) stays English; so does everything in logs and events, which
many read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from flask import Flask, Response, has_request_context, request
from flask_babel import Babel, get_locale, gettext

LANGUAGES = ("en", "de")
_FIELDS = {"default_message", "default_hint"}


def configure(app: Flask) -> None:
    """Adds the translations to an application."""
    folder = Path(__file__).with_name("translations")
    app.config.setdefault("BABEL_TRANSLATION_DIRECTORIES", str(folder))
    Babel(app, default_locale="en", locale_selector=_chosen)
    app.jinja_env.globals["language"] = language


def language() -> str:
    """Returns the language of the present caller."""
    return str(get_locale() or LANGUAGES[0])


def translated(text: str | None) -> str | None:
    """Returns a text in the language of the present caller, where there is a translation."""
    return gettext(text) if text and has_request_context() else text


def set_content_language(response: Response) -> Response:
    """Writes into an answer in which language it is, and that it depends on what was asked for."""
    response.headers["Content-Language"] = language()
    response.vary.add("Accept-Language")
    return response


def extract(
    file: IO[bytes], keywords: Any, comment_tags: Any, options: Any
) -> Iterator[tuple[int, str, str, list[str]]]:
    """Finds what is to be translated in a module: messages and hints of the classes of errors (a method of Babel).

    Args:
        file: the source.
        keywords: not used; Babel gives it.
        comment_tags: not used, likewise.
        options: not used, likewise.
    Returns:
        Line, function, text, comments.
    """
    for node in ast.walk(ast.parse(file.read())):
        if isinstance(node, ast.Assign):
            targets: list[ast.expr] = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        named = any(isinstance(target, ast.Name) and target.id in _FIELDS for target in targets)
        value = node.value
        if named and isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
            yield node.lineno, "gettext", value.value, []


def _chosen() -> str | None:
    return request.accept_languages.best_match(LANGUAGES, LANGUAGES[0])
