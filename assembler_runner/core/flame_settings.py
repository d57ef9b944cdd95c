"""The settings of the target `flame`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from assembler_runner.core.errors import Finding
from assembler_runner.core.setting import setting


@dataclass(frozen=True)
class FlameSettings:
    """Addresses and login of a FLAME Hub; all of them, or none."""

    FLAME_CORE_URL: str = setting("", "Address of the core service of a FLAME Hub; empty: no target `flame`.")
    FLAME_AUTH_URL: str = setting("", "Address of its auth service.")
    FLAME_STORAGE_URL: str = setting("", "Address of its storage service.")
    FLAME_USERNAME: str = setting("", "User who owns the analyses; the Hub takes them from users only.")
    FLAME_PASSWORD: str = setting("", "Password of that user.", secret=True)
    FLAME_WAIT: float = setting(10.0, "Seconds to wait for buckets and links that the FLAME Hub makes.", at_least=0.1)


PLUGINS = Path(__file__).resolve().parent.parent / "targets" / "flame" / "plugins"
"""Folder of the space type of analyses, which is offered only with the target."""

NEEDED = ("FLAME_CORE_URL", "FLAME_AUTH_URL", "FLAME_STORAGE_URL", "FLAME_USERNAME", "FLAME_PASSWORD")


def bad_flame_settings(settings: FlameSettings) -> list[Finding]:
    """Returns one finding for each setting of the target that is missing while others are there."""
    missing = [name for name in NEEDED if not getattr(settings, name)]
    if len(missing) in (0, len(NEEDED)):
        return []
    return [
        Finding("invalid_setting", f"{name} is missing: the target flame needs {', '.join(NEEDED)}", path=name)
        for name in missing
    ]
