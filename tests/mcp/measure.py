"""Measures what repairing each broken app costs an agent through three doors, and writes the table into docs/agents.md.

Usage: python -m tests.mcp.measure
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from assembler_client.agent.text import lines
from assembler_runner.devhub import StandInHub
from assembler_runner.mcp.tools import TOOLS
from tests.mcp.broken import BROKEN, Broken, judge, size_of
from tests.mcp.conftest import Agent, Running
from tests.support.services import PASSWORD, PROJECT, Process, hub_settings

PAGE = PROJECT / "docs" / "agents.md"
BEGIN, END = "<!-- numbers: written by python -m tests.mcp.measure -->", "<!-- end of the numbers -->"
MOST_CALLS = 6
SETTLED = ("running", "runtime_error", "build_error", "config_error", "failed", "stored")


@dataclass
class Cost:
    """What a door costs."""

    calls: int = 0
    characters: int = 0

    def add(self, characters: int) -> None:
        """Counts a call."""
        self.calls += 1
        self.characters += characters


def by_tools(running: Running, case: Broken) -> tuple[Cost, Cost]:
    """Repairs by POST /mcp; the second cost is that of the command line for agents, with the same calls."""
    agent, text = running.agent(), Cost()
    tool, arguments = "publish_space", {**case.arguments, "name": f"broken-{case.name}-{uuid4().hex[:6]}"}
    for _ in range(MOST_CALLS):
        answer = Agent.call(agent, tool, **arguments)
        text.add(sum(len(line) + 1 for line in lines(answer)))
        proposed = answer.get("next")
        if proposed is None:
            break
        tool, added = proposed["tool"], dict(proposed["arguments"])
        arguments = {**arguments, **added} if proposed.get("repeat") else added
    assert answer["state"] == "running", (case.name, answer)
    return Cost(agent.calls, agent.characters), text


def by_rest(running: Running, case: Broken) -> Cost:
    """Repairs by the REST API: create, long-poll the events, get the Space, apply the fix."""
    cost = Cost()
    headers = {"Authorization": f"Bearer {running.token}"}
    with httpx.Client(base_url=running.url, headers=headers, timeout=60) as http:

        def ask(method: str, path: str, body: Any = None) -> Any:
            answer = http.request(method, path, json=body)
            cost.add(len(answer.text))
            return answer.json()

        body = {**case.arguments, "name": f"broken-{case.name}-{uuid4().hex[:6]}"}
        made = ask("POST", "/spaces", body)
        if "issues" in made:
            made = ask("POST", "/spaces", {**body, "fixes": "safe"})
        space = _settled(ask, made["id"])
        if space["state"] != "running":
            ask("POST", f"/spaces/{made['id']}/command", {"command": "apply_fix"})
            space = _settled(ask, made["id"])
    assert space["state"] == "running", (case.name, space)
    return cost


def _settled(ask: Callable[..., Any], space_id: str) -> dict[str, Any]:
    last = 0
    while True:
        events = ask("GET", f"/spaces/{space_id}/events?after={last}&wait=30")["data"]
        last = max([last, *(event["id"] for event in events)])
        states = [event["data"].get("new") for event in events if event["type"] == "state"]
        if set(states) & set(SETTLED):
            space: dict[str, Any] = ask("GET", f"/spaces/{space_id}")
            if space["latest_request"]["status"] == "succeeded" and space["state"] in SETTLED:
                return space


@contextmanager
def service() -> Iterator[Running]:
    """A service and a stand-in Hub that builds what is committed."""
    with tempfile.TemporaryDirectory() as folder, StandInHub() as hub:
        judge(hub)
        settings = {**hub_settings(hub), "ADMIN_PASSWORD": PASSWORD, "FOLLOW_SECONDS": "0.05"}
        settings |= {"NO_PROXY": "127.0.0.1,localhost", "HF_HUB_DISABLE_XET": "1"}
        arguments = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(Path(folder) / "own"))
        with Process(*arguments, **settings) as process:
            yield Running(hub, process.wait_for_line(r"ready at (\S+)")[1])


def main() -> None:
    """Measures, and writes the table."""
    rows, sums = [], [Cost(), Cost(), Cost()]
    with service() as running:
        spec = len(httpx.get(f"{running.url}/api-spec.json").text)
        for case in BROKEN:
            tools, text = by_tools(running, case)
            costs = (tools, text, by_rest(running, case))
            rows.append([case.name, *(f"{number:,}" for cost in costs for number in (cost.calls, cost.characters))])
            for total, cost in zip(sums, costs, strict=True):
                total.calls += cost.calls
                total.characters += cost.characters
    rows.append(["all", *(f"{number:,}" for cost in sums for number in (cost.calls, cost.characters))])
    head = ["App", "/mcp: calls", "characters", "CLI: calls", "characters", "REST: calls", "characters"]
    table = [f"| {' | '.join(row)} |" for row in (head, ["---", *["---:"] * 6], *rows)]
    listed = f"The list of tools has {size_of(list(TOOLS)):,} characters; the OpenAPI document has {spec:,}."
    text_of_page = PAGE.read_text(encoding="utf-8")
    block = "\n".join((BEGIN, "", *table, "", listed, "", END))
    PAGE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: block, text_of_page, flags=re.DOTALL), encoding="utf-8")
    print(time.strftime("%X"), "written")


if __name__ == "__main__":
    main()
