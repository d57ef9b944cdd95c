"""`assembler skill`: instructions for agents as a file that they find by themselves."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

PLACES = {"claude": ".claude/skills", "agents": ".agents/skills"}
"""Where agents look for skills, in a project and in the home of a person."""

NAME = "assembler"


@click.group()
def skill() -> None:
    """Instructions for agents: how to publish, repair and watch Spaces."""


@skill.command()
@click.option("--user", is_flag=True, help="For all projects of this person, instead of this folder.")
@click.option(
    "--place", type=click.Choice([*PLACES, "all"]), default="all", show_default=True, help="For which agents."
)
def install(user: bool, place: str) -> None:
    """Write SKILL.md where agents look for it; a second call updates it."""
    root = Path.home() if user else Path.cwd()
    for name, folder in PLACES.items():
        if place in (name, "all"):
            target = root / folder / NAME / "SKILL.md"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text(), encoding="utf-8")
            click.echo(str(target))


@skill.command()
def show() -> None:
    """Print SKILL.md."""
    click.echo(text(), nl=False)


def text() -> str:
    """Returns SKILL.md."""
    return files("assembler_client.agent").joinpath("SKILL.md").read_text(encoding="utf-8")
