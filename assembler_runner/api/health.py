"""/health: liveness and readiness of the service."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from assembler_runner import __version__
from assembler_runner.api.http.blueprint import Blueprint
from assembler_runner.core.database import db
from assembler_runner.files.content import FileStoreUnavailable
from assembler_runner.publishing.embedded_worker import broker_answers, workers_answer
from assembler_runner.services import current_services

blueprint = Blueprint("health", __name__, url_prefix="/health", description="Health of the service.")


@blueprint.get("/live")
@blueprint.open()
@blueprint.response(200)
def live() -> dict[str, Any]:
    """Check that the process is alive"""
    return {"status": "ok"}


@blueprint.get("/ready")
@blueprint.open()
@blueprint.doc(responses={"503": {"description": "Database or file store is unavailable"}})
@blueprint.response(200)
def ready() -> Response:
    """Check whether requests can be accepted and published

    Database, file store, broker and workers are reported separately. Without broker or workers, requests are still
    accepted, and published later.
    """
    parts = working_parts()
    accepts = parts["database"] and parts["files"]
    body = {
        "status": "ok" if all(parts.values()) else "degraded" if accepts else "unavailable",
        "version": __version__,
        **{name: "ok" if works else "unavailable" for name, works in parts.items()},
    }
    response = jsonify(body)
    response.status_code = 200 if accepts else 503
    return response


def working_parts() -> dict[str, bool]:
    """Returns whether database, broker, workers and file store answer."""
    database = _database_answers()
    broker = broker_answers()
    return {
        "database": database,
        "broker": broker,
        "workers": broker and workers_answer(),
        "files": database and _files_answer(),
    }


def _database_answers() -> bool:
    try:
        db.session.execute(sa.text("SELECT 1"))
    except SQLAlchemyError:
        db.session.rollback()
        return False
    return True


def _files_answer() -> bool:
    try:
        current_services().files.check()
    except FileStoreUnavailable:
        return False
    return True
