"""The fix of a problem, applied as one new commit."""

from __future__ import annotations

import sqlalchemy as sa

from assembler_runner.core.database import db
from assembler_runner.devhub import StandInHub
from assembler_runner.spaces.models import Space
from tests.conftest import Service

APP = "import cv2\nimport gradio as gr\ngr.Interface(str, 'text', 'text').launch()\n"
LOG = 'Traceback (most recent call last):\n  File "/app/app.py", line 1, in <module>\n    import cv2\n'
LOG += "ModuleNotFoundError: No module named 'cv2'\n"


def with_problem(service: Service, space_id: str, problem: object) -> None:
    with service.app.app_context():
        db.session.execute(sa.update(Space).where(Space.id == space_id).values(problem=problem))
        db.session.commit()


def test_a_fix_is_one_commit(hub_service: Service, hub: StandInHub) -> None:
    request = hub_service.publish(
        space_type="gradio", files={"app.py": APP, "requirements.txt": "numpy\n"}, name="vision"
    )
    space_id = request["space_id"]
    body = {"log": LOG, "kind": "run", "space_type": "gradio", "files": ["app.py", "requirements.txt"]}
    problem = hub_service.post("/diagnoses", body).json
    assert (problem["code"], problem["fix"]["safe"]) == ("missing_module", True)
    with_problem(hub_service, space_id, problem)
    fixed = hub_service.command(space_id, "apply_fix")
    assert fixed["status"] == "succeeded"
    assert hub.tree("alice/vision")["requirements.txt"] == b"numpy\nopencv-python-headless\n"
    assert len(hub.commits("alice/vision")) == 2


def test_without_a_fix_there_is_nothing_to_apply(service: Service) -> None:
    space_id = service.publish()["space_id"]
    answer = service.post(f"/spaces/{space_id}/command", {"command": "apply_fix"})
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")


def test_a_fix_for_other_files_is_refused(service: Service) -> None:
    space_id = service.publish()["space_id"]
    edit = {"path": "app.py", "action": "replace", "line": 1, "old": "import nothing", "new": "import json"}
    fix = {"title": "Import json", "safe": True, "edits": [edit], "options": {}}
    with_problem(service, space_id, {"code": "exception", "message": "x", "fix": fix})
    answer = service.post(f"/spaces/{space_id}/command", {"command": "apply_fix"})
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "app.py" in answer.json["message"]


def test_a_problem_of_an_earlier_version_is_shown(service: Service) -> None:
    """Problems stored before there were values, fixes and excerpts."""
    space_id = service.publish()["space_id"]
    with_problem(service, space_id, {"code": "exception", "message": "x", "hint": "y"})
    assert service.get(f"/spaces/{space_id}").json["problem"] == {"code": "exception", "message": "x", "hint": "y"}


def test_a_fix_is_previewed_as_a_diff(hub_service: Service, hub: StandInHub) -> None:
    files = {"app.py": APP, "requirements.txt": "numpy\n"}
    space_id = hub_service.publish(space_type="gradio", files=files, name="vision")["space_id"]
    problem = hub_service.post("/diagnoses", {"log": LOG, "space_type": "gradio", "files": list(files)}).json
    with_problem(hub_service, space_id, problem)
    shown = hub_service.get(f"/spaces/{space_id}/fix").json
    assert (shown["title"], shown["safe"], shown["diff"]["added"], shown["diff"]["deleted"]) == (
        problem["fix"]["title"],
        True,
        [],
        [],
    )
    (changed,) = shown["diff"]["changed"]
    assert changed["diff"] == (
        "--- a/requirements.txt\n+++ b/requirements.txt\n@@ -1 +1,2 @@\n numpy\n+opencv-python-headless\n"
    )
    assert hub.tree("alice/vision")["requirements.txt"] == b"numpy\n"
    with_problem(hub_service, space_id, None)
    assert hub_service.get(f"/spaces/{space_id}/fix").status_code == 409
