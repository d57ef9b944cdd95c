"""A problem is never stale: it is read again when the target's answer or the end of the log differs."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from assembler_runner.core.database import db, utcnow
from assembler_runner.devhub import Fault, Stage, StandInHub
from assembler_runner.spaces.models import Space
from tests.conftest import Service
from tests.runtime.test_watches import MISSING, NAME, follow, look_once, published

CRASHED = "Exit code: 1. Reason: application does not start"


@pytest.fixture
def space_id(hub_service: Service, hub: StandInHub) -> str:
    """A Space whose app has crashed."""
    hub.script(NAME, [("BUILDING", 1), "RUNNING"])
    found = published(hub_service)
    follow(hub_service, found)
    hub.set_logs(NAME, "run", MISSING)
    hub.set_stage(NAME, Stage("RUNTIME_ERROR", error=CRASHED))
    assert look_once(hub_service, found)["problem"]["code"] == "missing_module"
    return found


def test_another_message(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    hub.set_logs(NAME, "run", [])
    hub.set_stage(NAME, Stage("RUNTIME_ERROR", error="Scheduling failure: not enough hardware capacity"))
    assert look_once(hub_service, space_id)["problem"]["code"] == "hardware_unavailable"
    hub.set_stage(
        NAME, Stage("RUNTIME_ERROR", error="Exit code: 1. Reason: ModuleNotFoundError: No module named 'cv2'")
    )
    assert look_once(hub_service, space_id)["problem"]["code"] == "missing_module"


def test_another_end_of_the_log(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    hub.set_logs(NAME, "run", ["MemoryError"])
    assert look_once(hub_service, space_id)["problem"]["code"] != "missing_module"
    hub.set_logs(NAME, "run", MISSING)
    assert look_once(hub_service, space_id)["problem"]["code"] == "missing_module"


def test_another_stage(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    hub.set_logs(NAME, "build", ["ERROR: Could not find a version that satisfies the requirement nothing-such"])
    hub.set_stage(NAME, Stage("BUILD_ERROR", error="Job failed with exit code: 1"))
    space = look_once(hub_service, space_id)
    assert (space["state"], space["problem"]["source"]) == ("build_error", "build_log")


def test_the_same_answer_keeps_the_problem(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    known = hub_service.space(space_id)
    again = look_once(hub_service, space_id)
    assert again["problem"] == known["problem"]
    assert again["state_checked_at"] > known["state_checked_at"]


def test_a_log_that_cannot_be_read_loses_nothing(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    known = hub_service.space(space_id)["problem"]
    hub.faults.add(Fault("status", path="/logs/run", status=403, body={"error": "no"}))
    assert look_once(hub_service, space_id)["problem"] == known


def test_refresh_reads_it_anew(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    first = hub_service.space(space_id)["problem"]
    with hub_service.app.app_context():
        # A state younger than a second is not queried again.
        db.session.execute(sa.update(Space).values(state_checked_at=utcnow() - timedelta(seconds=60)))
        db.session.commit()
    shown = hub_service.get(f"/spaces/{space_id}?refresh=true").json["problem"]
    assert (shown["code"], shown["read_at"] > first["read_at"]) == ("missing_module", True)


@pytest.mark.parametrize(
    "words",
    [
        "base_path in README.md metadata must start with /",
        "sdk_version 99.0.0 does not exist",
        "app_port must be a valid port",
        "hf_oauth must be a boolean",
        "YAML Metadata Error: bad indentation of a mapping entry at line 3",
        "some words that nobody has seen before",
    ],
)
def test_a_configuration_error_shows_the_words_of_the_hub(
    hub_service: Service, hub: StandInHub, space_id: str, words: str
) -> None:
    hub.set_stage(NAME, Stage("CONFIG_ERROR", error=words))
    space = look_once(hub_service, space_id)
    assert space["state"] == "config_error"
    assert words[:60] in space["problem"]["message"]
    assert space["problem"]["source"] == "target"
    assert space["problem"]["read_at"] <= space["state_checked_at"]


def test_every_verdict_says_how_and_when_it_was_learnt(hub_service: Service, space_id: str) -> None:
    space = hub_service.space(space_id)
    assert (space["state_source"], space["problem"]["source"]) == ("target", "run_log")
    assert space["state_since"] <= space["state_checked_at"]
