"""/debug: settings, plugins and routes for developers; registered in debug mode only."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template

from assembler_runner.accounts.auth import public
from assembler_runner.core.settings import public_values
from assembler_runner.services import current_services

blueprint = Blueprint("debug", __name__, url_prefix="/debug", template_folder="templates")


@blueprint.get("/")
@public
def index() -> str:
    """Shows the settings, without secrets, and the plugins."""
    services = current_services()
    return render_template(
        "debug.html",
        settings=public_values(services.settings),
        records=services.registry.records,
        instance=services.instance,
    )


@blueprint.get("/routes")
@public
def routes() -> str:
    """Shows all routes with their endpoints and required permissions."""
    rows = []
    for rule in sorted(current_app.url_map.iter_rules(), key=lambda rule: (rule.rule, rule.endpoint)):
        view = current_app.view_functions[rule.endpoint]
        needs = getattr(view, "requires", "nothing" if getattr(view, "is_public", False) else "see its methods")
        rows.append((rule.rule, sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}), rule.endpoint, needs))
    return render_template("debug_routes.html", rows=rows)
