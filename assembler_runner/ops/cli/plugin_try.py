"""`assembler plugin try`: runs an example of a plugin on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from assembler_runner.assembly.registry import Registry
from assembler_runner.core.errors import InvalidRequest
from assembler_runner.ops.trial import try_app

_STYLES = {"error": "red", "warning": "yellow", "info": "cyan"}


def run_example(package: Path, example: str | None, port: int) -> int:
    """Assembles an example of a plugin and runs it until Ctrl-C.

    Args:
        package: the folder of the plugin.
        example: name of a folder in its `examples`; None: the first one, or else its first template.
        port: the port on the loopback interface.
    Returns:
        The exit code: 0 if the app ended without an error, 3 for invalid input, 4 if it failed.
    Raises:
        InvalidRequest: there is no such example, or the plugin is broken.
    """
    registry = Registry()
    registry.load_folder(package)
    plugins = registry.all()
    if not plugins:
        errors = "; ".join(record.error or "" for record in registry.records) or "it contains no plugin"
        raise InvalidRequest(f"{package}: {errors}", hint=f"Check it: assembler plugin check {package}")
    plugin = plugins[0]
    folders = {path.parent.name: path.parent for path in sorted(package.glob("examples/*/request.json"))}
    if example is not None and example not in folders:
        hint = f"Examples: {', '.join(folders) or 'none'}."
        raise InvalidRequest(f"{package} has no example {example!r}.", hint=hint)
    body: dict[str, Any] = {"space_type": plugin.space_type}
    chosen = folders.get(example) if example else next(iter(folders.values()), None)
    if chosen is not None:
        body |= json.loads((chosen / "request.json").read_text(encoding="utf-8"))
        root = chosen / "files"
        body["files"] = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    elif templates := plugin.templates():
        body["template"] = templates[0].name
    else:
        raise InvalidRequest(f"{package} has neither an example nor a template.", hint="Write examples/hello.")
    others = os.environ.get("PLUGIN_FOLDERS", "")
    os.environ["PLUGIN_FOLDERS"] = f"{others}:{package.resolve()}" if others else str(package.resolve())
    try:
        return try_app(body, None, port, _show)
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
        return 130


def _show(kind: str, data: Any) -> None:
    if kind == "findings":
        for finding in data:
            place = ":".join(str(part) for part in (finding["path"], finding["line"]) if part)
            click.secho(
                f"{finding['severity']}: {place}: {finding['message']}", fg=_STYLES[finding["severity"]], err=True
            )
    elif kind == "problem":
        click.secho(f"error[{data['code']}]: {data['message']}", fg="red", err=True)
        click.echo(f"  {data['hint']}", err=True)
    elif kind == "ready":
        click.echo(f"The app runs at {data}; press Ctrl-C to end it.")
    else:
        click.echo(data, err=True)
