"""A running service with a stand-in Hub, and clients of the Model Context Protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from assembler_runner.devhub import StandInHub
from tests.support.services import PASSWORD, Client, Process, hub_settings

NEW, OLD = "2026-07-28", "2025-11-25"
META = "io.modelcontextprotocol/"


@dataclass
class Agent:
    """A client that sends single messages of the stateless generation."""

    url: str
    token: str
    name: str = "test-agent"
    may_ask: bool = False
    calls: int = 0
    characters: int = 0

    def send(self, method: str, params: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        """Sends one message."""
        params = dict(params or {})
        meta = {f"{META}protocolVersion": NEW, f"{META}clientInfo": {"name": self.name, "version": "1"}}
        meta[f"{META}clientCapabilities"] = {"elicitation": {}} if self.may_ask else {}
        params["_meta"] = meta | params.get("_meta", {})
        wanted = {"Authorization": f"Bearer {self.token}", "MCP-Protocol-Version": NEW, "Mcp-Method": method}
        if "name" in params:
            wanted["Mcp-Name"] = params["name"]
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return httpx.post(f"{self.url}/mcp", json=body, headers=wanted | headers, timeout=60)

    def result(self, tool: str, arguments: dict[str, Any], **params: Any) -> dict[str, Any]:
        """Calls a tool; returns the result as it is."""
        answer = self.send("tools/call", {"name": tool, "arguments": arguments, **params})
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["result"])

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Calls a tool; returns the answer."""
        result = self.result(tool, arguments)
        text = result["content"][0]["text"]
        self.calls += 1
        self.characters += len(text)
        shown = json.loads(text)
        assert shown == result["structuredContent"]
        assert len(text) <= (6000 if tool == "read_log" else 1500)
        assert result["isError"] == (shown["state"] in ("refused", "invalid") and tool != "check_files") or (
            tool == "check_files"
        )
        return dict(shown)


class Running:
    """A service with a worker in its own process."""

    def __init__(self, hub: StandInHub, url: str) -> None:
        self.hub, self.url = hub, url
        with Client(url) as client:
            self.token = client.token

    def agent(self, **more: Any) -> Agent:
        return Agent(self.url, self.token, **more)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all tests of this room; each test uses names of its own."""
    folder = tmp_path_factory.mktemp("agents")
    with StandInHub() as hub:
        settings = {**hub_settings(hub), "ADMIN_PASSWORD": PASSWORD, "FOLLOW_SECONDS": "0.05", "HUB_TIMEOUT": "5"}
        settings |= {"NO_PROXY": "127.0.0.1,localhost", "HF_HUB_DISABLE_XET": "1"}
        arguments = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(folder))
        with Process(*arguments, **settings) as process:
            yield Running(hub, process.wait_for_line(r"ready at (\S+)")[1])
        assert hub.bugs == []


@pytest.fixture
def agent(running: Running) -> Agent:
    """An agent with all rights."""
    return running.agent()
