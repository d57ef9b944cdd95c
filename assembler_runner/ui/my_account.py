"""/ui/account, /ui/agents: the visitor's own account, and how programs and agents connect."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import Response, make_response, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts import audit, browser_sessions, hub_tokens, personal_tokens, tokens
from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.directory import Users
from assembler_runner.accounts.identities import Identity
from assembler_runner.accounts.models import BrowserSession, LoginSession, PersonHubToken, Robot, User
from assembler_runner.accounts.permissions import ANY_ACCOUNT, permissions_of, requires
from assembler_runner.accounts.personal_tokens import PersonalToken
from assembler_runner.api.http.i18n import LANGUAGES
from assembler_runner.api.http.json_body import load
from assembler_runner.api.schemas.accounts import SelfInput
from assembler_runner.api.schemas.personal_tokens import PersonalTokenInput
from assembler_runner.core.addresses import service_url
from assembler_runner.core.cookies import LANGUAGE, THEME
from assembler_runner.core.database import db, utcnow
from assembler_runner.core.errors import AssemblerError, InvalidRequest, NotFound
from assembler_runner.core.settings import current_settings
from assembler_runner.ui.layout import THEMES, go, pages, show

_USERS = Users()
_YEAR = 365 * 24 * 3600
_MOST_DIGITS = 4


@pages.get("/account")
@requires(ANY_ACCOUNT)
def my_account() -> Response:
    """Shows the visitor's account: sessions, password, language and colours."""
    return _account(200)


def _account(status: int, **values: Any) -> Response:
    account = current_account()
    sessions = browser_sessions.sessions_of(account.id)
    user = db.session.get(User, account.id)
    rows = list(db.session.scalars(personal_tokens.own_tokens(account).order_by(PersonalToken.created_at.desc())))
    known = {"user": user, "sessions": sessions, "robots": _robots(), "tokens": rows, "now": utcnow()}
    hub_token = db.session.get(PersonHubToken, account.id)
    return show("account.html", status, issuers=_issuers(account.id), hub_token=hub_token, **known, **values)


def _issuers(user_id: str) -> list[str]:
    """Returns where the visitor signs in, besides the sign-in with a password."""
    settings = current_settings()
    found = db.session.scalars(sa.select(Identity.issuer).where(Identity.user_id == user_id).order_by(Identity.issuer))
    return [settings.oidc_name if issuer == settings.OIDC_ISSUER else issuer for issuer in found]


def _robots() -> list[Robot]:
    query = sa.select(Robot).where(Robot.user_id == current_account().id)
    return list(db.session.scalars(query.order_by(Robot.name)))


@pages.post("/account/password")
@requires(ANY_ACCOUNT)
def change_password() -> AnyResponse:
    """Changes the visitor's password, which ends all sessions and tokens."""
    form = request.form
    try:
        if form.get("password") != form.get("repeated"):
            raise InvalidRequest("The two new passwords differ.", hint="Type the same one twice.")
        body = {"password": form.get("password", ""), "current_password": form.get("current_password", "")}
        _USERS.update_self(current_account(), load(SelfInput(partial=True), body))
    except AssemblerError as error:
        db.session.rollback()
        return _account(error.status, problem=error)
    response = make_response(go("/ui/login", done="password"))
    browser_sessions.remove_cookie(request, response)
    return response


@pages.post("/account/tokens")
@requires(ANY_ACCOUNT)
def create_token() -> Response:
    """Creates a token of the visitor and shows it once."""
    form = request.form
    given = {"name": form.get("name", "").strip(), "scopes": form.getlist("scopes")}
    days = int(form["days"]) if form.get("days", "").isdecimal() and len(form["days"]) < _MOST_DIGITS else 0
    try:
        data = load(PersonalTokenInput(), given)
        expires_at = utcnow() + timedelta(days=days)
        row = personal_tokens.create(current_account(), data["name"], data["scopes"], expires_at)
    except AssemblerError as error:
        db.session.rollback()
        return _account(error.status, problem=error, token_form=given)
    return _account(201, new_token=row.token)


