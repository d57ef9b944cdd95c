"""POST /mcp as the official client of the protocol uses it, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import anyio
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from assembler_runner.mcp.tools import TOOLS
from tests.mcp.conftest import NEW, OLD, Agent, Running

NAMES = [
    *("check_files", "delete_space", "get_space", "list_space_types"),
    *("publish_space", "read_log", "restore_space", "wait_for_space"),
]
CALL: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
SITE: dict[str, Any] = {"space_type": "static", "files": {"index.html": "<h1>Hello</h1>"}}


@asynccontextmanager
async def connect(running: Running, mode: Any, **more: Any) -> AsyncIterator[Client]:
    """Connects the official client."""
    headers = {"Authorization": f"Bearer {running.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(f"{running.url}/mcp", http_client=http), mode=mode, **more) as client,
    ):
        yield client


def shown(result: Any) -> dict[str, Any]:
    return dict(json.loads(result.content[0].text))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_publishes(running: Running, mode: Any) -> None:
    async def talk() -> None:
        async with connect(running, mode) as client:
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == NAMES
            name = f"site-{uuid4().hex[:8]}"
            done = await client.call_tool("publish_space", {**SITE, "name": name})
            answer = shown(done)
            assert not done.is_error
            # A call waits for a limited time only; on a slow machine the next one continues.
            while (next_call := answer.get("next")) and next_call["tool"] == "wait_for_space":
                answer = shown(await client.call_tool("wait_for_space", next_call["arguments"]))
            assert answer["state"] == "running"
            assert answer["url"].endswith(name)
            found = shown(await client.call_tool("get_space", {"space": name}))
            assert found["space"] == answer["space"]
            assert not [value for value in found.values() if value is None]

    anyio.run(talk)


@pytest.mark.parametrize("agrees", [True, False])
def test_a_person_is_asked_before_a_deletion(running: Running, agrees: bool) -> None:
    asked: list[str] = []

    async def answer(context: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"delete": agrees})

    async def talk() -> None:
        async with connect(running, "auto", elicitation_callback=answer) as client:
            name = f"gone-{uuid4().hex[:8]}"
            space = shown(await client.call_tool("publish_space", {**SITE, "name": name}))["space"]
            deleted = shown(await client.call_tool("delete_space", {"space": space}))
            assert len(asked) == 1
            assert name in asked[0]
            if not agrees:
                assert (deleted["state"], deleted["notes"][0]["code"]) == ("running", "not_deleted")
                assert f"alice/{name}" in running.hub.spaces()
                return
            assert deleted["next"] == {"tool": "wait_for_space", "arguments": {"space": space}}
            assert shown(await client.call_tool("wait_for_space", {"space": space}))["state"] == "deleted"
            assert f"alice/{name}" not in running.hub.spaces()

    anyio.run(talk)


def test_a_client_that_cannot_ask_is_refused(running: Running, agent: Agent) -> None:
    space = agent.call("publish_space", **SITE, name=f"kept-{uuid4().hex[:8]}")["space"]
    refused = agent.call("delete_space", space=space)
    assert (refused["state"], refused["notes"][0]["code"]) == ("refused", "confirmation_needed")
    assert f"{running.url}/ui/spaces/{space}" in refused["notes"][0]["fix"]

    async def talk() -> None:
        async with connect(running, "legacy") as client:
            done = await client.call_tool("delete_space", {"space": space})
            assert (done.is_error, shown(done)["notes"][0]["code"]) == (True, "confirmation_needed")

    anyio.run(talk)
    assert agent.call("get_space", space=space)["state"] == "running"


def test_a_consent_is_for_one_space_and_one_account(running: Running) -> None:
    agent = running.agent(may_ask=True)
    one, two = (agent.call("publish_space", **SITE, name=f"two-{uuid4().hex[:8]}")["space"] for _ in range(2))
    asked = agent.result("delete_space", {"space": one})
    assert asked["resultType"] == "input_required"
    yes = {"confirm": {"action": "accept", "content": {"delete": True}}}
    for state in (asked["requestState"], asked["requestState"][:-2], "", "x"):
        refused = agent.result("delete_space", {"space": two}, inputResponses=yes, requestState=state)
        assert refused["structuredContent"]["notes"][0]["code"] == "stale_confirmation"
    for reply in ({"action": "decline"}, {"action": "accept"}, {"action": "accept", "content": {"delete": "yes"}}):
        kept = agent.result(
            "delete_space", {"space": one}, inputResponses={"confirm": reply}, requestState=asked["requestState"]
        )
        assert kept["structuredContent"]["notes"][0]["code"] == "not_deleted"
    assert agent.call("get_space", space=one)["state"] == agent.call("get_space", space=two)["state"] == "running"


def test_the_list_of_tools_is_short_and_stable(agent: Agent) -> None:
    text = agent.send("tools/list").text
    assert [tool["name"] for tool in json.loads(text)["result"]["tools"]] == NAMES
    # A token has about four characters of JSON.
    assert len(json.dumps(TOOLS, separators=(",", ":"))) < 2500 * 3
    assert agent.send("tools/list").text == text


def test_discovery(agent: Agent) -> None:
    found = agent.send("server/discover").json()["result"]
    assert NEW in found["supportedVersions"]
    assert "untrusted" in found["instructions"]
    assert found["resultType"] == "complete"


def post(running: Running, body: Any, **headers: str) -> httpx.Response:
    wanted = {"Authorization": f"Bearer {running.token}", "Content-Type": "application/json"} | headers
    content = body if isinstance(body, str) else json.dumps(body)
    return httpx.post(f"{running.url}/mcp", content=content, headers=wanted)


def test_an_old_client_begins_with_initialize(running: Running) -> None:
    params = {"protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}
    begun = post(running, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).json()["result"]
    assert (begun["protocolVersion"], begun["serverInfo"]["name"]) == (OLD, "assembler")
    params["protocolVersion"] = "1999-01-01"
    other = post(running, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).json()["result"]
    assert other["protocolVersion"] == OLD
    noted = post(running, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (noted.status_code, noted.content) == (202, b"")
    listed = post(running, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, **{"MCP-Protocol-Version": OLD})
    assert "ttlMs" not in listed.json()["result"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Mcp-Method": "tools/call"}, -32020),
        ({"MCP-Protocol-Version": "1999-01-01"}, -32022),
    ],
)
def test_headers_must_equal_the_body(agent: Agent, headers: dict[str, str], code: int) -> None:
    answer = agent.send("tools/list", **headers)
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["id"]) == (400, code, 1)
    wrong = agent.send("tools/call", {"name": "get_space", "arguments": {}}, **{"Mcp-Name": "delete_space"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, -32700),
        ("", 400, -32700),
        ([], 400, -32600),
        ({"id": 1, "method": "ping"}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, 200, None),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": "x"}, 400, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "nothing/such"}, 200, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "no"}}, 400, -32602),
        (
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_space", "arguments": 1}},
            400,
            -32602,
        ),
    ],
)
def test_messages_that_break_the_protocol(running: Running, body: Any, status: int, code: int | None) -> None:
    answer = post(running, body)
    assert (answer.status_code, answer.json().get("error", {}).get("code")) == (status, code)


def test_without_a_token_a_client_learns_how_to_sign_in(running: Running) -> None:
    refused = httpx.post(f"{running.url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
    place = f"{running.url}/.well-known/oauth-protected-resource/mcp"
    assert (refused.status_code, f'resource_metadata="{place}"' in refused.headers["WWW-Authenticate"]) == (401, True)
    for address in (place, place.removesuffix("/mcp")):
        shown = httpx.get(address).json()
        assert (shown["resource"], shown["bearer_methods_supported"]) == (f"{running.url}/mcp", ["header"])
        assert shown["authorization_servers"] == [running.url]


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), (None, 200), ("own", 200)])
def test_pages_of_other_origins_are_refused(running: Running, origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": running.url if origin == "own" else origin}
    assert post(running, {"jsonrpc": "2.0", "id": 1, "method": "ping"}, **headers).status_code == status


def test_other_methods_are_refused(running: Running) -> None:
    headers = {"Authorization": f"Bearer {running.token}"}
    for method in ("GET", "DELETE"):
        assert httpx.request(method, f"{running.url}/mcp", headers=headers).status_code == 405


def test_text_for_agents(running: Running) -> None:
    text = httpx.get(f"{running.url}/llms.txt")
    assert (text.status_code, text.headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    assert text.text.startswith("# Assembler\n\n> ")
    assert f"{running.url}/mcp" in text.text
    assert all(f"`{name}`" in text.text for name in NAMES)
    for path in ("/", "/docs"):
        page = httpx.get(f"{running.url}{path}", headers={"Accept": "text/markdown"})
        assert page.headers["Content-Type"].startswith("text/markdown")
        assert page.text.startswith("#")
    assert httpx.get(f"{running.url}/docs").headers["Content-Type"].startswith("text/plain")
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert httpx.get(f"{running.url}/", headers=browser).headers["Content-Type"].startswith("text/html")
