"""The target `flame`: a Space is an analysis, its namespace is a project, its files are the code of the analysis.

An analysis has no history. The id of its files stands for a commit, and the description of the analysis says which
request wrote them, so that a lost answer is looked up before anything is sent again.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, NoReturn, cast

from assembler_runner.core.errors import HeadMoved, NameTaken, TargetNotFound, TargetRefused
from assembler_runner.core.settings import Settings
from assembler_runner.files.tree import Tree
from assembler_runner.targets.base import (
    CommitInfo,
    Head,
    LiveFile,
    LogLine,
    LogReader,
    Machine,
    PublishedSpace,
    Runtime,
    SpaceSpec,
    Target,
)
from assembler_runner.targets.existing import ExistingSpace
from assembler_runner.targets.flame.hub import FlameHub, tree_id

CONFIG = "flame.json"
"""The file of a tree that says what the analysis runs with; written by the space type flame-analysis."""

PREPARE, LOCK, BUILD = "prepare", "lock", "build"
UNTIL = (PREPARE, LOCK, BUILD)

_RECORD = re.compile(r"\nfiles: (?P<files>[0-9a-f]{40})\nuntil: (?P<until>[a-z]+)\Z")
_PENDING = "\nbeing written after: "
_WAITING = frozenset({"starting", "started", "executing"})
_ENDED = frozenset({"stopping", "stopped"})


@dataclass(frozen=True)
class _Config:
    """What flame.json says."""

    entrypoint: str
    master_image: str | None
    arguments: list[str]
    until: str


class FlameTarget(Target):
    """Analyses on a FLAME Hub.

    Args:
        settings: addresses and login.
    """

    name = "flame"
    own_files: ClassVar[frozenset[str]] = frozenset()
    initial_commits: ClassVar[int] = 0

    def __init__(self, settings: Settings) -> None:
        self._url = settings.FLAME_CORE_URL.rstrip("/")
        self._hub = FlameHub(settings)

    def close(self) -> None:
        """Closes the connections; the next call opens new ones."""
        self._hub.close()

    @property
    def account(self) -> str | None:
        """See :meth:`Target.account`: two requests must not look for the same name at the same time."""
        return f"flame {self._url}"[:64]

    def create(self, spec: SpaceSpec) -> PublishedSpace:
        """See :meth:`Target.create`; the project must exist."""
        project = self._hub.project(spec.namespace or "")
        if self._hub.analysis(project.id, spec.name) is not None:
            raise NameTaken("The project has an analysis of this name.", hint="Choose another name.")
        return self._published(project.name, self._hub.create_analysis(project, spec.name))

    def find(self, namespace: str | None, name: str) -> PublishedSpace | None:
        """See :meth:`Target.find`."""
        found = self._find(namespace or "", name)
        return self._published(namespace or "", found) if found is not None else None

    def existing(self, namespace: str, name: str) -> ExistingSpace:
        """See :meth:`Target.existing`: what others have made is not taken over."""
        raise TargetRefused("An analysis of a FLAME Hub cannot be adopted.", hint="Create a new one from its files.")

    def head(self, space: PublishedSpace) -> Head:
        """See :meth:`Target.head`."""
        analysis = self._analysis(space)
        rows = self._rows(analysis)
        return Head(_head_of(analysis, rows), frozenset(str(row.path) for row in rows), analysis.created_at)

    def commits(self, space: PublishedSpace) -> list[CommitInfo]:
        """See :meth:`Target.commits`: the newest one only, once everything that it asks for was accepted."""
        analysis = self._analysis(space)
        written = _written(analysis)
        if written is None:
            return []
        oid, until = written
        done = {LOCK: analysis.configuration_locked, BUILD: analysis.build_status is not None}.get(until, True)
        return [CommitInfo(oid, self._url_of(analysis), str(analysis.description))] if done else []

    def commit(
        self,
        space: PublishedSpace,
        tree: Tree,
        delete: frozenset[str],
        title: str,
        description: str,
        parent: str | None,
    ) -> CommitInfo:
        """See :meth:`Target.commit`; uploads the files, and configures, locks and builds as flame.json says."""
        analysis = self._unlocked(self._analysis(space))
        bucket = self._hub.code_bucket(analysis, wait=True)
        rows = self._hub.files(bucket)
        if _head_of(analysis, rows) != parent:
            raise HeadMoved
        # If this is interrupted, the head is the parent as before, and everything is done again.
        self._hub.describe(analysis, f"{title}\n\n{description}{_PENDING}{parent or ''}")
        # A second upload of a name would be a second row with the same content as the first.
        self._hub.remove(row for row in rows if row.path in tree or row.path in delete)
        with ExitStack() as opened:
            self._hub.upload(bucket, [(path, opened.enter_context(file.open())) for path, file in tree.items()])
        rows = self._hub.files(bucket)
        config = self._config(tree, rows)
        self._hub.set_entrypoint(analysis, config.entrypoint)
        oid = tree_id(rows) or ""
        message = f"{title}\n\n{description}\nfiles: {oid}\nuntil: {config.until}"
        self._hub.configure(analysis, config.master_image, config.arguments)
        self._hub.describe(analysis, message)
        if config.until in (LOCK, BUILD):
            analysis = self._hub.command(analysis, "configurationLock")
        if config.until == BUILD:
            self._hub.command(analysis, "buildStart")
        return CommitInfo(oid, self._url_of(analysis), message)

    def delete(self, space: PublishedSpace) -> None:
        """See :meth:`Target.delete`."""
        found = self._find(space.namespace, space.name)
        if found is not None:
            self._hub.delete_analysis(found)

    def files_at(self, space: PublishedSpace, oid: str) -> dict[str, LiveFile]:
        """See :meth:`Target.files_at`; only the newest files exist."""
        rows = self._rows(self._analysis(space))
        if tree_id(rows) != oid:
            raise TargetNotFound("The analysis has other files by now.")
        return {str(row.path): LiveFile(str(row.id), row.size or 0) for row in rows}

    @contextmanager
    def open_file(self, space: PublishedSpace, path: str, oid: str) -> Iterator[BinaryIO]:
        """See :meth:`Target.open_file`."""
        row = next((row for row in self._rows(self._analysis(space)) if row.path == path), None)
        if row is None:
            raise TargetNotFound("The analysis has no such file.")
        with tempfile.TemporaryFile() as file:
            for piece in self._hub.open(row):
                file.write(piece)
            file.seek(0)
            yield cast(BinaryIO, file)

    def runtime(self, space: PublishedSpace) -> Runtime:
        """See :meth:`Target.runtime`; the three parts of an analysis' life as stages of a Space."""
        analysis = self._analysis(space)
        stage, problem = stage_of(analysis.build_status, analysis.distribution_status, analysis.execution_status)
        written = _written(analysis)
        return Runtime(stage, written[0] if written else None, problem)

    def read_log(self, space: PublishedSpace, kind: str, tail: int, *, follow: bool = False) -> LogReader:
        """See :meth:`Target.read_log`; the FLAME Hub has one log for an analysis, and nothing is followed."""
        lines = [LogLine(None, f"{row.level}: {row.message}") for row in self._hub.logs(self._analysis(space))]
        return _Lines(lines[-tail:])

    def state_after_commit(self, sdk: str) -> str:
        """See :meth:`Target.state_after_commit`."""
        return "building"

    def variables(self, space: PublishedSpace) -> dict[str, str]:
        """See :meth:`Target.variables`: there are none."""
        return {}

    def set_variable(self, space: PublishedSpace, key: str, value: str | None) -> None:
        """See :meth:`Target.set_variable`."""
        _cannot("An analysis has no variables")

    def set_secret(self, space: PublishedSpace, key: str, value: str | None) -> None:
        """See :meth:`Target.set_secret`."""
        _cannot("An analysis has no secrets")

    def set_visibility(self, space: PublishedSpace, visibility: str) -> None:
        """See :meth:`Target.set_visibility`: the members of the project see it, whatever is asked for."""

    def move(self, space: PublishedSpace, namespace: str, name: str) -> PublishedSpace:
        """See :meth:`Target.move`."""
        _cannot("An analysis cannot be renamed or moved")

    def machine(self, space: PublishedSpace) -> Machine:
        """See :meth:`Target.machine`."""
        return Machine(self.runtime(space).stage, None, None)

    def set_hardware(self, space: PublishedSpace, flavor: str, sleep_time: int | None) -> None:
        """See :meth:`Target.set_hardware`."""
        _cannot("An analysis runs on the machines of its nodes")

    def set_sleep_time(self, space: PublishedSpace, seconds: int) -> None:
        """See :meth:`Target.set_sleep_time`."""
        _cannot("An analysis does not sleep")

    def restart(self, space: PublishedSpace, *, factory: bool = False) -> None:
        """See :meth:`Target.restart`."""
        _cannot("The nodes start an analysis")

    def pause(self, space: PublishedSpace) -> None:
        """See :meth:`Target.pause`."""
        _cannot("The nodes stop an analysis")

    def _find(self, namespace: str, name: str) -> Any:
        return self._hub.analysis(self._hub.project(namespace).id, name)

    def _analysis(self, space: PublishedSpace) -> Any:
        found = self._find(space.namespace, space.name)
        if found is None:
            raise TargetNotFound("The project has no such analysis.")
        return found

    def _rows(self, analysis: Any) -> list[Any]:
        bucket = self._hub.code_bucket(analysis, wait=False)
        return self._hub.files(bucket) if bucket is not None else []

    def _unlocked(self, analysis: Any) -> Any:
        if not analysis.configuration_locked:
            return analysis
        if analysis.build_status not in (None, "failed", "stopped"):
            hint = "Create another analysis: what was built stays as the nodes have approved it."
            raise TargetRefused("The analysis is built, so its code cannot change.", hint=hint)
        return self._hub.command(analysis, "configurationUnlock")

    def _config(self, tree: Tree, rows: list[Any]) -> _Config:
        """Reads flame.json of the tree, or that of the bucket if a change leaves it as it is."""
        if CONFIG in tree:
            text = tree[CONFIG].content
        else:
            text = b"".join(b"".join(self._hub.open(row)) for row in rows if row.path == CONFIG)
        values: Mapping[str, Any] = json.loads(text or b"{}")
        return _Config(
            str(values.get("entrypoint") or "main.py"),
            values.get("master_image"),
            [str(value) for value in values.get("command_arguments") or ()],
            str(values.get("until") or PREPARE),
        )

    def _published(self, project: str, analysis: Any) -> PublishedSpace:
        return PublishedSpace(project, str(analysis.name), self._url_of(analysis))

    def _url_of(self, analysis: Any) -> str:
        return f"{self._url}/analyses/{analysis.id}"


