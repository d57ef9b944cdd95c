"""Metrics for Prometheus."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from assembler_runner.core.database import db
from assembler_runner.core.metrics import hub_route
from assembler_runner.devhub import StandInHub
from assembler_runner.devhub.limits import Limit
from assembler_runner.publishing.metrics_page import render
from assembler_runner.spaces.models import SpaceRequest
from tests.conftest import MakeService, Service
from tests.support.people import made, make_realm, make_user
from tests.support.services import mariadb_database, postgres_database

TOKEN = "the token of the metrics 0123456789"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(service: Service) -> Samples:
    answer = service.get("/metrics")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    return samples(answer.text)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_reading_metrics_requires_permission_or_token(make_service: MakeService) -> None:
    service = make_service(METRICS_TOKEN=TOKEN)
    client = service.client
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/spaces", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 401
    robot = made(service.post("/auth/robots", {"name": "prometheus"}))
    body = {"grant_type": "client_credentials", "client_id": robot["id"], "client_secret": robot["secret"]}

    def read_as_robot() -> int:
        token = client.post("/auth/token", json=body).json["access_token"]
        return client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code

    assert read_as_robot() == 403
    role = service.get("/auth/roles?filter[name]=monitor").json["data"][0]
    made(service.post("/auth/robot-roles", {"robot_id": robot["id"], "role_id": role["id"]}))
    assert read_as_robot() == 200
    other = make_user(service, "eve", make_realm(service, "theirs"), role="realm_admin")
    assert other.get("/metrics").status_code == 403


def test_without_a_metrics_token_no_token_grants_access(service: Service) -> None:
    for value in ("Bearer ", "Bearer", "Bearer x", "Basic Og=="):
        assert service.client.get("/metrics", headers={"Authorization": value}).status_code == 401


def test_calls_are_counted_by_route_and_not_by_address(service: Service) -> None:
    labels = {"method": "GET", "route": "/spaces/{space_id}", "status": "404"}
    before = counted("assembler_http_request_seconds_count", **labels)
    unmatched = counted("assembler_http_request_seconds_count", method="other", route="unmatched", status="404")
    for name in ("one", "two", "three"):
        assert service.get(f"/spaces/{name}").status_code == 404
    service.client.open("/nowhere", method="INVENTED")
    assert counted("assembler_http_request_seconds_count", **labels) == before + 3
    text = service.get("/metrics").text
    assert "three" not in text
    assert "INVENTED" not in text
    assert (
        counted("assembler_http_request_seconds_count", method="other", route="unmatched", status="404")
        == unmatched + 1
    )


def _queue(service: Service) -> None:
    first = service.submit(name="first")["latest_request"]["id"]
    service.submit(name="second")
    service.publish(name="third")
    with service.app.app_context():
        earlier = SpaceRequest.created_at
        row = db.session.get_one(SpaceRequest, first)
        moment = row.created_at.replace(year=row.created_at.year - 1)
        db.session.execute(sa.update(SpaceRequest).where(SpaceRequest.id == first).values({earlier: moment}))
        db.session.commit()


def _check_queue(found: Samples) -> None:
    assert found["assembler_queue_length", ()] == 2
    assert found["assembler_running", ()] == 0
    assert 360 * 86400 < found["assembler_queue_oldest_seconds", ()] < 370 * 86400
    assert found["assembler_database_up", ()] == 1
    assert found["assembler_spaces", (("state", "creating"),)] == 2
    assert found["assembler_spaces", (("state", "running"),)] == 1


def test_the_queue_is_reported(service: Service) -> None:
    assert read(service)["assembler_queue_oldest_seconds", ()] == 0
    before = counted("assembler_job_seconds_count", outcome="succeeded")
    _queue(service)
    _check_queue(read(service))
    assert counted("assembler_job_seconds_count", outcome="succeeded") == before + 1


@pytest.mark.parametrize("database", [postgres_database, mariadb_database], ids=["postgresql", "mariadb"])
def test_the_queue_is_reported_on_other_databases(make_service: MakeService, database: Any) -> None:
    with database() as url:
        service = make_service(SQLALCHEMY_DATABASE_URI=url)
        _queue(service)
        _check_queue(read(service))
        with service.app.app_context():
            db.session.remove()
            db.engine.dispose()


def test_an_unreachable_database_is_reported() -> None:
    found = samples(render(sa.create_engine("sqlite:////nowhere/at/all.db")).decode())
    assert found["assembler_database_up", ()] == 0
    assert ("assembler_queue_length", ()) not in found


def test_calls_to_the_hub_and_its_rate_limit_are_reported(hub_service: Service, hub: StandInHub) -> None:
    labels = {"method": "POST", "route": "/api/repos/create", "status": "200"}
    before = counted("assembler_hub_call_seconds_count", **labels)
    hub.settings.rate_limit = Limit(1000, 300.0)
    hub_service.publish(name="seen", space_type="static")
    assert counted("assembler_hub_call_seconds_count", **labels) == before + 1
    commits = {"method": "POST", "route": "/api/spaces/{repo}/commit", "status": "200"}
    assert counted("assembler_hub_call_seconds_count", **commits) >= 1
    text = hub_service.get("/metrics").text
    assert "alice" not in text
    assert re.search(r'^assembler_hub_rate_limit_remaining\{account="[0-9a-f]{8}"\} \d', text, re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/spaces/alice/x/commit/main", "/api/spaces/{repo}/commit"),
        ("/api/spaces/alice/x", "/api/spaces/{repo}"),
        ("/api/repos/create", "/api/repos/create"),
        ("/api/whoami-v2", "/api/whoami-v2"),
        ("/spaces/alice/x.git/info/lfs/objects/batch", "/spaces/{repo}/info"),
        ("/anything/else", "other"),
    ],
)
def test_routes_of_the_hub_have_no_names(path: str, route: str) -> None:
    assert hub_route(path) == route


def test_an_unwritable_file_store_is_reported_separately(make_service: MakeService) -> None:
    service = make_service(DEFAULT_FILE_STORE="local_filesystem")
    assert service.client.get("/health/ready").json["files"] == "ok"
    folder = service.services.instance / "files"
    folder.rmdir()
    folder.write_text("no folder")
    answer = service.client.get("/health/ready")
    assert (answer.status_code, answer.json["files"], answer.json["database"]) == (503, "unavailable", "ok")
    assert answer.json["status"] == "unavailable"
