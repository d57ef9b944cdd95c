"""Common parts of all commands: options, JSON, tables, compiler-style errors, exit codes."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from assembler_client import cli as codes
from assembler_client.cli.agent_environment import agent_name
from assembler_client.cli.complete import profiles
from assembler_client.cli.text import is_address, linked, printable, printable_json
from assembler_client.errors import (
    AppFailed,
    AuthError,
    HubAPIError,
    InvalidRequest,
    RateLimited,
    RequestFailed,
    TooLarge,
    TransportError,
    WaitTimeout,
)
from assembler_client.models import Event, Finding, Model, Space

if TYPE_CHECKING:
    from rich.console import Console

    from assembler_client.assembler import Assembler
    from assembler_client.upload import UploadProgress

_LIMITS = ("payment_required", "too_large", "target_too_large", "quota_exceeded", "rate_limited", "too_many_requests")
_STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}
_ORDER = {"error": 0, "warning": 1, "info": 2}
_NAMED = 10


class Shell:
    """Input and output of a command.

    Args:
        as_json: whether results and errors are written as JSON.
        profile: name of a profile.
        url: URL of a service.
    """

    def __init__(self, as_json: bool, profile: str | None, url: str | None) -> None:
        self.as_json = as_json
        self.for_agent = False
        self._profile = profile
        self._url = url
        self.files: Mapping[str, Any] = {}
        self.left_out: Mapping[str, str] | None = None

    def connect(self) -> Assembler:
        """Returns a client of the chosen service."""
        from assembler_client.cli.profiles import connect

        assembler = connect(self._profile, self._url)
        assembler.on_retry = self._retrying(assembler)
        return assembler

    def _retrying(self, assembler: Assembler) -> Callable[[HubAPIError], None]:
        reported: set[str] = set()
        answered: list[int] = []
        assembler.http.event_hooks = {"response": [lambda response: answered.append(response.status_code)]}
        asked, patience = "ASSEMBLER_PATIENCE" in os.environ, assembler.patience

        def report(problem: HubAPIError) -> None:
            if isinstance(problem, TransportError) and not (answered or asked):
                # A service that has never answered is more likely misspelt or stopped than restarting.
                raise problem
            if problem.message not in reported:
                reported.add(problem.message)
                self.say(f"{problem.message} Retrying for up to {patience:.0f} s.")

        return report

    @functools.cached_property
    def console(self) -> Console:
        """Standard error: progress and messages for people."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    @functools.cached_property
    def paper(self) -> Console:
        """Standard output: results."""
        from rich.console import Console

        return Console(highlight=False, soft_wrap=True)

    def result(self, value: Any) -> None:
        """Writes a result as JSON."""
        click.echo(printable_json(_jsonable(value), indent=None if sys.stdout.isatty() else 1))

    def line(self, value: Any) -> None:
        """Writes one of several results as a line of JSON."""
        click.echo(printable_json(_jsonable(value)))

    def say(self, text: str, style: str = "") -> None:
        """Writes a message to standard error; omitted with --json."""
        if not (self.as_json or self.for_agent):
            self.console.print(printable(text), style=style or None, markup=False)

    def echo(self, text: str) -> None:
        """Writes a line of a result to standard output; an address can be clicked on a terminal."""
        shown = printable(text, single_line=True)
        click.echo(linked(shown) if sys.stdout.isatty() and is_address(shown) else shown)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Writes a table; tab-separated if standard output is not a terminal."""
        texts = [["" if cell is None else printable(str(cell), single_line=True) for cell in row] for row in rows]
        if not sys.stdout.isatty():
            for row in texts:
                click.echo("\t".join(row))
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(head))
        for title in head:
            # Fold instead of cut: URLs stay complete.
            table.add_column(title, overflow="fold")
        for row in texts:
            table.add_row(*(Text(cell, f"link {cell}" if is_address(cell) else "") for cell in row))
        self.paper.print(table, soft_wrap=False)

    def event(self, event: Event) -> None:
        """Writes an event with its time."""
        clock = event.created_at.astimezone().strftime("%H:%M:%S") if event.created_at else ""
        text = event.message or event.type.replace("_", " ").capitalize()
        self.say(f"{clock}  {text}")

    def published(self, value: Model) -> None:
        """Writes the result of a publication as JSON, with what was left out of the folder."""
        self.result({**value.model_dump(mode="json"), "left_out": self._left_out_json()})

    def _left_out_json(self) -> list[dict[str, str]]:
        return [{"path": path, "reason": reason} for path, reason in (self.left_out or {}).items()]

    def say_left_out(self, verbose: bool) -> None:
        """Writes what was left out of the folder: secrets by name, the rest as a count.

        Args:
            verbose: whether to name everything.
        """
        if not self.left_out:
            return
        if verbose:
            for path, reason in self.left_out.items():
                self.say(f"Left out: {printable(path, single_line=True)} ({reason})")
            return
        secrets = [printable(path, single_line=True) for path, reason in self.left_out.items() if reason == "secret"]
        if secrets:
            shown = ", ".join(secrets[:_NAMED]) + (", …" if len(secrets) > _NAMED else "")
            self.say(
                f"Left out, as these files usually hold secrets: {shown}. To include one: !NAME in .assemblerignore"
            )
        if others := len(self.left_out) - len(secrets):
            self.say(f"Left out: {others} ignored files and folders; --verbose names them.")

    def findings(self, findings: Iterable[Finding]) -> None:
        """Writes findings, errors first, each with file, line and what to do."""
        for finding in sorted(findings, key=lambda finding: _ORDER.get(finding.severity, 0)):
            self._finding(finding)

    def accepted(self, space: Space) -> None:
        """Writes the findings of an accepted request; with --json they are in the result."""
        codes.SENT.append(str(space.id))
        if not (self.as_json or self.for_agent):
            self.findings(space.findings)

    def _finding(self, finding: Finding) -> None:
        from rich.text import Text

        style = _STYLES.get(finding.severity, "bold")
        self.console.print(
            Text(printable(f"{finding.severity}[{finding.code}]", single_line=True), style).append(
                f": {printable(finding.message)}", "bold"
            )
        )
        source = self._source(finding)
        width = len(str(finding.line or ""))
        if finding.path:
            place = finding.path if finding.line is None else f"{finding.path}:{finding.line}"
            self.console.print(Text(" " * width + "--> ", "blue").append(printable(place, single_line=True), ""))
        if source is not None:
            self.console.print(Text(f"{' ' * width} |", "blue"))
            self.console.print(Text(f"{finding.line} | ", "blue").append(printable(source, single_line=True), ""))
            self.console.print(Text(f"{' ' * width} |", "blue"))
        if finding.hint:
            self._help(finding.hint, width)
        if finding.fix is not None:
            self._help(finding.fix.title, width, "safe fix" if finding.fix.safe else "fix")
        self.console.print()

    def _help(self, hint: str, width: int = 0, title: str = "help") -> None:
        from rich.text import Text

        self.console.print(Text(f"{' ' * width} = ", "blue").append(title, "bold").append(f": {printable(hint)}", ""))

    def _source(self, finding: Finding) -> str | None:
        """Returns the source line of a finding."""
        content = self.files.get(finding.path or "")
        if finding.line is None or not isinstance(content, Path):
            return None
        try:
            lines = content.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return None
        return lines[finding.line - 1].rstrip()[:200] if 0 < finding.line <= len(lines) else None

    def fail(self, problem: HubAPIError) -> NoReturn:
        """Writes an error and exits with its code."""
        if self.as_json:
            left_out = {} if self.left_out is None else {"left_out": self._left_out_json()}
            self.result({"error": error_json(problem), **left_out})
        else:
            self._error(problem)
        raise click.exceptions.Exit(exit_code(problem))

    def _error(self, problem: HubAPIError) -> None:
        from rich.text import Text

        issues = problem.issues
        self.findings(issues)
        if isinstance(problem, AppFailed) and issues:
            return
        if issues:
            errors = sum(issue.severity == "error" for issue in issues)
            count = "1 problem" if errors == 1 else f"{errors} problems"
            self.console.print(Text("error", "bold red").append(f": {count}; nothing was changed.", "bold"))
            return
        self.console.print(Text("error", "bold red").append(f": {printable(problem.message)}", "bold"))
        logged_out = isinstance(problem, AuthError) and problem.status_code == 401
        if hint := "Log in: assembler login" if logged_out else problem.hint:
            self._help(hint)


def common(work: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the common options and error handling to a command; its first argument becomes a :class:`Shell`."""

    @click.option("--json", "as_json", is_flag=True, help="Write results and errors as JSON.")
    @click.option(
        "--profile", shell_complete=profiles, help="Name of the stored login to use. [env: ASSEMBLER_PROFILE]"
    )
    @click.option("--url", help="URL of the service. [env: ASSEMBLER_URL]")
    @functools.wraps(work)
    def run(as_json: bool, profile: str | None, url: str | None, **arguments: Any) -> Any:
        shell = Shell(as_json, profile, url)
        if not as_json and _for_agent():
            from assembler_client.cli import agent

            if work.__name__ in agent.ACTS:
                return agent.run(work.__name__, shell, arguments)
            return agent.run_other(work, shell, arguments)
        try:
            return work(shell, **arguments)
        except HubAPIError as problem:
            shell.fail(problem)

    return run


