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

SIGN_IN = "assembler_sign_in"
SECURE_SIGN_IN = f"__Host-{SIGN_IN}"
"""What a browser keeps while a person signs in at an issuer, and the same on https."""

OWN = frozenset({SESSION, SECURE_SESSION, LANGUAGE, THEME, SIGN_IN, SECURE_SIGN_IN})
