"""What all views share: strict JSON in, one shape of errors out."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import flask_smorest
import marshmallow as ma
from flask import Flask, Response, jsonify, request
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError, TimeoutError
from werkzeug.exceptions import HTTPException

from assembler_runner.accounts.auth import public
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.i18n import tell_language, translated
from assembler_runner.api.schemas.spaces import ErrorSchema
from assembler_runner.assembly.assemble import flatten_messages
from assembler_runner.core.database import db
from assembler_runner.core.errors import (
    AssemblerError,
    DatabaseUnavailable,
    Finding,
    InvalidJson,
    InvalidRequest,
    TooLarge,
)
from assembler_runner.services import current_services

log = logging.getLogger(__name__)

_HTTP_HINTS = {
    404: "Check the address; GET /api-spec.json lists all.",
    405: "Use one of the methods in the header Allow.",
    413: "Send less at once.",
}


class Blueprint(flask_smorest.Blueprint):
    """A blueprint whose views declare who may call them; the declaration stands in the API's documentation, too."""

    @staticmethod
    def doc(**kwargs: Any) -> Callable[[Any], Any]:
        """Adds to the documentation of a view.

        The library's own wraps the view and copies all that was said of it, each time: a twentieth of the start.
        """

        def add(view: Any) -> Any:
            known = getattr(view, "_apidoc", {})
            view._apidoc = {**known, "manual_doc": _merged(known.get("manual_doc", {}), kwargs)}
            return view

        return add

    def needs(self, permission: str) -> Callable[[Any], Any]:
        """Declares the permission that a view needs.

        Args:
            permission: its name, or `any` for whoever is logged in.
        """
        documented = self.doc(**{"x-permission": permission}, **fails(401, 403))
        return lambda view: documented(requires(permission)(view))

    def open(self) -> Callable[[Any], Any]:
        """Declares that a view needs no token."""
        documented = self.doc(security=[])
        return lambda view: documented(public(view))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {key: _merged(old[key], new[key]) for key in new if isinstance(old.get(key), dict)}
    return {**old, **new, **both}


class NoBody(InvalidJson):
    """There is no body where JSON is needed."""

    default_message = "The request has no JSON body."


def takes(schema: type[ma.Schema], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns the documentation of a JSON body; the view reads it, so that all problems are told at once.

    Args:
        schema: the JSON.
        more: media type → what else is taken.
    """
    content: dict[str, Any] = {"schema": schema}
    if example := getattr(schema, "example", None):
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content, **(more or {})}}}


def fails(*statuses: int) -> dict[str, Any]:
    """Returns the documentation of error answers."""
    texts = {
        400: "Not understood",
        401: "No valid token",
        403: "Not allowed",
        404: "Not there",
        409: "Conflict",
        412: "Changed since",
        413: "Too large",
        422: "Not valid",
        429: "Too much in too short a time",
        502: "The Hub refused",
        503: "The Hub or the database does not answer",
    }
    return {
        "responses": {
            str(status): {"description": texts[status], "content": {"application/json": {"schema": ErrorSchema}}}
            for status in statuses
        }
    }


def read_json() -> Any:
    """Reads the body as JSON that has exactly one meaning.

    Raises:
        InvalidJson: no JSON, or JSON with a key twice, NaN, numbers without end or nesting without end.
        TooLarge: there is more of it than the service takes.
    """
    check_json_size(request.content_length or 0)
    body = request.get_data(cache=False)
    check_json_size(len(body))
    if not body or body.isspace():
        raise NoBody
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidJson("The body is not UTF-8.") from None
    return parse_json(text)


def check_json_size(size: int) -> None:
    """Checks how many bytes of JSON there are.

    Raises:
        TooLarge: it is more than the service takes.
    """
    most = current_services().settings.MAX_JSON_BYTES
    if size > most:
        raise TooLarge(
            f"JSON may have at most {most} bytes.",
            hint="Send files as multipart/form-data, or upload them to a bucket.",
        )


def parse_json(text: str) -> Any:
    """Reads JSON that has exactly one meaning.

    Raises:
        InvalidJson: it has a key twice, NaN, numbers without end or nesting without end, or is none.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_float)
    except json.JSONDecodeError as problem:
        raise InvalidJson(f"The body is not valid JSON: line {problem.lineno}, column {problem.colno}.") from None
    except (RecursionError, ValueError):
        raise InvalidJson("The body holds a number that is too long, or is nested too deeply.") from None


