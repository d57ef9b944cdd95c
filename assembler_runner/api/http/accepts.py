"""What a caller accepts: a page for people, or JSON."""

from __future__ import annotations

from flask import request

HTML = "text/html"


def wants_page() -> bool:
    """Returns whether the caller is a browser that shows a page, not a program."""
    accepted = request.accept_mimetypes
    named = any(media == HTML for media in accepted.values())
    return named and accepted.best_match(["application/json", "text/plain", HTML]) == HTML
