"""Analyses on a FLAME Hub: the unmodified published client against a stand-in."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from assembler_runner.targets.flame.target import FlameTarget, stage_of
from tests.conftest import MakeService, Service
from tests.project.test_published_clients import environment
from tests.support.flame_hub import Fault, FlameHub
from tests.support.people import made, make_realm, make_user
from tests.support.services import wait_until

pytestmark = [
    pytest.mark.slow,
    # The client sets a filter of its own for all warnings when it is imported.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MAIN = "import helper\r\nprint(helper.answer)\n"
BODY: dict[str, Any] = {
    "space_type": "flame-analysis",
    "target": "flame",
    "namespace": "study",
    "name": "first",
    "files": {
        "main.py": MAIN,
        "pkg/helper.py": "answer = 42\n",
        "data.bin": {"content": "AAH//g==", "encoding": "base64"},
    },
}


@pytest.fixture(scope="module", autouse=True)
def client_package() -> Iterator[None]:
    """The published client 1.1.0 and what only it needs; everything else is ours."""
    packages = next((environment("1.1.0").parent.parent / "lib").glob("python3*")) / "site-packages"
    sys.path.append(str(packages))
    yield
    sys.path.remove(str(packages))


@pytest.fixture
def flame() -> Iterator[FlameHub]:
    with FlameHub() as hub:
        yield hub


@pytest.fixture
def service(make_service: MakeService, flame: FlameHub) -> Iterator[Service]:
    settings = {name: float(value) if name == "FLAME_WAIT" else value for name, value in flame.settings.items()}
    service = make_service(HUB_TIMEOUT=5.0, **settings)
    yield service
    close(service)


def close(service: Service) -> None:
    with service.app.app_context():
        target = service.services.targets.find(service.get("/auth/users/@me").json["realm_id"], "flame")
    assert isinstance(target, FlameTarget)
    target.close()


def publish(service: Service, **more: Any) -> dict[str, Any]:
    space = made(service.post("/spaces", {**BODY, **more}), 202)
    return service.work(space["latest_request"]["id"])


def refused(answer: Any) -> set[tuple[str, str]]:
    assert answer.status_code == 422, answer.json
    return {(issue["code"], issue["path"]) for issue in answer.json["issues"]}


def test_an_analysis_carries_byte_for_byte_what_was_previewed(service: Service, flame: FlameHub) -> None:
    body = {**BODY, "options": {"master_image": "python/base", "command_arguments": ["--fast"]}}
    preview = made(service.post("/spaces/preview", body), 200)
    done = publish(service, options=body["options"])
    assert (done["status"], done["error"]) == ("succeeded", None)
    code = flame.code("first")
    assert done["tree_digest"] == preview["tree_digest"]
    assert {file["path"]: file["sha256"] for file in preview["files"]} == {
        path: hashlib.sha256(content).hexdigest() for path, content in code.items()
    }
    assert (code["main.py"], code["data.bin"]) == (MAIN.encode(), b"\x00\x01\xff\xfe")
    assert set(code) == {"main.py", "pkg/helper.py", "data.bin", "flame.json"}
    assert flame.entrypoint("first") == ["main.py"]
    analysis = flame.analysis("first")
    assert analysis["image_command_arguments"] == [{"value": "--fast", "position": "after"}]
    assert (analysis["configuration_locked"], analysis["build_status"]) == (False, None)
    space = service.space(done["space_id"])
    assert space["url"] == f"{flame.url}/analyses/{analysis['id']}"


def test_until_build_locks_and_builds_and_the_states_are_followed(service: Service, flame: FlameHub) -> None:
    done = publish(service, options={"until": "build"})
    assert done["status"] == "succeeded"
    analysis = flame.analysis("first")
    assert (analysis["configuration_locked"], analysis["build_status"]) == (True, "starting")

    def is_in(state: str) -> None:
        # A state is not read again within a second.
        asked = f"/spaces/{done['space_id']}?refresh=true"
        wait_until(lambda: service.get(asked).json["state"] == state, f"it is {state}")

    is_in("building")
    analysis |= {"build_status": "executed", "distribution_status": "executed", "execution_status": "started"}
    is_in("running")
    flame.state.add(
        "analysis-logs",
        **{
            "analysis_id": analysis["id"],
            "time": "2026-01-01T00:00:00Z",
            "message": "KeyError: 'x'",
            "service": "node",
        },
        **{"channel": "background", "level": "error", "labels": {}},
    )
    analysis["execution_status"] = "failed"
    is_in("runtime_error")
    log = service.get(f"/spaces/{done['space_id']}/logs?kind=run").json
    assert "KeyError" in log["data"][-1]["text"]
    # What was built is not changed.
    changed = service.change(done["space_id"], mode="merge", files={"main.py": "print(1)\n"})
    assert (changed["status"], changed["error"]["code"]) == ("failed", "target_refused")


def test_an_update_replaces_files_and_a_change_by_others_is_noticed(service: Service, flame: FlameHub) -> None:
    done = publish(service)
    files = {"main.py": "print(1)\n", "pkg/helper.py": None}
    changed = service.change(done["space_id"], mode="merge", files=files)
    assert (changed["status"], changed["error"]) == ("succeeded", None)
    assert set(flame.code("first")) == {"main.py", "data.bin", "flame.json"}
    assert flame.code("first")["main.py"] == b"print(1)\n"
    assert service.change(done["space_id"], mode="merge", files={"main.py": "print(1)\n"})["unchanged"]
    row = next(row for row in flame.state.rows("bucket-files") if row["path"] == "main.py")
    flame.state.add("bucket-files", **{**row, "id": "0" * 8 + row["id"][8:], "path": "other.py", "name": "other.py"})
    flame.state.contents["0" * 8 + row["id"][8:]] = b"x"
    foreign = service.change(done["space_id"], mode="merge", files={"main.py": "print(2)\n"})
    assert (foreign["status"], foreign["error"]["code"]) == ("failed", "foreign_commit")
    removed = service.remove(done["space_id"])
    assert (removed["status"], flame.state.rows("analyses")) == ("succeeded", [])


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", "^analyses$"),
        Fault("POST", "^analyses$", 503),
        Fault("POST", "upload$"),
        Fault("POST", "upload$", 500),
        Fault("POST", "analysis-bucket-files"),
        Fault("POST", "^analyses/[^/]+$"),
        Fault("POST", "command$"),
        Fault("GET", "analysis-buckets", 502),
        Fault("GET", "projects"),
    ],
    ids=lambda fault: f"{fault.method} {fault.path} {fault.status or 'lost'}",
)
def test_a_lost_answer_makes_neither_a_second_analysis_nor_a_second_file(
    service: Service, flame: FlameHub, fault: Fault
) -> None:
    flame.state.faults.append(fault)
    done = publish(service, options={"until": "lock"})
    for _ in range(4):
        if done["status"] == "succeeded":
            break
        assert done["status"] == "queued", done["error"]
        done = service.work(done["id"])
    assert done["status"] == "succeeded"
    assert flame.state.faults == []
    assert len(flame.state.rows("analyses")) == 1
    assert set(flame.code("first")) == {"main.py", "pkg/helper.py", "data.bin", "flame.json"}
    assert flame.analysis("first")["configuration_locked"]


def test_findings_before_anything_is_sent(service: Service, flame: FlameHub) -> None:
    def preview(**more: Any) -> Any:
        body = {**BODY, **more}
        return service.post("/spaces/preview", {name: value for name, value in body.items() if value is not None})

    assert refused(preview(namespace=None)) == {("project_missing", "namespace")}
    assert refused(preview(target="local", namespace=None)) == {("flame_only", "target")}
    assert refused(preview(space_type="static", files={"index.html": "x"})) == {("flame_only", "space_type")}
    assert refused(preview(secrets={"KEY": "x"}, hardware="cpu-basic")) >= {("not_on_flame", "secrets")}
    found = {(each["code"], each["path"]) for each in preview(files={"mäin.py": "x = 1\n"}).json["findings"]}
    assert found >= {("no_app_file", "main.py"), ("flame_path", "mäin.py")}
    assert flame.state.calls == []


def test_what_the_flame_hub_refuses(service: Service, flame: FlameHub) -> None:
    missing = publish(service, namespace="other")
    assert (missing["status"], missing["error"]["code"]) == ("failed", "target_not_found")
    flame.nodes_approved = False
    waiting = publish(service, options={"until": "lock"}, name="second")
    assert (waiting["status"], waiting["error"]["code"]) == ("failed", "target_refused")
    assert "approved" in waiting["error"]["message"]
    image = publish(service, options={"master_image": "r/base"}, name="third")
    assert (image["status"], image["error"]["code"]) == ("failed", "target_refused")
    # Nothing is left of what could not be published.
    publish(service)
    taken = publish(service, name="first-again")
    assert taken["status"] == "succeeded"


def test_other_realms_have_no_target_flame(service: Service, flame: FlameHub) -> None:
    ann = make_user(service, "ann", make_realm(service, "ours"))
    assert refused(ann.post("/spaces/preview", BODY)) == {("target_not_available", "target")}


def test_a_wrong_password_is_the_operators(make_service: MakeService, flame: FlameHub) -> None:
    service = make_service(**{**flame.settings, "FLAME_WAIT": 5.0, "FLAME_PASSWORD": "other"})
    done = publish(service)
    assert (done["status"], done["error"]["code"]) == ("failed", "target_unauthorized")
    assert "FLAME_PASSWORD" in done["error"]["hint"]
    close(service)


def test_stages() -> None:
    assert stage_of(None, None, None)[0] == "STORED"
    assert stage_of("starting", None, None)[0] == "BUILDING"
    assert stage_of("failed", None, None)[0] == "BUILD_ERROR"
    assert stage_of("stopped", None, None)[0] == "PAUSED"
    assert stage_of("executed", "started", None)[0] == "BUILDING"
    assert stage_of("executed", "failed", None)[0] == "BUILD_ERROR"
    assert stage_of("executed", "executed", "starting")[0] == "APP_STARTING"
    assert stage_of("executed", "executed", "executing")[0] == "RUNNING"
    assert stage_of("executed", "executed", "executed")[0] == "STORED"
