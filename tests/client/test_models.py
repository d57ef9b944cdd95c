"""Models: values for editors are those of the service, every field is described, long objects have a short repr."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated, Any, get_args
from uuid import UUID

import pytest

from assembler_client import models
from assembler_client.models import Preview, Request, Space, literals
from assembler_runner.publishing.actions import ACTIONS
from assembler_runner.spaces.app_state import STATES
from assembler_runner.spaces.transitions import TRANSITIONS
from assembler_runner.webhooks.models import DEAD, DELIVERED, PENDING

ID = UUID("497dcba3-ecbf-4587-a2dd-5eb0665e6880")
FOLDER = Path(models.__file__).parent


def values(kind: Any) -> set[str]:
    assert isinstance(kind, type(Annotated[str, "x"]))
    return set(get_args(get_args(kind)[0]))


def test_values_are_those_of_the_service() -> None:
    assert values(literals.SpaceState) == set(STATES)
    assert values(literals.Status) == set(TRANSITIONS)
    assert set(ACTIONS) <= values(literals.Action)
    assert values(literals.DeliveryStatus) == {PENDING, DELIVERED, DEAD}


def test_a_newer_service_may_have_more_values(recwarn: pytest.WarningsRecorder) -> None:
    space = Space.model_validate({"id": str(ID), "name": "x", "state": "hibernating", "visibility": "secret"})
    assert space.state == "hibernating"
    assert space.model_dump(mode="json")["state"] == "hibernating"
    assert not recwarn.list


def test_long_objects_have_a_short_repr() -> None:
    request = Request(id=ID, space_id=ID, files=[models.File(path="a", size=1, sha256="0")] * 50)
    space = Space(id=ID, name="greeter", namespace="admin", state="running", url="http://x", latest_request=request)
    assert repr(space) == (
        f"Space(namespace='admin', name='greeter', state='running', url='http://x', id=UUID('{ID}'))"
    )
    assert len(repr(request)) < 120
    assert len(repr(Preview(files=[models.PreviewFile(path="a", size=1, sha256="0")] * 50))) < 100


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_field_is_described(path: Path) -> None:
    for found in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(found, ast.ClassDef):
            continue
        for part, after in zip(found.body, [*found.body[1:], None], strict=True):
            if isinstance(part, ast.AnnAssign):
                described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert described, f"{found.name}.{ast.unparse(part.target)}"
