"""Who calls a tool, and what the client can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.errors import Forbidden
from assembler_runner.services import Services


@dataclass(frozen=True)
class Reply:
    """What a person answered.

    Args:
        state: the signed state of the question.
        agrees: whether the person agreed.
    """

    state: str
    agrees: bool


@dataclass(frozen=True)
class Context:
    """The caller of a tool.

    Args:
        services: the services of this process.
        account: the account.
        may_ask: whether the client can ask a person.
        reply: the answer of a person, if the call carries one.
        secrets: secrets that a client program has added beside the arguments, unseen by any model.
        secrets_refused: whether the arguments had secrets, which are not taken.
    """

    services: Services
    account: Account
    may_ask: bool = False
    reply: Reply | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets_refused: bool = False

    def require(self, permission: str) -> None:
        """Checks that the account has a permission.

        Raises:
            Forbidden: it has not.
        """
        if permission not in self.account.permissions:
            hint = f"A person has to grant {permission} to this account, or do it on the web page."
            raise Forbidden(f"This account lacks the permission {permission}.", hint=hint)


def reply_of(params: Mapping[str, Any]) -> Reply | None:
    """Returns the answer of a person that a repeated call carries; None if it carries none."""
    responses = params.get("inputResponses")
    found = responses.get("confirm") if isinstance(responses, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    content = found.get("content")
    agrees = found.get("action") == "accept" and isinstance(content, Mapping) and content.get("delete") is True
    return Reply(str(params.get("requestState", "")), agrees)