@pages.post("/account/tokens/<token_id>")
@requires(ANY_ACCOUNT)
def delete_token(token_id: str) -> AnyResponse:
    """Deletes a token of the visitor."""
    personal_tokens.remove(current_account(), token_id)
    return go("/ui/account", done="deleted")


@pages.post("/account/hub-token")
@requires(ANY_ACCOUNT)
def delete_hub_token() -> AnyResponse:
    """Deletes the token with which the visitor publishes on the Hub."""
    account = current_account()
    audit.record(account, "delete", "hub_token", None, None, account.realm_id)
    hub_tokens.remove(account.id)
    return go("/ui/account", done="hub_token")


@pages.post("/account/look")
@requires(ANY_ACCOUNT)
def change_look() -> AnyResponse:
    """Keeps language and colours in this browser."""
    response = make_response(go("/ui/account", done="look"))
    for name, field, known in ((LANGUAGE, "language", LANGUAGES), (THEME, "theme", THEMES)):
        if (value := request.form.get(field)) in known:
            secure = request.is_secure
            response.set_cookie(name, value, max_age=_YEAR, secure=secure, httponly=True, samesite="Strict")
        else:
            response.delete_cookie(name)
    return response


@pages.post("/account/sessions/<session_id>")
@requires(ANY_ACCOUNT)
def end_session(session_id: str) -> AnyResponse:
    """Ends one session of the visitor."""
    found = db.session.get(LoginSession, session_id)
    if found is None or found.account_id != current_account().id:
        raise NotFound("There is no session with this id.")
    tokens.end(session_id)
    db.session.commit()
    return go("/ui/account", done="ended")


@pages.get("/agents")
@requires(ANY_ACCOUNT)
def agents() -> Response:
    """Shows how programs and agents connect, and which ones may act for the visitor."""
    robots = _robots()
    names = {current_account().id: current_account().name} | {robot.id: robot.name for robot in robots}
    logins = (LoginSession.account_id.in_(names), LoginSession.ended_at.is_(None))
    in_browser = sa.exists().where(BrowserSession.session_id == LoginSession.id)
    query = sa.select(LoginSession).where(*logins, LoginSession.expires_at > utcnow(), ~in_browser)
    newest = db.session.scalars(query.order_by(LoginSession.expires_at.desc()).limit(browser_sessions.MOST_SHOWN))
    current = sorted(filter(_is_current, newest), key=lambda row: row.created_at, reverse=True)
    return show(
        "agents.html",
        robots=[(robot, sorted(permissions_of(robot))) for robot in robots],
        logins=[(row, names[row.account_id]) for row in current],
        url=service_url(),
        clients=_clients(),
    )


def _clients() -> dict[str, str]:
    """Returns the line that connects each common client to `assembler mcp`."""
    server = "assembler mcp --profile helper --folder ."
    return {
        "Claude Code": f"claude mcp add assembler -- {server}",
        "Codex": f"codex mcp add assembler -- {server}",
        "Gemini CLI": f"gemini mcp add assembler {server}",
        "VS Code": "code --add-mcp "
        + '\'{"name": "assembler", "command": "assembler", "args": '
        + '["mcp", "--profile", "helper", "--folder", "."]}\'',
    }


def _is_current(row: LoginSession) -> bool:
    return tokens.is_active(row.id)


@pages.post("/agents/<session_id>")
@requires(ANY_ACCOUNT)
def revoke_login(session_id: str) -> AnyResponse:
    """Ends the login of a program, with all its tokens."""
    found = db.session.get(LoginSession, session_id)
    if found is None or found.account_id not in {current_account().id, *(robot.id for robot in _robots())}:
        raise NotFound("There is no login with this id.")
    tokens.end(session_id)
    db.session.commit()
    return go("/ui/agents", done="revoked")
