"""`assembler try` and `assembler check`: assemble files as the service does; the first runs the app on this machine.

The command line client collects the files and shows what happens; this module is found by an entry point.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from assembler_runner.api.http.json_body import load_partly
from assembler_runner.api.schemas.space_input import SpaceInput
from assembler_runner.apps.direct import DirectApp, start_command
from assembler_runner.apps.environments import BuildFailed, Environment, EnvironmentCache
from assembler_runner.apps.interpreters import find_interpreter
from assembler_runner.apps.plan import LOOPBACK, Plan, make_plan, on_loopback
from assembler_runner.apps.recipe import NotRunnable
from assembler_runner.apps.static_server import StaticServer
from assembler_runner.apps.working_folder import write_tree
from assembler_runner.assembly.registry import Registry
from assembler_runner.core.errors import Finding, InvalidRequest
from assembler_runner.core.flame_settings import PLUGINS
from assembler_runner.core.redaction import Redactor
from assembler_runner.core.settings import Settings, load
from assembler_runner.core.validation import Fields
from assembler_runner.files.content import Content, Spool
from assembler_runner.requests.prepare import Prepared, prepare_tree
from assembler_runner.requests.sources import unpacked
from assembler_runner.runtime.app_context import context_of
from assembler_runner.runtime.causes import BUILD, RUN, Problem, diagnose
from assembler_runner.targets.realm_targets import FLAME, LOCAL

OK, INVALID, FAILED = 0, 3, 4
"""Exit codes, those of the command line client."""

MOST_CACHED_BYTES = 10 * 2**30
_KEPT_LINES = 2000

Show = Callable[[str, Any], None]
"""Receives what happens: `findings`, `note`, `log`, `ready` with the address, `problem`."""


def try_app(body: Mapping[str, Any], archive: Path | None, port: int, show: Show) -> int:
    """Assembles files, runs the app and waits until it ends.

    Args:
        body: fields of a Space request; a file may be a path of this machine.
        archive: an archive, or None.
        port: the port on the loopback interface.
        show: receives what happens, as JSON data.
    Returns:
        The exit code: 0 if the app ended by itself without an error, 3 for invalid input, 4 if it failed.
    Raises:
        SettingsError: a setting is invalid.
    """
    settings = load(os.environ)
    with (
        tempfile.TemporaryDirectory(prefix="assembler-try-", ignore_cleanup_errors=True) as folder,
        Spool(Path(folder) / "incoming", settings.MAX_FILE_BYTES) as spool,
    ):
        try:
            prepared = _prepare(settings, body, archive, spool)
        except InvalidRequest as problem:
            issues = problem.issues or [Finding(problem.code, problem.message, hint=problem.hint)]
            show("findings", [finding.to_json() for finding in issues])
            return INVALID
        show("findings", [finding.to_json() for finding in prepared.assembly.findings])
        if prepared.assembly.errors:
            return INVALID
        return _run(prepared, Path(folder) / "app", port, show)


def check(body: Mapping[str, Any], archive: Path | None, target: str) -> list[dict[str, Any]]:
    """Assembles files, and returns the findings; nothing is published or run.

    Args:
        body: fields of a Space request; a file may be a path of this machine.
        archive: an archive, or None.
        target: the target whose rules hold.
    Raises:
        SettingsError: a setting is invalid.
    """
    settings = load(os.environ)
    with (
        tempfile.TemporaryDirectory(prefix="assembler-check-") as folder,
        Spool(Path(folder) / "incoming", settings.MAX_FILE_BYTES) as spool,
    ):
        try:
            found = list(_prepare(settings, body, archive, spool, target).assembly.findings)
        except InvalidRequest as problem:
            found = problem.issues or [Finding(problem.code, problem.message, hint=problem.hint)]
        return [finding.to_json() for finding in found]


def cache_folder() -> Path:
    """Returns the folder of the caller's environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assembler"


