"""Every error of the service, as one tree::

    AssemblerError                500  internal_error
    ├── SettingsError             500  invalid_settings      the service does not start
    ├── InvalidRequest            422  invalid_request       carries one Finding per problem
    │   └── InvalidJson           400  invalid_json
    ├── Unauthorized              401  unauthorized
    │   ├── InvalidCredentials    400  invalid_credentials   token endpoint
    │   └── InvalidToken          400  invalid_token         token endpoint
    │       └── InactiveToken     400  inactive_token        a refresh token was used a second time
    ├── Forbidden                 403  forbidden
    ├── NotFound                  404  not_found
    │   └── Gone                  410  gone                  it existed and was deleted
    ├── Conflict                  409  conflict
    │   ├── NameTaken             409  name_taken
    │   ├── ForeignCommit         409  foreign_commit        the Space has a commit by others; carries the diff
    │   └── BaseFailed            409  base_failed           the earlier change this one builds on failed
    ├── PreconditionFailed        412  precondition_failed   If-Match names another commit
    ├── TooLarge                  413  too_large
    ├── TooManyRequests           429  too_many_requests
    │   └── QuotaExceeded         429  quota_exceeded
    ├── DatabaseUnavailable       503  database_unavailable
    ├── PluginError               500  plugin_error          a plugin failed or violated its contract
    └── TargetError               502  target_error          an error of the target a Space is published to
        ├── PaymentRequired       402  payment_required
        ├── TargetUnauthorized    502  target_unauthorized   the token is not accepted
        ├── TargetForbidden       502  target_forbidden      the token lacks a permission
        ├── TargetRefused         422  target_refused        the target rejected the content
        ├── TargetTooLarge        413  target_too_large
        ├── TargetNotFound        404  target_not_found
        ├── HeadMoved             409  head_moved            another commit came first
        ├── RateLimited           429  rate_limited          retryable
        └── TargetUnavailable     503  target_unavailable    retryable; the response may be lost

Each class declares its HTTP status and whether a retry can help. Only the module that calls an external system handles
that system's exceptions; it translates them into these classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from assembler_runner.core.fixes import Fix
from assembler_runner.core.visible import visible

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One problem or remark about a request, with what to do about it.

    Args:
        code: stable name in snake_case, for programs.
        message: description of the problem, for people.
        severity: an `error` rejects the request; the others are informational.
        path: the field of the request (`files["../x"]`, `options.title`) or the file it concerns, or None.
        line: line in that file, counted from 1, or None.
        hint: what to do, or None.
        values: captured values by name; JSON data.
        fix: a change that resolves it, or None.
    """

    code: str
    message: str
    severity: Severity = "error"
    path: str | None = None
    line: int | None = None
    hint: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fix: Fix | None = field(default=None, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Returns the finding as the API shows it; control characters are written as escapes, for terminals."""
        shown = {name: visible(value) for name, value in asdict(self).items() if name != "fix"}
        return {**shown, "fix": self.fix.to_json() if self.fix is not None else None}


class AssemblerError(Exception):
    """Base of all errors of this service.

    Args:
        message: what happened, written for the caller; never contains a secret or the text of a foreign exception.
        hint: what to do next; the class has a default.
        issues: the individual problems, if there are several.
        retry_after: seconds after which a retry makes sense, or None.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    default_message: ClassVar[str] = "The service had an internal error."
    default_hint: ClassVar[str | None] = (
        "Try again; if the error persists, send the operator the time and the request id."
    )

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        issues: Iterable[Finding] = (),
        retry_after: float | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.hint = hint if hint is not None else self.default_hint
        self.issues = list(issues)
        self.retry_after = retry_after
        super().__init__(self.message)

    @property
    def name(self) -> str:
        """Name of the error class, as published clients expect it."""
        return type(self).__name__

    def to_json(self) -> dict[str, Any]:
        """Returns the value of a request's `error` field."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class SettingsError(AssemblerError):
    """A setting is missing, malformed or too weak to start with."""

    code = "invalid_settings"
    default_message = "The settings are not valid."
    default_hint = "Correct these settings and start again."


class InvalidRequest(AssemblerError):
    """The request is well-formed but invalid; `issues` contains every problem."""

    status = 422
    code = "invalid_request"
    default_message = "The request is not valid."
    default_hint = "Correct the problems listed in issues and send the request again."


class InvalidJson(InvalidRequest):
    """The body is not JSON, or is ambiguous JSON."""

    status = 400
    code = "invalid_json"
    default_message = "The body is not valid JSON."
    default_hint = "Send one JSON object with the header Content-Type: application/json."


class Unauthorized(AssemblerError):
    """The request has no valid token."""

    status = 401
    code = "unauthorized"
    default_message = "A valid access token is required."
    default_hint = "Get one from POST /auth/token and send it as Authorization: Bearer <token>."


class InvalidCredentials(Unauthorized):
    """Name or password is wrong, or the account is not active."""

    status = 400
    code = "invalid_credentials"
    default_message = "The credentials are not valid."
    default_hint = "Check name and password (or id and secret)."


class InvalidToken(Unauthorized):
    """A refresh token that is expired, malformed or no longer valid."""

    status = 400
    code = "invalid_token"
    default_message = "The refresh token is not valid."
    default_hint = "Log in again with grant_type password."


class InactiveToken(InvalidToken):
    """A refresh token that was replaced by a newer one some time ago: it may have been stolen."""

    code = "inactive_token"
    default_message = "The refresh token was already used; all tokens of this login are revoked."


class Forbidden(AssemblerError):
    """The account lacks the permission for this."""

    status = 403
    code = "forbidden"
    default_message = "This account is not allowed to do that."
    default_hint = "Ask an administrator for the permission."


class NotFound(AssemblerError):
    """The object does not exist, or is not visible to this account."""

    status = 404
    code = "not_found"
    default_message = "There is no such object."
    default_hint = "Check the URL and the id."


class Gone(NotFound):
    """The object has been deleted."""

    status = 410
    code = "gone"
    default_message = "The object has been deleted."
    default_hint = "Nothing to do; a deleted object is not restored."


class Conflict(AssemblerError):
    """The object's state does not allow this."""

    status = 409
    code = "conflict"
    default_message = "That is not possible in the current state."
    default_hint = "Check the current state and decide again."


class NameTaken(Conflict):
    """A Space with that name already exists."""

    code = "name_taken"
    default_message = "A Space with this name already exists."
    default_hint = "Choose another name, or leave the name out to get a generated one."


class ForeignCommit(Conflict):
    """The Space has a commit that was not made by this service.

    Args:
        message: what happened.
        details: `commit_oid` (theirs), `known_oid` (ours) and `diff` with the lists `added`, `changed` and `deleted`.
    """

    code = "foreign_commit"
    default_message = "The Space was changed outside of this service; nothing was overwritten."
    default_hint = (
        "Check the difference. To continue, send the change again with If-Match naming that commit, or with force: "
        "mode replace overwrites its files, mode merge keeps those that the change does not touch."
    )

    def __init__(self, message: str | None = None, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = details or {}

    def to_json(self) -> dict[str, Any]:
        """Returns what a request's `error` field holds."""
        return {**super().to_json(), "details": self.details}


class BaseFailed(Conflict):
    """The change builds on an earlier one that was accepted but did not succeed."""

    code = "base_failed"
    default_message = "The earlier change that this one builds on did not succeed; nothing was changed."
    default_hint = "Retry the earlier request and then this one, or send the change again."


class PreconditionFailed(AssemblerError):
    """The Space is not at the commit named by the caller."""

    status = 412
    code = "precondition_failed"
    default_message = "The Space is not at the commit named in If-Match."
    default_hint = "Get the Space again, check what has changed, and send the change with its new ETag."


class TooLarge(AssemblerError):
    """The request has more bytes than the service accepts."""

    status = 413
    code = "too_large"
    default_message = "The request is too large."
    default_hint = "Send less data in one request."


class TooManyRequests(AssemblerError):
    """Too many requests in a short time."""

    status = 429
    code = "too_many_requests"
    default_message = "Too many requests in a short time."
    default_hint = "Wait as long as the header Retry-After says, then try again."


class QuotaExceeded(TooManyRequests):
    """The quota of the realm or the account is used up."""

    code = "quota_exceeded"
    default_message = "The quota is used up."


class DatabaseUnavailable(AssemblerError):
    """The database does not respond, or is locked or full."""

    status = 503
    code = "database_unavailable"
    retryable = True
    default_message = "The database is not available right now; nothing was stored."
    default_hint = "Send the request again in a few seconds."


class PluginError(AssemblerError):
    """A plugin raised an error or returned something that is not allowed."""

    code = "plugin_error"
    default_message = "The plugin of this space_type failed."
    default_hint = "Inform the operator; GET /plugins names the plugin's source."


class TargetError(AssemblerError):
    """The target responded with an error that has no class of its own."""

    status = 502
    code = "target_error"
    default_message = "The target gave an unexpected response."


class PaymentRequired(TargetError):
    """The target requires a paid plan for this kind of Space."""

    status = 402
    code = "payment_required"
    default_message = "The target requires a paid plan to host this Space."
    default_hint = "Use space_type static, which is free, or a token of an account with a PRO, Team or Enterprise plan."


class TargetUnauthorized(TargetError):
    """The target does not accept the token."""

    code = "target_unauthorized"
    default_message = "The target does not accept the token."
    default_hint = "Set a valid token with write access: of the realm, or HF_TOKEN of the service."


class TargetForbidden(TargetError):
    """The token is valid but lacks a permission."""

    code = "target_forbidden"
    default_message = "The token may not do this on the target."
    default_hint = "Choose a namespace that the token may write to, or give the token write access to it."


class TargetRefused(TargetError):
    """The target rejects the content or a setting as invalid."""

    status = 422
    code = "target_refused"
    default_message = "The target rejected the content of the request."
    default_hint = "Correct the problem named in the message and send a new request."


class TargetTooLarge(TargetError):
    """A file or the whole commit exceeds the target's limit."""

    status = 413
    code = "target_too_large"
    default_message = "The target rejected the files as too large."
    default_hint = "Send fewer or smaller files."


class TargetNotFound(TargetError):
    """The repository does not exist (any more), or is not visible to this token."""

    status = 404
    code = "target_not_found"
    default_message = "The target has no such repository."
    default_hint = "It may have been deleted or renamed there; create a new Space."


class HeadMoved(TargetError):
    """The branch changed since it was read."""

    status = 409
    code = "head_moved"
    default_message = "The Space was changed at the same time by another commit."
    default_hint = "Check the Space and send the change again."


class RateLimited(TargetError):
    """The target's rate limit or quota is used up for now."""

    status = 429
    code = "rate_limited"
    retryable = True
    default_message = "The target's rate limit is used up for now."
    default_hint = "Nothing to do: the service retries automatically."


class TargetUnavailable(TargetError):
    """No response, or a server error: it is unknown whether the operation was performed."""

    status = 503
    code = "target_unavailable"
    retryable = True
    default_message = "The target did not respond, or responded with a server error."
    default_hint = "Check that the target is up; then retry the request."
