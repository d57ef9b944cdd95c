"""/ui/accounts: people, machines and their roles."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.directory import Realms, Robots, Roles, Users
from assembler_runner.accounts.grants import grants_of
from assembler_runner.accounts.models import Realm, Robot, RobotRole, Role, User, UserRole
from assembler_runner.accounts.permissions import requires
from assembler_runner.accounts.resources import Kind
from assembler_runner.api.accounts import RESOURCES
from assembler_runner.api.http.json_body import load
from assembler_runner.api.schemas.accounts import RealmInput, RobotInput, UserInput
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, InvalidRequest, NotFound
from assembler_runner.ui.layout import go, may, pages, rows, show

USERS, ROBOTS, ROLES, REALMS = Users(), Robots(), Roles(), Realms()
_KINDS: dict[str, Kind] = {"users": USERS, "robots": ROBOTS}
_INPUTS = {"users": UserInput, "robots": RobotInput}
_GRANTS: dict[str, Any] = {"users": (UserRole, UserRole.user_id), "robots": (RobotRole, RobotRole.robot_id)}
_LISTINGS = {each.path: each.listing for each in RESOURCES}


@pages.get("/accounts")
@requires("user_read")
def accounts() -> Response:
    """Shows people, machines and realms."""
    return _list(request.args.get("kind", "users"))


def _list(kind: str, status: int = 200, **values: Any) -> Response:
    account = current_account()
    if kind == "realms":
        page = rows(REALMS.query(account), _LISTINGS["realms"], {"sort": "name"})
        return show("accounts.html", status, kind=kind, page=page, held={}, roles=[], realms={}, **values)
    kind = kind if kind in _KINDS and may(_KINDS[kind].may_read) else "users"
    filters = {"filter[name]": f"~%{word}%"} if (word := request.args.get("q", "").strip()) else {}
    page = rows(_KINDS[kind].query(account), _LISTINGS[kind], {**filters, "sort": "name"})
    roles = db.session.scalars(ROLES.query(account).order_by(Role.name)).all() if may("role_read") else []
    names = REALMS.query(account).with_only_columns(Realm.id, Realm.name).order_by(Realm.name)
    realms = {row.id: row.name for row in db.session.execute(names)}
    held = _held(kind, [row.id for row in page.rows])
    return show(
        "accounts.html", status, kind=kind, page=page, held=held, roles=roles, realms=realms, word=word, **values
    )


def _held(kind: str, ids: list[str]) -> dict[str, list[tuple[str, str]]]:
    """Returns id of an account → id of the grant and name of the role."""
    model, column = _GRANTS[kind]
    query = sa.select(column, model.id, Role.name).join(Role, Role.id == model.role_id).where(column.in_(ids))
    found: dict[str, list[tuple[str, str]]] = {}
    for holder, grant, name in db.session.execute(query.order_by(Role.name)):
        found.setdefault(holder, []).append((grant, name))
    return found


@pages.post("/accounts")
@requires("user_read")
def create_account() -> AnyResponse:
    """Creates a person, a machine or a realm; the secret of a machine is shown once."""
    kind, form = request.form.get("kind", "users"), request.form
    if kind == "realms":
        _require(REALMS.may_create)
        return _made(kind, lambda: REALMS.create(current_account(), load(RealmInput(), {"name": form.get("name", "")})))
    if kind not in _KINDS:
        raise NotFound
    _require(_KINDS[kind].may_create)
    body: dict[str, Any] = {name: form[name].strip() for name in ("name", "display_name") if form.get(name, "").strip()}
    body["name"] = body.get("name", "")
    if form.get("password"):
        body["password"] = form["password"]
    if form.get("realm_id"):
        body["realm_id"] = form["realm_id"]
    body["roles"] = [role for role in form.getlist("role") if role]
    return _made(kind, lambda: _KINDS[kind].create(current_account(), load(_INPUTS[kind](), body)))


def _made(kind: str, create: Any) -> AnyResponse:
    try:
        row: User | Robot | Realm = create()
    except AssemblerError as error:
        db.session.rollback()
        return _list(kind, error.status, problem=error, form=request.form)
    if isinstance(row, Robot) and row.secret:
        return _list(kind, 201, secret=row.secret, robot_id=row.id)
    return go("/ui/accounts", kind=kind, done="created")


@pages.post("/accounts/<kind>/<account_id>")
@requires("user_read")
def change_account(kind: str, account_id: str) -> AnyResponse:
    """Changes an account: its roles, its password or secret, whether it may log in; or deletes it."""
    if kind not in _KINDS:
        raise NotFound
    caller, rules, form = current_account(), _KINDS[kind], request.form
    _require(rules.may_update)
    action, holder = form.get("action", ""), rules.name
    if action == "grant":
        grants_of(holder, "role").create(caller, {f"{holder}_id": account_id, "role_id": form.get("role_id", "")})
    elif action == "revoke":
        grants_of(holder, "role").delete(caller, form.get("grant_id", ""))
    elif action in ("enable", "disable"):
        rules.update(caller, account_id, {"active": action == "enable"})
    elif action == "password" and kind == "users":
        data = load(UserInput(partial=True), {"password": form.get("password", "")})
        rules.update(caller, account_id, data)
    elif action == "secret" and kind == "robots":
        row = rules.update(caller, account_id, {"secret": None})
        return _list(kind, secret=row.secret, robot_id=row.id)
    elif action == "delete":
        _require(rules.may_delete)
        rules.delete(caller, account_id)
    else:
        raise InvalidRequest("There is no such command.", hint="Go back and use one of the buttons.")
    return go("/ui/accounts", kind=kind, done=action)


def _require(permission: str) -> None:
    current_account().require_permissions([permission])
