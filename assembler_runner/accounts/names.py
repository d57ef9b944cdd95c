"""The rule for names of accounts, realms, roles and permissions."""

from __future__ import annotations

import re
import unicodedata
import uuid

MOST = 64
"""Most characters of a name."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}")


def is_name(text: str) -> bool:
    """Returns whether a text can be a name: the characters are allowed, and it does not look like an id."""
    return _NAME.fullmatch(text) is not None and not is_id(text)


def name_from(text: str) -> str | None:
    """Returns the name that is nearest to a text; None if nothing of it can be one."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_.@+-]+", "-", plain).lstrip("-.@+")[:MOST].rstrip("-.")
    return name if is_name(name) else None


def is_id(text: str) -> bool:
    """Returns whether a text looks like an id (UUID)."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
