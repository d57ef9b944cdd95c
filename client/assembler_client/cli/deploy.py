"""`assembler create`, `update`, `preview`, `rollback`, `delete`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from assembler_client import cli as codes
from assembler_client.cli.complete import names_of_environment, space_argument, spaces, templates, types
from assembler_client.cli.diff import show_diff
from assembler_client.cli.output import ProgressDisplay, Shell, common
from assembler_client.cli.text import printable
from assembler_client.errors import NotFound
from assembler_client.folder import Collected
from assembler_client.git_address import git_fields
from assembler_client.models import ErrorResponse, Preview, Space
from assembler_client.remembered import completed
from assembler_client.upload import gather
from assembler_client.wait import WAIT_SECONDS

TARGETS = ("huggingface", "local", "flame")
_GIT = click.option(
    "--git",
    metavar="URL[@REF][#FOLDER]",
    help="Read the files from a git repository, on the service.",
)
_SOURCES = click.argument("sources", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[DIR|FILE]...")


def _options(*options: Callable[..., Any]) -> Callable[..., Any]:
    def add(work: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            work = option(work)
        return work

    return add


input_options = _options(
    click.option(
        "--type",
        "-t",
        "space_type",
        shell_complete=types,
        help="Space type, or TYPE@VERSION; recognized from the files if omitted.",
    ),
    click.option("--param", "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; JSON or text."),
    click.option(
        "--params-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A JSON file with all parameters.",
    ),
    click.option("--option", "-o", "options", multiple=True, metavar="NAME=VALUE", help="An option of the space type."),
    click.option("--template", shell_complete=templates, help="Starter app of the space type."),
    click.option(
        "--secret",
        "-s",
        "secrets",
        multiple=True,
        metavar="NAME[=VALUE]",
        shell_complete=names_of_environment,
        help="A secret; without a value it is read from the environment.",
    ),
    click.option("--variable", "-v", "variables", multiple=True, metavar="NAME=VALUE", help="An environment variable."),
    click.option("--fix", is_flag=True, help="Apply safe fixes of findings before publishing."),
    click.option(
        "--allow", "allow", multiple=True, metavar="CODE", help="Accept an error finding, such as secret_in_file."
    ),
    click.option("--verbose", is_flag=True, help="Name all files that were left out."),
)
"""Options of everything that decides how files are assembled and run."""

publication_options = _options(
    click.option("--visibility", type=click.Choice(["public", "private", "protected"]), help="Who can see the Space."),
    click.option("--hardware", help="Hardware flavor, such as cpu-basic."),
    click.option("--sleep-time", type=int, help="Seconds of inactivity until the app sleeps."),
    click.option("--label", "labels", multiple=True, help="A label to filter by."),
    click.option("--expires-at", type=click.DateTime(), help="When the Space is deleted automatically, in local time."),
)
wait_options = _options(
    click.option("--no-wait", is_flag=True, help="Do not wait until the app runs."),
    click.option("--timeout", default=WAIT_SECONDS, show_default=True, help="Maximum wait in seconds."),
)


@click.command()
@_SOURCES
@_GIT
@click.option("--from", "copy_of", metavar="NAMESPACE/NAME", help="Copy the files of a Space of the Hub.")
@click.option("--name", "-n", help="Name of the Space; generated if omitted.")
@click.option("--namespace", help="User or organization that owns the Space.")
@click.option("--target", type=click.Choice(TARGETS), help="Where the Space is published.")
@click.option("--as", "as", type=click.Choice(["me"]), help="Publish with your own Hub account; see the documentation.")
@click.option("--idempotency-key", help="The same key and input return the same Space.")
@click.option("--verify", is_flag=True, help="Publish only if the app answers when the service runs it first.")
@input_options
@publication_options
@wait_options
@common
def create(
    shell: Shell, sources: tuple[Path, ...], no_wait: bool, timeout: float, idempotency_key: str | None, **given: Any
) -> None:
    """Create a Space from a folder, files, an archive (zip, tar, tar.gz, tar.zst) or a git repository (--git).

    From a folder all files are sent, except environments, files that usually hold secrets, such as .env and private
    keys, and those ignored by .gitignore and .assemblerignore. Exit codes: 0 the app runs, 3 invalid input, 4 failed,
    5 limit exceeded, 6 timed out.
    """
    fields, source = fields_and_source(shell, sources, given, new=True)
    with shell.connect() as assembler, ProgressDisplay(shell) as progress:
        space = assembler.deploy(
            source,
            wait=not no_wait,
            timeout=timeout,
            on_event=progress.happened,
            on_accepted=shell.accepted,
            on_upload=progress.uploaded,
            idempotency_key=idempotency_key,
            **fields,
        )
    show_result(shell, space)


@click.command()
@space_argument()
@_SOURCES
@_GIT
@click.option("--merge", is_flag=True, help="Change only these files; otherwise they replace all files.")
@click.option("--remove", multiple=True, metavar="PATH", help="A file to delete; requires --merge.")
@click.option("--force", is_flag=True, help="Overwrite commits made outside this service.")
@input_options
@publication_options
@wait_options
@common
def update(shell: Shell, space: str, sources: tuple[Path, ...], no_wait: bool, timeout: float, **given: Any) -> None:
    """Change the Space SPACE: its files, if a folder, files or an archive are given, and its settings.

    With --git latest, the files are those of the newest commit of the repository that the Space was read from.
    """
    fields, source = fields_and_source(shell, sources, given, new=False)
    if source is None and not fields:
        raise click.UsageError("Nothing to change. Pass files or options.")
    with shell.connect() as assembler, ProgressDisplay(shell) as progress:
        changed = assembler.update(
            space,
            source,
            wait=not no_wait,
            timeout=timeout,
            on_event=progress.happened,
            on_accepted=shell.accepted,
            on_upload=progress.uploaded,
            **fields,
        )
    if changed.latest_request is not None and changed.latest_request.unchanged:
        shell.say("Nothing changed; no commit was made.")
    show_result(shell, changed)


@click.command()
@_SOURCES
@_GIT
@click.option("--space", shell_complete=spaces, help="An existing Space to compare with.")
@click.option("--merge", is_flag=True, help="Change only these files.")
@click.option("--remove", multiple=True, metavar="PATH", help="A file to delete; requires --merge.")
@click.option("--name", "-n", help="Name of the Space.")
@input_options
@publication_options
@common
def preview(shell: Shell, sources: tuple[Path, ...], space: str | None, **given: Any) -> None:
    """Show the tree that would be published, all findings and, with --space, the differences. Publishes nothing.

    The exit code is 3 if there is an error among the findings.
    """
    fields, source = fields_and_source(shell, sources, given, new=space is None)
    with shell.connect() as assembler:
        if source is None and space is not None:
            shown = assembler.preview_update(assembler.find(space), **fields)
        else:
            shown = assembler.preview(source, space=space, **fields)
    if shell.as_json:
        shell.published(shown)
    else:
        _tree(shell, shown)
        if shown.git is not None:
            shell.say(f"Read from {shown.git}.")
        shell.findings(shown.findings)
        if shown.diff is not None:
            show_diff(shell.paper, shown.diff)
    if any(finding.severity == "error" for finding in shown.findings):
        raise click.exceptions.Exit(codes.INVALID)


@click.command()
@space_argument()
@click.option("--to", help="Id of the request that published the release; defaults to the previous release.")
@click.option("--force", is_flag=True, help="Overwrite commits made outside this service.")
@wait_options
@common
def rollback(shell: Shell, space: str, to: str | None, force: bool, no_wait: bool, timeout: float) -> None:
    """Roll the Space SPACE back to an earlier release: the same files, in one new commit."""
    with shell.connect() as assembler, ProgressDisplay(shell) as progress:
        options: Any = {"force": force, "wait": not no_wait, "timeout": timeout, "on_event": progress.happened}
        try:
            found = assembler.rollback(assembler.find(space), to, **options)
        except NotFound:
            if to is None:
                raise
            message, hint = f"{space} has no release {to[:80]!r}.", f"List its releases: assembler releases {space}"
            body = ErrorResponse(status_code=404, code="no_release", message=message, hint=hint)
            raise NotFound(message, body) from None
    show_result(shell, found)


@click.command()
@space_argument("spaces", nargs=-1, required=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@wait_options
@common
def delete(shell: Shell, spaces: tuple[str, ...], yes: bool, no_wait: bool, timeout: float) -> None:
    """Delete SPACES, including their repositories on the target."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("No terminal to ask for confirmation; use --yes.")
    with shell.connect() as assembler:
        found = [assembler.find(space) for space in spaces]
        if not yes:
            names = ", ".join(f"{space.name} ({space.url or space.id})" for space in found)
            click.confirm(f"Delete {printable(names, single_line=True)}?", abort=True, err=True)
        with ProgressDisplay(shell) as progress:
            for space in found:
                assembler.delete(space, wait=not no_wait, timeout=timeout, on_event=progress.happened)
    if shell.as_json:
        shell.result([{"id": str(space.id), "name": space.name} for space in found])
    else:
        shell.say(f"Deleted: {', '.join(space.name for space in found)}.")


