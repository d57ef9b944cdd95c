"""The start of one app: files, requirements, process, first answer. Runs in a thread of its own."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from assembler_runner.apps.builder import build
from assembler_runner.apps.environments import BuildFailed
from assembler_runner.apps.log_file import LogFile
from assembler_runner.apps.plan import Plan, make_plan
from assembler_runner.apps.process import AppProcess, Frame, Spawn
from assembler_runner.apps.recipe import NotRunnable
from assembler_runner.apps.working_folder import write_tree
from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.settings import Settings
from assembler_runner.files.tree import SpaceFile

log = logging.getLogger(__name__)

TURN_SECONDS = 60.0
"""How long one start may keep others waiting."""

STORED, BUILD_ERROR, RUNTIME_ERROR = "STORED", "BUILD_ERROR", "RUNTIME_ERROR"

Report = Callable[..., None]


@dataclass(frozen=True)
class Order:
    """What is to be started.

    Args:
        read_tree: reads the files.
        variables: environment variables, secrets among them.
        folder: a folder for the files, thrown away afterwards.
        data: the folder that is kept.
        cache: folder of the realm's environments.
        socket: where the app is reached.
        outgoing: socket of the proxy for the app's own calls, or None.
        build_log: file of the build log.
        run_log: file of the run log.
        name: host name inside.
        prefix: path that the app is served below; empty for a host name of its own.
        fresh: whether requirements are installed anew.
        keeps_log: whether the run log continues that of the run before, which crashed.
    """

    read_tree: Callable[[], Mapping[str, SpaceFile]]
    variables: Mapping[str, str]
    folder: Path
    data: Path
    cache: Path
    socket: Path
    outgoing: Path | None
    build_log: Path
    run_log: Path
    name: str
    prefix: str = ""
    fresh: bool = False
    keeps_log: bool = False


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
    """

    process: AppProcess | None = None
    log: LogFile | None = None
    stage: str = ""
    message: str | None = None
    exit_code: int | None = None
    resolved: list[str] | None = None


class Launch(threading.Thread):
    """A start that is under way.

    Args:
        settings: the limits.
        order: what is to be started.
        spawn: starts a sandbox.
        turns: limits how many apps are started at the same time.
        report: receives the stage: BUILDING or APP_STARTING.
        done: called at the end.
        in_use: environments that are not removed to make room.
    """

    def __init__(
        self,
        settings: Settings,
        order: Order,
        spawn: Spawn,
        turns: threading.Semaphore,
        report: Report,
        done: Callable[[], None],
        in_use: frozenset[Path] = frozenset(),
    ) -> None:
        super().__init__(name="app start", daemon=True)
        self._settings, self.order, self._spawn, self._turns = settings, order, spawn, turns
        self._report, self._done, self._in_use = report, done, in_use
        self.stopped = threading.Event()
        self.outcome: Outcome | None = None

    def run(self) -> None:
        """Starts the app; the outcome is set at the end."""
        outcome = Outcome(stage=RUNTIME_ERROR, message="The service could not start the app.")
        try:
            with _turn(self._turns):
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
        tree = order.read_tree()
        try:
            plan = make_plan(tree, self._settings.APPS_START_TIMEOUT)
        except NotRunnable as problem:
            with closing(LogFile(order.build_log)) as told:
                told.write(f"The app is not run: {problem.message} {problem.hint or ''}".rstrip())
            return Outcome(stage=STORED, message=problem.message)
        self._report("BUILDING")
        shutil.rmtree(order.folder, ignore_errors=True)
        write_tree(tree, order.folder)
        build_log = LogFile(order.build_log)
        timer = threading.Timer(self._settings.APPS_BUILD_TIMEOUT, self.stopped.set)
        timer.daemon = True
        timer.start()
        try:
            if plan.packages_txt:
                build_log.write("packages.txt is not used here: the app has the programs of this machine.")
            installed = partial(build, self._settings, plan, order.folder, order.cache, self._spawn, build_log.write)
            environment = installed(self.stopped, fresh=order.fresh, in_use=self._in_use)
        except BuildFailed as problem:
            build_log.write(problem.message)
            late = "Build timed out." if not timer.is_alive() else None
            return Outcome(stage=BUILD_ERROR, message=late)
        finally:
            timer.cancel()
            build_log.close()
        self._report("APP_STARTING")
        return self._run(plan, environment)

    def _run(self, plan: Plan, environment: Any) -> Outcome:
        order = self.order
        run_log = LogFile(order.run_log, keeps=order.keeps_log)
        frame = Frame(order.name, order.folder, order.data, order.socket, order.outgoing, order.variables, order.prefix)
        process = AppProcess(self._settings, plan, environment, frame, run_log, self._spawn)
        if process.wait_until_ready(plan.start_seconds, self.stopped):
            return Outcome(process, run_log, resolved=environment.resolved.splitlines())
        code = process.exit_code
        process.stop(at_once=True)
        run_log.close()
        if code is None:
            message = f"Launch timed out, workload was not healthy after {plan.start_seconds:.0f} s"
            return Outcome(stage=RUNTIME_ERROR, message=message)
        return Outcome(stage=RUNTIME_ERROR, exit_code=code)


@contextmanager
def _turn(turns: threading.Semaphore) -> Iterator[None]:
    """Holds a turn, but not for ever: an app that does not answer must not delay the start of others."""
    given_back = threading.Lock()

    def give_back() -> None:
        # Only once: by whichever caller comes first.
        if given_back.acquire(blocking=False):
            turns.release()

    turns.acquire()
    timer = threading.Timer(TURN_SECONDS, give_back)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        give_back()
