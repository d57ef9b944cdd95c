"""The poller: many Spaces, several workers, killed workers, every database."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from assembler_runner.core.database import db
from assembler_runner.devhub import Account, Fault, Limit, Stage, StandInHub
from assembler_runner.runtime import watches
from assembler_runner.runtime.poller import Poller
from tests.conftest import MakeService, Service
from tests.ops.test_serve import served
from tests.publishing.test_workers import deployed
from tests.support.people import made, make_realm, make_user
from tests.support.services import Client, hub_settings, mariadb_database, postgres_database, wait_until

BUILD = [("BUILDING", 2), ("APP_STARTING", 1), "RUNNING"]
QUICK = {"FOLLOW_SECONDS": "0.1"}


@contextmanager
def followed(service: Service) -> Iterator[Poller]:
    """A worker's thread in this process."""
    thread = Poller(service.app, service.services)
    thread.start()
    yield thread
    thread.stop()
    thread.join(10)
    wait_until(lambda: not thread.is_alive() and not thread.busy, "its looks have ended", 10)


def gradio(service: Service, name: str, **more: str) -> str:
    body = {"space_type": "gradio", "name": name, "files": {"app.py": "print(1)\n"}}
    return str(service.publish(**body, **more)["space_id"])


def state_of(service: Service, space_id: str) -> str:
    return str(service.space(space_id)["state"])


def looks(hub: StandInHub, name: str) -> list[float]:
    """Returns the times of the queries for the runtime of a Space."""
    return [record.time for record in hub.requests if record.path == f"/api/spaces/alice/{name}/runtime"]


def test_many_spaces_are_followed_in_turn(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, FOLLOW_SECONDS=0.05)
    hub.script("gradio", BUILD)
    names = [f"app-{number}" for number in range(8)]
    ids = [gradio(service, name) for name in names]
    with followed(service):
        wait_until(lambda: {state_of(service, space_id) for space_id in ids} == {"running"}, "all run")
    assert {len(looks(hub, name)) for name in names} == {4}, "each was looked at until it ran, and not again"


def test_probes_stay_within_their_share_of_the_rate_limit(make_service: MakeService, hub: StandInHub) -> None:
    hub.add_account("hf_limited", Account("alice", is_pro=True, can_pay=True))
    hub.settings.rate_limit = Limit(1000, 50)
    service = make_service(HF_TOKEN="hf_limited", HF_ENDPOINT=hub.url, FOLLOW_SECONDS=0.02)
    hub.script("gradio", ["BUILDING"])
    ids = [gradio(service, f"app-{number}") for number in range(4)]
    hub.clear_requests()
    with followed(service):
        started = time.monotonic()
        wait_until(lambda: len(hub.requests) >= 12, "there were some looks")
        took = time.monotonic() - started
    # 1000 calls in 50 seconds, of which probes may use three in ten: one per sixth of a second.
    assert took > 9 / 6
    assert {len(looks(hub, f"app-{number}")) for number in range(4)} <= {2, 3, 4, 5}, "none is forgotten"
    assert {state_of(service, space_id) for space_id in ids} == {"building"}


def test_a_hub_that_hangs_for_one_token_delays_no_other(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, FOLLOW_SECONDS=0.05, HUB_TIMEOUT=5)
    hub.script("gradio", BUILD)
    hub.add_account("hf_of_carol", Account("carol"))
    carol = make_user(service, "carol", make_realm(service, "theirs"), "realm_admin")
    realm = carol.get("/auth/users/@me").json["realm_id"]
    made(carol.open("PUT", f"/auth/realms/{realm}/hub-credential", {"token": "hf_of_carol"}), 200)
    body = {"space_type": "gradio", "name": "quick", "files": {"app.py": "print(1)\n"}}
    quick = service.work(made(carol.post("/spaces", body), 202)["latest_request"]["id"])["space_id"]
    slow = gradio(service, "slow")
    hub.faults.add(Fault("hang", path="/alice/slow/runtime", seconds=4))
    with followed(service):
        wait_until(lambda: looks(hub, "slow"), "it hangs")
        wait_until(lambda: carol.get(f"/spaces/{quick}").json["state"] == "running", "the other one is followed", 3)
        assert state_of(service, slow) == "building"
        wait_until(lambda: state_of(service, slow) == "running", "both run")


def test_publishing_is_not_delayed(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, FOLLOW_SECONDS=0.02)
    hub.script("gradio", ["BUILDING"])
    for number in range(5):
        gradio(service, f"app-{number}")
    with followed(service):
        requests = [service.publish(name=f"site-{number}") for number in range(5)]
    assert {request["status"] for request in requests} == {"succeeded"}


