"""The secrets that each kind of process needs."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any

from assembler_runner.core.errors import Finding, SettingsError
from assembler_runner.core.settings import Settings

_SECRETS = ("SECRET_KEY", "JWT_SECRET_KEY")
_NEEDED = {"worker": ("SECRET_KEY",), "apps": ("SECRET_KEY",), "beat": (), "migrate": ()}
"""Secrets that the processes of containers need, where it is not all of them."""


def with_unused_secrets(settings: Settings) -> Settings:
    """Returns settings with random values for the secrets that this process does not use and was not given."""
    made: dict[str, Any] = {name: secrets.token_urlsafe(48) for name in _SECRETS if not getattr(settings, name)}
    return dataclasses.replace(settings, **made)


def require_secrets(settings: Settings) -> None:
    """Checks that the secrets of this process are set, which every start except `assembler serve` requires.

    Raises:
        SettingsError: naming each missing one.
    """
    needed = _NEEDED.get(settings.CONTAINER_MODE, _SECRETS)
    missing = [name for name in needed if not getattr(settings, name)]
    if missing:
        findings = [Finding("missing_setting", f"{name} is not set", path=name) for name in missing]
        raise SettingsError(
            f"{' and '.join(missing)} must be set",
            hint='Generate one with: python -c "import secrets; print(secrets.token_urlsafe(48))". For a first look: '
            "assembler serve makes them itself, and so does FLASK_DEBUG=1 flask run.",
            issues=findings,
        )
