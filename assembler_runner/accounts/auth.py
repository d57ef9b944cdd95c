"""Authentication: passwords, secrets, login, and the guard that protects every view that is not public."""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Flask, current_app, g, request
from flask_jwt_extended import JWTManager

from assembler_runner.accounts import browser_sessions, login_throttle, personal_tokens, tokens
from assembler_runner.accounts.models import Realm, Robot, Role, User
from assembler_runner.accounts.passwords import hash_password, verify
from assembler_runner.accounts.permissions import (
    ANY_ACCOUNT,
    MASTER_REALM,
    Account,
    account_of,
    built_in_id,
    ensure_built_in,
    grant_role,
)
from assembler_runner.core.database import db, read_transaction
from assembler_runner.core.errors import Forbidden, InvalidCredentials, NotFound, Unauthorized
from assembler_runner.core.settings import Settings

ISSUER = "assembler"
ADMIN = "admin"
_Row = TypeVar("_Row", User, Robot)


def configure(app: Flask, settings: Settings) -> None:
    """Configures tokens and registers the guard.

    Args:
        app: the application.
        settings: signing key and lifetimes.
    """
    app.config.update(
        JWT_SECRET_KEY=settings.JWT_SECRET_KEY,
        METRICS_TOKEN=settings.METRICS_TOKEN,
        JWT_ALGORITHM="HS256",
        JWT_DECODE_ALGORITHMS=["HS256"],
        JWT_ENCODE_ISSUER=ISSUER,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_ENCODE_AUDIENCE=ISSUER,
        JWT_DECODE_AUDIENCE=ISSUER,
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(seconds=settings.ACCESS_TOKEN_SECONDS),
    )
    JWTManager(app)
    login_throttle.configure(app, settings)
    app.before_request(_guard)


def public(view: Any) -> Any:
    """Marks a view function as public: it requires no token."""
    view.is_public = True
    return view


def login(name: str, password: str, realm: str | None = None) -> dict[str, Any]:
    """Issues tokens for a name and a password.

    Args:
        name: the user's name.
        password: the password.
        realm: name or id of the realm; None for `master`.
    Returns:
        The response of the token endpoint.
    Raises:
        InvalidCredentials: the credentials are wrong; the error does not reveal which part.
        TooManyRequests: too many failed logins.
    """
    return tokens.begin(check_password(name, password, realm), "user")


def login_robot(robot_id: str, secret: str, kind: str) -> dict[str, Any]:
    """Issues an access token for the id and secret of a robot.

    Args:
        robot_id: its id.
        secret: its secret.
        kind: robot or client, the term used by the caller.
    Returns:
        The response of the token endpoint.
    Raises:
        InvalidCredentials: the credentials are wrong; the error does not reveal which part.
        TooManyRequests: too many failed logins.
    """
    robot = db.session.get(Robot, robot_id) if "\0" not in robot_id else None
    return tokens.begin(_checked(robot, robot.secret_hash if robot else None, secret, f"robot {robot_id}"), kind)


def is_password_of(user: User, password: str) -> bool:
    """Returns whether a password is the user's current one; a wrong one counts as a failed login."""
    try:
        _checked(user, user.password_hash, password, f"user {user.realm.name}/{user.name}")
    except InvalidCredentials:
        return False
    return True


def current_account() -> Account:
    """Returns the account of the current call.

    Raises:
        Unauthorized: the call is not authenticated.
    """
    account: Account | None = g.get("account")
    if account is None:
        raise Unauthorized
    return account


def account_from_header() -> Account | None:
    """Authenticates the call by its Authorization header: a Bearer token, or Basic with name and password.

    Basic is for git and browsers; the name is that of a user of `master`, or `realm/name`. In place of the password a
    personal token is enough, with any name.

    Returns:
        The account; None if the call has no such header.
    Raises:
        Unauthorized: the header is not valid.
        InvalidCredentials: name or password is wrong.
        TooManyRequests: too many failed logins.
    """
    header = request.authorization
    if header is None:
        if request.headers.get("Authorization"):
            raise Unauthorized("The Authorization header cannot be read.")
        return None
    if header.type == "bearer" and header.token:
        return tokens.account_of_token(header.token)
    if header.type == "basic" and header.username and header.password is not None:
        if header.password.startswith(personal_tokens.PREFIX):
            return personal_tokens.account_of(header.password)
        realm, slash, name = header.username.rpartition("/")
        return account_of(check_password(name, header.password, realm if slash else None))
    raise Unauthorized("Only Authorization: Bearer <token> is supported.")