def fields_and_source(shell: Shell, sources: tuple[Path, ...], given: dict[str, Any], new: bool) -> tuple[Any, Any]:
    """Converts options to the fields and the source of a request.

    Args:
        shell: the shell of the command.
        sources: the arguments.
        given: the options by name.
        new: whether the request creates a Space, so that it needs files or a template.
    Returns:
        The fields, and files by path, an archive or None.
    """
    fields: dict[str, Any] = {}
    params_file, merge, remove = given.pop("params_file", None), given.pop("merge", False), given.pop("remove", ())
    fix, verbose, git = given.pop("fix"), given.pop("verbose"), given.pop("git", None)
    for name in ("parameters", "options", "variables"):
        if pairs := given.pop(name):
            fields[name] = pairs_of(pairs, name, as_text=name == "variables")
    if secrets := given.pop("secrets"):
        fields["secrets"] = secrets_of(secrets)
    if params_file is not None:
        fields["parameters"] = {**_json_file(params_file), **fields.get("parameters", {})}
    fields |= {name: value for name, value in given.items() if value not in (None, False, ())}
    for name in ("labels", "allow"):
        if name in fields:
            fields[name] = list(fields[name])
    if fix:
        fields["fixes"] = "safe"
    if git is not None:
        fields["git"] = git_fields(git)
    if isinstance(fields.get("expires_at"), datetime):
        fields["expires_at"] = fields["expires_at"].astimezone()
    if merge:
        fields["mode"] = "merge"
    elif remove:
        raise click.UsageError("--remove requires --merge.")
    if params_file is None:
        fields = completed(sources, fields)
    source = _source(shell, sources, fields, remove, new)
    shell.say_left_out(verbose)
    return fields, source


