"""`verify`: an app is run first, and published only if it answers."""

from __future__ import annotations

from typing import Any

from assembler_runner.devhub import StandInHub
from tests.conftest import MakeService, Service
from tests.support.app_service import ECHO, needs_sandbox

BODY: dict[str, Any] = {"space_type": "docker", "files": {"app.py": ECHO, "requirements.txt": ""}, "verify": True}


def local(make_service: MakeService) -> Service:
    needs_sandbox()
    return make_service(APPS="process")


def test_an_app_that_answers_is_published(make_service: MakeService) -> None:
    service = local(make_service)
    done = service.publish(**BODY, parameters={}, target="local", secrets={"KEY": "value"})
    assert done["status"] == "succeeded" and done["commit"]
    assert [event["type"] for event in service.events(done["id"])].count("verified") == 1
    assert not any((service.services.instance / "apps" / "trials").iterdir())


def test_an_app_that_fails_is_not(make_service: MakeService) -> None:
    service = local(make_service)
    failing = "import os\nprint('it is', os.environ['KEY'], flush=True)\nimport cv2\n"
    files = {"app.py": failing, "requirements.txt": ""}
    done = service.publish(**{**BODY, "files": files}, target="local", secrets={"KEY": "secret value"})
    error = done["error"]
    assert (done["status"], done["commit"], error["code"]) == ("failed", None, "verify_failed")
    assert error["details"]["code"] == "missing_module" and error["details"]["fix"]["safe"]
    assert "cv2" in error["message"] and "secret value" not in str(done)
    space = service.space(done["space_id"])
    assert space["state"] == "failed"
    assert service.services.targets.local.find("admin", space["name"]) is None


def test_it_holds_for_a_hub(make_service: MakeService, hub: StandInHub) -> None:
    needs_sandbox()
    service = make_service(APPS="process", HF_ENDPOINT=hub.url, HF_TOKEN="hf_alice")
    good = service.publish(**BODY, parameters={}, name="good")
    bad = service.publish(**{**BODY, "files": {"app.py": "raise SystemExit(3)\n", "requirements.txt": ""}}, name="bad")
    assert (good["status"], bad["status"]) == ("succeeded", "failed")
    assert set(hub.spaces()) == {"alice/good"}


def test_what_needs_a_container_is_not_published(make_service: MakeService) -> None:
    service = local(make_service)
    files = {"Dockerfile": 'FROM debian:12\nEXPOSE 7860\nUSER 1000\nCMD ["true"]\n'}
    done = service.publish(**{**BODY, "files": files}, target="local")
    assert (done["status"], done["error"]["details"]["code"]) == ("failed", "needs_container")


def test_a_static_space_needs_no_run(make_service: MakeService) -> None:
    service = make_service(APPS="process")
    assert service.publish(verify=True, target="local")["status"] == "succeeded"


def test_a_service_without_apps_refuses_it(service: Service) -> None:
    answer = service.post("/spaces", BODY)
    assert answer.status_code == 422
    assert [issue["code"] for issue in answer.json["issues"]] == ["verify_not_available"]
