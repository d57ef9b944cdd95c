"""Translates error messages, hints and pages: by the choice of a person in the web pages, else by Accept-Language.

Codes and names are not translated. Messages with variable parts (`There is no column x.`) are English only. So are logs
and events, which have readers of several languages.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from flask import Flask, Response, has_request_context, request
from flask_babel import Babel, get_locale, gettext

from assembler_runner.core.cookies import LANGUAGE

LANGUAGES = ("en", "de")

_FIELDS = {"default_message", "default_hint"}


def configure(app: Flask) -> None:
    """Adds the translations to an application."""
    folder = Path(__file__).parent.parent / "translations"
    app.config.setdefault("BABEL_TRANSLATION_DIRECTORIES", str(folder))
    Babel(app, default_locale="en", locale_selector=_chosen)
    app.jinja_env.globals["language"] = language


def language() -> str:
    """Returns the language of the current caller."""
    return str(get_locale() or LANGUAGES[0])


def translated(text: str | None) -> str | None:
    """Returns a text in the language of the current caller, or unchanged without a translation."""
    return gettext(text) if text and has_request_context() else text


def set_content_language(response: Response) -> Response:
    """Adds the headers Content-Language and Vary to a response."""
    response.headers["Content-Language"] = language()
    response.vary.update(("Accept-Language", "Cookie"))
    return response


def extract(
    file: IO[bytes], keywords: Any, comment_tags: Any, options: Any
) -> Iterator[tuple[int, str, str, list[str]]]:
    """Extracts translatable texts from a module: default messages and hints of error classes (an extractor for Babel).

    Args:
        file: the source.
        keywords: unused; part of Babel's interface.
        comment_tags: unused.
        options: unused.
    Yields:
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
    if (chosen := request.cookies.get(LANGUAGE)) in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(LANGUAGES, LANGUAGES[0])
