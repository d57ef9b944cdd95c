"""The state of a published Space: it is evaluated correctly, whatever the Hub reports, hides or loses."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.core.database import database_now, db
from assembler_runner.devhub import Account, Fault, Limit, Stage, StandInHub
from assembler_runner.runtime import watches
from assembler_runner.runtime.models import AppWatch, KeptLog
from assembler_runner.runtime.probe import look
from assembler_runner.spaces.app_state import STATES
from assembler_runner.spaces.models import Space
from tests.conftest import MakeService, Service

NAME = "alice/greeter"
RUNTIME = f"/api/spaces/{NAME}/runtime"
OLD = Stage("RUNNING", polls=3, sha="previous")
MISSING = [
    "Traceback (most recent call last):",
    '  File "/home/user/app/app.py", line 3, in <module>',
    "ModuleNotFoundError: No module named 'cv2'",
]


def published(service: Service, **more: Any) -> str:
    """Publishes a Gradio Space; returns its id."""
    request = service.publish(
        **{"space_type": "gradio", "name": "greeter", "files": {"app.py": "import cv2\n"}, **more}
    )
    assert request["status"] == "succeeded", request
    return str(request["space_id"])


def row(service: Service, space_id: str) -> AppWatch:
    with service.app.app_context():
        found = db.session.get_one(AppWatch, space_id)
        db.session.expunge(found)
        return found


def age(service: Service, space_id: str, seconds: float) -> None:
    """Changes the age of the last change to a number of seconds."""
    with service.app.app_context():
        change = sa.update(AppWatch).where(AppWatch.space_id == space_id)
        db.session.execute(change.values(since=database_now() - seconds))
        db.session.commit()


def look_once(service: Service, space_id: str) -> dict[str, Any]:
    """Probes a Space now, like the thread of a worker; returns the Space."""
    with service.app.app_context():
        owner = watches.claim(space_id, 60)
        assert owner is not None
        look(service.services, space_id, owner)
    return service.space(space_id)


def follow(service: Service, space_id: str, most: int = 12) -> dict[str, Any]:
    """Probes until the outcome is known."""
    for _ in range(most):
        look_once(service, space_id)
        if not row(service, space_id).is_open:
            break
    return service.space(space_id)


def states(service: Service, space_id: str) -> list[str]:
    """The states it has been in, in order."""
    events = service.get(f"/spaces/{space_id}/events").json["data"]
    changes = [event["data"] for event in events if event["type"] == "state"]
    for before, after in itertools.pairwise(changes):
        assert before["new"] == after["old"]
    return [change["new"] for change in changes]


@pytest.mark.parametrize("with_sha", [False, True])
def test_a_build_is_followed_until_the_app_runs(hub_service: Service, hub: StandInHub, with_sha: bool) -> None:
    hub.settings.runtime_sha = with_sha
    space_id = published(hub_service)
    assert hub_service.space(space_id)["state_source"] == "service"
    space = follow(hub_service, space_id)
    assert (space["state"], space["stage"], space["state_source"], space["problem"]) == (
        "running", "RUNNING", "target", None,
    )  # fmt: skip
    assert space["state_since"] <= space["state_checked_at"]
    assert states(hub_service, space_id) == ["building", "starting", "running"]
    assert [item["id"] for item in hub_service.get("/spaces?filter[state]=running").json["data"]] == [space_id]
    assert hub_service.get("/spaces?filter[state]=building").json["data"] == []


OUTCOMES = [
    (["BUILDING", "RUNNING"], "running"),
    ([OLD, ("RUNNING_BUILDING", 1), ("RUNNING_APP_STARTING", 1), "RUNNING"], "running"),
    ([("RUNNING", 2), ("BUILDING", 1), "RUNNING"], "running"),
    ([("NO_APP_FILE", 2), ("BUILDING", 1), "RUNNING"], "running"),
    (["BUILD_ERROR"], "build_error"),
    ([("BUILDING", 1), "BUILD_ERROR"], "build_error"),
    ([("BUILDING", 1), ("APP_STARTING", 1), "RUNTIME_ERROR"], "runtime_error"),
    ([("BUILDING", 1), "CONFIG_ERROR"], "config_error"),
    ([("BUILDING", 1), "NO_APP_FILE"], "no_app_file"),
    ([("BUILDING", 1), "STOPPED"], "sleeping"),
    ([("BUILDING", 1), "SLEEPING"], "sleeping"),
    ([("BUILDING", 1), "PAUSED"], "paused"),
    ([("WARMING_UP", 2), "RUNNING"], "running"),
]


@pytest.mark.parametrize(("script", "state"), OUTCOMES)
def test_every_way_ends_in_the_right_state(
    hub_service: Service, hub: StandInHub, script: list[Any], state: str
) -> None:
    steps = [(step, 1) if step in ("BUILDING",) and step != script[-1] else step for step in script]
    hub.script(NAME, steps)
    space = follow(hub_service, published(hub_service))
    assert (space["state"], space["state_source"]) == (state, "target")
    assert (space["problem"] is not None) == state.endswith(("error", "file"))
    assert "running" not in states(hub_service, space["id"])[:-1], "an old build was taken for the new one"


def test_an_old_build_that_names_its_commit_never_counts(hub_service: Service, hub: StandInHub) -> None:
    hub.script(NAME, [Stage("RUNNING", sha="previous")])
    space_id = published(hub_service)
    age(hub_service, space_id, 600)
    assert follow(hub_service, space_id, 3)["state"] == "building"
    age(hub_service, space_id, 4000)
    space = follow(hub_service, space_id)
    assert (space["state"], space["state_source"]) == ("unknown", "timeout")
    assert space["problem"]["code"] == "commit_not_built"
    hub.set_stage(NAME, Stage("RUNNING", sha="head"))
    space = follow(hub_service, space_id)
    assert (space["state"], space["problem"]) == ("running", None)


def test_a_stage_that_stays_counts_after_a_while_and_says_so(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    follow(hub_service, space_id)
    hub.script(NAME, ["RUNNING"])
    hub_service.change(space_id, parameters={"user": "another"})
    assert follow(hub_service, space_id, 3)["state"] == "building"
    age(hub_service, space_id, 90)
    space = follow(hub_service, space_id)
    assert (space["state"], space["state_source"]) == ("running", "assumed")


def test_a_new_space_needs_no_proof(hub_service: Service, hub: StandInHub) -> None:
    hub.script(NAME, ["RUNNING"])
    space = follow(hub_service, published(hub_service), 1)
    assert (space["state"], space["state_source"]) == ("running", "target")


def test_a_newer_foreign_commit_that_runs_is_running(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    repo = hub.space(NAME)
    repo.add_commit("By hand", "", "alice", repo.head.tree)
    hub.script(NAME, [Stage("RUNNING", sha="head")], now=True)
    age(hub_service, space_id, 90)
    assert follow(hub_service, space_id)["state"] == "running"


@pytest.mark.parametrize(
    ("stage", "state", "code"),
    [
        ("BUILDING", "build_error", "build_timeout"),
        ("APP_STARTING", "runtime_error", "start_timeout"),
        ("ODD", "unknown", "build_timeout"),
    ],
)
def test_a_build_without_end_is_given_up(
    hub_service: Service, hub: StandInHub, stage: str, state: str, code: str
) -> None:
    hub.script(NAME, [stage])
    space_id = published(hub_service)
    assert look_once(hub_service, space_id)["state"] in ("building", "starting", "unknown")
    age(hub_service, space_id, 3601)
    space = look_once(hub_service, space_id)
    assert (space["state"], space["problem"]["code"], space["state_source"]) == (state, code, "timeout")
    hub.set_stage(NAME, "RUNNING")
    assert follow(hub_service, space_id)["state"] == "running"


@pytest.mark.parametrize(("stage", "kind"), [("BUILD_ERROR", "build"), ("RUNTIME_ERROR", "run")])
def test_an_error_has_a_cause_a_hint_and_its_log(hub_service: Service, hub: StandInHub, stage: str, kind: str) -> None:
    hub.settings.logs_stay_open = 30
    hub.script(NAME, [("BUILDING", 1), Stage(stage, error="Exit code: 1")])
    space_id = published(hub_service, secrets={"KEY": "hush-hush-123"})
    hub.set_logs(NAME, "build" if kind == "build" else "run", [*["noise"] * 300, "with hush-hush-123 in it", *MISSING])
    problem = follow(hub_service, space_id)["problem"]
    assert problem["code"] == "missing_module"
    assert problem["hint"] == "Add the line opencv-python-headless to requirements.txt."
    assert (problem["path"], problem["line"], problem["log_kind"]) == ("requirements.txt", None, kind)
    with hub_service.app.app_context():
        kept = db.session.get_one(KeptLog, (space_id, kind))
        texts = [line["text"] for line in kept.lines]
    assert (len(texts), texts[-1]) == (200, MISSING[-1])
    assert "with [secret] in it" in texts
    event = hub_service.get(f"/spaces/{space_id}/events").json["data"][-1]
    assert event["data"]["cause"] == problem
    assert (event["data"]["stage"], event["data"]["source"]) == (stage, "target")
    hub.faults.add(Fault("status", path="/logs/", status=503, times=None))
    answer = hub_service.get(f"/spaces/{space_id}/logs?kind={kind}").json
    assert answer["data"][-1]["text"] == MISSING[-1]
    assert "last lines" in answer["meta"]["note"]


def test_no_secret_with_a_fingerprint_is_stored(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service, secrets={"KEY": "hush-hush-123"})
    files = b"".join(path.read_bytes() for path in hub_service.services.instance.glob("assembler.db*"))
    assert b"hush-hush" not in files
    assert "hush" not in str(hub_service.services.vault.decrypt(str(row(hub_service, space_id).encrypted_fingerprints)))


def test_a_persistent_error_is_reported_once(hub_service: Service, hub: StandInHub) -> None:
    hub.script(NAME, [("BUILDING", 1), "BUILD_ERROR"])
    space_id = published(hub_service)
    problem = follow(hub_service, space_id)["problem"]
    hub.clear_requests()
    assert look_once(hub_service, space_id)["problem"] == problem
    assert [record.path for record in hub.requests] == [RUNTIME, f"/api/spaces/{NAME}/logs/build"]
    assert states(hub_service, space_id) == ["building", "build_error"]


GONE = {"X-Error-Code": "RepoNotFound"}
LOST = [
    Fault("drop_before", path="/runtime"),
    Fault("drop_after", path="/runtime"),
    Fault("garbage", path="/runtime"),
    Fault("truncate", path="/runtime"),
    Fault("hang", path="/runtime", seconds=3),
    Fault("status", path="/runtime", status=500, times=2),
    Fault("status", path="/runtime", status=429, headers={"Retry-After": "3"}),
    Fault("status", path="/runtime", status=404, body={"error": "Repository not found"}, headers=GONE),
    Fault("status", path="/logs/", status=503),
    Fault("drop_before", path="/logs/"),
    Fault("truncate", path="/logs/"),
    Fault("status", path="/logs/", status=404),
]  # fmt: skip


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: f"{fault.kind} {fault.path} {fault.status or ''}")
def test_lost_responses_do_not_change_the_evaluation(hub_service: Service, hub: StandInHub, fault: Fault) -> None:
    fault.passed = fault.fired = 0
    hub.faults.add(fault)
    hub.script(NAME, [("BUILDING", 2), Stage("RUNTIME_ERROR", error="Memory limit exceeded (16Gi)")])
    space_id = published(hub_service)
    hub.set_logs(NAME, "run", ["loading", "loading", "loading", "loading"])
    space = follow(hub_service, space_id)
    assert (space["state"], space["problem"]["code"]) == ("runtime_error", "out_of_memory")
    assert states(hub_service, space_id) == ["building", "runtime_error"]


def test_a_rate_limit_is_waited_for(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", path="/runtime", status=429, headers={"Retry-After": "700"}))
    space_id = published(hub_service)
    look_once(hub_service, space_id)
    with hub_service.app.app_context():
        wait = db.session.scalar(sa.select(AppWatch.due_at - database_now()).where(AppWatch.space_id == space_id))
        assert 690 < wait <= 700
    assert row(hub_service, space_id).errors == 0


def test_publishing_has_the_last_quarter_of_the_rate_limit(make_service: MakeService, hub: StandInHub) -> None:
    hub.add_account("hf_limited", Account("alice", is_pro=True, can_pay=True))
    hub.settings.rate_limit = Limit(40)
    service = make_service(HF_TOKEN="hf_limited", HF_ENDPOINT=hub.url)
    hub.script(NAME, ["BUILDING"])
    space_id = published(service)
    for _ in range(40):
        look_once(service, space_id)
    asked = sum(record.path == RUNTIME for record in hub.requests)
    assert 20 <= asked <= 30
    assert len(hub.requests) <= 31
    with service.app.app_context():
        wait = db.session.scalar(sa.select(AppWatch.due_at - database_now()).where(AppWatch.space_id == space_id))
        assert wait > 200, "it waits until the limit is reset"
    assert service.publish(name="other")["status"] == "succeeded"


def test_a_token_that_is_refused_leaves_the_state_unknown(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    hub.faults.add(Fault("status", path="/runtime", status=401, body={"error": "Invalid credentials"}))
    space = look_once(hub_service, space_id)
    assert (space["state"], space["problem"]["code"]) == ("unknown", "target_unauthorized")
    assert space["problem"]["hint"]
    assert follow(hub_service, space_id)["state"] == "running"


def test_a_space_deleted_on_the_hub_is_deleted_and_may_come_back(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    follow(hub_service, space_id)
    repo = hub.state.repos.pop(("space", NAME))
    assert look_once(hub_service, space_id)["state"] == "running", "one look that finds nothing proves nothing"
    assert look_once(hub_service, space_id)["state"] == "deleted"
    hub.state.repos["space", NAME] = repo
    assert look_once(hub_service, space_id)["state"] == "running"


def test_a_renamed_space_is_followed(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    hub.state.move(hub.space(NAME), "alice/renamed")
    assert follow(hub_service, space_id)["state"] == "running"


def test_later_changes_are_detected(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    follow(hub_service, space_id)
    for stage, state in (
        ("STOPPED", "sleeping"),
        ("BUILDING", "building"),
        ("RUNNING", "running"),
        ("PAUSED", "paused"),
    ):
        hub.set_stage(NAME, stage)
        assert look_once(hub_service, space_id)["state"] == state
        assert row(hub_service, space_id).is_open == (state == "building")


def test_refresh(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    follow(hub_service, space_id)
    with hub_service.app.app_context():
        db.session.execute(sa.update(Space).values(state_checked_at=None))
        db.session.commit()
    hub.set_stage(NAME, "PAUSED")
    assert hub_service.space(space_id)["state"] == "running"
    answer = hub_service.get(f"/spaces/{space_id}?refresh=true")
    assert (answer.status_code, answer.json["state"]) == (200, "paused")
    hub.clear_requests()
    assert hub_service.get(f"/spaces/{space_id}?refresh=true").json["state"] == "paused"
    assert hub.requests == [], "what was learnt just now is not asked for again"
    with hub_service.app.app_context():
        db.session.execute(sa.update(Space).values(state_checked_at=None))
        db.session.commit()
    hub.faults.add(Fault("status", path="/runtime", status=503))
    answer = hub_service.get(f"/spaces/{space_id}?refresh=true")
    assert (answer.status_code, answer.json["code"]) == (503, "target_unavailable")


def test_a_new_commit_ends_a_probe_of_the_old_one(hub_service: Service, hub: StandInHub) -> None:
    hub.script(NAME, ["RUNNING"])
    space_id = published(hub_service)
    with hub_service.app.app_context():
        owner = watches.claim(space_id, 60)
        host = hub_service.services
        target = host.targets.hub("hf_alice")
        watches.start(host, db.session(), space_id, "f" * 40, target=target, state="building")
        db.session.commit()
        assert watches.renew(space_id, str(owner), 60) is False
        assert watches.release(space_id, str(owner), None) is False
    found = row(hub_service, space_id)
    assert (found.commit_oid, found.owner, found.is_open) == ("f" * 40, None, True)


def test_a_restart_is_followed(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    follow(hub_service, space_id)
    hub.script(NAME, [("RUNNING", 1), ("APP_STARTING", 1), "RUNNING"], now=True)
    with hub_service.app.app_context():
        host = hub_service.services
        watches.start(host, db.session(), space_id, None, target=host.targets.hub("hf_alice"), state="starting")
        db.session.commit()
    assert follow(hub_service, space_id)["state"] == "running"
    assert states(hub_service, space_id)[-2:] == ["starting", "running"]


def test_static_spaces_run_at_once(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(name="site")["space_id"]
    assert hub_service.space(space_id)["state"] == "running"
    space = look_once(hub_service, space_id)
    assert (space["state"], space["state_source"]) == ("running", "target")
    assert not row(hub_service, space_id).is_open


def test_local_spaces_are_not_probed(service: Service) -> None:
    site = service.publish(name="site")["space_id"]
    app = service.publish(name="app", space_type="gradio", files={"app.py": "1\n"})["space_id"]
    assert (service.space(site)["state"], service.space(app)["state"]) == ("running", "stored")
    assert (row(service, site).due_at, row(service, app).is_open) == (None, False)
    for space_id, state in ((site, "running"), (app, "stored")):
        answer = service.get(f"/spaces/{space_id}?refresh=true")
        assert (answer.status_code, answer.json["state"], answer.json["state_source"]) == (200, state, "target")


def test_failed_and_cancelled_requests_are_states_too(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", "POST", "/commit/", status=403))
    request = hub_service.publish(name="site")
    space = hub_service.space(request["space_id"])
    assert (space["state"], states(hub_service, space["id"])) == ("failed", ["failed"])
    space_id = hub_service.submit(name="other")["id"]
    request_id = hub_service.space(space_id)["latest_request"]["id"]
    hub_service.post(f"/requests/{request_id}/command", {"command": "cancel"})
    hub_service.post(f"/requests/{request_id}/command", {"command": "retry"})
    hub_service.work(request_id)
    assert states(hub_service, space_id) == ["cancelled", "creating", "running"]
    assert set(states(hub_service, space_id)) <= set(STATES)
