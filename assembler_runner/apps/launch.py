"""The start of one app: files, requirements, process, first answer. Runs in a thread of its own."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from assembler_runner.apps.app_page import app_page
from assembler_runner.apps.base import App, Driver, Order, Work
from assembler_runner.apps.environments import BuildFailed
from assembler_runner.apps.log_file import LogFile
from assembler_runner.apps.recipe import NotRunnable
from assembler_runner.apps.turns import Turns
from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.settings import Settings

log = logging.getLogger(__name__)

TURN_SECONDS = 60.0
"""How long one start may keep others waiting."""

STORED, BUILD_ERROR, RUNTIME_ERROR = "STORED", "BUILD_ERROR", "RUNTIME_ERROR"

Report = Callable[..., None]


@dataclass(frozen=True)
class Outcome:
    """What became of a start.

    Args:
        process: the app, if it answers.
        log: its log.
        stage: the stage of a failure, in the Hub's words.
        message: why.
        exit_code: the exit code of an app that ended.
        resolved: the installed packages.
        page: what README.md says of its pages.
    """

    process: App | None = None
    log: LogFile | None = None
    stage: str = ""
    message: str | None = None
    exit_code: int | None = None
    resolved: list[str] | None = None
    page: Mapping[str, Any] | None = None


class Launch(threading.Thread):
    """A start that is under way.

    Args:
        settings: the limits.
        driver: how apps are run.
        order: what is to be started.
        turns: limits how many apps are started at the same time.
        report: receives the stage: BUILDING or APP_STARTING.
        done: called at the end.
    """

    def __init__(
        self,
        settings: Settings,
        driver: Driver,
        order: Order,
        turns: Turns,
        report: Report,
        done: Callable[[], None],
    ) -> None:
        super().__init__(name="app start", daemon=True)
        self._settings, self._driver, self.order, self._turns = settings, driver, order, turns
        self._report, self._done = report, done
        self.stopped = threading.Event()
        self.outcome: Outcome | None = None

    def run(self) -> None:
        """Starts the app; the outcome is set at the end."""
        outcome = Outcome(stage=RUNTIME_ERROR, message="The service could not start the app.")
        try:
            with _turn(self._turns, self.order.realm):
                if not self.stopped.is_set():
                    outcome = self._start()
        except AssemblerError as problem:
            outcome = Outcome(stage=RUNTIME_ERROR, message=problem.message)
        except Exception:  # a problem of this machine, such as a full disk, must not leave the app without a stage
            log.exception("an app could not be started")
        self.outcome = outcome
        if outcome.process is None:
            shutil.rmtree(self.order.folder, ignore_errors=True)
        self._done()

    def _start(self) -> Outcome:
        order = self.order
        try:
            tree = order.read_tree()
            work = self._driver.prepare(order, tree)
        except NotRunnable as problem:
            with closing(LogFile(order.build_log)) as file:
                file.write(f"The app is not run: {problem.message} {problem.hint or ''}".rstrip())
            return Outcome(stage=STORED, message=problem.message)
        self._report("BUILDING")
        shutil.rmtree(order.folder, ignore_errors=True)
        build_log = LogFile(order.build_log)
        timer = threading.Timer(self._settings.APPS_BUILD_TIMEOUT, self.stopped.set)
        timer.daemon = True
        timer.start()
        try:
            work.build(build_log.write, self.stopped)
        except BuildFailed as problem:
            build_log.write(problem.message)
            late = "Build timed out." if not timer.is_alive() else None
            return Outcome(stage=BUILD_ERROR, message=late)
        finally:
            timer.cancel()
            build_log.close()
        self._report("APP_STARTING")
        return replace(self._run(work), page=app_page(tree))

    def _run(self, work: Work) -> Outcome:
        run_log = LogFile(self.order.run_log, keeps=self.order.keeps_log)
        try:
            process = work.start(run_log)
        except BaseException:
            run_log.close()
            raise
        if process.wait_until_ready(work.start_seconds, self.stopped):
            return Outcome(process, run_log, resolved=work.resolved)
        code = process.exit_code
        process.stop(at_once=True)
        run_log.close()
        if code is None:
            message = f"Launch timed out, workload was not healthy after {work.start_seconds:.0f} s"
            return Outcome(stage=RUNTIME_ERROR, message=message)
        return Outcome(stage=RUNTIME_ERROR, message=process.ended_by, exit_code=code)


@contextmanager
def _turn(turns: Turns, realm: str) -> Iterator[None]:
    """Holds a turn, but not for ever: an app that does not answer must not delay the start of others."""
    given_back = threading.Lock()

    def give_back() -> None:
        # Only once: by whichever caller comes first.
        if given_back.acquire(blocking=False):
            turns.give_back(realm)

    turns.take(realm)
    timer = threading.Timer(TURN_SECONDS, give_back)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        give_back()