def read_object() -> dict[str, Any]:
    """Reads the body as a JSON object.

    Raises:
        InvalidJson: it is something else.
    """
    body = read_json()
    if not isinstance(body, dict):
        raise InvalidJson("The body must be a JSON object.")
    return body


def load(schema: ma.Schema, body: Mapping[str, Any]) -> dict[str, Any]:
    """Checks a body.

    Raises:
        InvalidRequest: with one finding per problem.
    """
    data, findings = load_partly(schema, body)
    if findings:
        raise InvalidRequest(issues=findings)
    return data


def load_partly(schema: ma.Schema, body: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """Checks a body as far as it goes.

    Returns:
        The fields that are right, and one finding per problem.
    """
    try:
        return dict(schema.load(body)), []
    except ma.ValidationError as problem:
        valid = problem.valid_data if isinstance(problem.valid_data, dict) else {}
        findings = flatten_messages(problem.messages, "", sorted(schema.fields))
        return dict(valid), findings


def error_body(error: AssemblerError) -> dict[str, Any]:
    """Returns the one shape of every error."""
    return {
        "statusCode": error.status,
        "status_code": error.status,
        "name": error.name,
        "code": error.code,
        "message": translated(error.message),
        "hint": translated(error.hint),
        "issues": [
            finding.to_json() | {"message": translated(finding.message), "hint": translated(finding.hint)}
            for finding in error.issues
        ],
    }


def register_error_handlers(app: Flask) -> None:
    """Adds the one handler that turns every error into an answer."""
    app.register_error_handler(AssemblerError, answer_error)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(SQLAlchemyError, _answer_database)
    app.register_error_handler(Exception, _answer_unforeseen)


def answer_error(error: AssemblerError) -> Response:
    """Returns the answer for an error."""
    response = jsonify(error_body(error))
    response.status_code = error.status
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return tell_language(response)


def _answer_http(problem: HTTPException) -> Response:
    if problem.code is None or problem.code < 400:
        return problem.get_response()  # type: ignore[return-value]  # a redirect
    response = answer_error(_HttpError(problem))
    for header, value in problem.get_headers():
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
    # InternalError: the database ended a transaction of a process that had been stopped.
    away = isinstance(problem, (OperationalError, InterfaceError, InternalError, TimeoutError))
    return answer_error(DatabaseUnavailable(retry_after=5) if away else AssemblerError())


def _answer_unforeseen(problem: Exception) -> Response:
    log.error("unforeseen error in %s %s", request.method, request.path, exc_info=problem)
    return answer_error(AssemblerError())


class _HttpError(AssemblerError):
    """What Flask itself refuses, in the one shape."""

    def __init__(self, problem: HTTPException) -> None:
        assert problem.code is not None
        self.status = problem.code  # type: ignore[misc]  # the class stands for every status
        self.code = problem.name.lower().replace(" ", "_")  # type: ignore[misc]  # likewise
        self._name = type(problem).__name__
        text = f"{request.path} does not exist." if problem.code == 404 else f"{problem.name}."
        super().__init__(text, hint=_HTTP_HINTS.get(problem.code, "Correct the request."))

    @property
    def name(self) -> str:
        return self._name


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InvalidJson(f"The key {twice[:100]!r} stands twice in one object.", hint="Keep one of them.")
    return made


def _no_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not valid JSON.")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidJson(f"The number {text[:40]} is too large.")
    return value
