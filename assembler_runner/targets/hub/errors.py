"""Translates failures of the Hub, its client library and the network into errors of this service."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from assembler_runner.core.errors import (
    AssemblerError,
    HeadMoved,
    NameTaken,
    PaymentRequired,
    RateLimited,
    TargetForbidden,
    TargetNotFound,
    TargetRefused,
    TargetTooLarge,
    TargetUnauthorized,
    TargetUnavailable,
)
from assembler_runner.targets.hub import metrics
from assembler_runner.targets.hub.token_owner import SERVICE, TokenOwner

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

log = logging.getLogger(__name__)

_RESET = re.compile(r'"api";r=0;t=(\d+)')
MESSAGE_LIMIT = 300
ZERO_GPU_HINT = (
    "ZeroGPU (zero-a10g) runs the type gradio only, in a namespace with a PRO, Team or Enterprise plan. Use gradio and "
    "such a namespace, other hardware such as t4-small, or leave hardware out."
)
_APP_CALLS = ("restart", "pause", "hardware", "sleeptime", "secrets", "variables", "settings", "logs")
_READ_CHARACTERS = 2000
# Letters of a token that are recognized: fewer would be in other words as well, and tell little.
_PART = 6


class CreationBusy(Exception):
    """The Hub is creating another repository for this account."""


@contextmanager
def translated(action: str, token: str, owner: TokenOwner = SERVICE) -> Iterator[None]:
    """Translates exceptions of the client library and its transport into errors of this service.

    Args:
        action: the name of the call, for the log and for the meaning of status 409.
        token: the token of the call, which is removed from messages.
        owner: whose token it is.
    Raises:
        TargetError: or one of its subclasses.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as problem:
        log.info("the Hub refused %s with status %s", action, problem.response.status_code)
        raise _of_status(action, problem, token, owner) from None
    except CreationBusy:
        raise RateLimited("The Hub is creating another repository for this account.", retry_after=2) from None
    except httpx2.TransportError as problem:
        log.info("no response from the Hub to %s: %s", action, type(problem).__name__)
        metrics.record_no_answer(problem.request)
        raise TargetUnavailable("The Hub did not respond.") from None
    except (OSError, RuntimeError) as problem:
        # Raised by the upload of large files, which uses a separate transport.
        log.info("no response from the Hub to %s: %s", action, type(problem).__name__)
        raise TargetUnavailable("The Hub's large file storage did not respond.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        # Raised by the library if a response does not have the expected form.
        log.info("an invalid response from the Hub to %s: %s", action, type(problem).__name__)
        raise TargetUnavailable("The Hub sent an invalid response.") from None


def _of_status(action: str, problem: HfHubHTTPError, token: str, owner: TokenOwner) -> AssemblerError:
    status = problem.response.status_code
    said = _quoted(problem.server_message, token)
    words = said.lower()
    if status == 401:
        where = f" for the call {action}" if action in _APP_CALLS else ""
        return TargetUnauthorized(
            f"The Hub does not accept {owner.said}{where}.{said}", hint=_token_hint(action, owner)
        )
    if status == 402:
        return PaymentRequired(f"The Hub requires payment or a paid plan.{said}", hint=_payment_hint(action, words))
    if status == 403:
        hint = ZERO_GPU_HINT if "zerogpu" in words or "zero-gpu" in words or "zero-a10g" in words else None
        hint = hint or f"Choose a namespace that the token may write to, or give it write access. {owner.hint}"
        return TargetForbidden(f"{owner.said_of} may not do this on the Hub.{said}", hint=hint)
    if status == 404:
        return TargetNotFound(f"The Hub has no such repository.{said}")
    if status == 409 and action in ("create", "move"):
        return NameTaken(f"A Space with this name already exists on the Hub.{said}")
    if status in (409, 412):
        return HeadMoved()
    if status == 413:
        return TargetTooLarge(f"The Hub rejected the files as too large.{said}")
    if status == 429:
        return RateLimited(f"The Hub's rate limit is exceeded.{said}", retry_after=_wait(problem))
    if status >= 500 or status == 408:
        return TargetUnavailable(f"The Hub responded with status {status}.")
    return TargetRefused(f"The Hub rejected the request.{said}")


def _token_hint(action: str, owner: TokenOwner) -> str:
    if action in _APP_CALLS:
        return f"If other calls work, this kind of token may not do it: create one of the kind write. {owner.hint}"
    return owner.hint


def _payment_hint(action: str, words: str) -> str:
    if "zerogpu" in words or "zero-a10g" in words:
        return ZERO_GPU_HINT
    if action in ("hardware", "sleeptime") or "payment method" in words or "hardware" in words:
        return (
            "Leave hardware out or use cpu-basic, which is free; or add a payment method to the account that owns the "
            "Space, on the Hub under Settings, Billing."
        )
    return (
        "Use space_type static, which is free; or a namespace whose account has a PRO, Team or Enterprise plan. "
        "If it has one, check its payment method on the Hub under Settings, Billing."
    )


def _quoted(said: str | None, token: str) -> str:
    if not said:
        return ""
    line = " ".join(without_token(said[:_READ_CHARACTERS], token).split())
    quoted = line[:MESSAGE_LIMIT].replace('"', "'")
    return f' It said: "{quoted}"'


def without_token(said: str, token: str) -> str:
    """Returns a text without any part of a token, also where that is cut, percent-encoded or in base64.

    Args:
        said: the text.
        token: the token.
    """
    while (decoded := unquote(said)) != said:
        said = decoded
    if not token:
        return said
    forms = [token, token[::-1], *(base64.b64encode(b"\0" * shift + token.encode())[4:].decode() for shift in range(3))]
    pieces = {form[at : at + _PART] for form in forms for at in range(max(1, len(form) - _PART + 1))}
    known = re.compile("|".join(re.escape(piece) for piece in sorted(pieces) if piece), re.IGNORECASE)
    hidden: set[int] = set()
    place = 0
    while found := known.search(said, place):
        hidden.update(range(found.start(), found.end()))
        # Parts overlap: the next one may begin inside of this one.
        place = found.start() + 1
    shown = "".join("\0" if place in hidden else letter for place, letter in enumerate(said.replace("\0", " ")))
    return re.sub("\0+", "…", shown)


def _wait(problem: HfHubHTTPError) -> float | None:
    headers = problem.response.headers
    retry_after = headers.get("Retry-After", "")
    if retry_after.isdigit():
        return float(retry_after)
    reset = _RESET.search(headers.get("RateLimit", ""))
    return float(reset[1]) if reset else None
