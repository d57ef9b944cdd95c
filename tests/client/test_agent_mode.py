"""The command line for agents: no prompts, no colours, one compact answer with the next command."""

from __future__ import annotations

import re
import time
from pathlib import Path
from uuid import uuid4

import pytest

from assembler_client import Assembler
from assembler_client.agent.text import command_of
from tests.client.test_cli import Run, logged_in, run, site

__all__ = ["logged_in", "run", "site"]


def fields(text: str) -> dict[str, str]:
    """The lines `name: value` of an answer."""
    return dict(line.split(": ", 1) for line in text.splitlines() if re.match(r"[a-z]+: ", line))


@pytest.mark.parametrize("sign", ["--agent", "CLAUDECODE", "CODEX_SANDBOX", "AI_AGENT"])
def test_an_answer_is_compact(logged_in: Run, site: Path, sign: str) -> None:
    name = f"agent-{uuid4().hex[:8]}"
    options, environ = ((sign,), {}) if sign == "--agent" else ((), {sign: "1"})
    done = logged_in(*options, "create", "site", "--name", name, **environ)
    shown = fields(done.stdout)
    assert (shown["state"], shown["url"].endswith(name)) == ("running", True)
    assert re.fullmatch(r"[0-9a-f-]{36}", shown["space"])
    assert "\x1b" not in done.stdout + done.stderr
    assert len(done.stdout) < 1500


def test_people_and_scripts_are_no_agents(logged_in: Run, site: Path) -> None:
    name = f"person-{uuid4().hex[:8]}"
    assert "state:" not in logged_in("create", "site", "--name", name).stdout
    assert "state:" not in logged_in("--no-agent", "show", name, CLAUDECODE="1").stdout
    assert logged_in("show", name, "--json", CLAUDECODE="1").stdout.startswith("{")


def test_the_life_of_a_space(logged_in: Run, site: Path, assembler: Assembler) -> None:
    name = f"life-{uuid4().hex[:8]}"
    first = fields(logged_in("--agent", "create", "site", "--name", name, "--type", "static").stdout)
    (site / "index.html").write_text("<h1>Changed</h1>\n")
    (site / "more.html").write_text("more\n")
    second = fields(logged_in("--agent", "update", name, "site").stdout)
    assert (second["space"], second["state"], second["commit"] != first["commit"]) == (first["space"], "running", True)
    assert fields(logged_in("--agent", "show", name).stdout)["commit"] == second["commit"]
    assert name in logged_in("--agent", "list").stdout
    assert fields(logged_in("--agent", "wait", name).stdout)["state"] == "running"
    assert fields(logged_in("--agent", "logs", name).stdout)["state"] == "running"
    third = fields(logged_in("--agent", "rollback", name).stdout)
    request = assembler.find(name).latest_request
    assert request is not None
    assert (third["state"], request.action, {file.path for file in request.files}) == (
        "running",
        "rollback",
        {"README.md", "index.html"},
    )
    refused = logged_in("--agent", "delete", name, code=2)
    assert "--yes" in refused.stderr
    assert fields(logged_in("--agent", "delete", name, "--yes").stdout)["state"] == "deleted"
    assert assembler.find(first["space"]).state == "deleted"


def test_all_problems_are_said_at_once(logged_in: Run, tmp_path: Path) -> None:
    folder = tmp_path / "work" / "bad"
    folder.mkdir()
    (folder / "app.py").write_text("def broken(:\n")
    (folder / "requirements.txt").write_text("numpy @ file:///C:/x\n")
    done = logged_in("--agent", "create", "bad", "--type", "gradio", code=3)
    assert fields(done.stdout)["state"] == "invalid"
    assert "app.py" in done.stdout
    assert "requirements.txt:1" in done.stdout
    checked = logged_in("--agent", "preview", "bad", "--type", "gradio", code=3)
    assert "requirements.txt:1" in checked.stdout


def test_what_fails_has_an_exit_code_and_a_hint(logged_in: Run, run: Run) -> None:
    assert "fix:" in logged_in("--agent", "show", "nothing-such", code=4).stdout
    refused = run("--agent", "list", code=4, ASSEMBLER_URL="http://127.0.0.1:9", ASSEMBLER_PATIENCE="0.1")
    assert "state: refused" in refused.stdout


def test_secrets_of_the_environment_pass_beside_the_model(logged_in: Run, tmp_path: Path, assembler: Assembler) -> None:
    folder = tmp_path / "work" / "app"
    folder.mkdir()
    (folder / "app.py").write_text("import gradio as gr\ngr.Interface(str, 'text', 'text').launch()\n")
    name = f"secret-{uuid4().hex[:8]}"
    done = logged_in("--agent", "create", "app", "-n", name, "--secret", "KEY", KEY="hush-hush-hush")
    assert fields(done.stdout)["state"] == "stored"
    assert "hush" not in done.stdout + done.stderr


def test_what_only_the_api_takes(logged_in: Run, site: Path, assembler: Assembler) -> None:
    name = f"label-{uuid4().hex[:8]}"
    shown = fields(logged_in("--agent", "create", "site", "--name", name, "--label", "course").stdout)
    assert (shown["state"], assembler.find(name).labels) == ("running", ["course"])


def test_types(logged_in: Run) -> None:
    assert {"gradio", "static"} <= {line.split(":")[0] for line in logged_in("--agent", "types").stdout.splitlines()}
    assert "options:" in logged_in("--agent", "types", "gradio").stdout


def test_the_skill_is_installed(run: Run, tmp_path: Path) -> None:
    places = run("skill", "install").stdout.split()
    assert [Path(place).relative_to(tmp_path / "work").as_posix() for place in places] == [
        ".claude/skills/assembler/SKILL.md",
        ".agents/skills/assembler/SKILL.md",
    ]
    text = Path(places[0]).read_text()
    assert text.startswith("---\nname: assembler\ndescription: ")
    assert run("skill", "show").stdout == text
    (place,) = run("skill", "install", "--user", "--place", "claude").stdout.split()
    assert Path(place) == tmp_path / ".claude/skills/assembler/SKILL.md"


def test_every_next_call_has_a_command(run: Run) -> None:
    calls = [("wait_for_space", {"space": "x"}), ("read_log", {"space": "x", "kind": "build"}), ("get_space", {})]
    calls += [("publish_space", {"space": "x", "fix": True}), ("publish_space", {}), ("list_space_types", {})]
    assert "--fix" in str(command_of({"tool": "publish_space", "arguments": {"fix": True}, "repeat": True}))
    for tool, arguments in calls:
        command = command_of({"tool": tool, "arguments": arguments})
        assert command is not None
        started = time.monotonic()
        run(*command.split()[1:2], "--help")
        assert time.monotonic() - started < 60


def test_commands_without_a_tool_answer_in_the_same_form(logged_in: Run, site: Path) -> None:
    first = fields(logged_in("--agent", "deploy", "site", "--name", f"deploy-{uuid4().hex[:8]}").stdout)
    (site / "index.html").write_text("<h1>Changed</h1>\n")
    second = fields(logged_in("--agent", "deploy", "site").stdout)
    assert (second["state"], second["space"]) == ("running", first["space"])
    refused = logged_in("--agent", "restart", first["space"], code=4)
    assert "state: refused" in refused.stdout
    assert "fix:" in refused.stdout
