"""The consent of a person to a deletion: asked by the client, and signed, so that no process has to remember it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from itsdangerous import BadSignature, URLSafeTimedSerializer

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.addresses import absolute_url
from assembler_runner.core.settings import Settings
from assembler_runner.mcp.context import Reply
from assembler_runner.spaces.models import Space

VALID_SECONDS = 600


@dataclass(frozen=True)
class Confirmation:
    """A question whether a Space may be deleted.

    Args:
        key: signs the state.
        subject: account, Space and commit that the consent is for.
        message: the question.
    """

    key: str
    subject: tuple[str, str, str]
    message: str

    @classmethod
    def of(cls, settings: Settings, account: Account, space: Space) -> Confirmation:
        """Returns the question for a Space as it is now."""
        shown = f"{space.namespace}/{space.name}" if space.namespace else space.name
        message = f"Delete the Space {shown} ({absolute_url(space.url) or space.target})? This cannot be undone."
        return cls(str(settings.SECRET_KEY), (account.id, space.id, space.commit_oid or ""), message)

    def to_json(self) -> dict[str, Any]:
        """Returns the result that makes the client ask the person and repeat the call."""
        question = {"delete": {"type": "boolean", "title": "Delete it", "default": False}}
        schema = {"type": "object", "properties": question, "required": ["delete"]}
        asked = {"mode": "form", "message": self.message, "requestedSchema": schema}
        return {
            "resultType": "input_required",
            "requestState": self._signer.dumps(list(self.subject)),
            "inputRequests": {"confirm": {"method": "elicitation/create", "params": asked}},
        }

    def matches(self, reply: Reply) -> bool:
        """Returns whether an answer is to this question, and not too old."""
        try:
            return tuple(self._signer.loads(reply.state, max_age=VALID_SECONDS)) == self.subject
        except (BadSignature, TypeError):
            return False

    @property
    def _signer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.key, salt="deletion by an agent")
