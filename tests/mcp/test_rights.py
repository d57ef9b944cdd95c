"""Rights, not words, protect: what an account of an agent may do, and what the audit log says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.mcp.conftest import Agent, Running
from tests.support.services import PROJECT

PROGRAM = "from assembler_client.cli import main; main()"
SITE: dict[str, Any] = {"space_type": "static", "files": {"index.html": "<h1>Hello</h1>"}}


def command(running: Running, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    ours = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT / "client"), "XDG_CONFIG_HOME": str(tmp_path)}
    ours |= {"ASSEMBLER_URL": running.url, "ASSEMBLER_TOKEN": running.token, "HOME": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=ours, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def reader(running: Running, tmp_path: Path) -> Agent:
    """An agent that may create and read, made by the command line."""
    name = f"reader-{uuid4().hex[:8]}"
    done = command(running, tmp_path, "agent", "create", name, "--space-read", "--space-create", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["permissions"] == ["plugin_read", "space_create", "space_read"]
    grant = {"grant_type": "robot_credentials", "id": made["id"], "secret": made["secret"]}
    answer = httpx.post(f"{running.url}/auth/token", json=grant)
    assert answer.status_code == 200, answer.text
    return Agent(running.url, answer.json()["access_token"], may_ask=True)


def test_an_agent_has_the_rights_that_were_named(running: Running, reader: Agent) -> None:
    space = reader.call("publish_space", **SITE, name=f"own-{uuid4().hex[:8]}")["space"]
    assert reader.call("get_space", space=space)["state"] == "running"
    for tool, arguments in (
        ("delete_space", {}),
        ("restore_space", {}),
        ("publish_space", {"files": {"a.html": "x"}}),
        ("publish_space", {"fix": True}),
    ):
        refused = reader.call(tool, space=space, **arguments)
        assert (refused["state"], refused["notes"][0]["code"]) == ("refused", "forbidden"), tool
        assert "space_" in refused["notes"][0]["message"]
    assert reader.call("get_space", space=space)["state"] == "running"


def test_rights_must_be_named(running: Running, tmp_path: Path) -> None:
    refused = command(running, tmp_path, "agent", "create", "nothing")
    assert (refused.returncode, "--space-read" in refused.stderr) == (2, True)


def test_the_login_of_an_agent_is_stored(running: Running, tmp_path: Path) -> None:
    name = f"stored-{uuid4().hex[:8]}"
    done = command(running, tmp_path, "agent", "create", name, "--space-read", "--store", "bot", "--json")
    made = json.loads(done.stdout)
    assert "secret" not in made
    assert made["mcp"]["assembler"]["args"] == ["mcp", "--profile", "bot", "--folder", "."]
    stored = json.loads((tmp_path / "assembler" / "profiles.json").read_text())["profiles"]["bot"]
    assert stored["robot_id"] == made["id"]


def test_the_audit_log_names_the_client(running: Running) -> None:
    agent = running.agent(name="some-agent")
    space = agent.call("publish_space", **SITE, name=f"audit-{uuid4().hex[:8]}")["space"]
    headers = {"Authorization": f"Bearer {running.token}"}
    rows = httpx.get(f"{running.url}/auth/audit-log?filter[object_id]={space}", headers=headers)
    if rows.status_code == 404:
        rows = httpx.get(f"{running.url}/audit?filter[object_id]={space}", headers=headers)
    (entry,) = rows.json()["data"]
    assert (entry["action"], entry["details"]["client"]) == ("create", "some-agent 1")


def test_a_name_of_a_client_is_data(running: Running) -> None:
    agent = running.agent(name="a\x1b[31m\u202e" + "x" * 500)
    space = agent.call("publish_space", **SITE, name=f"audit-{uuid4().hex[:8]}")["space"]
    assert agent.call("get_space", space=space)["state"] == "running"


def test_a_realm_can_switch_agents_off(running: Running) -> None:
    headers = {"Authorization": f"Bearer {running.token}"}
    realm = httpx.get(f"{running.url}/auth/users/@me", headers=headers).json()["realm_id"]
    agent = running.agent()

    def allow(value: bool) -> None:
        changed = httpx.post(f"{running.url}/auth/realms/{realm}", headers=headers, json={"allow_agents": value})
        assert (changed.status_code, changed.json()["allow_agents"]) == (202, value)

    allow(False)
    try:
        refused = agent.send("tools/list")
        assert refused.status_code == 403
        assert refused.json()["error"]["message"] == "The realm of this account does not allow agents."
        # People and programs go on by REST.
        assert httpx.get(f"{running.url}/spaces", headers=headers).status_code == 200
    finally:
        allow(True)
    assert agent.send("tools/list").status_code == 200
