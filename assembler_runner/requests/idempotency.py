"""Idempotency keys: repeating a call with the same key returns the first response."""

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
    """An idempotency key with the call that it belongs to.

    Args:
        key: the header Idempotency-Key.
        body_digest: digest of the body.
    """

    key: str
    body_digest: str


class KeyReused(InvalidRequest):
    """An Idempotency-Key was sent again with another body."""

    code = "idempotency_key_reused"
    default_message = "This Idempotency-Key was used with another body."
    default_hint = "Use a new key for a new request."


def known_answer(account: Account, idempotency: Idempotency) -> Any:
    """Returns the stored response for a key; None if the key is new or older than `KEY_AGE`.

    Raises:
        KeyReused: the key was sent before with another body.
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
