"""`assembler check`: the checks of the service on this machine, without a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from assembler_client import cli as codes
from assembler_client.cli.deploy import TARGETS, fields_and_source, input_options
from assembler_client.cli.output import Shell, common
from assembler_client.cli.try_app import body_of_files, entry_point
from assembler_client.models import Finding


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[DIR|FILE]...")
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    default="huggingface",
    show_default=True,
    help="Where it would be published; a Hub refuses more than the service itself.",
)
@click.option("--strict", is_flag=True, help="Fail for warnings, too.")
@click.option("--name", "-n", help="Name of the Space, its default title.")
@input_options
@common
def check(shell: Shell, sources: tuple[Path, ...], target: str, strict: bool, **given: Any) -> None:
    """Check files as the service does before it publishes them: a folder, files or an archive.

    No service and no network are needed. The exit code is 3 if there is an error among the findings.
    """
    run = entry_point("assembler.check")
    fields, source = fields_and_source(shell, sources, given, new=True)
    body, archive = body_of_files(fields, source)
    found = [Finding(**finding) for finding in run(body, archive, target)]
    if shell.as_json:
        shell.result(found)
    else:
        shell.findings(found)
    severities = [finding.severity for finding in found]
    errors, warnings = severities.count("error"), severities.count("warning")
    shell.say(f"{errors} errors, {warnings} warnings." if errors or warnings else "Nothing was found.")
    if errors or (strict and warnings):
        raise click.exceptions.Exit(codes.INVALID)
