"""What each tool does and says, within its bounds."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from assembler_runner.devhub import Fault, Stage
from tests.mcp.conftest import Agent, Running

GRADIO = "import gradio as gr\ngr.Interface(str, 'text', 'text').launch()\n"
SITE: dict[str, Any] = {"space_type": "static", "files": {"index.html": "<h1>Hello</h1>"}}


def named(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:8]}"


def test_the_same_call_makes_one_space(running: Running, agent: Agent) -> None:
    name = named("once")
    first, second = (agent.call("publish_space", **SITE, name=name) for _ in range(2))
    assert first == second
    assert "next" not in first
    assert len(running.hub.commits(f"alice/{name}")) == 1
    without_name = [agent.call("publish_space", space_type="static", files={"index.html": name}) for _ in range(2)]
    assert without_name[0]["space"] == without_name[1]["space"]


def test_a_change_names_only_what_changes(running: Running, agent: Agent) -> None:
    name = named("change")
    space = agent.call("publish_space", **SITE, name=name)["space"]
    changed = agent.call("publish_space", space=name, files={"more.html": "more"})
    assert (changed["space"], changed["state"]) == (space, "running")
    assert set(running.hub.tree(f"alice/{name}")) == {".gitattributes", "README.md", "index.html", "more.html"}
    agent.call("publish_space", space=space, files={"more.html": None})
    assert "more.html" not in running.hub.tree(f"alice/{name}")
    commits = len(running.hub.commits(f"alice/{name}"))
    agent.call("publish_space", space=space, files={"more.html": None, "index.html": "<h1>Hello</h1>"})
    assert len(running.hub.commits(f"alice/{name}")) == commits
    agent.call("publish_space", space=space, files={"index.html": "two"}, replace=True)
    restored = agent.call("restore_space", space=space)
    assert restored["state"] == "running"
    assert running.hub.tree(f"alice/{name}")["index.html"] == b"<h1>Hello</h1>"


def test_a_taken_name_leads_to_the_space(agent: Agent) -> None:
    name = named("taken")
    space = agent.call("publish_space", **SITE, name=name)["space"]
    refused = agent.call("publish_space", space_type="static", files={"index.html": "other"}, name=name)
    assert (refused["state"], refused["notes"][0]["code"]) == ("invalid", "name_taken")
    assert refused["next"] == {"tool": "publish_space", "arguments": {"space": space, "replace": True}}


@pytest.mark.parametrize(
    ("tool", "arguments", "codes"),
    [
        ("get_space", {"space": 5, "typo": 1}, {"invalid_argument", "unknown_argument"}),
        ("publish_space", {"files": [], "wait": 99, "visibility": "all"}, {"invalid_argument"}),
        ("publish_space", {}, {"invalid_field"}),
        ("publish_space", {"space_type": "nothing", "files": {"../x": "a", "a": 5}}, set()),
        ("wait_for_space", {}, {"missing_argument"}),
        ("get_space", {"space": "nothing-such"}, {"not_found"}),
        ("get_space", {"space": "00000000-0000-4000-8000-000000000000"}, {"not_found"}),
        ("list_space_types", {"name": "nothing"}, {"not_found"}),
        ("check_files", {"files": {"app.py": "x"}, "hardware": "t4-small"}, {"unknown_argument"}),
    ],
)
def test_wrong_input_is_a_result_with_all_problems(
    agent: Agent, tool: str, arguments: dict[str, Any], codes: set[str]
) -> None:
    result = agent.result(tool, arguments)
    shown = result["structuredContent"]
    assert (result["isError"], shown["state"] in ("invalid", "refused")) == (True, True)
    assert codes <= {note["code"] for note in shown["notes"]}
    assert len({note.get("at") for note in shown["notes"]}) >= min(2, len(arguments)) or len(codes) < 2


def test_secrets_are_not_taken(running: Running, agent: Agent) -> None:
    name = named("secret")
    result = agent.result("publish_space", {"files": {"app.py": GRADIO}, "name": name, "secrets": {"KEY": "hush-hush"}})
    shown = result["structuredContent"]
    note = next(note for note in shown["notes"] if note["code"] == "secrets_not_taken")
    assert f"{running.url}/ui/spaces/{shown['space']}" in note["fix"]
    assert running.hub.space(f"alice/{name}").secrets == {}
    assert "hush" not in json.dumps(result)


def test_secrets_beside_the_arguments_are_those_of_a_client_program(running: Running, agent: Agent) -> None:
    name = named("beside")
    arguments = {"files": {"app.py": GRADIO}, "name": name}
    result = agent.result("publish_space", arguments, _meta={"assembler/secrets": {"KEY": "hush-hush"}})
    assert result["structuredContent"]["state"] == "running"
    assert {key: entry.value for key, entry in running.hub.space(f"alice/{name}").secrets.items()} == {
        "KEY": "hush-hush"
    }
    assert "hush" not in json.dumps(result)


def test_many_problems_stay_within_the_bound(agent: Agent) -> None:
    files = {f"file-{number}.py": "def broken(:\n" for number in range(200)}
    result = agent.result("check_files", {"space_type": "gradio", "files": {"app.py": "def broken(:\n", **files}})
    shown = result["structuredContent"]
    assert shown["state"] == "invalid"
    assert len(result["content"][0]["text"]) <= 1500
    assert any("more" in note["message"] for note in shown["notes"])
    assert all(note["code"] for note in shown["notes"])


def test_files_are_checked_before_they_are_published(agent: Agent) -> None:
    bad = agent.call(
        "check_files", space_type="gradio", files={"app.py": GRADIO, "requirements.txt": "numpy @ file:///C:/x\n"}
    )
    assert bad["state"] == "invalid"
    assert ("requirement_own_computer", "requirements.txt:1") in {
        (note["code"], note.get("at")) for note in bad["notes"]
    }
    good = agent.call("check_files", files={"app.py": GRADIO})
    assert (good["state"], good["next"]["tool"]) == ("ok", "publish_space")
    space = agent.call("publish_space", **SITE, name=named("check"))["space"]
    assert agent.call("check_files", space=space, files={"b.html": "b"})["state"] == "ok"


def test_a_log_is_cut_at_its_end(running: Running, agent: Agent) -> None:
    name = named("log")
    space = agent.call("publish_space", files={"app.py": GRADIO}, name=name)["space"]
    running.hub.set_logs(f"alice/{name}", "run", [f"line {number} {'x' * 60}" for number in range(300)])
    shown = agent.call("read_log", space=space)
    assert (shown["untrusted"]["source"], shown["untrusted"]["cut"]) == ("run_log", True)
    assert "line 299" in shown["untrusted"]["text"]
    assert "line 1 " not in shown["untrusted"]["text"]
    assert agent.call("read_log", space=space, kind="build")["untrusted"]["source"] == "build_log"


def test_a_wait_ends_with_the_outcome(running: Running, agent: Agent) -> None:
    name = named("wait")
    running.hub.script(f"alice/{name}", [("BUILDING", 4.0), "RUNNING"])
    begun = agent.call("publish_space", files={"app.py": GRADIO}, name=name, wait=0)
    assert begun["state"] in ("publishing", "building")
    assert begun["next"] == {"tool": "wait_for_space", "arguments": {"space": begun["space"]}}
    assert agent.call("wait_for_space", space=begun["space"], wait=0)["state"] in ("publishing", "building")
    ended = agent.call("wait_for_space", space=begun["space"])
    assert (ended["state"], "next" in ended) == ("running", False)


def test_a_request_that_fails_says_why(running: Running, agent: Agent) -> None:
    name = named("refused")
    running.hub.faults.add(
        Fault("status", method="POST", path=f"/api/spaces/alice/{name}/commit/main", status=403, body={"error": "no"})
    )
    failed = agent.call("publish_space", **SITE, name=name)
    assert (failed["state"], failed["notes"][0]["code"]) == ("failed", "target_forbidden")
    assert "HF_TOKEN" in failed["notes"][0]["message"]
    # Sent again, it is a new attempt for the same Space.
    again = agent.call("publish_space", **SITE, name=name)
    assert (again["state"], again["space"]) == ("running", failed["space"])


def test_a_paused_app_needs_nothing(running: Running, agent: Agent) -> None:
    name = named("paused")
    space = agent.call("publish_space", files={"app.py": GRADIO}, name=name)["space"]
    running.hub.set_stage(f"alice/{name}", Stage("PAUSED"))
    assert agent.call("get_space", space=space)["state"] in ("running", "paused")


def test_spaces_and_types_are_listed(agent: Agent) -> None:
    name = named("listed")
    space = agent.call("publish_space", **SITE, name=name)["space"]
    rows = agent.call("get_space")["spaces"]
    assert {"space": space, "name": name, "state": "running"} in rows
    types = {kind["name"]: kind for kind in agent.call("list_space_types")["types"]}
    assert {"gradio", "static", "docker", "streamlit"} <= set(types)
    (gradio,) = agent.call("list_space_types", name="gradio")["types"]
    assert "app_file" in gradio["options"]
