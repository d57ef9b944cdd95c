"""The account of a Hub token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

READ_ROLE = "read"
"""The role of a token that may not write."""

WRITERS = ("admin", "write", "contributor")
"""Roles in an organization that may create Spaces."""


@dataclass(frozen=True)
class HubAccount:
    """The account of a token.

    Args:
        name: name of the account.
        plan: free or pro.
        role: the role of the token: read, write or fineGrained.
        orgs: organization → the account's role in it.
        can_pay: whether it has a payment method; None if that is not known.
    """

    name: str
    plan: str
    role: str
    orgs: Mapping[str, str]
    can_pay: bool | None = None

    @cached_property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that the account may publish to, its own first."""
        return (self.name, *(name for name, role in self.orgs.items() if role in WRITERS))
