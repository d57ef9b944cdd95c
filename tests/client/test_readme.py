"""The examples in the README of the client run, in the shell and in Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from assembler_client import models
from assembler_client.cli import COMMANDS
from tests.client.conftest import Running
from tests.support.services import PASSWORD, PROJECT

README = (PROJECT / "client" / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python example\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
ENVIRON = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT / "client"), "LANG": "C.UTF-8"}


def test_the_examples_run(running: Running, tmp_path: Path) -> None:
    (tmp_path / "my-app").mkdir()
    (tmp_path / "my-app" / "index.html").write_text("<h1>Hello</h1>")
    shown = []
    for example in EXAMPLES:
        program = example.replace("http://127.0.0.1:5005", running.url).replace('"…"', repr(PASSWORD))
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=ENVIRON, cwd=tmp_path, timeout=300
        )
        assert done.returncode == 0, (example, done.stderr)
        shown.append(done.stdout)
    assert len(shown) == 4
    assert "succeeded" in shown[0] and f"running {running.url}/local/admin/from-python" in shown[0]
    assert "['index.html']" in shown[1]
    assert "received status code 409 (name_taken): " in shown[3]
    assert "None" in shown[3].splitlines()


def test_the_session_runs(running: Running, tmp_path: Path) -> None:
    (session,) = re.findall(r"^```sh session\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    script = session.replace("http://127.0.0.1:5005", running.url).replace("-u admin", "-u admin --password-stdin")
    program = f"'{sys.executable}' -c 'from assembler_client.cli import main; main()'"
    done = subprocess.run(
        ["bash", "-euc", f'assembler() {{ {program} "$@"; }}\n{script}'],
        check=False,
        capture_output=True,
        text=True,
        input=f"{PASSWORD}\n",
        env={**ENVIRON, "XDG_CONFIG_HOME": str(tmp_path)},
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert f"{running.url}/local/admin/my-app" in done.stdout


def test_it_names_every_command_and_every_error() -> None:
    named = set(re.findall(r"`([\w-]+)`", README))
    assert set(COMMANDS) <= named
    from assembler_client import errors

    kinds = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert kinds <= named
    assert models.Space.__doc__


USER = """
import asyncio
from collections.abc import Iterator
from pathlib import Path

from assembler_client import Assembler, AsyncAssembler, AuthClient, CoreClient, PasswordAuth, StorageClient
from assembler_client.models import BucketFile, Event, Preview, Request, Space
from assembler_client.models.accounts import Realm, Robot, User


def sync() -> None:
    auth = PasswordAuth("admin", "x", "http://127.0.0.1:5005")
    with Assembler("http://127.0.0.1:5005", auth) as assembler:
        space: Space = assembler.deploy(Path("x"), name="a", labels=["b"], on_event=lambda event: print(event.type))
        preview: Preview = assembler.preview({"a": "b"}, space=space)
        events: Iterator[Event] = assembler.events(space)
        print(preview, [event.id + 1 for event in events])
    core = CoreClient("http://127.0.0.1:5005", auth)
    maybe: Space | None = core.get_space("x", refresh=True)
    several: list[Request] = core.find_requests(filter={"status": ["failed"]}, page={"limit": 5})
    users = AuthClient("http://127.0.0.1:5005", auth)
    realm: Realm = users.create_realm(name="x", max_spaces=5)
    robot: Robot = users.update_robot(realm.id, description=None)
    every: Iterator[User] = users.iter_users(sort={"by": "name", "order": "descending"})
    files: list[BucketFile] = StorageClient("http://127.0.0.1:5005").upload_to_bucket("x", {"a": b"b"})
    print(maybe, several, robot, every, files)


async def twin() -> None:
    async with AsyncAssembler("http://127.0.0.1:5005", "token") as assembler:
        space: Space = await assembler.deploy({"a": b"b"})
        robots: list[Robot] = await assembler.get_robots()
        async for user in assembler.iter_users():
            print(user.name, robots)
        await assembler.delete(space, wait=False)


asyncio.run(twin())
"""
WRONG = [
    ('deploy("x", nmae="a")', "call-arg"),
    ('deploy("x", labels="b", visibility="hidden")', "arg-type"),
    ("get_space(5)", "arg-type"),
    ('find_spaces(filtre={"a": "b"})', "call-arg"),
    ('find_spaces(sort={"by": "a", "order": "down"})', "arg-type"),
    ("create_bucket(nam='x')", "call-arg"),
    ('get_space("x").name', "union-attr"),
]


@pytest.mark.slow
def test_types_are_complete_for_users(tmp_path: Path) -> None:
    """A correct program passes mypy --strict, wrong ones do not."""
    (tmp_path / "good.py").write_text(USER)
    wrong = ["from assembler_client import Assembler", "", 'a = Assembler("http://x", "t")']
    wrong += [f"a.{call}" for call, _ in WRONG]
    (tmp_path / "wrong.py").write_text("\n".join(wrong) + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "good.py", "wrong.py"]
    environ = {**ENVIRON, "MYPYPATH": str(PROJECT / "client")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=500)
    found = re.findall(r"^(\S+):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    assert not [row for row in found if row[0] != "wrong.py"], done.stdout
    for number, (call, code) in enumerate(WRONG, 4):
        assert ("wrong.py", str(number), code) in found, (call, done.stdout)
