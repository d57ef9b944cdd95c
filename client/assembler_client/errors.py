"""All errors of the client, as one tree below :class:`HubAPIError`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from assembler_client.models import ErrorResponse, Finding

if TYPE_CHECKING:
    import httpx

    from assembler_client.models import Event, Problem, Request, Space

_LONGEST_TEXT = 500


class HubAPIError(Exception):
    """Base of all errors: the service answered with an error, with something unexpected, or not at all.

    Args:
        message: what happened.
        error_response: body of the error, or None if there was no answer.
    """

    def __init__(self, message: str, error_response: ErrorResponse | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.error_response = error_response
        # Whether an earlier attempt, whose answer was lost, may already have done the work.
        self.repeated = False

    @property
    def status_code(self) -> int | None:
        """HTTP status of the answer, or None if there was no answer."""
        return self.error_response.status_code if self.error_response else None

    @property
    def code(self) -> str | None:
        """Machine-readable error code, such as `name_taken`."""
        return self.error_response.code if self.error_response else None

    @property
    def hint(self) -> str | None:
        """What to do about it, or None."""
        return self.error_response.hint if self.error_response else None

    @property
    def issues(self) -> list[Finding]:
        """All findings of the request, errors first."""
        return self.error_response.issues if self.error_response else []

    def __str__(self) -> str:
        if self.error_response is None:
            return self.message
        shown = f"received status code {self.status_code} ({self.code}): {self.message}"
        return "\n".join([shown, *(f"  {issue}" for issue in self.issues)])


class NotFound(HubAPIError):
    """The object does not exist, was deleted, or belongs to another realm (404, 410)."""


class Conflict(HubAPIError):
    """The request conflicts with the current state, such as a name that is taken (409, 412)."""


class AuthError(HubAPIError):
    """Authentication failed: the login or the token is not valid (401, or 400 from the token endpoint)."""


class Forbidden(AuthError):
    """The account lacks a permission (403)."""


class InvalidRequest(HubAPIError):
    """The request is not valid; `issues` lists the problems (400, 422)."""


class TooLarge(InvalidRequest):
    """The request exceeds a limit of bytes, files or entries (413)."""


class RateLimited(HubAPIError):
    """A rate limit or a quota is exceeded (429).

    Args:
        message: what happened.
        error_response: body of the error.
        retry_after: seconds to wait, or None.
    """

    def __init__(
        self, message: str, error_response: ErrorResponse | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, error_response)
        self.retry_after = retry_after


class ServerError(HubAPIError):
    """The service failed to process the request (5xx)."""


class Unavailable(ServerError):
    """The service, or a dependency of it, is temporarily unavailable (502, 503, 504)."""


class TransportError(HubAPIError):
    """No answer: connection refused, timeout, or connection lost."""


class InvalidAnswer(HubAPIError):
    """The answer does not have the documented form, or a download does not match its hash."""


class WaitTimeout(HubAPIError):
    """The wait timed out; the request continues on the service."""


class RequestFailed(HubAPIError):
    """The service accepted the request, but it failed or was cancelled.

    Args:
        message: what happened.
        space: the Space.
        request: the request with its `error`.
        events: events of the request.
    """

    def __init__(self, message: str, space: Space | None, request: Request, events: list[Event]) -> None:
        super().__init__(message)
        self.space = space
        self.request = request
        self.events = events

    @property
    def code(self) -> str | None:
        """Machine-readable error code."""
        return self.request.error.code if self.request.error else self.request.status

    @property
    def hint(self) -> str | None:
        """What to do about it, or None."""
        return self.request.error.hint if self.request.error else None


class AppFailed(HubAPIError):
    """The files are published, but the app does not run.

    Args:
        message: what happened.
        space: the Space with its `problem`.
    """

    def __init__(self, message: str, space: Space) -> None:
        super().__init__(message)
        self.space = space

    @property
    def problem(self) -> Problem | None:
        """Why the app does not run and what to do, if known."""
        return self.space.problem

    @property
    def code(self) -> str | None:
        """Machine-readable code of the cause."""
        return self.problem.code if self.problem else self.space.state

    @property
    def hint(self) -> str | None:
        """What to do about it, or None."""
        return self.problem.hint if self.problem else None

    @property
    def issues(self) -> list[Finding]:
        """The problem as a finding, with file and line if known."""
        return [self.problem.as_finding()] if self.problem else []


_OF_STATUS: Mapping[int, type[HubAPIError]] = {
    400: InvalidRequest,
    401: AuthError,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: TooLarge,
    422: InvalidRequest,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_OF_LOGIN = ("invalid_credentials", "invalid_token", "inactive_token", "invalid_grant")


def error_of(response: httpx.Response, retry_after: float | None = None) -> HubAPIError:
    """Returns the error for an HTTP response, which may come from a proxy and have any body.

    Args:
        response: the response; its body has been read.
        retry_after: seconds to wait according to the response.
    """
    found = _error_response(response)
    if found.status_code == 429:
        return RateLimited(found.message, found, retry_after)
    if found.code in _OF_LOGIN:
        return AuthError(found.message, found)
    default = ServerError if found.status_code >= 500 else InvalidRequest
    return _OF_STATUS.get(found.status_code, default)(found.message, found)


def _error_response(response: httpx.Response) -> ErrorResponse:
    body: Any = None
    with suppress(ValueError):
        body = response.json()
    body = body if isinstance(body, dict) else {}
    text = body.get("message") or body.get("error") or response.text.strip()[:_LONGEST_TEXT] or response.reason_phrase
    issues = body.get("issues")
    issues = [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []
    known = {
        "status_code": response.status_code,
        "code": str(body.get("code") or response.reason_phrase.lower().replace(" ", "_") or response.status_code),
        "message": str(text),
        # Errors first: they are the reason for the refusal.
        "issues": sorted(issues, key=lambda issue: issue.get("severity", "error") != "error"),
    }
    return ErrorResponse.model_validate(body | known)


def invalid_input(issues: list[Finding]) -> InvalidRequest:
    """Returns the error for arguments rejected before anything was sent."""
    message = "The request is not valid; nothing was sent."
    return InvalidRequest(
        message, ErrorResponse(status_code=422, code="invalid_request", message=message, issues=issues)
    )
