"""`assembler mcp`: the official client on stdin and stdout, and folders of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp_types import ElicitResult

from tests.mcp.conftest import Running
from tests.support.services import PROJECT

PROGRAM = "from assembler_client.cli import main; main()"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an app, a secret and a link out of it."""
    made = tmp_path / "apps" / "site"
    made.mkdir(parents=True)
    (made / "index.html").write_text("<h1>Hello</h1>")
    (made / ".env").write_text("KEY=value-of-the-key\n")
    return made


def environment(running: Running) -> dict[str, str]:
    ours = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT / "client"), "HOME": "/nonexistent"}
    return ours | {"ASSEMBLER_URL": running.url, "ASSEMBLER_TOKEN": running.token, "NO_PROXY": "127.0.0.1"}


@asynccontextmanager
async def connect(running: Running, *folders: Path, mode: Any = "auto", **more: Any) -> AsyncIterator[Client]:
    named = [part for folder in folders for part in ("--folder", str(folder))]
    command = StdioServerParameters(
        command=sys.executable, args=["-c", PROGRAM, "mcp", *named], env=environment(running)
    )
    async with Client(command, mode=mode, **more) as client:
        yield client


def shown(result: Any) -> dict[str, Any]:
    return dict(json.loads(result.content[0].text))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_folder_is_published(running: Running, folder: Path, mode: Any) -> None:
    async def talk() -> None:
        async with connect(running, folder.parent, mode=mode) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert names == sorted(names)
            assert len(names) == 9
            name = f"folder-{uuid4().hex[:8]}"
            answer = shown(await client.call_tool("publish_folder", {"path": "site", "name": name}))
            assert answer["state"] == "running"
            assert "left_out" in {note["code"] for note in answer["notes"]}
            assert set(running.hub.tree(f"alice/{name}")) == {".gitattributes", "README.md", "index.html"}
            (folder / "index.html").write_text("<h1>Changed</h1>")
            again = shown(await client.call_tool("publish_folder", {"path": str(folder), "space": answer["space"]}))
            assert (again["space"], again["commit"] != answer["commit"]) == (answer["space"], True)
            checked = shown(await client.call_tool("publish_folder", {"path": "site", "check": True}))
            assert checked["state"] == "ok"

    anyio.run(talk)


def test_only_named_folders_are_published(running: Running, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "index.html").write_text("private")
    (folder.parent / "way-out").symlink_to(tmp_path / "private")
    (folder / "out.html").symlink_to(tmp_path / "private" / "index.html")

    async def talk() -> None:
        async with connect(running, folder.parent) as client:
            for path in ("../private", str(tmp_path / "private"), "/etc", "way-out", "nowhere", ""):
                if path == "":
                    continue
                done = await client.call_tool("publish_folder", {"path": path})
                assert (done.is_error, shown(done)["notes"][0]["code"]) == (True, "folder_not_allowed"), path
            done = await client.call_tool("publish_folder", {"path": "site"})
            assert (done.is_error, "out.html" in done.content[0].text) == (True, True)

    anyio.run(talk)


def test_without_folders_there_is_no_such_tool(running: Running) -> None:
    async def talk() -> None:
        async with connect(running) as client:
            assert len((await client.list_tools()).tools) == 8

    anyio.run(talk)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_person_is_asked_through_the_bridge(running: Running, folder: Path, mode: Any) -> None:
    async def agree(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"delete": True})

    async def talk() -> None:
        async with connect(running, folder.parent, mode=mode, elicitation_callback=agree) as client:
            name = f"asked-{uuid4().hex[:8]}"
            space = shown(await client.call_tool("publish_folder", {"path": "site", "name": name}))["space"]
            done = shown(await client.call_tool("delete_space", {"space": space}))
            assert done["state"] == "deleting", done
            assert shown(await client.call_tool("wait_for_space", {"space": space}))["state"] == "deleted"

    anyio.run(talk)


def test_a_service_that_is_away_is_an_error(running: Running) -> None:
    messages = ["{", '{"jsonrpc":"2.0","id":7,"method":"tools/list"}', "[]"]
    ours = environment(running) | {"ASSEMBLER_URL": "http://127.0.0.1:9", "ASSEMBLER_PATIENCE": "0.1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "mcp"],
        input="\n".join(messages) + "\n",
        capture_output=True,
        text=True,
        env=ours,
        check=True,
        timeout=60,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(answer["error"]["code"] for answer in answers) == [-32700, -32700, -32603]
    assert "Cannot reach" in next(answer for answer in answers if answer["id"] == 7)["error"]["message"]
