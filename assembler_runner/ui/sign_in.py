"""/ and /ui/login: signing in to the web pages and out again."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts import audit, auth, browser_sessions, tokens
from assembler_runner.accounts.auth import current_account, public
from assembler_runner.accounts.permissions import ANY_ACCOUNT, account_of, requires
from assembler_runner.api.http.accepts import wants_page
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, InvalidCredentials, TooManyRequests
from assembler_runner.core.settings import current_settings
from assembler_runner.services import current_services
from assembler_runner.ui.layout import pages, show, visitor

start = Blueprint("start", __name__)

SPACES = "/ui/spaces"


@start.get("/")
@public
def index() -> AnyResponse:
    """Shows the sign-in or the Spaces to a person; tells a program what this service is."""
    if not wants_page():
        return make_response(render_template("index.html", types=current_services().registry.types()))
    return redirect(SPACES, 303) if visitor() else show_sign_in(SPACES)


@pages.get("/")
@requires(ANY_ACCOUNT)
def home() -> AnyResponse:
    """Leads to the Spaces."""
    return redirect(SPACES, 303)


@pages.get("/login")
@public
def login() -> AnyResponse:
    """Shows the sign-in."""
    wanted = own_page(request.args.get("next"))
    return redirect(wanted, 303) if visitor() else show_sign_in(wanted)


@pages.post("/login")
@public
def sign_in() -> AnyResponse:
    """Starts a session for a name and a password."""
    wanted, form = own_page(request.form.get("next")), request.form
    name, realm = form.get("name", "").strip(), form.get("realm", "").strip() or None
    try:
        user = auth.check_password(name, form.get("password", ""), realm)
    except (InvalidCredentials, TooManyRequests) as error:
        return refused(error, wanted, form)
    value = browser_sessions.begin(user, request.remote_addr, request.headers.get("User-Agent"))
    audit.record(account_of(user), "log_in", "session", None, None, user.realm_id)
    db.session.commit()
    response = make_response(redirect(wanted, 303))
    browser_sessions.set_cookie(request, response, value)
    return response


@pages.post("/logout")
@public
def sign_out() -> AnyResponse:
    """Ends the session of this browser."""
    account = visitor()
    if account is not None and account.session_id is not None:
        tokens.end(account.session_id)
        audit.record(account, "log_out", "session", account.session_id, None, account.realm_id)
        db.session.commit()
    return _signed_out()


@pages.post("/account/sign-out-everywhere")
@requires(ANY_ACCOUNT)
def sign_out_everywhere() -> AnyResponse:
    """Ends all sessions of the visitor, and all tokens of its programs."""
    account = current_account()
    number = browser_sessions.end_all(account.id)
    audit.record(account, "log_out", "session", None, None, account.realm_id, sessions=number)
    db.session.commit()
    return _signed_out()


def _signed_out() -> Response:
    response = make_response(redirect("/ui/login?done=signed_out", 303))
    browser_sessions.remove_cookie(request, response)
    # Drafts of this person do not stay in the browser.
    response.headers["Clear-Site-Data"] = '"storage"'
    return response


def show_sign_in(wanted: str, status: int = 200, **values: Any) -> Response:
    """Renders the sign-in.

    Args:
        wanted: the page to go on to.
        status: HTTP status.
        values: further values of the template.
    """
    return show("login.html", status, wanted=wanted, issuer=current_settings().oidc_name, **values)


def refused(error: AssemblerError, wanted: str, form: Any = None) -> Response:
    """Renders the sign-in with an error.

    Args:
        error: the error.
        wanted: the page to go on to.
        form: what was typed, if anything.
    """
    response = show_sign_in(wanted, error.status, error=error, form=form)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(int(error.retry_after) + 1)
    return response


def own_page(address: str | None) -> str:
    """Returns a page to go on to; never an address of another host, nor the sign-in again."""
    if not address or "\\" in address or address.startswith("/ui/login") or not browser_sessions.is_page(address):
        return SPACES
    return address
