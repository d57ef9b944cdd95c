"""Every starter app of every type: assembled, its card read, its parameters checked."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from assembler_runner.assembly.assemble import assemble
from assembler_runner.assembly.plugin_contract import ask_templates
from tests.assembly.test_cases import bundled
from tests.conftest import Service

TEMPLATES = [(plugin.space_type, template.name) for plugin in bundled().types() for template in ask_templates(plugin)]


def assembled(space_type: str, template: str, parameters: dict[str, Any] | None = None) -> Any:
    plugin = bundled().get(space_type)
    assert plugin is not None
    return assemble(plugin, {}, template=template, parameters=parameters)


def test_every_type_has_a_template() -> None:
    assert {space_type for space_type, _ in TEMPLATES} == {"docker", "gradio", "static", "streamlit"}
    assert {name for space_type, name in TEMPLATES if space_type == "gradio"} == {"text", "image", "chat"}
    assert {name for space_type, name in TEMPLATES if space_type == "docker"} == {"flask", "fastapi", "node"}


@pytest.mark.parametrize(("space_type", "template"), TEMPLATES)
def test_it_assembles_without_findings_and_with_a_card(space_type: str, template: str) -> None:
    assembly = assembled(space_type, template)
    assert assembly.findings == []
    card = yaml.safe_load(assembly.tree["README.md"].text().split("---\n")[1])
    plugin = bundled().get(space_type)
    assert plugin is not None
    assert card["sdk"] == plugin.sdk
    assert {file.origin for file in assembly.tree.values()} <= {"default", "generated"}
    if space_type == "docker":
        dockerfile = assembly.tree["Dockerfile"].text()
        assert "EXPOSE 7860" in dockerfile
        assert "\nUSER " in dockerfile


@pytest.mark.parametrize(("space_type", "template"), TEMPLATES)
def test_its_defaults_reach_the_code(space_type: str, template: str) -> None:
    tree = assembled(space_type, template).tree
    code = {path: file.text() for path, file in tree.items()}
    if "params.json" in code:
        parameters = json.loads(code["params.json"])
    else:
        scope: dict[str, Any] = {}
        line = next(line for line in code["app.py"].splitlines() if line.startswith("PARAMS = "))
        exec(line, scope)
        parameters = scope["PARAMS"]
    plugin = bundled().get(space_type)
    assert plugin is not None
    schema = next(found for found in ask_templates(plugin) if found.name == template).parameters()
    assert parameters == schema.dump(schema.load({}))
    assert parameters


def test_wrong_parameters_of_a_template_are_told_with_the_known_ones(service: Service) -> None:
    body = {"space_type": "gradio", "template": "image", "parameters": {"angle": "much", "colour": 1}}
    answer = service.post("/spaces", body)
    assert answer.status_code == 422
    issues = {issue["path"]: issue for issue in answer.json["issues"]}
    assert set(issues) == {"parameters.angle", "parameters.colour"}
    assert "angle, grey, title" in issues["parameters.colour"]["hint"]


def test_an_unknown_template_is_told_with_the_known_ones(service: Service) -> None:
    answer = service.post("/spaces", {"space_type": "gradio", "template": "imgae"})
    assert answer.status_code == 422
    (issue,) = answer.json["issues"]
    assert (issue["path"], issue["hint"]) == ("template", "Use one of: text, image, chat.")


def test_a_template_is_published_and_single_files_replaced(service: Service) -> None:
    body = {
        "space_type": "static",
        "template": "landing",
        "parameters": {"headline": "Hi"},
        "files": {"style.css": "h1 {}"},
    }
    request = service.publish(**body)
    assert request["status"] == "succeeded"
    files = {file["path"]: file["origin"] for file in request["files"]}
    assert files == {
        "README.md": "generated",
        "index.html": "default",
        "page.js": "default",
        "params.js": "generated",
        "params.json": "generated",
        "style.css": "given",
    }
    space = service.space(request["space_id"])
    raw = service.client.get(f"/local/{space['namespace']}/{space['name']}/raw/main/params.json")
    parameters = json.loads(raw.text)
    assert parameters["headline"] == "Hi"
    assert parameters["button"] == "Learn more"


def test_templates_stand_in_the_space_types(service: Service) -> None:
    shown = service.get("/space-types/docker").json
    template = next(template for template in shown["templates"] if template["name"] == "fastapi")
    assert template["files"] == ["app.py", "requirements.txt", "Dockerfile"]
    assert template["parameters"]["properties"]["title"]["default"] == "My API"
    assert template["parameters"]["additionalProperties"] is False
    assert shown["versions"] == ["1.0.0"]


def test_a_port_that_does_not_fit_is_told(service: Service) -> None:
    body = {"space_type": "docker", "template": "flask", "options": {"app_port": 8000}}
    findings = service.post("/spaces/preview", body).json["findings"]
    assert [(finding["code"], finding["severity"]) for finding in findings] == [("port_mismatch", "warning")]
