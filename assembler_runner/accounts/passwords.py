"""Hashing and verification of passwords (argon2id) and secrets of accounts."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from assembler_runner.core.errors import TooManyRequests

_GENERATED = "sha256:"

MOST_HASHES = 4
"""Maximum number of concurrent hashes: each takes 64 MiB (argon2-cffi's defaults, RFC 9106)."""

WAIT_SECONDS = 3.0

_hasher = PasswordHasher()
_slots = threading.BoundedSemaphore(MOST_HASHES)


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(timeout=WAIT_SECONDS):
        raise TooManyRequests("Too many logins at the same time.", hint="Try again in a few seconds.", retry_after=2)
    try:
        yield
    finally:
        _slots.release()


def hash_password(password: str) -> str:
    """Returns an argon2id hash.

    Raises:
        TooManyRequests: too many passwords are being hashed.
    """
    with _slot():
        return _hasher.hash(password)


def new_secret() -> tuple[str, str]:
    """Generates a secret for a robot.

    Returns:
        The secret and its hash; a fast hash is enough for 256 random bits.
    """
    secret = secrets.token_urlsafe(32)
    return secret, _GENERATED + hashlib.sha256(secret.encode()).hexdigest()


def verify(stored: str | None, secret: str) -> bool:
    """Returns whether a password or secret matches the stored hash.

    Takes the same time without a stored hash, so that the duration does not reveal which accounts exist.

    Args:
        stored: the hash; None if there is no such account.
        secret: the password or secret.
    Raises:
        TooManyRequests: too many passwords are being checked.
    """
    if stored is not None and stored.startswith(_GENERATED):
        return hmac.compare_digest(stored, _GENERATED + hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest())
    with _slot():
        try:
            return _hasher.verify(stored or _dummy_hash(), secret) and stored is not None
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False


@cache
def _dummy_hash() -> str:
    return _hasher.hash("no account has this password")
