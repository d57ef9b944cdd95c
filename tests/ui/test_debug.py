"""The pages of the debug mode, and the files for editors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assembler_runner.app import create_app
from assembler_runner.core.places import PROJECT
from assembler_runner.core.settings import load
from tests.conftest import SECRETS, Service


def test_debug_pages_exist_in_debug_mode_only(service: Service) -> None:
    assert service.client.get("/debug/").status_code == 404
    assert service.get("/debug/routes").status_code == 404


def test_debug_pages_show_routes_and_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    client = create_app(load({}, **SECRETS, METRICS_TOKEN="a token that must not be seen 0123"), tmp_path).test_client()
    routes = client.get("/debug/routes")
    assert routes.status_code == 200
    for text in ("<code>/create-space</code>", "POST", "create-space.create_space", "space_create", "metrics_read"):
        assert text in routes.text
    page = client.get("/debug/").text
    assert "gradio" in page
    assert "LEASE_SECONDS" in page
    for secret in (*SECRETS.values(), "must not be seen"):
        assert secret not in page


def test_the_launch_configuration_names_existing_files() -> None:
    launch = json.loads((PROJECT / "default-launch.json").read_text())
    names = {each["name"] for each in launch["configurations"]}
    assert {name for each in launch["compounds"] for name in each["configurations"]} <= names
    tasks = (PROJECT / "tasks.py").read_text()
    for each in launch["configurations"]:
        if each["module"] == "invoke":
            assert f"def {each['args'][0]}(" in tasks
