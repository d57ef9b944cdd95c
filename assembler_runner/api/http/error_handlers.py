"""Error responses: one format for all errors, and a page for browsers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, jsonify, request
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError, TimeoutError
from werkzeug.exceptions import HTTPException

from assembler_runner.api.http.accepts import wants_page
from assembler_runner.api.http.i18n import set_content_language, translated
from assembler_runner.api.http.json_body import log
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, DatabaseUnavailable
from assembler_runner.core.visible import visible

_HTTP_HINTS = {
    404: "Check the path; GET /api-spec.json lists all endpoints.",
    405: "Use one of the methods in the header Allow.",
    413: "Send fewer or smaller files.",
}


ErrorPage = Callable[[AssemblerError], Response]
"""Makes the page of an error for people."""

_PAGE = "assembler-error-page"


def show_errors_with(app: Flask, page: ErrorPage) -> None:
    """Sets how errors are shown to people; programs get JSON."""
    app.extensions[_PAGE] = page


def error_body(error: AssemblerError) -> dict[str, Any]:
    """Returns the JSON of an error, in the language of the caller; where one thing is wrong, the message names it."""
    message, hint = error.message, error.hint
    if len(error.issues) == 1 and message == error.default_message:
        (only,) = error.issues
        hint = only.hint or hint
        message = translated(only.message) or ""
        field = re.split(r"[\[.]", (only.path or "").rstrip("]"))[-1]
        if field and field not in message:
            message = f"{visible(only.path)}: {message}"
    return {
        "statusCode": error.status,
        "status_code": error.status,
        "name": error.name,
        "code": error.code,
        "message": translated(message),
        "hint": translated(hint),
        "issues": [
            finding.to_json() | {"message": translated(finding.message), "hint": translated(finding.hint)}
            for finding in error.issues
        ],
    }


def register_error_handlers(app: Flask) -> None:
    """Adds the handlers that turn every exception into an error response."""
    app.register_error_handler(AssemblerError, answer_error)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(SQLAlchemyError, _answer_database)
    app.register_error_handler(Exception, _answer_unexpected)


def answer_error(error: AssemblerError) -> Response:
    """Returns the response for an error: JSON, or a page for a browser."""
    page: ErrorPage | None = current_app.extensions.get(_PAGE)
    if page is not None and wants_page():
        response = page(error)
    else:
        response = jsonify(error_body(error))
        response.status_code = error.status
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return set_content_language(response)


def _answer_http(problem: HTTPException) -> Response:
    if problem.code is None or problem.code < 400:
        return problem.get_response()  # type: ignore[return-value]  # a redirect
    response = answer_error(_HttpError(problem))
    for header, value in problem.get_headers() if response.status_code >= 400 else ():
        if header in ("Allow", "Retry-After", "WWW-Authenticate"):
            response.headers[header] = value
    return response


def _answer_database(problem: SQLAlchemyError) -> Response:
    try:
        db.session.rollback()
    except SQLAlchemyError:
        # The connection is gone, so there is nothing left to roll back.
        db.session().invalidate()
    log.error("the database failed: %s", type(problem).__name__, exc_info=problem)
    # InternalError: the database has ended a transaction of a process that was suspended.
    away = isinstance(problem, (OperationalError, InterfaceError, InternalError, TimeoutError))
    return answer_error(DatabaseUnavailable(retry_after=5) if away else AssemblerError())


def _answer_unexpected(problem: Exception) -> Response:
    log.error("unexpected error in %s %s", request.method, request.path, exc_info=problem)
    return answer_error(AssemblerError())


class _HttpError(AssemblerError):
    """An HTTP error raised by Flask, in the format of this service."""

    def __init__(self, problem: HTTPException) -> None:
        assert problem.code is not None
        self.status = problem.code  # type: ignore[misc]  # the class represents every status
        self.code = problem.name.lower().replace(" ", "_")  # type: ignore[misc]  # likewise
        self._name = type(problem).__name__
        text = f"{request.path} does not exist." if problem.code == 404 else f"{problem.name}."
        super().__init__(text, hint=_HTTP_HINTS.get(problem.code, "Correct the request."))

    @property
    def name(self) -> str:
        return self._name
