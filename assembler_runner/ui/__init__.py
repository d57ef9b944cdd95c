"""The web pages of the service, their templates and their stylesheet."""

from flask import Blueprint

ui = Blueprint("ui", __name__, static_folder="static", static_url_path="/assets/ui", template_folder="templates")

__all__ = ["ui"]
