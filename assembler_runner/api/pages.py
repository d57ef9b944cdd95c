"""/ : the start page."""

from __future__ import annotations

from flask import Blueprint, render_template

from assembler_runner import __version__
from assembler_runner.accounts.auth import public
from assembler_runner.services import current_services

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
@public
def index() -> str:
    """Shows what this service is and how to start."""
    return render_template("index.html", version=__version__, types=current_services().registry.types())