def _prepare(
    settings: Settings, body: Mapping[str, Any], archive: Path | None, spool: Spool, target: str = LOCAL
) -> Prepared:
    raw = dict(body)
    if isinstance(raw.get("files"), Mapping):
        raw["files"] = {
            path: _content(source) if isinstance(source, Path) else source for path, source in raw["files"].items()
        }
    if archive is not None:
        raw["archive"] = _content(archive)
    fields = load_partly(SpaceInput(), raw)
    data = dict(fields.data)
    if isinstance(content := data.pop("archive", None), Content):
        files = data.get("files") or {}
        data["files"] = {**unpacked(settings, content, spool, alone=not files and "template" not in data), **files}
    registry = Registry()
    registry.load_folders([*settings.plugin_folders, *([PLUGINS] if target == FLAME else [])])
    registry.load_git(settings.git_plugins, cache_folder() / "git-plugins", settings.git_plugin_protocols)
    registry.load_entry_points()
    return prepare_tree(registry, settings, Fields(data, fields.findings, fields.invalid), target)


def _content(path: Path) -> Content:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Content(digest, path.stat().st_size, lambda: cast(BinaryIO, path.open("rb")))


def _run(prepared: Prepared, folder: Path, port: int, show: Show) -> int:
    tree, data = prepared.assembly.tree, prepared.data
    try:
        plan = make_plan(tree)
    except NotRunnable as problem:
        show(
            "problem", Problem(problem.code, problem.message, problem.hint or "", problem.path, problem.line).to_json()
        )
        return FAILED
    if plan.packages_txt:
        show("note", "packages.txt names Debian packages; here the app uses those that are installed.")
    if _is_taken(port):
        show("problem", Problem("port_in_use", f"Port {port} is in use.", "Choose another one with --port.").to_json())
        return FAILED
    write_tree(tree, folder)
    if plan.kind == "static":
        with StaticServer(folder, plan.start_file, port) as server:
            show("ready", server.url)
            server.serve()
        return OK
    log = _Log(show, data.get("secrets") or {})
    environment = _install(plan, folder, log, show)
    if isinstance(environment, Problem):
        show("problem", environment.to_json())
        return FAILED
    variables = {**(data.get("variables") or {}), **(data.get("secrets") or {})}
    here = on_loopback(plan, port)
    log.lines.clear()
    ports = [port] if plan.port == port or _is_taken(plan.port) else [port, plan.port]
    with DirectApp(here, environment, folder, ports, variables, log) as app:
        found = app.wait_until_ready()
        if found is not None:
            if found != port:
                show("note", f"The app names port {found} itself.")
            show("ready", f"http://{LOOPBACK}:{found}")
        code = app.wait() if found is not None or app.exit_code is not None else None
    if code == 0 and found is not None:
        show("note", "The app ended.")
        return OK
    known = context_of(tree, prepared.plugin.space_type)
    failed = diagnose(
        log.lines,
        RUN,
        space_type=known.space_type,
        files=known.files,
        card=known.card,
        stage="RUNTIME_ERROR",
        said=_said(code, plan),
    )
    show("problem", failed.to_json())
    return FAILED


def _install(plan: Plan, folder: Path, log: _Log, show: Show) -> Environment | Problem:
    interpreter = find_interpreter(plan.python)
    if interpreter is None:
        return Problem("no_python", "There is no Python on this machine to run the app.", "Install Python.", None)
    if interpreter.short != ".".join(plan.python.split(".")[:2]):
        show("note", f"Python {plan.python} is not installed here; the app runs with {interpreter.version}.")
    cache = EnvironmentCache(cache_folder() / "environments", MOST_CACHED_BYTES, start_command)
    try:
        environment = cache.make(plan, interpreter, folder, log)
    except BuildFailed as problem:
        if not log.lines:
            return Problem(problem.code, problem.message, problem.hint or "")
        return diagnose(log.lines, BUILD)
    cache.prune(frozenset([environment.folder]))
    return environment


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def _said(code: int | None, plan: Plan) -> str:
    if code is None:
        return f"Launch timed out, workload was not healthy after {plan.start_seconds:.0f} seconds"
    return f"Exit code: {code}. Reason: application exited"


class _Log:
    """Shows each line with the secrets removed, and keeps the last ones.

    Args:
        show: receives the lines.
        secrets: the secrets of the app.
    """

    def __init__(self, show: Show, secrets: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self._show = show
        self._redactor = Redactor(list(secrets.values()))

    def __call__(self, line: str) -> None:
        text = self._redactor.redact(line)
        self.lines.append(text)
        del self.lines[:-_KEPT_LINES]
        self._show("log", text)
