"""All problems are reported at once, in one format, and nothing is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import MakeService, Service

FILES = {"index.html": "<h1>Hello</h1>"}
NAMES = ["", "-x", "x-", ".x", "a/b", "a b", "a--b", "a..b", "x.git", "ü", "x" * 97, "a\n"]
PATHS = [
    "",
    "../x",
    "/x",
    "a/../../x",
    "a//b",
    "./x",
    "a/",
    ".git/config",
    "a/.GIT/x",
    "a\\b",
    "a\x00b",
    "C:/x",
    "x" * 300,
    "a/" * 600 + "b",
]


def issues(service: Service, body: Any, path: str = "/spaces") -> dict[str, dict[str, Any]]:
    """Sends an invalid body; returns the issues by path."""
    answer = service.post(path, body)
    assert answer.status_code == 422, answer.json
    assert (answer.json["code"], answer.json["status_code"]) == ("invalid_request", 422)
    assert service.get("/spaces").json["meta"]["total"] == 0
    for issue in answer.json["issues"]:
        assert set(issue) == {"code", "severity", "path", "line", "message", "hint", "values", "fix"}
        assert issue["message"]
    return {issue["path"]: issue for issue in answer.json["issues"]}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"  ", b"{", b"nonsense", b"[1]", b"1", b"null", b'"text"', b'{"a": NaN}', b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"files": {}, "files": {}}', b"\xff\xfe{}", b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}", b'{"a": 1}x',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/spaces", "/spaces/preview", "/create-space"])
def test_what_is_not_one_json_object_is_400(service: Service, body: bytes, path: str) -> None:
    answer = service.client.post(path, data=body, headers=service.headers, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_json"), answer.json
    assert answer.json["hint"]
    assert service.get("/spaces").json["meta"]["total"] == 0


def test_everything_at_once(service: Service) -> None:
    found = issues(
        service,
        {
            "space_type": "statik",
            "files": {
                "../x": "a",
                "b": 1,
                "c": {"content": "%%", "encoding": "base64"},
                "d": {"content": "x", "encoding": "rot13"},
            },
            "parameters": [1],
            "options": 3,
            "name": "-x",
            "namespace": "a/b",
            "visibility": "secret",
            "target": "moon",
            "secrets": {"1A": "x", "B": 2},
            "variables": "x",
            "hardware": "abacus",
            "sleep_time": "long",
            "labels": [1],
            "colour": "red",
        },
    )
    assert set(found) == {
        "space_type", 'files["../x"]', 'files["b"]', 'files["c"].content', 'files["d"].encoding', "parameters",
        "options", "name", "namespace", "visibility", "target", "secrets.1A.key", "secrets.B.value", "variables",
        "hardware", "sleep_time", "labels.0", "colour",
    }  # fmt: skip
    assert found["space_type"]["hint"] == "Use one of: docker, gradio, static, streamlit."
    assert "visibility" in found["colour"]["hint"]


@pytest.mark.parametrize("files", [None, {}, [], "x", 3])
def test_no_files(service: Service, files: Any) -> None:
    found = issues(service, {"space_type": "static"} | ({} if files is None else {"files": files}))
    assert set(found) == {"files"}


@pytest.mark.parametrize("name", NAMES)
def test_bad_names(service: Service, name: str) -> None:
    assert "name" in issues(service, {"space_type": "static", "files": FILES, "name": name})


@pytest.mark.parametrize("path", PATHS)
def test_bad_paths(service: Service, path: str) -> None:
    answer = service.post("/spaces", {"space_type": "static", "files": FILES | {path: "x"}})
    assert answer.status_code == 422
    assert all(issue["path"].startswith('files["') and issue["hint"] for issue in answer.json["issues"])
    assert service.get("/spaces").json["meta"]["total"] == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [("é.txt", "e\u0301.txt"), ("a", "a/b")],
)
def test_paths_that_are_one_on_some_systems(service: Service, first: str, second: str) -> None:
    codes = {
        issue["code"]
        for issue in issues(service, {"space_type": "static", "files": FILES | {first: "1", second: "2"}}).values()
    }
    assert codes <= {"duplicate_path", "file_and_folder"}


@pytest.mark.parametrize(("first", "second"), [("a.txt", "A.txt"), ("A/x", "a/X"), ("ß.txt", "SS.txt")])
def test_paths_that_differ_in_case_are_published_with_a_warning(service: Service, first: str, second: str) -> None:
    answer = service.post("/spaces", {"space_type": "static", "files": FILES | {first: "1", second: "2"}})
    assert answer.status_code == 202
    assert {file["path"] for file in answer.json["latest_request"]["files"]} >= {first, second}
    assert "duplicate_path" in {finding["code"] for finding in answer.json["findings"]}


def test_secrets_and_machines_on_a_static_space(service: Service) -> None:
    body = {"space_type": "static", "files": FILES, "secrets": {"A": "x"}, "hardware": "t4-small", "sleep_time": 60}
    found = issues(service, body)
    assert {path: issue["code"] for path, issue in found.items()} == {
        "secrets": "secrets_on_static",
        "hardware": "machine_on_static",
        "sleep_time": "machine_on_static",
    }


def test_unknown_option_and_wrong_option_and_missing_app_file_together(service: Service) -> None:
    found = issues(
        service, {"space_type": "docker", "files": {"x.txt": "x"}, "options": {"app_port": "80", "colour": 1}}
    )
    assert found["options.colour"]["code"] == "unknown_field"
    assert "app_port" in found["options.colour"]["hint"]
    assert found["options.app_port"]["code"] == "invalid_field"


def test_findings_of_the_tree_refuse_a_request_but_not_a_preview(service: Service) -> None:
    body = {"space_type": "gradio", "files": {"main.py": "x = ("}, "options": {"app_file": "main.py"}}
    found = issues(service, body)
    assert (found["main.py"]["code"], found["main.py"]["line"]) == ("syntax_error", 1)
    preview = service.post("/spaces/preview", body)
    assert preview.status_code == 200
    assert [finding["code"] for finding in preview.json["findings"]] == ["syntax_error"]


def test_limits(make_service: MakeService) -> None:
    service = make_service(MAX_FILES=2, MAX_FILE_BYTES=10, MAX_REQUEST_BYTES=2000)
    assert "files" in issues(service, {"space_type": "static", "files": dict.fromkeys(("index.html", "b", "c"), "x")})
    found = issues(service, {"space_type": "static", "files": {"index.html": "x" * 11}})
    assert found['files["index.html"]']["code"] == "file_too_large"
    answer = service.post("/spaces", {"space_type": "static", "files": {"index.html": "x" * 3000}})
    assert (answer.status_code, answer.json["status_code"]) == (413, 413)


def test_parameters_that_python_cannot_hold(service: Service) -> None:
    deep: Any = 1
    for _ in range(80):
        deep = [deep]
    assert (
        issues(service, {"space_type": "static", "files": FILES, "parameters": {"a": deep}})["parameters"]["code"]
        == "too_deep"
    )


def test_the_huggingface_target_without_a_token(service: Service) -> None:
    found = issues(service, {"space_type": "static", "files": FILES, "target": "huggingface"})
    assert "HF_TOKEN" in found["target"]["hint"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([
    "space_type", "files", "parameters", "options", "name", "namespace", "visibility", "target", "secrets", "variables",
    "hardware", "sleep_time", "labels", "x",
])  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(FIELDS, JSON, max_size=6) | JSON)
def test_any_json_gets_an_answer_with_a_meaning(service: Service, body: Any) -> None:
    text = json.dumps(body)
    for path in ("/spaces/preview", "/create-space"):
        answer = service.client.post(path, data=text, headers=service.headers, content_type="application/json")
        assert answer.status_code in (200, 400, 422), (answer.status_code, answer.json)
        if answer.status_code != 200:
            assert answer.json["code"]
