"""`assembler deploy` and `assembler pull`: a folder and its Space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from assembler_client import remembered
from assembler_client.assembler import Assembler
from assembler_client.cli.complete import space_argument
from assembler_client.cli.deploy import (
    TARGETS,
    fields_and_source,
    input_options,
    publication_options,
    show_result,
    wait_options,
)
from assembler_client.cli.output import ProgressDisplay, Shell, common
from assembler_client.cli.text import printable
from assembler_client.errors import Conflict
from assembler_client.models import ErrorResponse, File, Space
from assembler_client.publishing import existing


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@click.option("--name", "-n", help="Name of a new Space; that of the folder if omitted.")
@click.option("--namespace", help="User or organization that owns a new Space.")
@click.option("--target", type=click.Choice(TARGETS), help="Where a new Space is published.")
@click.option("--by-name", is_flag=True, help="Update the Space of that name, also if another folder has made it.")
@click.option("--force", is_flag=True, help="Overwrite commits made outside this service.")
@input_options
@publication_options
@wait_options
@common
def deploy(
    shell: Shell,
    folder: Path,
    name: str | None,
    namespace: str | None,
    target: str | None,
    by_name: bool,
    force: bool,
    no_wait: bool,
    timeout: float,
    **given: Any,
) -> None:
    """Publish FOLDER: create a Space the first time, and update it from then on.

    The Space is remembered in the file .assembler.json of the folder, beside type and parameters of an app written by
    `assembler init`. The file is never sent. A pipeline, whose folder is new each time, finds the Space again with
    --by-name.
    """
    fields, source = fields_and_source(shell, (folder,), given, new=True)
    with shell.connect() as assembler, ProgressDisplay(shell) as progress:
        known = _remembered(assembler, folder)
        if known is None and by_name:
            known = existing(assembler, name or name_of_folder(folder))
        options: Any = {
            **fields,
            "wait": not no_wait,
            "timeout": timeout,
            "on_event": progress.happened,
            "on_upload": progress.uploaded,
        }

        def accepted(space: Space) -> None:
            _remember(assembler, folder, space)
            shell.accepted(space)

        if known is None:
            new = {"name": name or name_of_folder(folder), "namespace": namespace, "target": target}
            options |= {key: value for key, value in new.items() if value}
            space = assembler.deploy(source, on_accepted=accepted, **options)
        else:
            if force:
                options["force"] = True
            space = assembler.update(known, source, on_accepted=accepted, **options)
            if space.latest_request is not None and space.latest_request.unchanged:
                shell.say("Nothing changed; no commit was made.")
    show_result(shell, space)


@click.command()
@space_argument()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option("--overwrite", is_flag=True, help="Replace files that exist in the folder.")
@common
def pull(shell: Shell, space: str, folder: Path | None, overwrite: bool) -> None:
    """Write the files of SPACE into FOLDER, which is named after it if omitted."""
    with shell.connect() as assembler:
        found = assembler.find(space)
        files = _released(assembler, found)
        place = folder or Path(found.name)
        existing = [file.path for file in files if (place / file.path).exists()]
        if existing and not overwrite:
            names = printable(", ".join(existing[:5]), single_line=True)
            raise click.UsageError(f"{place} already contains {names}. Use --overwrite to replace files.")
        root = place.resolve()
        goals = {file.path: (root / file.path).resolve() for file in files}
        for path, goal in goals.items():
            if not goal.is_relative_to(root):
                raise click.UsageError(f"{printable(path, single_line=True)} would be written outside of {place}.")
        for file in files:
            goals[file.path].parent.mkdir(parents=True, exist_ok=True)
            assembler.download_space_file(found, file, goals[file.path])
        _remember(assembler, place, found)
    if shell.as_json:
        shell.result({"folder": str(place), "files": sorted(goals)})
    else:
        shell.say(
            f"Wrote {len(files)} files of {found.name} to {place}. Publish changes with: assembler deploy {place}"
        )


def _released(assembler: Assembler, space: Space) -> list[File]:
    for request in assembler.find_space_requests(space, filter={"status": "succeeded"}, limit=100):
        if request.files:
            return list(request.files)
    message, hint = f"{space.name} has no published release.", f"Show its state: assembler show {space.name}"
    raise Conflict(message, ErrorResponse(status_code=409, code="no_release", message=message, hint=hint))


def name_of_folder(folder: Path) -> str:
    """A valid name of a Space, made of that of the folder; empty if nothing of it is valid."""
    name = folder.resolve().name
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "-" for sign in name).strip("-._")


def _remembered(assembler: Assembler, folder: Path) -> Space | None:
    space_id = remembered.read(folder).get("spaces", {}).get(_service(assembler))
    if space_id is None:
        return None
    space = assembler.get_space(str(space_id))
    return None if space is None or space.state in ("deleted", "deleting") else space


def _remember(assembler: Assembler, folder: Path, space: Space) -> None:
    spaces = {**remembered.read(folder).get("spaces", {}), _service(assembler): str(space.id)}
    remembered.write(folder, spaces=spaces)


def _service(assembler: Assembler) -> str:
    return str(assembler.base_url).rstrip("/")
