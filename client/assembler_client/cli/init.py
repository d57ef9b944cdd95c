"""`assembler types` and `assembler init`."""

from __future__ import annotations

import base64
from pathlib import Path, PurePosixPath

import click

from assembler_client import remembered
from assembler_client.assembler import Assembler
from assembler_client.cli import complete
from assembler_client.cli.output import Shell, common
from assembler_client.errors import NotFound, invalid_input
from assembler_client.folder import REMEMBERED
from assembler_client.models import ErrorResponse, Finding, SpaceType, TemplateFile
from assembler_client.suggest import did_you_mean


@click.command()
@click.argument("name", required=False, shell_complete=complete.types)
@common
def types(shell: Shell, name: str | None) -> None:
    """List the space types, or show the type NAME with its options and templates."""
    with shell.connect() as assembler:
        if name is None:
            found = assembler.get_space_types()
            if shell.as_json:
                shell.result(found)
                return
            shell.table(
                ("TYPE", "VERSION", "DESCRIPTION"), [(kind.name, kind.version, kind.description) for kind in found]
            )
            return
        kind = assembler.get_space_type(name)
        if kind is None:
            raise _unknown(assembler, name)
    if shell.as_json:
        shell.result(kind)
        return
    _describe(shell, kind)


def _describe(shell: Shell, kind: SpaceType) -> None:
    shell.echo(f"{kind.name} {kind.version}: {kind.description}")
    if kind.templates:
        click.echo("\nTemplates, for assembler init:")
        shell.table(("NAME", "DESCRIPTION"), [(template.name, template.description) for template in kind.templates])
    click.echo("\nOptions, for --option NAME=VALUE:")
    rows = []
    for name, shown in kind.options.get("properties", {}).items():
        choices = ", ".join(map(str, shown["enum"])) if "enum" in shown else shown.get("type", "")
        rows.append((name, choices if isinstance(choices, str) else "/".join(choices), shown.get("description", "")))
    shell.table(("NAME", "VALUES", "DESCRIPTION"), rows)


@click.command()
@click.argument("space_type", shell_complete=complete.types)
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--template",
    shell_complete=complete.templates,
    help="Starter app, see assembler types TYPE; defaults to the first one.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@common
def init(shell: Shell, space_type: str, folder: Path, template: str | None, force: bool) -> None:
    """Write a starter app of SPACE_TYPE into FOLDER.

    The values of its parameters are kept in .assembler.json of the folder, which is never sent; -p of deploy, create,
    preview and try overrides single ones.
    """
    with shell.connect() as assembler:
        kind = assembler.get_space_type(space_type)
        if kind is None:
            raise _unknown(assembler, space_type)
        chosen = template or (kind.templates[0].name if kind.templates else None)
        if chosen is None:
            raise NotFound(f"The space type {space_type} has no templates.")
        names = [found.name for found in kind.templates]
        if chosen not in names:
            hint = did_you_mean(chosen, names) or f"Templates of {space_type}: {', '.join(names) or 'none'}."
            message = f"The space type {space_type} has no template {chosen[:80]!r}."
            raise invalid_input([Finding(code="unknown_template", path="template", message=message, hint=hint)])
        starter = assembler.get_template(space_type, chosen)
        if starter is None:
            raise NotFound(f"The space type {space_type} has no template {chosen} any more.")
    targets = {folder.joinpath(*_parts(file.path)): file for file in starter.files}
    if existing := [path for path in targets if path.exists() and not force]:
        hint = "Choose another folder, or pass --force."
        raise invalid_input(
            [
                Finding(code="exists", path=str(path), message="This file already exists.", hint=hint)
                for path in existing
            ]
        )
    for path, file in targets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_content(file))
    # Parameters stay out of the files, so that they can be chosen when the app is published or tried.
    remembered.write(folder, space_type=space_type, parameters=starter.defaults)
    if shell.as_json:
        shell.result(
            {
                "space_type": space_type,
                "template": chosen,
                "parameters": starter.defaults,
                "files": [str(path) for path in targets],
            }
        )
        return
    for path in targets:
        shell.echo(str(path))
    if starter.defaults:
        shell.say(f"Parameters, for -p NAME=VALUE: {', '.join(starter.defaults)} (values in {folder / REMEMBERED})")
    shell.say(f"Run it here: assembler try {folder}\nPublish it: assembler deploy {folder}")


def _unknown(assembler: Assembler, name: str) -> NotFound:
    message = f"The space type {name[:80]!r} does not exist."
    suggestion = did_you_mean(name, [kind.name for kind in assembler.get_space_types()])
    hint = suggestion or "List all: assembler types"
    return NotFound(message, ErrorResponse(status_code=404, code="not_found", message=message, hint=hint))


def _parts(path: str) -> tuple[str, ...]:
    # The service validates paths; check again before writing.
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\\" in path or ":" in path:
        raise click.ClickException(f"The service returned an invalid path: {path!r}")
    return parts


def _content(file: TemplateFile) -> bytes:
    return base64.b64decode(file.content) if file.encoding == "base64" else file.content.encode()
