"""What travels over the wire: one request, one answer, and the Hub's shape of an error."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs

Json = dict[str, Any]
Delivery = Literal["whole", "cut", "never"]


@dataclass(frozen=True)
class Request:
    """One HTTP request, body read in full. `path` is still percent-encoded: a revision may hold slashes."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base_url: str = ""

    @property
    def token(self) -> str | None:
        """The bearer token, if there is one."""
        scheme, _, token = (self.headers.get("authorization") or "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    def parameters(self, name: str) -> list[str]:
        """All values of a query parameter."""
        return parse_qs(self.query).get(name, [])

    def parameter(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return next(iter(self.parameters(name)), default)

    def flag(self, name: str) -> bool:
        """Whether a query parameter says yes."""
        return self.parameter(name).lower() in ("1", "true")

    def form(self) -> dict[str, list[str]]:
        """The body as a urlencoded form."""
        return parse_qs(self.body.decode())

    def json(self) -> Json:
        """The body as a JSON object; an empty body is an empty object."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            raise HubError(400, "Invalid JSON") from None
        if not isinstance(value, dict):
            raise HubError(400, "Expected a JSON object")
        return value


@dataclass
class Answer:
    """One HTTP answer. `delivery` says how much of it reaches the client before the connection is closed."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stream: Generator[bytes] | None = None
    delivery: Delivery = "whole"


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Answer(status, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def text_answer(text: str, status: int = 200, content_type: str = "text/plain") -> Answer:
    """An answer with a text body."""
    return Answer(status, text.encode(), {"Content-Type": f"{content_type}; charset=utf-8"})


class HubError(Exception):
    """A refusal in the format of the Hub: JSON body, X-Error-Message and perhaps X-Error-Code."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        extra: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.extra = extra or {}
        self.headers = headers or {}

    def answer(self) -> Answer:
        """The answer which tells this error."""
        headers = {"X-Error-Message": self.message, **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        return json_answer({"error": self.message, **self.extra}, self.status, headers)


def repo_not_found() -> HubError:
    """The answer to a signed-in caller about a missing or hidden repository."""
    return HubError(404, "Repository not found", code="RepoNotFound")


def not_signed_in() -> HubError:
    """The answer to an anonymous caller about everything that is not public."""
    return HubError(401, "Invalid username or password.")


def bad_token() -> HubError:
    """The answer to an unknown token."""
    return HubError(401, "Invalid credentials in Authorization header")


def entry_not_found(message: str = "Entry not found") -> HubError:
    """A path which the revision does not hold."""
    return HubError(404, message, code="EntryNotFound")


def revision_not_found(revision: str) -> HubError:
    """A revision which the repository does not know."""
    return HubError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
