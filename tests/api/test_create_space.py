"""POST /create-space: its documented examples and messages."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from assembler_runner.devhub import Fault, StandInHub
from examples.load import load_example
from tests.conftest import MakeService, Service
from tests.support.services import Process

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
DOCUMENTED = ["static-hello", "docker-flask", "gradio-greeter"]
STATIC = {"space_type": "static", "files": {"index.html": "<html><body><h1>Test Page</h1></body></html>"}}


class WithWorker:
    """A service with a worker thread, so that waiting calls end."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Service:
        self._thread.start()
        return self.service

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        client = self.service.app.test_client()
        while not self._stop.wait(0.02):
            queued = client.get("/requests?filter[status]=queued", headers=self.service.headers).json["data"]
            for request in queued:
                self.service.work(request["id"])


def documented(name: str) -> dict[str, Any]:
    body = load_example(EXAMPLES / name)
    return {field: body[field] for field in ("space_type", "files", "parameters") if field in body}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_examples(hub_service: Service, hub: StandInHub, name: str) -> None:
    body = documented(name)
    preview = hub_service.post("/spaces/preview?content=true", body).json
    with WithWorker(hub_service) as service:
        answer = service.post("/create-space", body)
    assert answer.status_code == 200, answer.json
    assert answer.json["message"] == "New Space created"
    assert answer.json["note"] == "It may take a few minutes to build and deploy."
    (repo,) = hub.spaces()
    assert answer.json["url"] == f"{hub.url}/spaces/{repo}"
    tree = {path: content for path, content in hub.tree(repo).items() if path != ".gitattributes"}
    assert tree == {file["path"]: file["content"].encode() for file in preview["files"]}
    for path, text in body["files"].items():
        assert tree[path].endswith(text.encode())
    assert service.request(answer.json["request_id"])["space_id"] == answer.json["id"]


def test_the_documented_invalid_request(service: Service) -> None:
    answer = service.post("/create-space", {"space_type": "invalid", "files": {}})
    assert answer.status_code == 400
    assert answer.json["error"] == "Invalid space_type. Must be one of ['gradio', 'static', 'docker', 'streamlit']"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "No JSON data provided"),
        (b"{}", "No JSON data provided"),
        (b"null", "No JSON data provided"),
        (b"{not json", "Invalid JSON format"),
        (b"[1]", "Invalid JSON format"),
        (b'{"space_type": "gradio"}', "No files provided in JSON"),
        (b'{"files": {}}', "No files provided in JSON"),
    ],
)
def test_rejections(service: Service, body: bytes, error: str) -> None:
    answer = service.client.post("/create-space", data=body, headers=service.headers, content_type="application/json")
    assert (answer.status_code, answer.json["error"]) == (400, error)
    assert answer.json["status_code"] == 400


def test_other_errors_have_the_error_and_the_fields_beside_it(service: Service) -> None:
    answer = service.post("/create-space", {**STATIC, "name": "-x"})
    assert answer.status_code == 422
    assert answer.json["error"] == answer.json["message"]
    assert [issue["path"] for issue in answer.json["issues"]] == ["name"]


def test_the_documentation_is_public_markdown_of_the_running_service(make_service: MakeService) -> None:
    service = make_service(CREATE_SPACE_WAIT=7.0)
    answer = service.client.get("/docs")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    for word in (
        "gradio",
        "static",
        "docker",
        "streamlit",
        "http://localhost/create-space"[:16],
        "at most 7 seconds",
        "`options`",
    ):
        assert word in answer.text
    blocks = [block.split("```")[0] for block in answer.text.split("```json\n")[1:]]
    bodies = [json.loads(block) for block in blocks]
    accepted = [service.post("/spaces/preview", body).status_code for body in bodies if body.get("files")]
    assert accepted == [200, 200, 200]


def test_a_slow_hub_gets_202(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, CREATE_SPACE_WAIT=0.3)
    answer = service.post("/create-space", STATIC)
    assert answer.status_code == 202
    assert set(answer.json) == {"message", "url", "note", "id", "request_id", "findings", "status_url"}
    assert answer.json["status_url"] == f"http://localhost/requests/{answer.json['request_id']}"
    assert service.get(answer.json["status_url"].removeprefix("http://localhost")).json["status"] == "queued"


def test_a_rejection_by_the_hub_is_reported(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", method="POST", path="/api/repos/create", status=402, body={"error": "Subscribe."}))
    with WithWorker(hub_service) as service:
        answer = service.post("/create-space", STATIC)
    assert (answer.status_code, answer.json["code"]) == (402, "payment_required")
    assert "Subscribe." in answer.json["error"]
    assert service.request(answer.json["request_id"])["status"] == "failed"


def test_a_process_without_workers_knows_the_status_of_their_errors() -> None:
    code = "from assembler_runner.api.create_space import _status_of; print(_status_of('verify_failed'))"
    with Process("-c", code) as process:
        assert process.wait() == 0
        assert process.log == "422\n"


def test_needs_a_token(service: Service) -> None:
    answer = service.client.post("/create-space", json=STATIC)
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")


def test_its_errors_have_the_documented_fields(service: Service) -> None:
    document = dict(service.client.get("/api-spec.json").json or {})
    answer = service.client.post("/create-space", json={}, headers=service.headers)
    assert answer.status_code == 400
    described = document["paths"]["/create-space"]["post"]["responses"]["400"]["content"]["application/json"]["schema"]
    schema = document["components"]["schemas"][described["$ref"].rpartition("/")[2]]
    assert set(answer.json) <= set(schema["properties"])


def test_options_of_a_fixed_address_name_its_own_methods(service: Service) -> None:
    assert service.client.options("/spaces/command").headers["Allow"] == "OPTIONS, POST"
    assert set(service.client.options("/spaces").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_what_has_no_effect_locally_is_told(service: Service) -> None:
    body = {"space_type": "gradio", "files": {"app.py": "x = 1\n"}, "secrets": {"A": "b"}, "sleep_time": 60}
    found = service.post("/spaces/preview", body).json
    told = {issue["path"] for issue in found["findings"] if issue["code"] == "not_used_locally"}
    assert told == {"secrets", "sleep_time"}
