"""The same Idempotency-Key gives the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db, utcnow
from assembler_runner.core.errors import InvalidRequest
from assembler_runner.spaces.models import IdempotencyKey

KEY_AGE = timedelta(hours=24)


@dataclass(frozen=True)
class Idempotency:
    """The caller's promise that a repeat is the same request.

    Args:
        key: the header Idempotency-Key.
        body_digest: digest of what was sent.
    """

    key: str
    body_digest: str


class KeyReused(InvalidRequest):
    """An Idempotency-Key came again with another body."""

    code = "idempotency_key_reused"
    default_message = "This Idempotency-Key was used with another body."
    default_hint = "Use a new key for a new request."


def known_answer(account: Account, idempotency: Idempotency) -> Any:
    """Returns the answer that was given for a key; None if there is none.

    Raises:
        KeyReused: the key came with another body.
    """
    row = db.session.get(IdempotencyKey, (account.id, idempotency.key))
    if row is None:
        return None
    if utcnow() - row.created_at > KEY_AGE:
        db.session.delete(row)
        db.session.flush()
        return None
    if row.body_digest != idempotency.body_digest:
        raise KeyReused
    return row.answer
