"""Tickets to the apps of private Spaces, and the cookies that they are exchanged for. Both are signed, not stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time

TICKET_SECONDS, COOKIE_SECONDS = 60, 12 * 3600
TICKET, COOKIE = "ticket", "cookie"
PARAMETER, PATH = "ticket", "/.assembler/open"
"""Name of the parameter and path where the proxy takes a ticket."""


def key_of(secret_key: str) -> bytes:
    """Returns the key of the tickets.

    Args:
        secret_key: the setting SECRET_KEY.
    """
    # The proxy gets the key itself.
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"assembler app tickets").derive(secret_key.encode())


def sign(key: bytes, kind: str, host: str, app_id: str, seconds: float) -> str:
    """Returns a signed text.

    Args:
        key: the key.
        kind: what it is good for: TICKET or COOKIE.
        host: first label of the host name of the app.
        app_id: the app.
        seconds: how long it is valid.
    """
    values = [kind, host, app_id, time.time() + seconds, secrets.token_hex(8)]
    payload = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
    return f"{payload}.{_mac(key, payload)}"


def is_valid(key: bytes, text: str, kind: str, host: str, app_id: str) -> bool:
    """Whether a text was signed for this use of this app, and has not expired.

    Args:
        key: the key.
        text: the text, from a stranger.
        kind: TICKET or COOKIE.
        host: first label of the host name of the app.
        app_id: the app.
    """
    payload, _, mac = text.partition(".")
    if not hmac.compare_digest(mac.encode("utf-8", "replace"), _mac(key, payload).encode()):
        return False
    values = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return bool(values[:3] == [kind, host, app_id] and time.time() < values[3])


def _mac(key: bytes, payload: str) -> str:
    return hmac.new(key, payload.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
