"""Whose Hub token publishes a Space: that of its realm, or of a person who has signed in at the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assembler_runner.accounts import hub_tokens
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.errors import Finding, Forbidden
from assembler_runner.core.settings import Settings
from assembler_runner.spaces.models import RELEASES, Space
from assembler_runner.targets.realm_targets import HUB

AS, ME = "as", "me"


def publisher_of(account: Account, data: Mapping[str, Any]) -> str | None:
    """Returns the person whose own Hub token a request uses; None for the token of the realm.

    Args:
        account: the caller.
        data: the validated fields of the request; for a change of a Space with its `publisher_id`.
    """
    if data.get(AS) == ME:
        return account.id
    publisher_id: str | None = data.get("publisher_id")
    return publisher_id


def check_publisher(settings: Settings, account: Account, target: str, data: Mapping[str, Any]) -> list[Finding]:
    """Checks that a tree can be published as a person, if that is asked for.

    Args:
        settings: the settings.
        account: the caller.
        target: name of the target.
        data: the validated fields of the request.
    Returns:
        One finding if it cannot, else an empty list.
    """
    if data.get(AS) != ME:
        return _ended("The access of this service to the Hub account of the person has ended.", data)
    if target != HUB:
        message = f"Only Spaces of the target {HUB} can be published as a person, not of {target}."
        return [_finding("as_not_possible", message, f"Name the target {HUB}, or leave as out.")]
    if account.kind != "user":
        return [_finding("as_not_possible", "Only a person can publish as a person.", "Leave as out.")]
    if not hub_tokens.is_offered(settings):
        message = "People do not sign in at the Hub here, so nobody can publish as a person."
        return [_finding("as_not_possible", message, "Leave as out; the operator can set that up: OIDC_ISSUER.")]
    return _ended(
        "You have not allowed this service to publish as you, or that has ended.", {"publisher_id": account.id}
    )


def _ended(message: str, data: Mapping[str, Any]) -> list[Finding]:
    publisher_id = data.get("publisher_id")
    if publisher_id is None or hub_tokens.usable(publisher_id) is not None:
        return []
    return [_finding("sign_in_again", message, "Sign in with Hugging Face again.")]


def check_kept(space: Space, account: Account, data: Mapping[str, Any]) -> list[Finding]:
    """Checks that a change does not ask for another publisher than the Space has.

    Args:
        space: the Space.
        account: the caller.
        data: the validated fields of the change.
    Returns:
        One finding if it does, else an empty list.
    """
    if data.get(AS) != ME or space.publisher_id == account.id:
        return []
    message = "The Space is not published as you, and that cannot be changed."
    return [_finding("as_not_possible", message, "Leave as out, or send a new Space request.")]


def check_change(space: Space, account: Account, action: str) -> None:
    """Checks that the change is not published as another person than the caller.

    Args:
        space: the Space that is changed.
        account: the caller.
        action: the requested action.
    Raises:
        Forbidden: the change would be published as another person.
    """
    if space.publisher_id not in (None, account.id) and action in RELEASES | {"move"}:
        raise Forbidden(
            "The Space is published as another person, who alone can change its files, settings and name.",
            hint="Others can restart, pause and delete it, or send a new Space request.",
        )


def _finding(code: str, message: str, hint: str) -> Finding:
    return Finding(code, message, path=AS, hint=hint)