def _source(shell: Shell, sources: tuple[Path, ...], fields: dict[str, Any], remove: Iterable[str], new: bool) -> Any:
    if not sources and not remove:
        if new and not {"template", "git", "copy_of"} & set(fields):
            raise click.UsageError("No files given. Pass a folder, files, an archive, --git, --from or --template.")
        return None
    gathered = gather(sources) if sources else {"files": {}}
    if "files" not in gathered:
        if remove:
            raise click.UsageError("--remove cannot be combined with an archive.")
        return sources[0]
    shell.files = gathered["files"]
    if isinstance(shell.files, Collected):
        shell.left_out = shell.files.left_out
    return {**shell.files, **dict.fromkeys(remove)}


def pairs_of(pairs: Iterable[str], what: str, as_text: bool) -> dict[str, Any]:
    """Returns pairs of the form NAME=VALUE as a mapping; values are JSON unless they are texts."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{what}: {pair!r} must have the form NAME=VALUE.")
        found[name] = value if as_text else _value(value)
    return found


def _value(text: str) -> Any:
    """Parses JSON, or returns the text itself: 3, true, [1, 2] and plain words need no quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def secrets_of(pairs: Iterable[str]) -> dict[str, str]:
    """Returns secrets by name; those without a value are read from the environment."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals and name not in os.environ:
            raise click.UsageError(f"--secret {name}: the environment variable {name} is not set.")
        found[name] = value if equals else os.environ[name]
    return found


def _json_file(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as problem:
        raise click.UsageError(f"--params-file {path} is not valid JSON: {problem}") from None
    if not isinstance(found, dict):
        raise click.UsageError(f"--params-file {path} must contain a JSON object.")
    return found


def show_result(shell: Shell, space: Space) -> None:
    """Shows the state and the address of a Space."""
    if shell.for_agent:
        from assembler_client.cli.agent import show_answer

        show_answer(shell, str(space.id))
        return
    if shell.as_json:
        shell.published(space)
        return
    shell.say(f"{space.name} is {space.state.replace('_', ' ')}.", "bold green" if space.state == "running" else "")
    if space.app_url:
        shell.say(f"App: {space.app_url}")
    shell.echo(space.url or str(space.id))


def _tree(shell: Shell, shown: Preview) -> None:
    sizes = [(file.path, _size(file.size), file.origin) for file in shown.files]
    shell.table(("FILE", "SIZE", "ORIGIN"), sizes)


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
