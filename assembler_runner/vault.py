"""Secrets at rest: encrypted with a key derived from SECRET_KEY."""

from __future__ import annotations

import base64
import json

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from assembler_runner.errors import AssemblerError


class UnreadableSecret(AssemblerError):
    """What was sealed with another key cannot be opened."""

    code = "unreadable_secret"
    default_message = "The secrets of this request cannot be read: SECRET_KEY has changed since it was accepted."
    default_hint = "Send the request again, or start the service with the former SECRET_KEY."


class Vault:
    """Seals and opens secret values.

    Args:
        secret_key: the setting SECRET_KEY.
    """

    def __init__(self, secret_key: str) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"assembler vault").derive(secret_key.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def seal(self, values: dict[str, str]) -> str:
        """Returns the values encrypted (Fernet: AES-128-CBC with HMAC-SHA-256)."""
        return self._fernet.encrypt(json.dumps(values).encode()).decode()

    def open(self, sealed: str) -> dict[str, str]:
        """Returns what was sealed.

        Raises:
            UnreadableSecret: the key is another one.
        """
        try:
            values: dict[str, str] = json.loads(self._fernet.decrypt(sealed.encode()))
        except InvalidToken:
            raise UnreadableSecret from None
        return values
