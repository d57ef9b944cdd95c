"""/ui/login/oidc: signing in at the issuer of OpenID Connect."""

from __future__ import annotations

import logging

from flask import Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts import audit, browser_sessions, hub_tokens, single_sign_on
from assembler_runner.accounts.auth import public
from assembler_runner.accounts.models import User
from assembler_runner.accounts.permissions import account_of
from assembler_runner.accounts.single_sign_on import Finished, Granted
from assembler_runner.core.addresses import service_url
from assembler_runner.core.cookies import SECURE_SIGN_IN, SIGN_IN
from assembler_runner.core.database import db, write_transaction
from assembler_runner.core.errors import AssemblerError, NotFound, TargetError
from assembler_runner.core.settings import current_settings
from assembler_runner.services import current_services
from assembler_runner.ui.layout import pages, visitor
from assembler_runner.ui.sign_in import SPACES, own_page, refused, show_sign_in

log = logging.getLogger(__name__)


@pages.get("/login/oidc")
@public
def begin_at_issuer() -> AnyResponse:
    """Leads to the issuer."""
    _require_issuer()
    wanted = own_page(request.args.get("next"))
    if visitor():
        return redirect(wanted, 303)
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        # Another site must not sign a person in without a click here.
        return show_sign_in(wanted)
    try:
        address, cookie = single_sign_on.begin(wanted, _redirect_uri())
    except AssemblerError as error:
        return refused(error, wanted)
    response = make_response(redirect(address, 303))
    # The issuer leads back here from its own site: a strict cookie would not be sent then.
    seconds, secure = single_sign_on.SECONDS, request.is_secure
    response.set_cookie(_cookie_name(), cookie, seconds, path="/", secure=secure, httponly=True, samesite="Lax")
    return response


@pages.get("/login/oidc/callback")
@public
def finish_at_issuer() -> Response:
    """Starts a session for a person who comes back from the issuer."""
    _require_issuer()
    try:
        cookie = request.cookies.get(_cookie_name())
        response = _signed_in(single_sign_on.finish(cookie, request.args, _redirect_uri()))
    except AssemblerError as error:
        db.session.rollback()
        response = refused(error, SPACES)
    response.delete_cookie(_cookie_name(), path="/", secure=request.is_secure, httponly=True, samesite="Lax")
    return response


def _signed_in(done: Finished) -> Response:
    name = _hub_account(done.granted)
    with write_transaction():
        user = db.session.get_one(User, done.user_id)
        if done.granted is not None and name is not None:
            hub_tokens.keep(current_services().vault, user, done.granted, name)
        value = browser_sessions.begin(user, request.remote_addr, request.headers.get("User-Agent"))
        details = {"issuer": current_settings().OIDC_ISSUER}
        audit.record(account_of(user), "log_in", "session", None, None, user.realm_id, **details)
    # Not a redirect: the visit began at the issuer, and the browser would not send the strict cookie of the session.
    response = make_response(render_template("again.html", address=done.wanted))
    browser_sessions.set_cookie(request, response, value)
    return response


def _hub_account(granted: Granted | None) -> str | None:
    """Returns the account on the Hub that Spaces can be published as; None if that was not granted."""
    if granted is None or not hub_tokens.is_offered(current_settings()) or hub_tokens.SCOPE not in granted.scopes:
        return None
    try:
        return current_services().targets.whoami(granted.access_token).name
    except TargetError as problem:
        # The sign-in does not depend on it.
        log.warning("the Hub account of a person could not be read: %s", problem.code)
        return None


def _require_issuer() -> None:
    if not current_settings().OIDC_ISSUER:
        raise NotFound("People sign in with name and password here.")


def _redirect_uri() -> str:
    return f"{service_url()}/ui/login/oidc/callback"


def _cookie_name() -> str:
    return SECURE_SIGN_IN if request.is_secure else SIGN_IN
