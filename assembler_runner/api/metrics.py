"""/metrics: the metrics of the service."""

from __future__ import annotations

from flask import Response

from assembler_runner.api.http.blueprint import Blueprint
from assembler_runner.apps.numbers import AppMetrics
from assembler_runner.core.database import db
from assembler_runner.publishing import metrics_page
from assembler_runner.services import current_services

blueprint = Blueprint("metrics", __name__, description="Metrics for Prometheus.")


@blueprint.get("/metrics")
@blueprint.needs("metrics_read")
@blueprint.doc(responses={"200": {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}})
def show() -> Response:
    """Read the metrics of the service

    In the text format of Prometheus. Requires the token of an account of `master`, or METRICS_TOKEN.
    """
    services = current_services()
    more = []
    if services.settings.runs_apps:
        more.append(AppMetrics(db.engine, services.settings, services.targets.local.app_files))
    return Response(metrics_page.render(db.engine, *more), content_type=metrics_page.CONTENT_TYPE)
