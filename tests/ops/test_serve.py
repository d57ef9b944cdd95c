"""`assembler serve` as a process: start, refusals, stop, restart, kill."""

from __future__ import annotations

import io
import random
import signal
import socket
import stat
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from assembler_runner.devhub import Fault, StandInHub
from tests.support.services import (
    PASSWORD,
    Client,
    Process,
    assert_published_once,
    digest,
    expected_tree,
    hub_settings,
    wait_until,
)

pytestmark = pytest.mark.slow

READY = r"Assembler is ready at (http://\S+)"
ROUNDS = 10
SLACK_SECONDS = 20.0
"""Maximum seconds of a stop besides draining, on a busy machine; less than what hangs would take."""


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as hub:
        yield hub


def serve(instance: Path, port: int = 0, **settings: str) -> Process:
    """Starts the service."""
    command = ("-m", "assembler_runner", "serve", "--port", str(port), "--instance", str(instance))
    return Process(*command, **{"ADMIN_PASSWORD": PASSWORD, **settings})


@contextmanager
def served(instance: Path, **settings: str) -> Iterator[tuple[Process, Client]]:
    """A ready service and its client."""
    with serve(instance, **settings) as process, Client(process.wait_for_line(READY)[1]) as client:
        yield process, client


def assert_refused(process: Process, *words: str) -> None:
    """Asserts that it exits with code 1 and one clear message."""
    with process:
        assert process.wait() == 1
    assert process.log.startswith("Error: ")
    for word in words:
        assert word in process.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_on_a_signal_and_resumes_after_a_restart(tmp_path: Path, number: signal.Signals) -> None:
    with served(tmp_path) as (process, client):
        done = client.wait(client.submit("greeter"))
        space = client.get(f"/spaces/{done['space_id']}")
        assert process.stop(number) == 0
    secrets = tmp_path / "secrets.json"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    kept = secrets.read_text()
    with served(tmp_path) as (process, client):
        again = client.get(f"/spaces/{done['space_id']}")
        # URLs contain the port of the run.
        assert all(again[key] == space[key] for key in ("name", "namespace", "state", "created_at", "updated_at"))
        assert client.get(f"/requests/{done['id']}")["commit"]["oid"] == done["commit"]["oid"]
        assert client.get("/spaces")["meta"]["total"] == 1
        assert process.stop(number) == 0
    assert secrets.read_text() == kept


def test_a_random_password_is_shown_once_and_stays(tmp_path: Path) -> None:
    with serve(tmp_path, ADMIN_PASSWORD="") as process:
        url = process.wait_for_line(READY)[1]
        password = process.wait_for_line(r"User admin has the password (\S+)")[1]
        assert process.log.count(password) == 1
        Client(url, password).__exit__(None, None, None)
        assert process.stop() == 0
    with serve(tmp_path, ADMIN_PASSWORD="") as process:
        url = process.wait_for_line(READY)[1]
        Client(url, password).__exit__(None, None, None)
        assert process.stop() == 0
    assert "password" not in process.log


def test_a_second_service_in_the_same_folder_is_rejected(tmp_path: Path) -> None:
    with served(tmp_path) as (process, client):
        assert_refused(serve(tmp_path), "Another Assembler", str(tmp_path))
        assert client.get("/spaces")["data"] == []
        assert process.stop() == 0


def test_a_busy_port_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert_refused(serve(tmp_path, port), f"127.0.0.1:{port}", "--port")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONCURRENCY", "abc"),
        ("CONCURRENCY", "0"),
        ("HUB_TIMEOUT", "nan"),
        ("DEFAULT_TARGET", "nowhere"),
        ("SQLALCHEMY_DATABASE_URI", "nonsense"),
        ("BROKER_URL", "nonsense://"),
        ("SECRET_KEY", "sh0rt-secret"),
        ("JWT_SECRET_KEY", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ],
)
def test_an_invalid_setting_is_reported(tmp_path: Path, name: str, value: str) -> None:
    process = serve(tmp_path, **{name: value})
    assert_refused(process, name)
    assert not name.endswith("KEY") or value not in process.log


