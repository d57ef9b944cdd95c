"""Strict parsing and validation of JSON bodies, shared by all views."""

from __future__ import annotations

import json
import logging
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn

import marshmallow as ma
from flask import request

from assembler_runner.core.errors import Finding, InvalidJson, InvalidRequest, TooLarge
from assembler_runner.core.validation import Fields, flatten_messages
from assembler_runner.services import current_services

log = logging.getLogger(__name__)


MAX_DEPTH = 100
"""Deepest value: Python itself reads literals of 200 levels at most, such as PARAMS in a file."""

_UNFIT_TEXT = re.compile("[\x00\ud800-\udfff]")


class NoBody(InvalidJson):
    """A call that requires a JSON body has none."""

    default_message = "The request has no JSON body."


def read_json() -> Any:
    """Reads the body as unambiguous JSON.

    Raises:
        InvalidJson: the body is not JSON, or has duplicate keys, NaN, too long numbers or too deep nesting.
        TooLarge: the body exceeds MAX_JSON_BYTES.
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
    """Checks the size of a JSON body in bytes.

    Raises:
        TooLarge: it exceeds MAX_JSON_BYTES.
    """
    most = current_services().settings.MAX_JSON_BYTES
    if size > most:
        raise TooLarge(
            f"JSON may have at most {most} bytes.",
            hint="Send files as multipart/form-data, or upload them to a bucket.",
        )


def parse_json(text: str) -> Any:
    """Parses unambiguous JSON.

    Raises:
        InvalidJson: the text is not JSON, or has duplicate keys, NaN, too long numbers or too deep nesting.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_float)
    except json.JSONDecodeError as problem:
        raise InvalidJson(f"The body is not valid JSON: line {problem.lineno}, column {problem.colno}.") from None
    except (RecursionError, ValueError):
        raise InvalidJson("The body contains a number that is too long, or is nested too deeply.") from None


def read_object() -> dict[str, Any]:
    """Reads the body as a JSON object.

    Raises:
        InvalidJson: the body is not a JSON object; see :func:`read_json`.
        TooLarge: see :func:`read_json`.
    """
    body = read_json()
    if not isinstance(body, dict):
        raise InvalidJson("The body must be a JSON object.")
    return body


def load(schema: ma.Schema, body: Mapping[str, Any]) -> dict[str, Any]:
    """Validates a body.

    Args:
        schema: the schema.
        body: the body, a JSON object.
    Returns:
        The validated fields.
    Raises:
        InvalidRequest: with one finding per problem.
    """
    fields = load_partly(schema, body)
    if fields.findings:
        raise InvalidRequest(issues=fields.findings)
    return dict(fields.data)


def load_partly(schema: ma.Schema, body: Mapping[str, Any]) -> Fields:
    """Validates a body, and returns its valid fields even if others are invalid.

    Args:
        schema: the schema.
        body: the body, a JSON object.
    Returns:
        The valid fields, and one finding per problem.
    """
    unfit = [] if getattr(schema, "any_text", False) else _unfit(body)
    refused = {(finding.path or "").partition(".")[0] for finding in unfit}
    try:
        return _without(Fields(dict(schema.load(body)), unfit, frozenset(refused)))
    except ma.ValidationError as problem:
        valid = problem.valid_data if isinstance(problem.valid_data, dict) else {}
        found = flatten_messages(problem.messages, "", sorted(schema.fields))
        findings = [finding for finding in found if finding.path not in refused] + unfit
        invalid = problem.messages.keys() if isinstance(problem.messages, dict) else ()
        return _without(Fields(dict(valid), findings, frozenset({*map(str, invalid), *refused})))


def _without(fields: Fields) -> Fields:
    kept = {name: value for name, value in fields.data.items() if name not in fields.invalid or name in _PARTLY}
    return Fields(kept, fields.findings, fields.invalid)


# What is valid of these is checked on, to report all problems at once.
_PARTLY = ("files", "secrets", "variables", "labels")


def _unfit(body: Mapping[str, Any]) -> list[Finding]:
    """Finds values that no part of the service could handle later: nested too deeply, or text that cannot be stored.

    Parameters may contain any text, since they are written as literals; contents of files are checked as files.
    """
    findings = []
    for field, top in body.items():
        if field == "files":
            continue
        waiting: list[tuple[str, Any, int]] = [(str(field), top, 1)]
        while waiting:
            path, value, depth = waiting.pop()
            if isinstance(value, str) and field != "parameters" and _UNFIT_TEXT.search(value):
                hint = "Send valid Unicode without NUL."
                findings.append(
                    Finding("invalid_text", "The text has a NUL or a lone surrogate.", path=path, hint=hint)
                )
            if not isinstance(value, dict | list):
                continue
            if depth > MAX_DEPTH:
                message = f"The value is nested more than {MAX_DEPTH} deep."
                findings.append(Finding("too_deep", message, path=str(field), hint="Send a flatter value."))
                break
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(path if depth > 1 else f"{path}.{key}", each, depth + 1) for key, each in inner]
    return findings


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InvalidJson(f"The key {twice[:100]!r} occurs twice in one object.", hint="Keep one of them.")
    return made


def _no_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not valid JSON.")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidJson(f"The number {text[:40]} is too large.")
    return value