def _head_of(analysis: Any, rows: list[Any]) -> str | None:
    """Returns the id of the files; while they are being written, of those before."""
    _, pending, parent = str(analysis.description or "").rpartition(_PENDING)
    return (parent or None) if pending else tree_id(rows)


def _written(analysis: Any) -> tuple[str, str] | None:
    """Returns what a finished commit has recorded: the id of its files, and how far it goes; None without one."""
    found = _RECORD.search(str(analysis.description or ""))
    return (found["files"], found["until"]) if found else None


def stage_of(build: str | None, distribution: str | None, execution: str | None) -> tuple[str, str | None]:
    """Returns the stage of an analysis in the words of a Hub, and what went wrong.

    Args:
        build: state of its build.
        distribution: state of its distribution to the nodes.
        execution: state of its run on the nodes.
    """
    for state, failed, what in (
        (execution, "RUNTIME_ERROR", "The analysis failed on a node."),
        (distribution, "BUILD_ERROR", "The analysis could not be distributed to the nodes."),
        (build, "BUILD_ERROR", "The image of the analysis could not be built."),
    ):
        if state == "failed":
            return failed, what
        if state in _ENDED:
            return "PAUSED", None
    if execution in ("started", "executing"):
        return "RUNNING", None
    if execution == "starting":
        return "APP_STARTING", None
    if distribution in _WAITING or build in _WAITING:
        return "BUILDING", None
    # Prepared, waiting for people or nodes, or run to its end: nothing more happens without them.
    return "STORED", None


class _Lines(LogReader):
    def __init__(self, lines: list[LogLine]) -> None:
        super().__init__(None if lines else "The FLAME Hub has no log of this analysis.")
        self._left = lines

    @property
    def ended(self) -> bool:
        return not self._left

    def read(self, timeout: float) -> LogLine | None:
        return self._left.pop(0) if self._left else None


def _cannot(what: str) -> NoReturn:
    raise TargetRefused(f"{what}.", hint="Leave it out.")