def test_a_killed_first_start_is_recovered(tmp_path: Path) -> None:
    for moment in (0.8, 1.1, 1.4, 1.7):
        with serve(tmp_path) as process:
            time.sleep(moment)
            process.kill()
    with served(tmp_path) as (process, client):
        assert client.wait(client.submit("greeter"))["status"] == "succeeded"
        assert process.stop() == 0


def live_dangerously(instance: Path, settings: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Repeatedly kills the service at random times with work in flight; then lets it finish."""
    names: list[str] = []
    for number in range(ROUNDS):
        new = [f"round{number}-{kind}" for kind in ("gradio", "static", "gradio2", "static2")]
        names += new
        with served(instance, **settings) as (process, client):
            clock = threading.Timer(random.uniform(0.0, 1.2), process.kill)
            clock.start()
            with suppress(httpx.TransportError):
                client.submit_all(new)
            process.wait()
            clock.join()
    with served(instance, **settings) as (process, client):
        # A call without a response is sent again; it refers to the same request.
        done = client.wait_all(client.submit_all(names))
        assert client.get("/requests")["meta"]["total"] == len(names)
        assert process.stop() == 0
    return done


def test_killed_at_any_time_each_request_is_published_once_to_the_hub(tmp_path: Path, hub: StandInHub) -> None:
    hub.settings.latency = 0.045
    assert_published_once(hub, live_dangerously(tmp_path, hub_settings(hub)))


def test_killed_at_any_time_each_request_is_published_once_locally(tmp_path: Path) -> None:
    done = live_dangerously(tmp_path, {})
    assert {request["status"] for request in done.values()} == {"succeeded"}
    repositories = {path.stem: path for path in (tmp_path / "spaces").glob("*/*.git")}
    assert sorted(repositories) == sorted(done)
    for name, request in done.items():
        assert git(repositories[name], "rev-list", "--all").decode().split() == [request["commit"]["oid"]]
        # A worker killed before its branch moves leaves an unreferenced commit, which is harmless.
        assert git(repositories[name], "fsck", "--strict", "--no-dangling") == b""
        with tarfile.open(fileobj=io.BytesIO(git(repositories[name], "archive", "main"))) as archive:
            files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
            tree = {path: digest(file.read()) for path, file in files.items() if file}
        assert tree == expected_tree(request)


def git(repository: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", repository, *arguments], check=True, stdout=subprocess.PIPE).stdout


def test_queued_requests_resume_at_once(tmp_path: Path, hub: StandInHub) -> None:
    hang = Fault("hang", "POST", CREATE, seconds=600)
    hub.faults.add(hang)
    with served(tmp_path, **hub_settings(hub), CONCURRENCY="1") as (process, client):
        ids = client.submit_all(["first", "second", "third"])
        wait_until(lambda: hang.fired, "one is under way")
        process.kill()
    with served(tmp_path, **hub_settings(hub), RESEND_SECONDS="600") as (process, client):
        assert_published_once(hub, client.wait_all(ids, timeout=20))


COMMIT = "/api/spaces/alice/at-commit/commit/"
CREATE = "/api/repos/create$"


@pytest.mark.parametrize("applied", [False, True], ids=["not done", "done"])
def test_killed_while_waiting_for_a_response(tmp_path: Path, hub: StandInHub, applied: bool) -> None:
    steps = [
        Fault("hang", "GET", "/api/spaces/alice/at-info-static$", seconds=600, applied=applied),
        Fault("hang", "POST", "/api/spaces/alice/at-preupload/preupload/", seconds=600, applied=applied),
        Fault("hang", "POST", COMMIT, seconds=600, applied=applied),
    ]
    hub.faults.add(*steps)
    with served(tmp_path, **hub_settings(hub)) as (process, client):
        ids = client.submit_all(["at-info-static", "at-preupload", "at-commit"])
        wait_until(lambda: all(step.fired for step in steps), "the Hub is silent to all three")
        steps.append(Fault("hang", "POST", CREATE, seconds=600, applied=applied))
        hub.faults.add(steps[-1])
        ids |= client.submit_all(["at-create"])
        wait_until(lambda: steps[-1].fired, "the Hub is silent to a creation")
        if applied:
            wait_until(lambda: hub.commits("alice/at-commit"), "the commit is there")
            wait_until(lambda: "alice/at-create" in hub.spaces(), "the Space is there")
        process.kill()
    with served(tmp_path, **hub_settings(hub)) as (process, client):
        assert_published_once(hub, client.wait_all(ids))


@pytest.mark.parametrize("seconds", [1.5, 5.0], ids=["during the restart", "after it"])
def test_a_call_of_a_killed_service_arrives_late(tmp_path: Path, hub: StandInHub, seconds: float) -> None:
    commit = Fault("hang", "POST", COMMIT, seconds=seconds)
    create = Fault("hang", "POST", CREATE, seconds=seconds, after=1)
    hub.faults.add(commit, create)
    with served(tmp_path, **hub_settings(hub)) as (process, client):
        ids = client.submit_all(["at-commit", "at-create"])
        wait_until(lambda: commit.fired and create.fired, "both are under way")
        process.kill()
    with served(tmp_path, **hub_settings(hub)) as (process, client):
        requests = client.wait_all(ids)
        wait_until(lambda: all(record.status for record in hub.requests), "the late ones have arrived")
    assert_published_once(hub, requests)


def test_lost_responses_at_every_step(tmp_path: Path, hub: StandInHub) -> None:
    hub.faults.add(
        Fault("drop_after", "POST", CREATE, after=3),
        Fault("drop_after", "GET", "/api/spaces/alice/at-info-static$"),
        Fault("drop_after", "POST", "/api/spaces/alice/at-preupload/preupload/"),
        Fault("drop_after", "POST", COMMIT),
    )
    with served(tmp_path, **hub_settings(hub)) as (process, client):
        ids = client.submit_all(["at-info-static", "at-preupload", "at-commit", "at-create"])
        assert_published_once(hub, client.wait_all(ids))
        assert process.stop() == 0


@pytest.mark.parametrize("drain", [20, 1])
def test_stopped_with_a_slow_hub_it_drains_or_releases(tmp_path: Path, hub: StandInHub, drain: int) -> None:
    hub.settings.latency = 1.0
    with served(tmp_path, **hub_settings(hub), DRAIN_SECONDS=str(drain)) as (process, client):
        ids = client.submit_all(["slow-static", "slow-gradio"])
        wait_until(lambda: any(record.line.startswith("POST") for record in hub.requests), "work has begun")
        begun = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - begun < drain + SLACK_SECONDS
    if drain == 20:
        assert hub.spaces()
        assert all(hub.commits(space) for space in hub.spaces())
    hub.settings.latency = 0.0
    with served(tmp_path, **hub_settings(hub)) as (process, client):
        assert_published_once(hub, client.wait_all(ids))


@pytest.mark.parametrize("timeout", [2, 60])
def test_a_hanging_hub_does_not_delay_the_stop(tmp_path: Path, hub: StandInHub, timeout: int) -> None:
    hang = Fault("hang", "POST", COMMIT, seconds=120, times=None)
    hub.faults.add(hang)
    settings = {**hub_settings(hub), "HUB_TIMEOUT": str(timeout), "DRAIN_SECONDS": "1"}
    with served(tmp_path, **settings) as (process, client):
        ids = client.submit_all(["at-commit"])
        wait_until(lambda: hang.fired, "the Hub hangs")
        begun = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - begun < 1 + SLACK_SECONDS
    hub.faults.clear()
    with served(tmp_path, **settings) as (process, client):
        assert_published_once(hub, client.wait_all(ids))


def test_a_second_interrupt_stops_at_once(tmp_path: Path, hub: StandInHub) -> None:
    hang = Fault("hang", "POST", COMMIT, seconds=600)
    hub.faults.add(hang)
    with served(tmp_path, **hub_settings(hub), DRAIN_SECONDS="60") as (process, client):
        ids = client.submit_all(["at-commit"])
        wait_until(lambda: hang.fired, "the Hub hangs")
        process.send(signal.SIGINT)
        process.wait_for_line("Stopping")
        assert process.stop(signal.SIGINT, timeout=30) == 130
    with served(tmp_path, **hub_settings(hub)) as (process, client):
        assert_published_once(hub, client.wait_all(ids))
