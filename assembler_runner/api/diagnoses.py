"""/diagnoses: the cause of an error, from a log."""

from __future__ import annotations

from typing import Any

from assembler_runner.accounts.permissions import ANY_ACCOUNT
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.json_body import load, read_object
from assembler_runner.api.schemas.diagnosis_input import DiagnosisInput
from assembler_runner.api.schemas.problems import ProblemSchema
from assembler_runner.runtime.causes import diagnose

blueprint = Blueprint("diagnoses", __name__, description="Causes of errors.")


@blueprint.post("/diagnoses")
@blueprint.needs(ANY_ACCOUNT)
@blueprint.doc(**takes(DiagnosisInput))
@blueprint.doc(**fails(400, 413, 422))
@blueprint.response(200, ProblemSchema)
def create_diagnosis() -> dict[str, Any]:
    """Find the cause of an error

    Reads a log and says why the app does not run and what to do. What is not known for certain is `exception` or
    `unknown`. Nothing is stored.
    """
    data = load(DiagnosisInput(), read_object())
    return diagnose(data.pop("log"), data.pop("kind"), **data).to_json()
