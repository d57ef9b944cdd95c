"""What all pages share: the blueprint, values and filters for templates, lists with pages, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import sqlalchemy as sa
from flask import Blueprint, Flask, Response, g, make_response, redirect, render_template, request
from flask_babel import format_datetime, format_decimal, format_timedelta
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner import __version__
from assembler_runner.accounts import browser_sessions
from assembler_runner.accounts.auth import account_from_cookie
from assembler_runner.accounts.permissions import Account
from assembler_runner.api.http.error_handlers import show_errors_with
from assembler_runner.api.http.i18n import set_content_language, translated
from assembler_runner.core.addresses import absolute_url
from assembler_runner.core.cookies import THEME
from assembler_runner.core.database import db, read_transaction, utcnow
from assembler_runner.core.errors import AssemblerError, Unauthorized
from assembler_runner.core.listing import AFTER, Listing, Page, read_page
from assembler_runner.spaces.events import settled_event_id
from assembler_runner.ui.browser_names import browser_name
from assembler_runner.ui.diff_rows import diff_rows

THEMES = ("light", "dark")
ROWS = 50
"""Rows of a page of a list: a browser draws a thousand in more than a second."""

pages = Blueprint("pages", __name__, url_prefix="/ui")


def configure(app: Flask) -> None:
    """Adds what templates need, and shows errors to people as pages."""
    app.context_processor(_values)
    app.add_template_filter(ago)
    app.add_template_filter(exact)
    app.add_template_filter(number)
    app.add_template_filter(absolute_url)
    app.add_template_filter(translated)
    app.add_template_filter(iso)
    app.add_template_filter(diff_rows)
    app.add_template_filter(browser_name)
    show_errors_with(app, error_page)


def visitor() -> Account | None:
    """Returns who sees the page, also on a public page; None without a session."""
    if "account" not in g:
        with read_transaction(keep_open=True):
            g.account = account_from_cookie()
    account: Account | None = g.account
    return account


def _values() -> dict[str, Any]:
    return {
        "account": visitor(),
        "theme": theme if (theme := request.cookies.get(THEME)) in THEMES else None,
        "newest_event": lambda: settled_event_id(db.session()),
        "version": __version__,
        "done": request.args.get("done"),
        "query": query_with,
    }


def may(permission: str) -> bool:
    """Returns whether the visitor has a permission."""
    account = visitor()
    return account is not None and permission in account.permissions


def error_page(error: AssemblerError) -> Response:
    """Makes the page of an error; a visitor who must sign in is sent to the sign-in."""
    if isinstance(error, Unauthorized) and browser_sessions.is_page(request.path):
        return sign_in_first()
    try:
        db.session.rollback()
        text = render_template("error.html", error=error)
    except Exception:  # noqa: BLE001 - an error page must not fail with the database, too
        g.account = None
        text = render_template("error_plain.html", error=error)
    return Response(text, status=error.status)


def sign_in_first() -> Response:
    """Sends the visitor to the sign-in, and then back.

    A browser sends no cookie when a page of another site leads here, so such a visit is first repeated from here.
    """
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site in ("cross-site", "same-site") and request.method == "GET":
        return Response(render_template("again.html", address=request.full_path))
    wanted = request.full_path.rstrip("?") if request.method == "GET" else "/ui/spaces"
    return make_response(redirect(f"/ui/login?next={quote(wanted)}", 303))


def show(template: str, status: int = 200, **values: Any) -> Response:
    """Renders a page."""
    return set_content_language(make_response(render_template(template, **values), status))


def go(address: str, **query: str | None) -> AnyResponse:
    """Leads on after a change, so that a reload does not repeat it.

    Args:
        address: the path of the next page.
        query: parameters; those that are None are left out.
    """
    given = {name: value for name, value in query.items() if value is not None}
    return redirect(f"{address}?{urlencode(given)}" if given else address, 303)


def query_with(**changes: Any) -> str:
    """Returns the query of this page with changed parameters; None removes one."""
    values = {name: value for name, value in request.args.items() if name not in ("done", *changes)}
    values |= {name: str(value) for name, value in changes.items() if value is not None}
    return "?" + urlencode(values)


def rows(query: sa.Select[Any], listing: Listing, arguments: Mapping[str, str]) -> Page:
    """Reads the page of a list that the address names.

    Args:
        query: all rows that the visitor may see.
        listing: the fields of filters and sorting.
        arguments: filters and sorting, as in the API.
    """
    given = {**arguments, "page[limit]": str(ROWS)}
    if after := request.args.get("after"):
        given[AFTER] = after
    return read_page(db.session(), query, listing, given)


def ago(when: datetime | str | None) -> str:
    """Returns how long ago a time was, in the language of the visitor."""
    if when is None:
        return ""
    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    return str(format_timedelta(_rounded(moment - utcnow()), add_direction=True))


def _rounded(distance: timedelta) -> timedelta:
    # "in 0 seconds" says nothing, and clocks differ.
    return distance if abs(distance.total_seconds()) >= 1 else timedelta(seconds=-1)


def exact(when: datetime | str | None) -> str:
    """Returns the time in UTC, in the language of the visitor."""
    if when is None:
        return ""
    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    return f"{format_datetime(moment, 'medium', rebase=False)} UTC"


def iso(when: datetime | str | None) -> str:
    """Returns the time for the attribute of an element."""
    return when.isoformat(timespec="seconds") if isinstance(when, datetime) else when or ""


def number(value: float) -> str:
    """Returns a number in the language of the visitor."""
    return str(format_decimal(value))
