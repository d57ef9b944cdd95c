"""Logins of programs by command: a robot, a token of a person, the identity token of a pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.client.conftest import Running
from tests.support.issuer import Issuer, issuer
from tests.support.services import PROJECT

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = {"OIDC_ALLOWED_NETWORKS": "127.0.0.0/8", "OIDC_AUDIENCE": "https://assembler.example.org"}
    found = Running(tmp_path_factory.mktemp("service"), **settings)
    found.start()
    found.wait()
    yield found
    found.kill()


@pytest.fixture
def platform() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


class Terminal:
    """A home directory in which commands are run."""

    def __init__(self, home: Path, service: Running) -> None:
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(PROJECT / "client")}
        self.environ |= {"ASSEMBLER_PATIENCE": "5"}
        self.url = service.url

    def run(self, *arguments: str, typed: str = "", code: int = 0, **environ: str) -> Done:
        program = "from assembler_client.cli import main; main()"
        command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
        done = subprocess.run(
            command, input=typed, env=self.environ | environ, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def who(self, **environ: str) -> dict[str, Any]:
        return dict(json.loads(self.run("whoami", "--json", **environ).stdout))

    def offer_command(self) -> None:
        """Puts the command `assembler` where scripts find it."""
        command = Path(self.environ["HOME"]) / "bin" / "assembler"
        command.parent.mkdir()
        program = "from assembler_client.cli import main; main()"
        command.write_text(f"#!/bin/sh\nexec {sys.executable} -W ignore -c '{program}' \"$@\"\n")
        command.chmod(0o755)
        self.environ["PATH"] = f"{command.parent}:{self.environ['PATH']}"

    def script(self, text: str, **environ: str) -> None:
        done = subprocess.run(
            ["sh", "-euc", text], env=self.environ | environ, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, (done.stdout, done.stderr)


@pytest.fixture
def terminal(tmp_path: Path, service: Running) -> Terminal:
    return Terminal(tmp_path, service)


def robot(service: Running) -> Any:
    with service.assembler() as assembler:
        return assembler.create_robot(name=f"bot-{uuid.uuid4().hex[:8]}", roles=["member"])


def trust(service: Running, platform: Issuer) -> Any:
    """Lets pipelines of the issuer act as a new robot, and returns it."""
    found = robot(service)
    with service.assembler() as assembler:
        assembler.create_trusted_publisher(
            name=found.name, robot_id=found.id, issuer=platform.url, subject="repo:me/app:*"
        )
    return found


def test_a_robot_logs_in_with_its_secret(service: Running, terminal: Terminal) -> None:
    found = robot(service)
    login = ("login", "--url", service.url, "--robot", str(found.id), "--password-stdin")
    assert f"as {found.name}" in terminal.run(*login, typed=f"{found.secret}\n").stderr
    who = terminal.who()
    assert who["name"] == found.name and "space_create" in who["permissions"]
    assert terminal.run("list", "--json").stdout.strip() == "[]"


def test_a_token_of_a_person_logs_in_and_is_gone_after_logout(service: Running, terminal: Terminal) -> None:
    with service.assembler() as assembler:
        token = assembler.create_personal_token(name=uuid.uuid4().hex, scopes=["space_read"])
        assert token.token is not None and token.scopes == ["space_read"]
        terminal.run("login", "--url", service.url, "--token", "--password-stdin", typed=f"{token.token}\n")
        assert terminal.who()["permissions"] == ["space_read"]
        assert token.id in [row.id for row in assembler.get_personal_tokens()]
        terminal.run("logout")
        assert token.id not in [row.id for row in assembler.get_personal_tokens()]


def test_a_pipeline_of_gitlab_logs_in(service: Running, platform: Issuer, terminal: Terminal) -> None:
    found = trust(service, platform)
    token = platform.token(aud="https://assembler.example.org")
    terminal.run("login", "--url", service.url, "--oidc", ASSEMBLER_ID_TOKEN=token)
    assert terminal.who()["name"] == found.name
    stored = next(Path(terminal.environ["HOME"]).rglob("profiles.json"))
    assert stored.stat().st_mode & 0o077 == 0 and token not in stored.read_text()


def test_a_pipeline_of_github_requests_its_token(service: Running, platform: Issuer, terminal: Terminal) -> None:
    found = trust(service, platform)
    path = "/token?api-version=2&audience=https%3A%2F%2Fassembler.example.org"
    platform.documents[path] = {"value": platform.token(aud="https://assembler.example.org")}
    runner = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{platform.url}/token?api-version=2",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the runner",
    }
    login = ("login", "--url", service.url, "--oidc")
    terminal.run(*login, "--audience", "https://assembler.example.org", **runner)
    assert terminal.who()["name"] == found.name
    refused = terminal.run(*login, code=1, **runner)
    assert "gave no identity token" in refused.stderr


def test_what_is_wrong_with_a_pipeline_is_said(service: Running, platform: Issuer, terminal: Terminal) -> None:
    login = ("login", "--url", service.url, "--oidc")
    assert "id-token: write" in terminal.run(*login, code=1).stderr
    trust(service, platform)
    wrong = terminal.run(*login, code=4, ASSEMBLER_ID_TOKEN=platform.token())
    assert "https://assembler.example.org" in wrong.stderr
    assert not list(Path(terminal.environ["HOME"]).rglob("profiles.json"))


def test_the_action_signs_in_without_a_stored_token(service: Running, platform: Issuer, terminal: Terminal) -> None:
    found = trust(service, platform)
    action = yaml.safe_load((PROJECT / "examples" / "ci" / "github" / "action.yml").read_text())
    (step,) = [step for step in action["runs"]["steps"] if step["name"] == "Sign in"]
    assert step["if"] == "${{ !inputs.token }}" and action["inputs"]["token"]["default"] == ""
    terminal.offer_command()
    path = "/token?audience=https%3A%2F%2Fassembler.example.org"
    platform.documents[path] = {"value": platform.token(aud="https://assembler.example.org")}
    environ = {
        "ASSEMBLER_URL": service.url,
        "AUDIENCE": "https://assembler.example.org",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{platform.url}/token",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the runner",
    }
    terminal.script(step["run"], **environ)
    assert terminal.who(ASSEMBLER_TOKEN="")["name"] == found.name


def test_the_gitlab_template_signs_in_without_a_stored_token(
    service: Running, platform: Issuer, terminal: Terminal
) -> None:
    found = trust(service, platform)
    job = yaml.safe_load((PROJECT / "examples" / "ci" / "gitlab.yml").read_text())[".assembler"]
    assert job["id_tokens"] == {"ASSEMBLER_ID_TOKEN": {"aud": "$ASSEMBLER_URL"}}
    terminal.offer_command()
    login = job["before_script"][-1]
    token = platform.token(aud="https://assembler.example.org")
    terminal.script(login, ASSEMBLER_URL=service.url, ASSEMBLER_ID_TOKEN=token)
    assert terminal.who()["name"] == found.name
    terminal.script(login, ASSEMBLER_URL=service.url, ASSEMBLER_TOKEN="of a robot")
