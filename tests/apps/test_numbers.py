"""How many apps there are for each realm: metrics and the page Queue."""

from __future__ import annotations

import json

import sqlalchemy as sa

from assembler_runner.core.database import db
from assembler_runner.targets.local.apps_table import LocalApp
from tests.conftest import MakeService
from tests.core.test_metrics import read
from tests.support.people import WORD, make_realm, make_user
from tests.ui.people import Person, text_of

STAGES = {"one": "RUNNING", "two": "APP_STARTING", "three": "SLEEPING"}


def test_apps_of_realms_are_shown(make_service: MakeService) -> None:
    service = make_service(APPS="process", APPS_MAX=7, APPS_REALM_MAX=3, APPS_CACHE_MAX=1000)
    for name, stage in STAGES.items():
        done = service.publish(name=name, space_type="docker", files={"app.py": ""}, parameters={}, target="local")
        assert done["status"] == "succeeded", done["error"]
        with service.app.app_context():
            db.session.execute(sa.update(LocalApp).where(LocalApp.name == name).values(stage=stage))
            db.session.commit()
    realm_id = service.get("/auth/users/@me").json["realm_id"]
    usage = service.services.targets.local.app_files.usage
    usage.parent.mkdir(parents=True, exist_ok=True)
    usage.write_text(json.dumps({"cache_bytes": {realm_id: 2048}, "measured_at": 0}))
    found = read(service)
    for state in ("running", "starting", "asleep"):
        assert found["assembler_realm_apps", (("realm", "master"), ("state", state))] == 1
    assert found["assembler_apps_limit", (("of", "all"),)] == 7
    assert found["assembler_apps_limit", (("of", "realm"),)] == 3
    assert found["assembler_apps_cache_bytes", (("realm", "master"),)] == 2048
    assert found["assembler_apps_cache_limit_bytes", ()] == 1000
    page = text_of(Person(service).open("/ui/queue").text)
    assert "Running: 1, starting: 1. At most 7 run at the same time, 3 of one realm." in page
    assert "master" in page and "2.0 kB" in page


def test_a_service_without_apps_shows_none(make_service: MakeService) -> None:
    service = make_service(APPS="off")
    assert not [name for name, _ in read(service) if name.startswith("assembler_apps_limit")]
    assert "Apps of this machine" not in Person(service).open("/ui/queue").text


def test_a_realm_sees_its_own_apps_only(make_service: MakeService) -> None:
    service = make_service(APPS="process")
    service.publish(name="one", space_type="docker", files={"app.py": ""}, parameters={}, target="local")
    realm = make_realm(service, "other")
    make_user(service, "olga", realm)
    page = text_of(Person(service, "olga", WORD, "other").open("/ui/queue").text)
    assert "Apps of this machine" in page and "master" not in page
