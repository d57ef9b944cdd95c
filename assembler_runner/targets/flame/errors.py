"""Translates the errors of flame-hub-client into those of this service."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from assembler_runner.core.errors import (
    AssemblerError,
    NameTaken,
    RateLimited,
    TargetError,
    TargetForbidden,
    TargetNotFound,
    TargetRefused,
    TargetTooLarge,
    TargetUnauthorized,
    TargetUnavailable,
)
from assembler_runner.core.visible import visible

log = logging.getLogger(__name__)

_SAID = 200
_OF_STATUS: dict[int, type[TargetError] | type[NameTaken]] = {
    401: TargetUnauthorized,
    403: TargetForbidden,
    404: TargetNotFound,
    409: NameTaken,
    413: TargetTooLarge,
    429: RateLimited,
}
_LOGIN_HINT = "The operator has to correct FLAME_USERNAME and FLAME_PASSWORD."


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Translates what the client raises inside the body.

    Args:
        action: what is done, for the log.
    Raises:
        TargetError: the FLAME Hub refused the call, or did not respond.
        NameTaken: an object of that name exists.
    """
    import httpx2
    from flame_hub import HubAPIError
    from pydantic import ValidationError

    try:
        yield
    except HubAPIError as problem:
        answer = problem.error_response
        status, code, said = (answer.status_code or 0, answer.code, answer.message) if answer else (0, "", "")
        log.info("the FLAME Hub refused %s with status %s", action, status)
        raise _error(status, code, said) from None
    except httpx2.TransportError as problem:
        log.info("no response from the FLAME Hub to %s: %s", action, type(problem).__name__)
        raise TargetUnavailable("The FLAME Hub did not respond.") from None
    except (ValidationError, ValueError, KeyError, TypeError) as problem:
        log.info("an invalid response from the FLAME Hub to %s: %s", action, type(problem).__name__)
        raise TargetUnavailable("The FLAME Hub sent an invalid response.") from None


def _error(status: int, code: str, said: str) -> AssemblerError:
    quoted = f" It said: {visible(said)[:_SAID]!r}" if said else ""
    if code in ("invalid_credentials", "invalid_token", "inactive_token"):
        return TargetUnauthorized("The FLAME Hub does not accept the user of the service.", hint=_LOGIN_HINT)
    kind = _OF_STATUS.get(status)
    if kind is TargetUnauthorized:
        return TargetUnauthorized(f"The FLAME Hub does not accept the user of the service.{quoted}", hint=_LOGIN_HINT)
    if kind is not None:
        return kind(f"The FLAME Hub answered {status}.{quoted}")
    if 400 <= status < 500:
        return TargetRefused(f"The FLAME Hub refused it.{quoted}")
    return TargetUnavailable(f"The FLAME Hub had an error.{quoted}")
