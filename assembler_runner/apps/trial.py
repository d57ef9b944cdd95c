"""A first run of an app that is not published yet: started in a sandbox, and ended as soon as it answers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from assembler_runner.apps.base import TRIAL_PREFIX, Driver, Order
from assembler_runner.apps.launch import Launch
from assembler_runner.apps.turns import Turns
from assembler_runner.core.settings import Settings
from assembler_runner.files.tree import SpaceFile
from assembler_runner.targets.local.app_files import AppFiles
from assembler_runner.targets.local.running import FileLog

_TURNS = Turns(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
_LINES = 500


@dataclass(frozen=True)
class TrialResult:
    """What became of a first run.

    Args:
        stage: RUNNING, or the stage of the failure.
        message: why it failed, or None.
        logs: `build` and `run` → the last lines.
    """

    stage: str
    message: str | None
    logs: Mapping[str, list[str]]


def try_tree(
    settings: Settings,
    driver: Driver,
    files: AppFiles,
    realm: str,
    tree: Mapping[str, SpaceFile],
    variables: Mapping[str, str],
    secrets: Mapping[str, str],
) -> TrialResult:
    """Runs an app until it answers or fails.

    Args:
        settings: the limits.
        driver: how apps are run; sandboxes are started by the calling thread.
        files: where the files of apps are.
        realm: id of the realm.
        tree: the files.
        variables: environment variables.
        secrets: further environment variables.
    """
    files.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TRIAL_PREFIX, ignore_cleanup_errors=True) as named:
        folder = Path(named)
        sockets = driver.sockets(folder) / folder.name
        sockets.mkdir()
        order = Order(
            lambda: tree,
            variables,
            secrets,
            files.root / "trials" / folder.name,
            files.root / "trials" / f"{folder.name}-data",
            files.cache / realm,
            sockets / "app.sock",
            None,
            folder / "build.log",
            folder / "run.log",
            "space",
            app_id=folder.name,
            realm=realm,
        )
        launch = Launch(settings, driver, order, _TURNS, lambda stage: None, lambda: None)
        try:
            # In this thread, since a sandbox ends with the thread that made it.
            launch.run()
            outcome = launch.outcome
            assert outcome is not None
            logs = {kind: _lines(path) for kind, path in (("build", order.build_log), ("run", order.run_log))}
            if outcome.process is not None and outcome.log is not None:
                outcome.process.stop(at_once=True)
                outcome.log.close()
                return TrialResult("RUNNING", None, logs)
            code = None if outcome.exit_code is None else f"Exit code: {outcome.exit_code}. Reason: the app ended"
            return TrialResult(outcome.stage, outcome.message or code, logs)
        finally:
            for left in (order.folder, order.data, sockets):
                shutil.rmtree(left, ignore_errors=True)
            driver.forget(folder.name)


def _lines(path: Path) -> list[str]:
    with FileLog([path], _LINES, follow=False) as reader:
        return [line.text for line in iter(partial(reader.read, 0.0), None)]
