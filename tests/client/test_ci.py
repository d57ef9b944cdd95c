"""The pipelines of examples/ci: their steps are run as the runners run them, against a running service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.client.conftest import Running
from tests.support.services import PROJECT

CI = PROJECT / "examples" / "ci"
ACTION: dict[str, Any] = yaml.safe_load((CI / "github" / "action.yml").read_text())
GITLAB: dict[str, Any] = yaml.safe_load((CI / "gitlab.yml").read_text())

Done = subprocess.CompletedProcess[str]


class Runner:
    """Runs steps in a folder with an app, as a new checkout each time."""

    def __init__(self, running: Running, tmp_path: Path) -> None:
        self.folder = tmp_path / "checkout"
        self.folder.mkdir()
        self.page("<h1>One</h1>")
        self.temp = tmp_path
        self.space = f"ci-{time.monotonic_ns()}"
        program = "import sys; from assembler_client.cli import main; main()"
        command = tmp_path / "bin" / "assembler"
        command.parent.mkdir()
        command.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{program}' \"$@\"\n")
        command.chmod(0o755)
        self.environ = {
            "PATH": f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT / "client"),
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "ASSEMBLER_URL": running.url,
            "ASSEMBLER_TOKEN": running.token(),
        }

    def page(self, text: str) -> None:
        (self.folder / "index.html").write_text(text)

    def run(self, script: str, code: int = 0, **environ: str) -> Done:
        (self.folder / ".assembler.json").unlink(missing_ok=True)
        done = subprocess.run(
            ["sh", "-e", "-c", script],
            cwd=self.folder,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def action(self, command: str, pull_request: str = "", code: int = 0) -> tuple[Done, str]:
        """Runs the step that works, with the expressions of the action filled in; returns it and its comment."""
        inputs = {name: str(given.get("default", "")) for name, given in ACTION["inputs"].items()}
        inputs |= {"command": command, "space": self.space, "folder": ".", "target": "local"}
        values = {f"inputs.{name}": value for name, value in inputs.items()}
        values |= {"inputs.url": self.environ["ASSEMBLER_URL"], "inputs.token": self.environ["ASSEMBLER_TOKEN"]}
        values |= {"github.action_path": str(CI / "github"), "runner.temp": str(self.temp)}
        values |= {"github.event.pull_request.number": pull_request}
        (step,) = [step for step in ACTION["runs"]["steps"] if step.get("id") == "work"]
        environ = {
            name: re.sub(r"\$\{\{ ([^}]+) \}\}", lambda found: values[found[1]], str(value))
            for name, value in step["env"].items()
        }
        output = self.temp / "output"
        comment = Path(environ["COMMENT"])
        comment.unlink(missing_ok=True)
        done = self.run(step["run"], code, **environ, GITHUB_OUTPUT=str(output))
        assert f"comment={comment}" in output.read_text()
        return done, comment.read_text() if comment.exists() else ""


@pytest.fixture
def runner(running: Running, tmp_path: Path) -> Runner:
    return Runner(running, tmp_path)


def names(running: Running, label: str) -> set[str]:
    with running.assembler() as assembler:
        return {space.name for space in assembler.iter_spaces(filter={"label": label}) if space.state != "deleted"}


@pytest.mark.slow
def test_the_action_publishes_reviews_and_cleans_up(running: Running, runner: Runner) -> None:
    first, comment = runner.action("publish")
    assert runner.space in first.stdout
    assert comment == ""
    runner.page("<h1>Two</h1>")
    _, comment = runner.action("review", "7")
    assert "The review Space runs:** http" in comment
    assert "+<h1>Two</h1>" in comment
    assert "-<h1>One</h1>" in comment
    label = f"review-of-{runner.space}"
    review = f"{runner.space}-review-7"
    assert names(running, label) == {review}
    with running.assembler() as assembler:
        assert assembler.find(review).expires_at is not None
        assert assembler.find(runner.space).latest_request.number == 1
    # The next push to the pull request updates its Space; a second pull request has one of its own.
    runner.page("<h1>Three</h1>")
    runner.action("review", "7")
    runner.action("review", "8")
    assert names(running, label) == {review, f"{runner.space}-review-8"}
    runner.action("clean_up", "7")
    assert names(running, label) == {f"{runner.space}-review-8"}
    # After the merge the same Space is updated, though the checkout is new.
    runner.action("publish")
    with running.assembler() as assembler:
        assert assembler.find(runner.space).latest_request.number == 2


@pytest.mark.slow
def test_errors_are_in_the_comment_and_nothing_is_published(running: Running, runner: Runner) -> None:
    runner.page("<h1>Two</h1>")
    token = "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH"
    (runner.folder / "app.js").write_text(f'const token = "{token}";\n')
    _, comment = runner.action("review", "9", code=3)
    assert "nothing was published" in comment
    assert "secret_in_file" in comment
    assert names(running, f"review-of-{runner.space}") == set()


@pytest.mark.slow
def test_the_gitlab_template_runs_the_same_scripts(running: Running, runner: Runner) -> None:
    shutil.copytree(CI, runner.folder / ".assembler")
    (runner.folder / ".assemblerignore").write_text(".assembler/\n")

    def job(name: str, **environ: str) -> None:
        variables = {**GITLAB[".assembler"]["variables"], **GITLAB[name].get("variables", {}), **environ}
        values = {"CI_MERGE_REQUEST_IID": "3"}
        given = {key: values.get(str(value).removeprefix("$"), str(value)) for key, value in variables.items()}
        runner.run("\n".join(GITLAB[name]["script"]), SPACE=runner.space, TARGET="local", **given)

    job("publish space", FOLDER=".")
    job("review space")
    assert "The review Space runs" in (runner.folder / "comment.md").read_text()
    with running.assembler() as assembler:
        release = assembler.find(runner.space).latest_request
        assert release is not None
        assert {file.path for file in release.files if file.origin == "given"} == {"index.html"}
    assert names(running, f"review-of-{runner.space}") == {f"{runner.space}-review-3"}
    job("delete review space")
    assert names(running, f"review-of-{runner.space}") == set()


def test_pipelines_name_files_that_exist_and_keep_expressions_out_of_scripts() -> None:
    workflow = yaml.safe_load((CI / "github" / "workflow.yml").read_text())
    steps = [*ACTION["runs"]["steps"], *workflow["jobs"]["space"]["steps"]]
    # What somebody else may name, such as a branch, would be run as a script.
    assert not [step for step in steps if "${{" in step.get("run", "")]
    used = {line for job in GITLAB.values() for line in job.get("script", [])}
    assert used == {f".assembler/scripts/{name}.sh" for name in ("publish", "review", "clean_up")}
    for name in ("publish", "review", "clean_up"):
        assert os.access(CI / "scripts" / f"{name}.sh", os.X_OK)


@pytest.mark.slow
def test_the_hook_of_pre_commit_checks_a_folder_without_a_service(runner: Runner) -> None:
    (hook,) = yaml.safe_load((PROJECT / ".pre-commit-hooks.yaml").read_text())
    command = " ".join([hook["entry"], *hook["args"]])
    away = {"ASSEMBLER_URL": "http://127.0.0.1:1", "ASSEMBLER_TOKEN": "none"}
    assert "Nothing was found" in runner.run(f"{command} --type static", **away).stderr
    (runner.folder / "app.py").write_text("import gradio\nprint(\n")
    (runner.folder / "index.html").unlink()
    failed = runner.run(command, code=3, **away)
    assert "app.py" in failed.stderr
    assert "error[" in failed.stderr
    warned = runner.folder / "app.py"
    warned.write_text("import gradio\ngradio.Blocks()\n")
    runner.run(command, **away)
    runner.run(f"{command} --strict", code=3, **away)
    assert '"code"' in runner.run(f"{command} --json", **away).stdout
