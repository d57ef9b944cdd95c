"""The client against the OpenAPI document: every path, method, parameter and field, in both directions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import BaseModel

from assembler_client import inputs, models
from assembler_client.assembler import AssemblerCalls
from assembler_client.auth_client import AuthCalls
from assembler_client.core_client import CoreCalls
from assembler_client.errors import HubAPIError
from assembler_client.models import accounts, tokens
from assembler_client.sansio.steps import NOTHING, Ask, Once, Send
from assembler_client.storage_client import StorageCalls
from tests.client.conftest import Running

ID = "497dcba3-ecbf-4587-a2dd-5eb0665e6880"

# Operations of the service that the client leaves alone, with the reason.
NOT_COVERED = {
    ("post", "/create-space"): "for clients of the forerunner; deploy does the same and survives a lost answer",
    ("get", "/docs"): "a page for people",
    ("get", "/health/live"): "for who runs the process, such as Kubernetes",
    ("get", "/metrics"): "for Prometheus",
    ("post", "/auth/token"): "sent by the Auth objects",
}
# Models whose schema has another name, or several.
SCHEMA = {
    "Thing": None,
    "Model": None,
    "ErrorResponse": "Error",
    "Base": "Base",
    "Health": None,
    "Excerpt": None,
    "LogMeta": "LogMeta",
    "Preview": ("Preview", "ChangePreview"),
    "Refused": ("Refused", "BulkRefused"),
    "Webhook": ("Webhook", "WebhookWithSecret"),
    "PersonalToken": ("PersonalToken", "NewPersonalToken"),
}
# Fields that the client does not name; they are kept all the same, see model_extra.
UNNAMED = {"Error": {"statusCode", "name"}, "Meta": {"schema"}, "LogMeta": {"schema"}, "Webhook": {"secret"}}
INPUT = {
    "SpaceFields": "SpaceInput",
    "SpaceChanges": "UpdateInput",
    "DiagnosisFields": "DiagnosisInput",
    "CommandFields": "SpaceCommandInput",
    "NewWebhook": "WebhookInput",
    "WebhookChanges": "WebhookUpdateInput",
    "BucketFields": "BucketInput",
    "RealmFields": "RealmInput",
    "UserFields": "UserInput",
    "SelfFields": "SelfInput",
    "RobotFields": "RobotInput",
    "ClientFields": "ClientInput",
    "RoleFields": "RoleInput",
    "PermissionFields": "PermissionInput",
    "HubCredentialFields": "HubCredentialInput",
    "GitCredentialFields": "GitCredentialInput",
    "PersonalTokenFields": "PersonalTokenInput",
    "TrustedPublisherFields": "TrustedPublisherInput",
}
# What the methods set themselves.
SET_BY_METHOD = {"SpaceCommandInput": {"command"}}

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(running: Running) -> Document:
    return dict(httpx.get(f"{running.url}/api-spec.json").json())


SPACE = models.Space(id=UUID(ID), name="x")
REQUEST = models.Request(id=UUID(ID), space_id=UUID(ID))
ARGUMENTS: Mapping[str, Any] = {
    "of": SPACE,
    "request": REQUEST,
    "delivery": models.Delivery(id=UUID(ID), webhook_id=UUID(ID)),
    "command": "restart",
    "filter": {"name": "x"},
    "sort": "created_at",
    "name": "static",
    "template": "landing",
    "token": "a.b.c",
    "id": 1,
    "files": {"a": b"1"},
    "published": models.File(path="a.txt", size=1, sha256="00", origin="given"),
    "to": "/nowhere/to",
    "refresh": True,
    "content": True,
    "after": 1,
    "if_match": "0123abc",
    "code": "conflict",
    "include": None,
    "fields": None,
}
NEEDED = {
    "create_webhook": {"url": "https://example.org"},
    "set_hub_credential": {"token": "x"},
    "set_git_credential": {"password": "x"},
    "create_personal_token": {"name": "x", "scopes": ["space_read"]},
    "create_trusted_publisher": {"name": "x", "robot_id": ID, "issuer": "https://example.org"},
}


def asks(calls: type) -> Iterator[tuple[str, Ask]]:
    """The first request of every method, and the second one of methods that find a Space first."""
    for name in sorted(dir(calls)):
        described = inspect.getattr_static(calls, name)
        if name.startswith("_") or not hasattr(described, "__get__") or inspect.isfunction(described):
            continue
        build = getattr(calls, name)
        given: dict[str, Any] = {}
        for parameter in list(inspect.signature(build).parameters.values())[1:]:
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            value = ARGUMENTS.get(parameter.name, parameter.default)
            given[parameter.name] = ID if value is inspect.Parameter.empty else value
        steps = iter(build(None, **given, **NEEDED.get(name, {})))
        step = next(steps)
        assert isinstance(step, (Send, Once)), name
        yield name, step.ask
        if name.startswith("download_bucket_file"):
            file = {"id": ID, "bucket_id": ID, "name": "x", "path": "x", "size": 1, "hash": "00"}
            found = httpx.Response(200, json=file, request=httpx.Request("GET", "http://x/"))
            step = steps.send(found)
            yield name, step.ask


def operation(document: Document, ask: Ask) -> tuple[str, str, dict[str, Any]]:
    method = ask.method.lower()
    for path in sorted(document["paths"], key=lambda path: path.count("{")):
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))
        if re.fullmatch(pattern, ask.path) and method in document["paths"][path]:
            return method, path, document["paths"][path][method]
    raise AssertionError(f"{ask.method} {ask.path} is not in the document")


CALLS = [AuthCalls, CoreCalls, StorageCalls]


@pytest.mark.parametrize("calls", CALLS)
def test_every_request_of_the_client_is_in_the_document(document: Document, calls: type) -> None:
    found = list(asks(calls))
    assert len(found) > 10
    for name, ask in found:
        _, path, described = operation(document, ask)
        known = {each["name"] for each in described.get("parameters", []) if "name" in each}
        for parameter, _ in ask.params:
            lists = re.fullmatch(r"(filter|page)\[\w+\]|sort|fields|include", parameter)
            assert lists or parameter in known, (name, path, parameter)
        for header in set(ask.headers) - {"Accept", "Cache-Control"}:
            assert header in known, (name, path, header)
        content = described.get("requestBody", {}).get("content", {})
        if ask.form is not None:
            assert "multipart/form-data" in content, name
        elif ask.json is not NOTHING:
            schema = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            fields = set(document["components"]["schemas"][schema]["properties"])
            assert set(ask.json) <= fields, (name, path)


def test_every_operation_is_covered_or_left_out_for_a_reason(document: Document) -> None:
    covered = {operation(document, ask)[:2] for calls in CALLS for _, ask in asks(calls)}
    # The same methods take a request, a Space, or neither.
    # Of get_me, for a robot.
    covered |= {("get", "/auth/robots/@me")}
    covered |= {("get", "/requests/{request_id}/events"), ("get", "/spaces/{space_id}/events"), ("get", "/events")}
    every = {
        (method, path)
        for path, item in document["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    }
    assert every - covered == set(NOT_COVERED)
    assert covered <= every


def answers() -> Iterator[type[BaseModel]]:
    found = {**vars(accounts), **vars(tokens), **vars(models)}
    for name, value in found.items():
        if inspect.isclass(value) and issubclass(value, models.Model) and not name.startswith("_"):
            yield value


@pytest.mark.parametrize("model", list(answers()), ids=lambda model: model.__name__)
def test_models_have_the_fields_of_the_document(document: Document, model: type[BaseModel]) -> None:
    names = SCHEMA.get(model.__name__, model.__name__)
    if names is None:
        return
    schemas = document["components"]["schemas"]
    several = (names,) if isinstance(names, str) else names
    described = {field for name in several for field in schemas[name]["properties"]}
    unnamed = set().union(*(UNNAMED.get(name, set()) for name in several))
    assert set(model.model_fields) | unnamed == described | (unnamed & set(model.model_fields))


def test_every_schema_of_an_answer_has_a_model(document: Document) -> None:
    known = {model.__name__ for model in answers()}
    for _, names in SCHEMA.items():
        known |= {names} if isinstance(names, str) else set(names or ())
    others = {"PaginationMetadata", "CreateSpace", "CreateSpaceError", "TokenInput", "RevokeInput", "RobotMe"}
    for name in document["components"]["schemas"]:
        if not name.endswith(("Input", "List", "Options")) and not name.startswith("Nested"):
            assert name in known | others, name


@pytest.mark.parametrize(("kind", "schema"), list(INPUT.items()))
def test_inputs_have_the_fields_of_the_document(document: Document, kind: str, schema: str) -> None:
    described = document["components"]["schemas"][schema]
    fields = getattr(inputs, kind)
    assert set(fields.__annotations__) == set(described["properties"]) - SET_BY_METHOD.get(schema, set())
    required = set(described.get("required", ())) - SET_BY_METHOD.get(schema, set()) - {"name"}
    assert set(fields.__required_keys__) == required


def test_both_kinds_of_clients_have_the_same_methods() -> None:
    from assembler_client import Assembler, AsyncAssembler

    assert issubclass(Assembler, AssemblerCalls)
    sync = {name for name in dir(Assembler) if not name.startswith("_")}
    twin = {name for name in dir(AsyncAssembler) if not name.startswith("_")}
    assert sync ^ twin == {"run", "iterate", "arun", "aiterate"}


def test_an_invalid_id_never_becomes_a_url() -> None:
    for wrong in ("../users", "", "x", "1/command"):
        with pytest.raises(HubAPIError) as refused:
            iter(CoreCalls.get_space(None, wrong))
        assert refused.value.issues[0].code == "invalid_id"


def test_codes_of_findings_and_diagnoses_are_read(running: Running) -> None:
    with running.assembler() as assembler:
        rules = {rule.code: rule for rule in assembler.get_findings()}
        assert rules["secret_in_file"].allowable and rules["secret_in_file"].explanation
        problem = assembler.diagnose(log="ModuleNotFoundError: No module named 'cv2'\n", files=["app.py"])
        assert problem.fix is not None and problem.fix.edits[0].new == "opencv-python-headless"
        assert problem.excerpt is not None and problem.excerpt.line == 1
        with pytest.raises(HubAPIError) as refused:
            assembler.diagnose(kind="other")  # type: ignore[arg-type]  # rejected before anything is sent
        assert [issue.path for issue in refused.value.issues] == ["kind"]
