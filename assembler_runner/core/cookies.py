"""Names of the cookies of the web pages.

A browser sends a cookie to every port of a host, so apps that are served on the same host must not see or set them.
"""

from __future__ import annotations

SESSION = "assembler_session"
SECURE_SESSION = f"__Host-{SESSION}"
"""The session on https: browsers accept it only from this host, for all paths, over TLS."""

LANGUAGE = "assembler_language"
"""The language that a person has chosen."""

THEME = "assembler_theme"
"""The colours that a person has chosen."""

OWN = frozenset({SESSION, SECURE_SESSION, LANGUAGE, THEME})
