"""The OpenAPI document: valid, complete, and consistent with the service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from assembler_runner.api.schemas.space_input import SpaceInput
from tests.conftest import PASSWORD, MakeService, Service

METHODS = ("get", "put", "post", "delete", "patch")
NOT_API = ("api-docs.", "pages.", "start.", "assets.", "ui.", "local.", "mcp.")
PUBLIC = {
    ("get", "/docs"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("post", "/auth/token"),
    ("post", "/auth/token/revoke"),
}

Document = dict[str, Any]


@pytest.fixture
def document(service: Service) -> Document:
    # Duplicate names are warnings, and warnings are errors here.
    answer = service.client.get("/api-spec.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    return dict(answer.json or {})


def operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def schema(document: Document, name: str) -> dict[str, Any]:
    """Returns a schema as JSON Schema, with all others as definitions."""
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def sample(document: Document, name: str) -> dict[str, Any]:
    """Returns the examples of the fields of a schema as one body."""
    properties = document["components"]["schemas"][name]["properties"]
    return {field: shown["example"] for field, shown in properties.items() if "example" in shown}


def test_it_is_valid_openapi_3_1(document: Document) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()
    for name in document["components"]["schemas"]:
        jsonschema.Draft202012Validator.check_schema(schema(document, name))


def test_it_names_every_route_and_no_other(service: Service, document: Document) -> None:
    served = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule.replace("//", "/")))
        for rule in service.app.url_map.iter_rules()
        if not rule.endpoint.startswith(NOT_API)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(method, path) for method, path, _ in operations(document)} == served


def test_every_operation_has_a_summary(document: Document) -> None:
    shown = list(operations(document))
    summaries = [operation["summary"] for _, _, operation in shown]
    assert all(re.fullmatch(r"[A-Z][^.]{5,70}", summary) for summary in summaries), summaries
    assert len(set(summaries)) == len(summaries)
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    for method, path, operation in shown:
        assert set(operation["tags"]) <= described, (method, path)
        assert any(code.startswith("2") for code in operation["responses"]), (method, path)


def test_only_public_operations_need_no_token(service: Service, document: Document) -> None:
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert {(method, path) for method, path, operation in operations(document) if "security" in operation} == PUBLIC
    for method, path, operation in operations(document):
        answer = service.client.open(re.sub(r"\{\w+\}", "x", path), method=method.upper(), json={})
        assert (answer.status_code != 401) == (operation.get("security") == []), (method, path)


def test_every_operation_with_a_token_documents_401(document: Document) -> None:
    for method, path, operation in operations(document):
        assert ("401" in operation["responses"]) == ("security" not in operation), (method, path)


def test_post_spaces_names_and_describes_every_field(document: Document) -> None:
    body = document["paths"]["/spaces"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/SpaceInput"}
    shown = document["components"]["schemas"]["SpaceInput"]
    assert set(shown["properties"]) == set(SpaceInput().fields)
    assert all(field.get("description") for field in shown["properties"].values())
    assert "anyOf" not in shown, "generators of clients would lose the fields"
    assert "One of files, template, git, copy_of and archive is required." in shown["description"]
    assert shown["additionalProperties"] is False


def test_the_examples_are_accepted(make_service: MakeService) -> None:
    service = make_service(CREATE_SPACE_WAIT=0.0)
    document = dict(service.client.get("/api-spec.json").json or {})
    for name, path, status in (
        ("SpaceInput", "/spaces/preview", 200),
        ("SpaceInput", "/spaces", 202),
        ("SpaceInput", "/create-space", 202),
    ):
        body = sample(document, name)
        assert set(body) >= {"space_type", "files", "parameters"}
        jsonschema.validate(body, schema(document, name))
        answer = service.post(path, body)
        assert answer.status_code == status, answer.json


# Bodies that the service accepts and rejects; the document must agree.
BODIES = [
    ({"files": {"index.html": "x"}, "space_type": "static"}, True),
    ({"files": {"a.bin": {"content": "AA==", "encoding": "base64"}, "index.html": "x"}, "space_type": "static"}, True),
    ({"files": {"index.html": "x"}, "space_type": "static", "parameters": None, "labels": ["a"]}, True),
    ({"files": {"index.html": 1}, "space_type": "static"}, False),
    ({"files": {"index.html": {"content": "x", "encoding": "rot13"}}, "space_type": "static"}, False),
    ({"files": {"index.html": "x"}, "space_type": "static", "visibility": "hidden"}, False),
    ({"files": {"index.html": "x"}, "space_type": "static", "file": {}}, False),
    ({"files": {"index.html": "x"}, "space_type": "static", "labels": [""]}, False),
    ({"files": {"app.py": "1\n"}, "hardware": "abacus"}, False),
    ({"files": {"app.py": "1\n"}, "sleep_time": 0}, False),
]


@pytest.mark.parametrize(("body", "good"), BODIES)
def test_document_and_service_agree_on_bodies(
    service: Service, document: Document, body: dict[str, Any], good: bool
) -> None:
    valid = jsonschema.Draft202012Validator(schema(document, "SpaceInput")).is_valid(body)
    assert valid == good
    assert (service.post("/spaces/preview", body).status_code == 200) == good


def test_answers_are_as_described(service: Service, document: Document) -> None:
    request = service.publish(name="one", labels=["a"], parameters={"x": [1, None]})
    token = {"grant_type": "password", "username": "admin", "password": PASSWORD}
    answers = {
        "Request": request,
        "Space": service.space(request["space_id"]),
        "SpaceList": service.get("/spaces").json,
        "RequestList": service.get("/requests").json,
        "EventList": service.get(f"/requests/{request['id']}/events").json,
        "SpaceTypeList": service.get("/space-types").json,
        "PluginList": service.get("/plugins").json,
        "Preview": service.post("/spaces/preview", sample(document, "SpaceInput")).json,
        "Token": service.client.post("/auth/token", json=token).json,
        "Error": service.post("/spaces", {"files": {"../x": "y"}}).json,
    }
    for name, answer in answers.items():
        jsonschema.validate(answer, schema(document, name))
        properties = document["components"]["schemas"][name]["properties"]
        assert set(answer) == set(properties) - {"issued_token_type"}, name


def shape(value: Any) -> Any:
    """Names of fields at every depth; lists by their first item, free objects and nulls by nothing."""
    if isinstance(value, dict) and not set(value) & {"user", "MODE", "$schema", "properties"}:
        return {name: shape(part) for name, part in value.items()}
    return [shape(part) for part in value[:1]] if isinstance(value, list) else None


def known(example: Any, real: Any) -> Any:
    """The shape of an example where the real answer has a value."""
    if isinstance(example, dict) and isinstance(real, dict):
        return {name: known(part, real.get(name)) for name, part in example.items()}
    if isinstance(example, list) and isinstance(real, list):
        return [known(part, other) for part, other in zip(example[:1], real[:1], strict=False)]
    return None


def test_examples_are_like_real_answers(service: Service, document: Document) -> None:
    body = {"space_type": "static", "files": {"index.html": "<h1>Hello</h1>"}, "parameters": {"user": "x"}}
    named = {**body, "name": "greeter", "labels": ["course-2026"]}
    login = {"grant_type": "password", "username": "admin", "password": PASSWORD}
    made = service.post("/spaces", named).json
    service.work(made["latest_request"]["id"])
    real = {
        "create_token": service.post("/auth/token", login).json,
        "submit_space": made,
        "list_spaces": service.get("/spaces").json,
        "get_space": service.get(f"/spaces/{made['id']}").json,
        "preview_space": service.post("/spaces/preview", body).json,
        "list_requests": service.get("/requests").json,
        "get_request": service.get(f"/requests/{made['latest_request']['id']}").json,
        "list_space_types": service.get("/space-types").json,
        "get_space_type": service.get("/space-types/static").json,
    }
    found = {operation["operationId"]: operation for _, _, operation in operations(document)}
    for name, answer in real.items():
        (example,) = (
            response["content"]["application/json"]["examples"]["answer"]["value"]
            for status, response in found[name]["responses"].items()
            if status.startswith("2")
        )
        shown, given = shape(example), shape(answer)
        assert known(shown, given) == known(given, shown), name


def test_examples_of_answers_and_errors_fit_their_schemas(document: Document) -> None:
    seen = 0
    for _, path, operation in operations(document):
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json", {})
            if "examples" not in content:
                assert not (status in ("400", "404", "409", "422") and path != "/create-space"), (path, status)
                continue
            described = {**content["schema"], "components": document["components"]}
            jsonschema.Draft202012Validator(described).validate(content["examples"]["answer"]["value"])
            seen += 1
    assert seen > 300


def test_where_one_thing_is_wrong_the_message_names_it(service: Service) -> None:
    one = service.post("/spaces", {"space_type": "static", "files": {"index.html": "x"}, "nmae": "x"}).json
    assert one["message"] == "nmae: Unknown field."
    assert one["hint"].startswith("Known fields: ")
    several = service.post("/spaces", {"space_type": "static", "files": {"index.html": "x"}, "a": 1, "b": 2}).json
    assert several["message"] == "The request is not valid."
    assert len(several["issues"]) == 2
    query = service.get("/spaces?filter[nmae]=x").json
    assert query["message"] == "There is no filter nmae."
