"""Who is calling: passwords, tokens, and the guard in front of every endpoint that is not public."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import jwt.exceptions
import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import Flask, g, request
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException

from assembler_runner.errors import InvalidCredentials, InvalidToken, Unauthorized
from assembler_runner.models import Realm, User, db
from assembler_runner.settings import Settings

ISSUER = "assembler"
MASTER_REALM = "master"
ADMIN = "admin"

_hasher = PasswordHasher()


@dataclass(frozen=True)
class Account:
    """Who is calling.

    Args:
        id: id of the user.
        name: name of the user.
        realm_id: the realm everything it makes belongs to.
        realm_name: name of that realm.
    """

    id: str
    name: str
    realm_id: str
    realm_name: str


def configure(app: Flask, settings: Settings) -> None:
    """Sets the tokens up and puts the guard in front of the application.

    Args:
        app: the application.
        settings: key and life times.
    """
    app.config.update(
        JWT_SECRET_KEY=settings.JWT_SECRET_KEY,
        JWT_ALGORITHM="HS256",
        JWT_DECODE_ALGORITHMS=["HS256"],
        JWT_ENCODE_ISSUER=ISSUER,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_ENCODE_AUDIENCE=ISSUER,
        JWT_DECODE_AUDIENCE=ISSUER,
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(seconds=settings.ACCESS_TOKEN_SECONDS),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(seconds=settings.REFRESH_TOKEN_SECONDS),
    )
    JWTManager(app)
    app.before_request(_guard)


def public(view: Any) -> Any:
    """Marks a view function that needs no token."""
    view.is_public = True
    return view


def hash_password(password: str) -> str:
    """Returns an argon2id hash."""
    return _hasher.hash(password)


def log_in(name: str, password: str, realm: str | None = None) -> dict[str, Any]:
    """Gives tokens for a name and a password.

    Args:
        name: the user's name.
        password: the password.
        realm: name or id of the realm; None for `master`.
    Returns:
        The answer of the token endpoint.
    Raises:
        InvalidCredentials: they do not fit; it is not told which part.
    """
    realms = sa.or_(Realm.name == (realm or MASTER_REALM), Realm.id == (realm or ""))
    user = db.session.scalar(sa.select(User).join(Realm).where(User.name == name, realms))
    try:
        _hasher.verify(user.password_hash if user else _dummy_hash(), password)
    except (VerificationError, InvalidHashError):
        raise InvalidCredentials from None
    if user is None or not user.active:
        raise InvalidCredentials
    return _tokens(user)


def refresh(token: str) -> dict[str, Any]:
    """Gives new tokens for a refresh token.

    Args:
        token: the refresh token.
    Returns:
        The answer of the token endpoint.
    Raises:
        InvalidToken: it is malformed, expired, or older than the user's last change of password.
    """
    try:
        return _tokens(_user_of(token, "refresh"))
    except Unauthorized:
        raise InvalidToken from None


def current_account() -> Account:
    """Returns who is calling.

    Raises:
        Unauthorized: nobody who is known.
    """
    account: Account | None = g.get("account")
    if account is None:
        raise Unauthorized
    return account


def account_from_header() -> Account | None:
    """Returns who is calling by the Authorization header: a Bearer token, or name and password for git and browsers.

    Returns:
        The account; None where no header came.
    Raises:
        Unauthorized: the header came but is not valid.
        InvalidCredentials: name and password do not fit.
    """
    header = request.authorization
    if header is None:
        if request.headers.get("Authorization"):
            raise Unauthorized("The Authorization header cannot be read.")
        return None
    if header.type == "bearer" and header.token:
        return _account(_user_of(header.token, "access"))
    if header.type == "basic" and header.username and header.password is not None:
        log_in(header.username, header.password)
        user = db.session.scalars(
            sa.select(User).join(Realm).where(User.name == header.username, Realm.name == MASTER_REALM)
        ).one()
        return _account(user)
    raise Unauthorized("Only Authorization: Bearer <token> is understood.")


def _guard() -> None:
    view = request.url_rule and _view_of(request.endpoint)
    if view is None or getattr(view, "is_public", False) or request.method == "OPTIONS":
        return
    if request.authorization is not None and request.authorization.type != "bearer":
        raise Unauthorized("Only Authorization: Bearer <token> is understood.")
    g.account = account_from_header()
    current_account()


def _view_of(endpoint: str | None) -> Any:
    from flask import current_app

    view = current_app.view_functions.get(endpoint or "")
    view_class = getattr(view, "view_class", None)
    method = getattr(view_class, request.method.lower(), None) if view_class else None
    return method if getattr(method, "is_public", False) else view


@cache
def _dummy_hash() -> str:
    # Checked where there is no such user, so that the time taken does not tell.
    return _hasher.hash("nobody has this password")


def _tokens(user: User) -> dict[str, Any]:
    claims = {
        "kind": "access_token",
        "sub_kind": "user",
        "realm_id": user.realm_id,
        "realm_name": user.realm.name,
        "scope": "global",
        "generation": user.token_generation,
    }
    access = create_access_token(user.id, additional_claims=claims)
    renewal = create_refresh_token(user.id, additional_claims={**claims, "kind": "refresh_token"})
    seconds = int(decode_token(access)["exp"] - decode_token(access)["iat"])
    return {
        "access_token": access,
        "expires_in": seconds,
        "token_type": "Bearer",
        "scope": "global",
        "refresh_token": renewal,
    }


def _user_of(token: str, kind: str) -> User:
    try:
        claims = decode_token(token)
    except (jwt.exceptions.PyJWTError, JWTExtendedException, ValueError):
        raise Unauthorized("The token is not valid or has expired.") from None
    user = db.session.get(User, str(claims.get("sub", "")))
    if claims.get("type") != kind or user is None or not user.active:
        raise Unauthorized("The token is not valid or has expired.")
    if claims.get("generation") != user.token_generation:
        raise Unauthorized("The token is not valid any more.")
    return user


def _account(user: User) -> Account:
    return Account(user.id, user.name, user.realm_id, user.realm.name)


def ensure_admin(password: str) -> bool:
    """Makes the realm `master` and its user `admin` where they are not there yet.

    Args:
        password: the password of a new admin.
    Returns:
        Whether the admin was made.
    """
    realm = db.session.scalar(sa.select(Realm).where(Realm.name == MASTER_REALM))
    if realm is None:
        realm = Realm(name=MASTER_REALM, display_name="Master", built_in=True)
        db.session.add(realm)
        db.session.flush()
    if db.session.scalar(sa.select(User.id).where(User.realm_id == realm.id).limit(1)):
        db.session.commit()
        return False
    db.session.add(User(name=ADMIN, realm_id=realm.id, password_hash=hash_password(password)))
    db.session.commit()
    return True