def account_from_cookie() -> Account | None:
    """Authenticates the call by the cookie of the web pages.

    Returns:
        The account; None if the call has no cookie, its session has ended, or a page of another origin has sent it.
    """
    value = browser_sessions.cookie_of(request)
    if value is None or request.authorization is not None or not browser_sessions.accepts(request):
        return None
    found = browser_sessions.user_of(value)
    if found is None:
        return None
    account = account_of(*found)
    browser_sessions.keep_alive(value)
    return account


def _guard() -> None:
    """Denies every endpoint that does not declare its access."""
    view = request.url_rule and _view_of(request.endpoint)
    browser_sessions.refuse_foreign(request)
    if any("\0" in str(value) for value in (request.view_args or {}).values()):
        # No name or id contains NUL, and not every database accepts it.
        raise NotFound
    if view is None or getattr(view, "is_public", False) or request.method == "OPTIONS":
        return
    if request.authorization is not None and request.authorization.type != "bearer":
        raise Unauthorized("Only Authorization: Bearer <token> is supported.")
    required = getattr(view, "requires", None)
    if required == "metrics_read" and _is_metrics_token():
        return
    with read_transaction(keep_open=True):
        g.account = account_from_header()
    if g.account is None:
        with read_transaction(keep_open=True):
            g.account = account_from_cookie()
    held = current_account().permissions
    if required is None or (required != ANY_ACCOUNT and required not in held):
        raise Forbidden(f"This account lacks the permission {required}." if required else None)


def _is_metrics_token() -> bool:
    wanted, header = current_app.config["METRICS_TOKEN"], request.authorization
    if not wanted or header is None or not header.token:
        return False
    return hmac.compare_digest(wanted.encode(), header.token.encode())


def _view_of(endpoint: str | None) -> Any:
    view = current_app.view_functions.get(endpoint or "")
    view_class = getattr(view, "view_class", None)
    method = getattr(view_class, request.method.lower(), None) if view_class else None
    return method or view


def check_password(name: str, password: str, realm: str | None) -> User:
    """Returns the user with a name and a password.

    Args:
        name: the user's name.
        password: the password.
        realm: name or id of the realm; None for `master`.
    Raises:
        InvalidCredentials: the credentials are wrong; the error does not reveal which part.
        TooManyRequests: too many failed logins.
    """
    realm = realm or MASTER_REALM
    user = None
    if "\0" not in name and "\0" not in realm:
        realms = sa.or_(Realm.name == realm, Realm.id == realm)
        user = db.session.scalar(sa.select(User).join(Realm).where(User.name == name, realms))
    account = f"user {user.realm.name}/{user.name}" if user else f"user {realm}/{name}"
    return _checked(user, user.password_hash if user else None, password, account)


def _checked(row: _Row | None, stored: str | None, secret: str, account: str) -> _Row:
    """Returns the row if the password or secret matches; the error does not reveal what is wrong."""
    with login_throttle.attempt(account):
        key = (type(row), row.id) if row else None
        # Hashing is slow: hold no lock and no transaction during it.
        db.session.rollback()
        correct = verify(stored, secret)
        current = db.session.get(*key) if key else None
        if not correct or current is None or not current.active:
            raise InvalidCredentials
        return current


def ensure_admin(password: str) -> bool:
    """Creates the realm `master`, the built-in roles, and the user `admin`, unless they exist.

    Args:
        password: the password of a new admin.
    Returns:
        Whether the admin was created.
    """
    ensure_built_in()
    realm = db.session.scalar(sa.select(Realm).where(Realm.name == MASTER_REALM))
    if realm is None:
        realm = Realm(name=MASTER_REALM, display_name="Master", built_in=True)
        db.session.add(realm)
        db.session.flush()
    missing = not db.session.scalar(sa.select(User.id).where(User.realm_id == realm.id).limit(1))
    if missing:
        user = User(name=ADMIN, realm_id=realm.id, password_hash=hash_password(password))
        db.session.add(user)
        db.session.flush()
        grant_role(user, db.session.get_one(Role, built_in_id("role", ADMIN)))
    db.session.commit()
    return missing
