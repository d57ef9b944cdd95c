"""What a running process holds: settings, space types, file store, targets, vault, claims."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from flask import current_app

from assembler_runner.assembly.registry import Registry
from assembler_runner.core.settings import Settings
from assembler_runner.core.vault import Vault
from assembler_runner.files.store import FileStore
from assembler_runner.spaces.event_feed import EventFeed
from assembler_runner.spaces.leases import Leases
from assembler_runner.targets.realm_targets import RealmTargets

EXTENSION = "assembler"


@dataclass(frozen=True)
class Services:
    """Everything that code needs from the process it runs in.

    Args:
        settings: the checked settings.
        instance: folder of this installation's own data.
        registry: the space types.
        files: the file store.
        targets: where each realm can publish.
        vault: seals secrets.
        leases: the claims of this process.
        feed: wakes who reads events live.
    """

    settings: Settings
    instance: Path
    registry: Registry
    files: FileStore
    targets: RealmTargets
    vault: Vault
    leases: Leases
    feed: EventFeed


def current_services() -> Services:
    """Returns the host of the present Flask application."""
    return cast(Services, current_app.extensions[EXTENSION])
