"""Shared services of a process: settings, space types, file store, targets, vault, leases, event feed."""

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
    """Shared services of the running process.

    Args:
        settings: the checked settings.
        instance: folder with the data of this installation.
        registry: the space types.
        files: the file store.
        targets: the targets of each realm.
        vault: encrypts secrets.
        leases: the leases of this process.
        feed: distributes events to live streams.
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
    """Returns the services of the current Flask application."""
    return cast(Services, current_app.extensions[EXTENSION])