def _for_agent() -> bool:
    """Returns whether the caller is an agent, by the option --agent or by the environment."""
    asked = click.get_current_context().find_root().params.get("agent")
    return agent_name() is not None if asked is None else bool(asked)


def exit_code(problem: HubAPIError) -> int:
    """Returns the exit code of an error."""
    if isinstance(problem, WaitTimeout):
        return codes.LATE
    if isinstance(problem, (RateLimited, TooLarge)) or problem.code in _LIMITS:
        return codes.LIMITED
    return codes.INVALID if isinstance(problem, InvalidRequest) else codes.FAILED


def error_json(problem: HubAPIError) -> dict[str, Any]:
    """Returns an error as JSON."""
    made: dict[str, Any] = {
        "kind": type(problem).__name__,
        "status_code": problem.status_code,
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
        "issues": problem.issues,
    }
    if isinstance(problem, AppFailed):
        made |= {"problem": problem.problem, "space": problem.space}
    if isinstance(problem, RequestFailed):
        made |= {"request": problem.request}
    return made


def _jsonable(value: Any) -> Any:
    if isinstance(value, Model):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _jsonable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(part) for part in value]
    return value


class ProgressDisplay:
    """Shows uploads and events during a wait: progress bars on a terminal, lines elsewhere.

    Args:
        shell: the shell of the command.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._live = not shell.as_json and shell.console.is_terminal
        self._progress: Any = None
        self._upload: Any = None

    def __enter__(self) -> ProgressDisplay:
        if self._live:
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TimeElapsedColumn(),
            )
            self._progress = Progress(*columns, console=self._shell.console, transient=True)
            self._progress.start()
            self._waiting = self._progress.add_task("Sending", total=None)
        return self

    def __exit__(self, *problem: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def uploaded(self, progress: UploadProgress) -> None:
        """Updates the progress of an upload."""
        if self._progress is None:
            return
        if self._upload is None:
            self._upload = self._progress.add_task("Uploading", total=progress.total)
        self._progress.update(
            self._upload, completed=progress.sent, description=f"Uploading {printable(progress.path, single_line=True)}"
        )

    def happened(self, event: Event) -> None:
        """Shows an event."""
        codes.SENT.append(str(event.id))
        self._shell.event(event)
        if self._progress is not None:
            text = printable(event.message or event.type, single_line=True)[:60]
            self._progress.update(self._waiting, description=text)
