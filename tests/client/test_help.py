"""The help of every command has examples, each of which is a valid call; names are completed in a shell."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from assembler_client import Assembler
from assembler_client.cli import cli
from assembler_client.cli.text import linked
from tests.client.conftest import Running
from tests.support.services import PASSWORD, PROJECT, Client, free_port

PROGRAM = "from assembler_client.cli import main; main()"


def walk(command: click.Command, path: tuple[str, ...], root: click.Context) -> Iterator[tuple[str, click.Command]]:
    if path:
        yield " ".join(path), command
    if isinstance(command, click.Group):
        for name in command.list_commands(root):
            found = command.get_command(root, name)
            assert found is not None
            yield from walk(found, (*path, name), root)


def commands() -> dict[str, click.Command]:
    root = click.Context(cli, info_name="assembler")
    return dict(walk(cli, (), root))


@pytest.mark.parametrize("path", commands())
def test_every_command_shows_valid_examples(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-app").mkdir()
    (tmp_path / "my-plugins" / "my_type").mkdir(parents=True)
    for name in ("app.py", "app.log", "assembler.tar.gz"):
        (tmp_path / name).touch()
    monkeypatch.setenv("API_KEY", "x")
    command = commands()[path]
    context = click.Context(cli, info_name="assembler")
    with click.Context(command, info_name=path, parent=context) as inner:
        text = command.get_help(inner)
    _, found, shown = text.partition("Examples:\n")
    assert found, f"assembler {path} --help has no examples"
    for line in shown.strip().splitlines():
        if line.strip().startswith("eval"):
            continue
        call = shlex.split(re.sub(r" < \w.*$", "", line.strip()))
        assert call[0] == "assembler"
        _parse(cli, call[1:], context)


def _parse(group: click.Group, arguments: list[str], context: click.Context) -> None:
    name, command, left = group.resolve_command(context, arguments)
    assert command is not None
    if isinstance(command, click.Group):
        with command.make_context(name, left[:1], parent=context, ignore_unknown_options=True) as inner:
            _parse(command, left, inner)
        return
    with command.make_context(name, left, parent=context):
        pass


def complete(words: str, home: Path, **environ: str) -> list[str]:
    typed = words.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT / "client"),
            "XDG_CONFIG_HOME": str(home),
            "_ASSEMBLER_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(typed) - 1),
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_names_are_completed(running: Running, tmp_path: Path) -> None:
    with Assembler(running.url, ("admin", PASSWORD)) as assembler:
        assembler.deploy({"index.html": "x"}, name="completed-one")
    with Client(running.url) as client:
        login = {"ASSEMBLER_URL": running.url, "ASSEMBLER_TOKEN": client.token}
    assert complete("assembler show compl", tmp_path, **login) == ["completed-one"]
    assert complete("assembler secrets set compl", tmp_path, **login) == ["completed-one"]
    assert complete("assembler create -t sta", tmp_path, **login) == ["static"]
    assert complete("assembler create -t static --template ", tmp_path, **login) == ["landing"]
    assert complete("assembler show nothing-like-it", tmp_path, **login) == []


def test_completion_is_silent_where_nobody_answers(tmp_path: Path) -> None:
    assert complete("assembler show x", tmp_path) == []
    url = f"http://127.0.0.1:{free_port()}"
    assert complete("assembler show x", tmp_path, ASSEMBLER_URL=url) == []
    assert complete("assembler sho", tmp_path) == ["show"]


def test_addresses_are_links_on_a_terminal_only() -> None:
    assert linked("http://x/y") == "\x1b]8;;http://x/y\x1b\\http://x/y\x1b]8;;\x1b\\"


def test_versions_of_both_are_shown() -> None:
    from click.testing import CliRunner

    shown = CliRunner().invoke(cli, ["--version"]).output
    assert re.fullmatch(r"assembler, version \S+\nservice \(assembler-runner\), version \S+\n", shown)
