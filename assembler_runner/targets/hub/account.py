"""The account of a Hub token, and whose token it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

MAX_ORGANISATIONS = 1000
"""Organisations of an account that are taken; the Hub may name any number."""

READ_ROLE = "read"
"""The role of a token that may not write."""

_WRITERS = ("admin", "write", "contributor")


@dataclass(frozen=True)
class HubAccount:
    """The account of a token.

    Args:
        name: name of the account.
        plan: free or pro.
        role: the role of the token: read, write or fineGrained.
        orgs: organization → the account's role in it.
    """

    name: str
    plan: str
    role: str
    orgs: Mapping[str, str]

    @cached_property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that the account may publish to, its own first."""
        return (self.name, *(name for name, role in self.orgs.items() if role in _WRITERS))


@dataclass(frozen=True)
class TokenOwner:
    """Whose token a call uses, for messages.

    Args:
        said_of: the token, as the subject of a sentence.
        said: the token inside of a sentence.
        hint: who can replace it, and how.
    """

    said_of: str
    said: str
    hint: str


SERVICE = TokenOwner(
    "The service's token (HF_TOKEN)",
    "the service's token (HF_TOKEN)",
    "The operator has to set HF_TOKEN to a token with write access; or set a Hub token of the realm "
    "(PUT /auth/realms/{id}/hub-credential).",
)
REALM = TokenOwner(
    "The Hub token of the realm",
    "the Hub token of the realm",
    "Set a new token of the realm with write access: PUT /auth/realms/{id}/hub-credential.",
)
