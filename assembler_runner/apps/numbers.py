"""How many apps this machine runs for each realm, and how much room their parts take; for metrics and pages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from assembler_runner.accounts.models import Realm
from assembler_runner.apps.base import Driver
from assembler_runner.core.database import READ_ONLY
from assembler_runner.core.loops import Loop
from assembler_runner.core.paging import long_rows
from assembler_runner.core.settings import Settings
from assembler_runner.spaces.models import Space
from assembler_runner.targets.local.app_files import AppFiles
from assembler_runner.targets.local.apps_table import LocalApp
from assembler_runner.targets.local.running import RUNNING_STAGES
from assembler_runner.targets.realm_targets import LOCAL

MEASURE_SECONDS = 600.0

STARTING, RUNNING, ASLEEP, FAILED, OTHER = "starting", "running", "asleep", "failed", "other"
_GROUPS = {
    **dict.fromkeys(("BUILDING", "APP_STARTING"), STARTING),
    **dict.fromkeys(RUNNING_STAGES, RUNNING),
    **dict.fromkeys(("SLEEPING", "PAUSED"), ASLEEP),
    **dict.fromkeys(("BUILD_ERROR", "RUNTIME_ERROR"), FAILED),
}


APP_STATES = (RUNNING, STARTING, ASLEEP, FAILED)
"""The states that are shown."""


@dataclass
class RealmApps:
    """The apps of one realm.

    Args:
        realm: its name.
        by_state: starting, running, asleep, failed or other → number of apps.
        cache_bytes: size of what its apps run with; None if it is not known.
    """

    realm: str
    by_state: dict[str, int] = field(default_factory=dict)
    cache_bytes: int | None = None


def apps_by_realm(session: Session, files: AppFiles, visible: Any = None) -> list[RealmApps]:
    """Counts the apps of realms that have any; large numbers may be a minute old.

    Args:
        session: the session.
        files: where the files of apps are.
        visible: which realms, as a condition; None for all.
    """
    query = (
        sa.select(Realm.id, Realm.name, LocalApp.stage, sa.func.count())
        .select_from(LocalApp)
        .join(Space, sa.and_(Space.namespace == LocalApp.namespace, Space.name == LocalApp.name))
        .join(Realm, Realm.id == Space.realm_id)
        .where(Space.target == LOCAL, Space.slot.is_not(None), sa.true() if visible is None else visible)
        .group_by(Realm.id, Realm.name, LocalApp.stage)
        .order_by(Realm.name)
    )
    used = read_usage(files)
    found: dict[str, RealmApps] = {}
    for realm_id, name, stage, number in long_rows(session, sa.select(LocalApp.id), query):
        row = found.setdefault(realm_id, RealmApps(name, cache_bytes=used.get(realm_id)))
        group = _GROUPS.get(stage, OTHER)
        row.by_state[group] = row.by_state.get(group, 0) + number
    return list(found.values())


def read_usage(files: AppFiles) -> dict[str, int]:
    """Returns the bytes of what apps run with, by the id of their realm, as they were last measured."""
    try:
        measured = json.loads(files.usage.read_text())
    except (OSError, ValueError):
        return {}
    return {str(realm): int(number) for realm, number in measured["cache_bytes"].items()}


class UsageLoop(Loop):
    """The thread that measures what apps run with, which takes too long for a page.

    Args:
        driver: how apps are run.
        files: where the files of apps are.
    """

    def __init__(self, driver: Driver, files: AppFiles) -> None:
        super().__init__("apps usage", MEASURE_SECONDS)
        self._driver, self._files = driver, files

    def work(self) -> None:
        """Measures once."""
        measured = {"cache_bytes": self._driver.cache_bytes(), "measured_at": time.time()}
        self._files.root.mkdir(parents=True, exist_ok=True)
        new = self._files.usage.with_suffix(".new")
        new.write_text(json.dumps(measured))
        new.replace(self._files.usage)


class AppMetrics(Collector):
    """Collects metrics of apps.

    Args:
        engine: the database.
        settings: the limits.
        files: where the files of apps are.
    """

    def __init__(self, engine: sa.Engine, settings: Settings, files: AppFiles) -> None:
        self._engine, self._settings, self._files = engine, settings, files

    def collect(self) -> Iterable[Metric]:
        """See the base class; nothing if the database does not respond."""
        try:
            with self._engine.connect().execution_options(**{READ_ONLY: True}) as connection:
                rows = apps_by_realm(Session(connection), self._files)
        except SQLAlchemyError:
            return []
        limits = {"all": self._settings.APPS_MAX, "realm": self._settings.APPS_REALM_MAX}
        states = {(row.realm, state): number for row in rows for state, number in row.by_state.items()}
        sizes = {(row.realm,): row.cache_bytes for row in rows if row.cache_bytes is not None}
        return [
            _gauge("realm_apps", "Apps of a realm by state.", ("realm", "state"), states),
            _gauge("apps_limit", "Maximum running apps; 0: no limit.", ("of",), {(of,): n for of, n in limits.items()}),
            _gauge("apps_cache_bytes", "Size of what the apps of a realm run with.", ("realm",), sizes),
            _gauge("apps_cache_limit_bytes", "APPS_CACHE_MAX.", (), {(): self._settings.APPS_CACHE_MAX}),
        ]


def _gauge(name: str, text: str, names: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    found = GaugeMetricFamily(f"assembler_{name}", text, labels=names)
    for labels, value in values.items():
        found.add_metric(labels, value)
    return found
