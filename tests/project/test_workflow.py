"""The workflow of the public forge is valid, and runs what this project is tested with."""

from __future__ import annotations

import subprocess
import sys

import yaml

from assembler_runner.core.places import PROJECT

WORKFLOW = PROJECT / ".github" / "workflows" / "ci.yml"


def test_the_workflow_is_valid() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_tests_builds_wheels_and_an_image() -> None:
    described = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert described["permissions"] == {"contents": "read"}
    jobs = described["jobs"]
    assert set(jobs) == {"test", "wheels", "image"}
    assert set(jobs["test"]["services"]) == {"postgres", "mariadb", "redis", "rabbitmq"}
    commands = {name: [step.get("run", "") for step in job["steps"]] for name, job in jobs.items()}
    assert ".ci/run" in commands["test"]
    assert any("pip wheel --no-deps" in text for text in commands["wheels"])
    assert any("docker build" in text for text in commands["image"])
