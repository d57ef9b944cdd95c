"""Live events: streams, long polling, many subscribers, reconnects."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assembler_runner.devhub import Fault, StandInHub
from tests.conftest import MakeService, Service
from tests.ops.test_serve import READY, serve
from tests.support.services import Client, hub_settings, wait_until

STREAM = {"Accept": "text/event-stream"}
WATCHERS, ROUNDS = 100, 5


def cancel(service: Service, request_id: str) -> None:
    assert service.post(f"/requests/{request_id}/command", {"command": "cancel"}).status_code == 202


def test_the_events_of_a_space_are_those_of_all_its_requests(service: Service) -> None:
    space = service.submit()
    request = service.work(space["latest_request"]["id"])
    events = service.get(f"/spaces/{space['id']}/events").json["data"]
    assert [event for event in events if event["request_id"]] == service.events(request["id"])
    assert [event["type"] for event in events if not event["request_id"]] == ["state"]
    assert {event["space_id"] for event in events} == {space["id"]}
    numbers = [event["id"] for event in events]
    newer = service.get(f"/spaces/{space['id']}/events?after={numbers[1]}").json["data"]
    assert [event["id"] for event in newer] == numbers[2:]


def test_long_polling_waits_for_the_next_event(service: Service) -> None:
    request_id = service.submit()["latest_request"]["id"]
    last = service.events(request_id)[-1]["id"]
    path = f"/requests/{request_id}/events?after={last}"
    assert service.get(f"{path}&wait=0.05").json["data"] == []
    answers: list[Any] = []
    reader = threading.Thread(target=lambda: answers.append(service.get(f"{path}&wait=30").json["data"]))
    reader.start()
    while not service.services.feed.subscribers:
        reader.join(0.01)
    cancel(service, request_id)
    reader.join(20)
    assert [event["type"] for event in answers[0]] == ["cancelled"]
    began = time.monotonic()
    assert service.get(f"/requests/{request_id}/events?after={answers[0][-1]['id']}&wait=30").json["data"] == []
    assert time.monotonic() - began < 20, "nothing follows the end, so nothing is waited for"


@pytest.mark.parametrize("query", ["after=x", "after=-1", "wait=soon", "wait=1e9", "wait=-1", "after=" + "9" * 40])
def test_invalid_numbers_are_rejected(service: Service, query: str) -> None:
    request_id = service.submit()["latest_request"]["id"]
    answer = service.get(f"/requests/{request_id}/events?{query}")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_query")
    assert answer.json["issues"][0]["path"] == query.partition("=")[0]


def test_too_many_subscribers_are_rejected_with_retry_after(make_service: MakeService) -> None:
    service = make_service(MAX_EVENT_READERS=1)
    space = service.submit()
    path = f"/spaces/{space['id']}/events"
    stream = service.get(path, headers=STREAM, buffered=False)
    refused = service.get(path, headers=STREAM)
    assert (refused.status_code, refused.json["code"]) == (503, "too_many_readers")
    assert int(refused.headers["Retry-After"]) > 0
    stream.close()
    assert service.services.feed.subscribers == 0
    assert service.get(f"{path}?after=0&wait=1").status_code == 200


def test_a_stopping_service_ends_subscriptions(service: Service) -> None:
    space = service.submit()
    stream = service.get(f"/spaces/{space['id']}/events", headers=STREAM, buffered=False)
    parts = stream.iter_encoded()
    while b"event: queued" not in next(parts):
        pass
    service.services.feed.close()
    assert list(parts) == []


class Watcher(threading.Thread):
    """Reads the events of a Space through raw sockets, drops its connection at random, and resumes."""

    def __init__(self, port: int, path: str, token: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.seen: list[int] = []
        self.types: list[str] = []
        self.problems: list[str] = []
        self.connections = 0
        self.stop = threading.Event()
        self._random = random.Random(seed)
        self._port, self._path, self._token = port, path, token

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self._read()
            except OSError:
                # The service is restarting.
                self.stop.wait(0.1)

    def _read(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=30) as connection:
            last = f"Last-Event-ID: {self.seen[-1]}\r\n" if self.seen else ""
            head = f"GET {self._path} HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n{last}"
            connection.sendall(f"{head}Authorization: Bearer {self._token}\r\nConnection: close\r\n\r\n".encode())
            self.connections += 1
            until = self._random.randint(1, 12)
            with connection.makefile("r", encoding="utf-8", newline="\n") as lines:
                status = lines.readline().strip()
                if " 503 " in status:
                    # A closed connection is detected when something is sent; until then it counts as a subscriber.
                    self.stop.wait(0.5)
                    return
                if not status.endswith("200 OK"):
                    self.problems += [status] if status else []
                    return
                data: dict[str, str] = {}
                for line in map(str.strip, lines):
                    if self.stop.is_set():
                        return
                    name, _, value = line.partition(": ")
                    if name in ("id", "event", "data"):
                        data[name] = value
                    elif not line and "data" in data:
                        assert json.loads(data["data"])["id"] == int(data["id"])
                        self.seen.append(int(data["id"]))
                        self.types.append(data["event"])
                        data = {}
                        until -= 1
                        if until == 0:
                            return


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as running:
        yield running


@pytest.mark.slow
def test_a_hundred_subscribers_receive_every_event_once(tmp_path: Path, hub: StandInHub) -> None:
    hub.faults.add(
        Fault("status", method="POST", path="/api/repos/create", status=400, times=10**6, body={"error": "no"})
    )
    settings = hub_settings(hub) | {"LOG_LEVEL": "WARNING"}
    watchers: list[Watcher] = []
    with serve(tmp_path, **settings) as process:
        url = process.wait_for_line(READY)[1]
        port = int(url.rsplit(":", 1)[1])
        with Client(url) as client:
            request_id = client.submit("greeter")
            space_id = client.wait(request_id)["space_id"]
            path = f"/spaces/{space_id}/events"
            watchers = [Watcher(port, path, client.token, seed) for seed in range(WATCHERS)]
            for watcher in watchers:
                watcher.start()
            wait_until(lambda: all(watcher.connections for watcher in watchers), "all have connected")
            retry(client, request_id, ROUNDS)
            process.kill()
    with serve(tmp_path, port, **settings) as process, Client(process.wait_for_line(READY)[1]) as client:
        retry(client, request_id, ROUNDS)
        wanted = all_events(client, path)
        assert len(wanted) >= 3 * 2 * ROUNDS
        wait_until(
            lambda: all(len(watcher.seen) >= len(wanted) for watcher in watchers), "all have read all", timeout=180
        )
        for watcher in watchers:
            watcher.stop.set()
        for watcher in watchers:
            watcher.join(20)
        # Other calls are still served with this many subscribers.
        assert client.get("/health/ready")["status"] == "ok"
    for watcher in watchers:
        assert watcher.seen == wanted
        assert watcher.problems == []
    assert sum(watcher.connections for watcher in watchers) > 2 * WATCHERS


def retry(client: Client, request_id: str, times: int) -> None:
    """Retries a request that always fails, to cause events."""
    for _ in range(times):
        client.post(f"/requests/{request_id}/command", {"command": "retry"})
        client.wait(request_id)


def all_events(client: Client, path: str) -> list[int]:
    found: list[int] = []
    while page := client.get(f"{path}?page[limit]=200&page[offset]={len(found)}")["data"]:
        found += [event["id"] for event in page]
    return found
