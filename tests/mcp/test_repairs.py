"""A scripted agent repairs broken apps: it knows nothing but the answers, and does what they propose."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.mcp.broken import BROKEN, Broken, judge, text_tree
from tests.mcp.conftest import Agent, Running

MOST_CALLS = 4


@pytest.fixture(scope="module", autouse=True)
def judged(running: Running) -> None:
    """The Hub builds what is committed."""
    judge(running.hub)


def repair(agent: Agent, arguments: dict[str, Any]) -> dict[str, Any]:
    """Publishes, and follows `next` until there is none; returns the last answer."""
    tool = "publish_space"
    for _ in range(MOST_CALLS):
        answer = agent.call(tool, **arguments)
        proposed = answer.get("next")
        if proposed is None:
            return answer
        added = dict(proposed["arguments"])
        tool, arguments = proposed["tool"], {**arguments, **added} if proposed.get("repeat") else added
    return answer


def test_there_are_enough() -> None:
    assert len({case.name for case in BROKEN}) == len(BROKEN) >= 20


@pytest.mark.parametrize("case", BROKEN, ids=[case.name for case in BROKEN])
def test_an_agent_that_knows_only_the_answers_repairs_it(running: Running, agent: Agent, case: Broken) -> None:
    name = f"broken-{case.name}-{uuid4().hex[:6]}"
    answer = repair(agent, {**case.arguments, "name": name})
    assert answer["state"] == "running", answer
    assert case.repaired(text_tree(running.hub, f"alice/{name}"))
    assert agent.calls <= MOST_CALLS
    assert agent.characters <= 1500 * agent.calls
