"""Tokens: issued at login, refreshed, and revoked.

Every token belongs to a session. Access tokens are short-lived JWTs (RFC 7519, fixed algorithm HS256) that name their
session. Refresh tokens are random strings, stored as hashes and rotated on use (RFC 9700, section 4.14). A replaced one
works for a grace period, because programs with several threads refresh at the same time; later use indicates theft and
ends the session with all of its tokens.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from datetime import timedelta
from functools import cache
from typing import Any

import jwt.exceptions
import sqlalchemy as sa
from flask_jwt_extended import create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException

from assembler_runner.accounts import hub_tokens, personal_tokens
from assembler_runner.accounts.models import LoginSession, Realm, RefreshToken, Robot, User
from assembler_runner.accounts.permissions import QUOTAS, Account, permissions_held
from assembler_runner.core.database import UtcDateTime, db, utcnow
from assembler_runner.core.digest_cache import DigestCache
from assembler_runner.core.errors import InactiveToken, InvalidToken, Unauthorized
from assembler_runner.core.settings import current_settings

ACCESS, SCOPE = "access_token", "global"

_VERIFIED: DigestCache[dict[str, Any]] = DigestCache(1024)
"""Claims of tokens whose signature was checked: a caller sends the same token again and again."""


def begin(account: User | Robot, kind: str) -> dict[str, Any]:
    """Starts a session.

    Args:
        account: the account that logs in.
        kind: user, robot or client; only users get a refresh token (RFC 6749, section 4.4.3).
    Returns:
        The response of the token endpoint.
    """
    settings = current_settings()
    renewable = kind == "user"
    seconds = settings.REFRESH_TOKEN_SECONDS if renewable else settings.ACCESS_TOKEN_SECONDS
    delete_expired(account)
    session = LoginSession(
        account_kind=kind,
        account_id=account.id,
        generation=account.token_generation,
        expires_at=utcnow() + timedelta(seconds=seconds),
    )
    db.session.add(session)
    db.session.flush()
    return _answer(account, session, renewable)


def renew(token: str) -> dict[str, Any]:
    """Issues new tokens for a refresh token.

    Args:
        token: the refresh token.
    Returns:
        The response of the token endpoint.
    Raises:
        InvalidToken: the token is unknown or expired, or its session has ended.
        InactiveToken: the token was replaced before the grace period; its session is ended.
    """
    grace = timedelta(seconds=current_settings().REFRESH_GRACE_SECONDS)
    digest, now = _hash(token), utcnow()
    replaced = sa.update(RefreshToken).where(RefreshToken.token_hash == digest, RefreshToken.replaced_at.is_(None))
    db.session.execute(replaced.values(replaced_at=now), execution_options={"synchronize_session": False})
    known = db.session.get(RefreshToken, digest, populate_existing=True)
    account = _holder(known.session) if known else None
    if known is None or account is None or known.expires_at <= now or known.replaced_at is None:
        db.session.rollback()
        raise InvalidToken
    if known.replaced_at < now - grace:
        known.session.ended_at = now
        db.session.commit()
        raise InactiveToken
    # Sliding expiration: a session in use does not expire.
    known.session.expires_at = now + timedelta(seconds=current_settings().REFRESH_TOKEN_SECONDS)
    return _answer(account, known.session, renewable=True)


def account_of_token(access_token: str) -> Account:
    """Returns the caller that an access token belongs to.

    Raises:
        Unauthorized: the token is invalid or expired, or its session has ended.
    """
    if access_token.startswith(personal_tokens.PREFIX):
        return personal_tokens.account_of(access_token)
    claims = _claims(access_token)
    kind = "user" if claims.get("sub_kind") == "user" else "robot"
    row = db.session.execute(_holder_of(kind), {"sid": claims["sid"], "now": utcnow()}).mappings().first()
    if row is None or (row["id"], row["realm_id"]) != (claims["sub"], claims.get("realm_id")):
        raise Unauthorized("The token is no longer valid.")
    limits = {row[f"{scope}id"]: {name: row[f"{scope}max_{name}"] for name in QUOTAS} for scope in ("", "realm_")}
    permissions = permissions_held(kind, row["id"], row["realm_name"])
    return Account(
        row["id"], row["name"], row["realm_id"], row["realm_name"], kind, permissions, str(claims["sid"]), limits
    )


@cache  # constructing the statement costs more than executing it, and every call executes it
def _holder_of(kind: str) -> sa.Select[Any]:
    """Returns the statement that reads the account of a session, with its realm, if its tokens are still valid."""
    model = User if kind == "user" else Robot
    of_user = LoginSession.account_kind == "user"
    own = [getattr(model, f"max_{name}") for name in QUOTAS]
    of_realm = [getattr(Realm, f"max_{name}").label(f"realm_max_{name}") for name in QUOTAS]
    return (
        sa.select(model.id, model.name, model.realm_id, *own, Realm.name.label("realm_name"), *of_realm)
        .join(LoginSession, LoginSession.account_id == model.id)
        .join(Realm, Realm.id == model.realm_id)
        .where(
            LoginSession.id == sa.bindparam("sid", type_=sa.String),
            of_user if kind == "user" else ~of_user,
            LoginSession.ended_at.is_(None),
            LoginSession.expires_at > sa.bindparam("now", type_=UtcDateTime),
            LoginSession.generation == model.token_generation,
            model.active,
        )
    )


def is_active(session_id: str) -> bool:
    """Returns whether the tokens of a session are still valid."""
    session = db.session.get(LoginSession, session_id)
    return session is not None and _holder(session) is not None


def end(session_id: str) -> LoginSession | None:
    """Ends a session and revokes all its tokens; the caller commits.

    Returns:
        The session; None if it does not exist or has already ended.
    """
    session = db.session.get(LoginSession, session_id)
    if session is None or session.ended_at is not None:
        return None
    session.ended_at = utcnow()
    db.session.flush()
    hub_tokens.remove_if_signed_out(session.account_id)
    return session


def session_of(token: str) -> str | None:
    """Returns the session id of an access or refresh token; None if it is neither."""
    known = db.session.get(RefreshToken, _hash(token))
    if known is not None:
        return known.session_id
    try:
        return str(_claims(token)["sid"])
    except Unauthorized:
        return None


def account_of_session(session: LoginSession) -> User | Robot | None:
    """Returns the account of a session; None if it was deleted."""
    if session.account_kind == "user":
        return db.session.get(User, session.account_id)
    return db.session.get(Robot, session.account_id)


def _claims(token: str) -> dict[str, Any]:
    # The key is part of what was verified: applications of one process may have different ones.
    verified = f"{current_settings().JWT_SECRET_KEY}\0{token}".encode("utf-8", "surrogatepass")
    try:
        claims = _VERIFIED.get(verified, lambda: decode_token(token))
    except (jwt.exceptions.PyJWTError, JWTExtendedException, ValueError):
        raise Unauthorized("The token is not valid or has expired.") from None
    ids = [claims.get(name) for name in ("sub", "sid")]
    expired = claims.get("exp", math.inf) <= time.time()
    if expired or claims.get("kind") != ACCESS or not all(isinstance(each, str) for each in ids):
        raise Unauthorized("The token is not valid or has expired.")
    return claims


def _holder(session: LoginSession) -> User | Robot | None:
    account = account_of_session(session)
    current = session.ended_at is None and session.expires_at > utcnow()
    if account is None or not account.active or not current or account.token_generation != session.generation:
        return None
    return account


def _answer(account: User | Robot, session: LoginSession, renewable: bool) -> dict[str, Any]:
    settings = current_settings()
    claims = {
        "kind": ACCESS,
        "sid": session.id,
        "sub_kind": session.account_kind,
        "realm_id": account.realm_id,
        "realm_name": account.realm.name,
        "scope": SCOPE,
    }
    answer: dict[str, Any] = {
        "access_token": create_access_token(account.id, additional_claims=claims),
        "expires_in": settings.ACCESS_TOKEN_SECONDS,
        "token_type": "Bearer",
        "scope": SCOPE,
    }
    if renewable:
        refresh_token = secrets.token_urlsafe(32)
        expires = utcnow() + timedelta(seconds=settings.REFRESH_TOKEN_SECONDS)
        db.session.add(RefreshToken(token_hash=_hash(refresh_token), session_id=session.id, expires_at=expires))
        answer["refresh_token"] = refresh_token
    db.session.commit()
    return answer


def delete_expired(account: User | Robot) -> None:
    """Deletes the sessions of an account that have expired; the caller commits."""
    old = sa.delete(LoginSession).where(LoginSession.account_id == account.id, LoginSession.expires_at < utcnow())
    db.session.execute(old, execution_options={"synchronize_session": False})


def _hash(token: str) -> str:
    # A fast hash is enough for a random value of 256 bits, which cannot be guessed.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
