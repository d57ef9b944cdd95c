"""Findings in answers: told at once, fixed on demand, allowed on record."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts.models import AuditEntry
from assembler_runner.core.database import db
from tests.conftest import Service

APP = "import gradio as gr\ngr.Interface(str, 'text', 'text').launch()\n"
TOKEN = "hf" + "_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789"[:34]


def codes(findings: list[dict[str, Any]]) -> dict[str, str]:
    return {finding["code"]: finding["severity"] for finding in findings}


def test_every_code_is_listed(service: Service) -> None:
    answer = service.get("/findings")
    assert answer.status_code == 200
    rows = {row["code"]: row for row in answer.json["data"]}
    assert len(rows) > 150
    assert rows["secret_in_file"]["allowable"] is True
    assert all(row["explanation"] and row["severity"] in ("error", "warning", "info") for row in rows.values())


def test_what_was_found_is_in_every_answer(service: Service) -> None:
    body = {"space_type": "gradio", "files": {"app.py": f"import cv2\n{APP}", "requirements.txt": "numpy\n"}}
    preview = codes(service.post("/spaces/preview", body).json["findings"])
    assert preview
    answer = service.post("/spaces", body).json
    assert codes(answer["findings"]) == codes(answer["latest_request"]["findings"]) == preview
    assert codes(service.get(f"/spaces/{answer['id']}").json["findings"]) == preview
    events = service.get(f"/requests/{answer['latest_request']['id']}/events").json["data"]
    (queued,) = (event for event in events if event["type"] == "queued")
    assert codes(queued["data"]["findings"]) == preview


def test_safe_fixes_are_applied_on_demand(service: Service) -> None:
    body = {"space_type": "gradio", "files": {"app.py": APP, "requirements.txt": "gradio\nsqlite3\n"}, "fixes": "safe"}
    shown = service.post("/spaces/preview?content=true", body).json
    assert "fixed" in codes(shown["findings"])
    (file,) = (file for file in shown["files"] if file["path"] == "requirements.txt")
    assert (file["origin"], "sqlite3" in file["content"]) == ("fixed", False)
    request = service.publish(**body)
    # What comes next builds on the fixed file.
    changed = service.change(request["space_id"], parameters={"user": "x"})
    assert {file["path"]: file["sha256"] for file in changed["files"]}["requirements.txt"] == file["sha256"]


def test_a_secret_is_refused_unless_it_is_allowed(service: Service) -> None:
    body: dict[str, Any] = {"space_type": "gradio", "files": {"app.py": f'KEY = "{TOKEN}"\n{APP}'}}
    refused = service.post("/spaces", body)
    assert refused.status_code == 422
    assert codes(refused.json["issues"])["secret_in_file"] == "error"
    assert TOKEN not in refused.text
    answer = service.post("/spaces", {**body, "allow": ["secret_in_file"]})
    assert answer.status_code == 202
    assert codes(answer.json["findings"])["secret_in_file"] == "warning"
    assert TOKEN not in str(answer.json["findings"])
    with service.app.app_context():
        entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "allow")).one()
        assert entry.details["codes"] == ["secret_in_file"]


def test_only_known_errors_may_be_allowed_and_fixed(service: Service) -> None:
    body = {"space_type": "gradio", "files": {"app.py": APP}, "allow": ["no_such_code", "syntax_error"]}
    refused = service.post("/spaces", body)
    assert [issue["path"] for issue in refused.json["issues"]] == ["allow[0]", "allow[1]"]
    assert service.post("/spaces", {"files": {"app.py": APP}, "fixes": "all"}).status_code == 422


def test_a_type_that_is_left_out_is_recognized(service: Service) -> None:
    files = {"streamlit_app.py": "import streamlit as st\nst.title('x')\n"}
    answer = service.post("/spaces", {"files": files}).json
    assert answer["space_type"] == "streamlit"
    assert "type_recognized" in codes(answer["findings"])
    assert service.post("/spaces", {"files": {"app.py": APP}}).json["space_type"] == "gradio"


def test_the_address_is_named_at_once(service: Service, hub_service: Service) -> None:
    answer = service.post("/spaces", {"files": {"app.py": APP}, "name": "one", "target": "local"}).json
    assert answer["url"] == "http://localhost/local/admin/one"
    answer = hub_service.post("/spaces", {"files": {"app.py": APP}, "name": "two", "namespace": "alice"}).json
    assert answer["url"].endswith("/spaces/alice/two")
