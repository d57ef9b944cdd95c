"""Encryption of secrets at rest, with keys derived from SECRET_KEY and, during a rotation, from its former values."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from assembler_runner.core.errors import AssemblerError


class UnreadableSecret(AssemblerError):
    """The secret was encrypted with an unknown key."""

    code = "unreadable_secret"
    default_message = "A secret cannot be decrypted: SECRET_KEY has changed since it was stored."
    default_hint = "Store the secret again, or set OLD_SECRET_KEYS to the former SECRET_KEY."


class Vault:
    """Encrypts and decrypts secret values (Fernet: AES-128-CBC with HMAC-SHA-256).

    Args:
        secret_keys: the value of SECRET_KEY, then its former values; the first one encrypts, all of them decrypt.
    """

    def __init__(self, *secret_keys: str) -> None:
        keys = [_derived(secret_key) for secret_key in secret_keys]
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._key_id = hashlib.sha256(keys[0]).hexdigest()[:16]

    @property
    def key_id(self) -> str:
        """Identifier of the encryption key; does not reveal it."""
        return self._key_id

    def encrypt(self, values: Mapping[str, str | None]) -> str:
        """Encrypts values."""
        return self._fernet.encrypt(json.dumps(dict(values)).encode()).decode()

    def decrypt(self, encrypted: str) -> dict[str, str]:
        """Decrypts values.

        Raises:
            UnreadableSecret: no key matches.
        """
        try:
            values: dict[str, str] = json.loads(self._fernet.decrypt(encrypted.encode()))
        except InvalidToken:
            raise UnreadableSecret from None
        return values

    def reencrypt(self, encrypted: str) -> str:
        """Encrypts the same values with the first key.

        Raises:
            UnreadableSecret: no key matches.
        """
        try:
            return self._fernet.rotate(encrypted.encode()).decode()
        except InvalidToken:
            raise UnreadableSecret from None


def _derived(secret_key: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"assembler vault").derive(secret_key.encode())
    return base64.urlsafe_b64encode(derived)