def test_an_unreachable_database_ends_no_thread(
    make_service: MakeService, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, FOLLOW_SECONDS=0.05)
    space_id = gradio(service, "app")
    due, asked = watches.due_accounts, threading.Event()

    def away() -> list[str]:
        asked.set()
        monkeypatch.setattr(watches, "due_accounts", due)
        raise OSError("away")

    monkeypatch.setattr(watches, "due_accounts", away)
    with followed(service):
        assert asked.wait(5)
        wait_until(lambda: state_of(service, space_id) == "running", "it is followed all the same")


@pytest.mark.parametrize("database", [postgres_database, mariadb_database, None])
def test_only_one_of_many_claims_succeeds(make_service: MakeService, hub: StandInHub, database: object) -> None:
    with ExitStack() as stack:
        uri = stack.enter_context(database()) if callable(database) else ""
        service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, SQLALCHEMY_DATABASE_URI=uri)
        ids = [gradio(service, f"app-{number}") for number in range(3)]
        claims: list[tuple[str, str]] = []
        start = threading.Barrier(8)

        def claim_all() -> None:
            start.wait()
            for _ in range(4):
                with service.app.app_context():
                    if claimed := watches.claim_next(account, 60):
                        claims.append(claimed)

        with service.app.app_context():
            assert watches.due_accounts() == []
            watches._update(db.session(), watches.AppWatch.space_id.in_(ids), due_at=0.0)
            db.session.commit()
            (account,) = watches.due_accounts()
        threads = [threading.Thread(target=claim_all) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(space_id for space_id, _ in claims) == sorted(ids)
        with service.app.app_context():
            assert watches.release_claims() == 3
            assert watches.claim_next(account, 60) is not None
            db.session.remove()
            db.engine.dispose()


@pytest.mark.slow
def test_the_embedded_worker_probes_and_continues_after_a_kill(tmp_path: Path, hub: StandInHub) -> None:
    hub.script("gradio", [("BUILDING", 1), Stage("RUNTIME_ERROR", error="Exit code: 1")])
    settings = {**hub_settings(hub), **QUICK, "HUB_TIMEOUT": "60"}
    hub.faults.add(Fault("hang", path="/app/runtime", seconds=60, after=1))
    with served(tmp_path, **settings) as (process, client):
        space_id = client.wait(client.submit("app"))["space_id"]
        wait_until(lambda: len(looks(hub, "app")) == 2, "it hangs in the second look")
        process.kill()
    hub.faults.clear()
    hub.set_logs("alice/app", "run", ["ModuleNotFoundError: No module named 'cv2'"])
    with served(tmp_path, **settings) as (_, client):

        def verdict() -> str:
            return str(client.get(f"/spaces/{space_id}")["state"])

        wait_until(lambda: verdict() == "runtime_error", "the verdict is there", 20)
        assert client.get(f"/spaces/{space_id}")["problem"]["code"] == "missing_module"


@pytest.mark.slow
@pytest.mark.parametrize(("database", "broker"), [("postgresql", "redis"), ("mariadb", "rabbitmq")])
def test_workers_share_probes_and_survive_kills(database: str, broker: str) -> None:
    with deployed(database, broker) as deployment:
        hub = deployment.hub
        hub.script("gradio", [("BUILDING", 6), ("APP_STARTING", 1), "RUNNING"])
        names = [f"app-{number}" for number in range(6)]
        deployment.flask("db", "upgrade")
        deployment.flask("create-admin")
        with deployment.api() as client, deployment.workers(3, **QUICK) as workers:
            requests = client.wait_all(client.submit_all(names))
            hub.settings.latency = 0.15
            for victim in workers[:2]:
                seen = sum(len(looks(hub, name)) for name in names)
                wait_until(lambda seen=seen: sum(len(looks(hub, name)) for name in names) > seen + 3, "they look")
                victim.send(signal.SIGKILL)
            wait_until(lambda: _states(client, requests) == {"running"}, "all run")
            hub.settings.latency = 0.0
        for name in names:
            times = looks(hub, name)
            assert len(times) >= 8
            # A claim excludes other workers: the next probe starts after the response to the last one.
            assert min(b - a for a, b in itertools.pairwise(times)) > 0.09, name


def _states(client: Client, requests: dict[str, dict[str, object]]) -> set[str]:
    return {str(client.get(f"/spaces/{request['space_id']}")["state"]) for request in requests.values()}
