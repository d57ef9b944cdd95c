"""Passwords and secrets of accounts: argon2id hashes, and how they are checked."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_GENERATED = "sha256:"


_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """Returns an argon2id hash."""
    return _hasher.hash(password)


def new_secret() -> tuple[str, str]:
    """Makes a secret for a robot.

    Returns:
        The secret, and its hash: a fast one, because nobody guesses 256 random bits.
    """
    secret = secrets.token_urlsafe(32)
    return secret, _GENERATED + hashlib.sha256(secret.encode()).hexdigest()


def _fits(stored: str, word: str) -> bool:
    if stored.startswith(_GENERATED):
        return hmac.compare_digest(stored, _GENERATED + hashlib.sha256(word.encode("utf-8", "replace")).hexdigest())
    try:
        return _hasher.verify(stored, word)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


@cache
def _dummy_hash() -> str:
    # Checked where there is no such user, so that the time taken does not tell.
    return _hasher.hash("nobody has this password")
