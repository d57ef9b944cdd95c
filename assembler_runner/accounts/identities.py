"""Identities of people at an issuer (OpenID Connect), and the accounts that they sign in to.

An identity is issuer and subject, which never change and are never given to another person. Names and e-mail addresses
are: they decide nothing but the name of a new account.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column, relationship

from assembler_runner.accounts import audit
from assembler_runner.accounts.models import Realm, Role, User
from assembler_runner.accounts.names import MOST, name_from
from assembler_runner.accounts.permissions import MASTER_REALM, account_of, built_in_id, grant_role
from assembler_runner.core.database import Base, UtcDateTime, db, utcnow, write_transaction
from assembler_runner.core.errors import Forbidden
from assembler_runner.core.visible import visible

MOST_QUOTED = 80
_ATTEMPTS = 5
_ALIKE = MOST - 8
"""Characters that a name keeps, whatever number follows."""
_CLAIM = re.compile(r"\{([^{}]+)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class SignInRefused(Forbidden):
    """A person of the issuer may not sign in to this service."""

    code = "sign_in_refused"
    default_message = "Your account in this service is disabled."
    default_hint = "Ask an administrator of this service."


class Identity(Base):
    """A person at an issuer, who signs in to an account."""

    __tablename__ = "identities"

    issuer: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    subject: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    user_id: Mapped[str] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    user: Mapped[User] = relationship(lazy="joined")


def find(issuer: str, subject: str) -> str | None:
    """Returns the id of the account of an identity; None if it has none.

    Args:
        issuer: the issuer.
        subject: the claim `sub`.
    Raises:
        SignInRefused: the account is disabled.
    """
    row = db.session.get(Identity, (issuer, subject))
    if row is not None and not row.user.active:
        raise SignInRefused
    return None if row is None else row.user_id


def make(issuer: str, claims: Mapping[str, Any], realm_rule: str, role: str) -> str:
    """Makes the account of an identity, unless another call has made it meanwhile.

    Args:
        issuer: the issuer.
        claims: the verified claims of the identity.
        realm_rule: name of its realm, with claims in braces.
        role: the built-in role that it gets; empty: none.
    Returns:
        The id of the account.
    Raises:
        SignInRefused: there is no realm for it, or the account is disabled.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with write_transaction():
                return find(issuer, claims["sub"]) or _make(issuer, claims, realm_rule, role)
        except IntegrityError:
            # Another call has made the same account or taken the name; or the realm was deleted.
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError


def _make(issuer: str, claims: Mapping[str, Any], realm_rule: str, role: str) -> str:
    realm = _realm(realm_rule, claims)
    user = User(name=_free_name(realm, claims), display_name=_display_name(claims), realm_id=realm.id)
    db.session.add(user)
    db.session.flush()
    db.session.add(Identity(issuer=issuer, subject=claims["sub"], user_id=user.id))
    if role:
        grant_role(user, db.session.get_one(Role, built_in_id("role", role)))
    db.session.flush()
    details = {"issuer": issuer, "subject": claims["sub"][:200]}
    audit.record(account_of(user), "create", "user", user.id, user.name, realm.id, **details)
    return user.id


def _realm(rule: str, claims: Mapping[str, Any]) -> Realm:
    """Returns the realm of a new account."""
    for claim in _CLAIM.findall(rule):
        if not isinstance(claims.get(claim), str):
            message = f"Your identity has no claim {claim[:MOST_QUOTED]!r}, which names your realm."
            raise SignInRefused(message)
    name = _CLAIM.sub(lambda found: claims[found[1]], rule)
    realm = db.session.scalar(sa.select(Realm).where(Realm.name == name)) if not _CONTROL.search(name) else None
    # A claim that people can choose must not lead to the realm of those who manage the service.
    if realm is None or (name == MASTER_REALM and name != rule):
        message = f"There is no realm {visible(name)[:MOST_QUOTED]!r} for your account."
        raise SignInRefused(message)
    return realm


def _free_name(realm: Realm, claims: Mapping[str, Any]) -> str:
    base = next(filter(None, map(name_from, _wanted_names(claims))), "user")
    alike = sa.func.lower(User.name).startswith(base[:_ALIKE].lower(), autoescape=True)
    taken = set(db.session.scalars(sa.select(sa.func.lower(User.name)).where(User.realm_id == realm.id, alike)))
    name, number = base, 1
    while name.lower() in taken:
        number += 1
        name = f"{base[: MOST - len(str(number)) - 1]}-{number}"
    return name


def _wanted_names(claims: Mapping[str, Any]) -> Iterator[str]:
    """Yields what a new account could be named after, the best first."""
    for claim in ("preferred_username", "email", "sub"):
        if isinstance(text := claims.get(claim), str):
            yield text.partition("@")[0] if claim == "email" else text


def _display_name(claims: Mapping[str, Any]) -> str | None:
    name = claims.get("name")
    return _CONTROL.sub(" ", name).strip()[:128] or None if isinstance(name, str) else None
