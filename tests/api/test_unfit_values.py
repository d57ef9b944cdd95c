"""Values that look valid and that no part of the service could handle later: refused at once, by name."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembler_runner.core.errors import Finding
from tests.conftest import MakeService, Service

FILES = {"index.html": "x"}
BODY: dict[str, Any] = {"space_type": "static", "files": FILES}


def nested(depth: int) -> Any:
    value: Any = 1
    for number in range(depth):
        value = [value] if number % 2 else {"a": value}
    return value


def issues(service: Service, path: str, body: dict[str, Any]) -> dict[str, str]:
    answer = service.post(path, body)
    assert answer.status_code == 422, answer.json
    return {issue["path"]: issue["code"] for issue in answer.json["issues"]}


@pytest.mark.parametrize("path", ["/spaces", "/spaces/preview"])
@pytest.mark.parametrize("depth", [101, 150, 300, 900])
@pytest.mark.parametrize("field", ["parameters", "options", "labels", "variables", "secrets", "unknown"])
def test_deep_values(service: Service, path: str, depth: int, field: str) -> None:
    assert issues(service, path, {**BODY, field: {"a": nested(depth)}})[field] == "too_deep"


def test_deep_values_that_are_taken_are_published_as_python_reads_them(service: Service) -> None:
    request = service.publish(
        space_type="gradio",
        files={"app.py": "if 0:\n    import gradio\n\nprint(PARAMS)\n"},
        parameters={"a": nested(50)},
    )
    assert request["status"] == "succeeded"
    source = service.client.get(f"/local/admin/{service.space(request['space_id'])['name']}/raw/main/app.py")
    names: dict[str, Any] = {}
    exec(source.text, {"print": lambda _: None}, names)
    assert names["PARAMS"] == {"a": nested(50)}


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\0", "a\0"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", lambda text: ["good", text]),
        ("variables", lambda text: {"A": "good", "B": text}),
        ("secrets", lambda text: {"A": text}),
        ("options", lambda text: {"title": text}),
        ("callback_secret", lambda text: text),
        ("template", lambda text: text),
    ],
)
def test_text_that_cannot_be_stored(service: Service, text: str, field: str, value: Any) -> None:
    body = {"space_type": "gradio", "files": {"app.py": "x = 1\n"}, field: value(text)}
    found = issues(service, "/spaces", body)
    assert "invalid_text" in {code for path, code in found.items() if path and path.startswith(field)}


def test_unfit_text_in_a_change(service: Service) -> None:
    space_id = service.publish()["space_id"]
    assert issues(service, f"/spaces/{space_id}", {"labels": ["\ud800"]}) == {"labels.0": "invalid_text"}
    assert issues(service, "/webhooks", {"url": "https://example.org/", "description": "\0"})


def test_a_million_files_are_counted_first(make_service: MakeService) -> None:
    service = make_service(MAX_FILES=1000)
    body = json.dumps({"space_type": "static", "files": {f"f{number}": 1 for number in range(300_000)}})
    began = time.process_time()
    answer = service.client.post("/spaces", data=body, content_type="application/json", headers=service.headers)
    assert time.process_time() - began < 10
    assert answer.status_code == 422
    assert {issue["code"] for issue in answer.json["issues"]} == {"too_many_files"}


@pytest.mark.parametrize("value", [0, 1, "false", "", "no", None, 0.0, [], "true"])
def test_what_could_be_taken_for_a_truth_value_is_refused(service: Service, value: Any) -> None:
    space = service.submit(labels=["x"])
    body = {"command": "delete", "filter": {"label": "x"}, "dry_run": value}
    assert issues(service, "/spaces/command", body) == {"dry_run": "invalid_field"}
    assert service.space(space["id"])["state"] == "creating"
    assert "force" in issues(service, f"/spaces/{space['id']}", {"files": FILES, "force": value})
    assert "active" in issues(service, "/webhooks", {"url": "https://example.org/", "active": value})
    assert "active" in issues(service, "/auth/robots", {"name": "r", "active": value})


@given(st.text())
def test_no_finding_steers_a_terminal(text: str) -> None:
    finding = Finding("x", f"a {text}", path=text, hint=text, values={"a": [text, {text: text}]})
    shown = json.dumps(finding.to_json(), ensure_ascii=False)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 or letter in "\u202e\u2066\u2028" for letter in shown)
    json.dumps(finding.to_json(), ensure_ascii=False).encode()


def test_paths_in_findings_are_escaped(service: Service) -> None:
    text = service.post("/spaces", {**BODY, "files": {"a\x1b[2Jb\u202e/../c": "x"}}).json["issues"]
    assert all("\x1b" not in str(issue) and "\u202e" not in str(issue) for issue in text)
    assert any(r"\x1b[2Jb\u202e" in issue["path"] for issue in text)
