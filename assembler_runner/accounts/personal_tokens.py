"""Tokens of a person for programs: they act for the person, with chosen permissions, until a chosen time."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from assembler_runner.accounts import audit
from assembler_runner.accounts.models import Realm, User
from assembler_runner.accounts.permissions import QUOTAS, Account, permissions_held
from assembler_runner.core.database import Base, JsonText, UtcDateTime, db, id_column, utcnow, write_transaction
from assembler_runner.core.errors import Conflict, Finding, Forbidden, InvalidRequest, NotFound, Unauthorized

PREFIX = "asm_"
MOST = 50
"""Most tokens of one person."""
DEFAULT_DAYS, MOST_DAYS = 90, 366
_KEPT_AFTER_EXPIRY = timedelta(days=30)
_USED_AGAIN_AFTER = timedelta(minutes=1)


class PersonalToken(Base):
    """A token of a person, stored as a hash."""

    __tablename__ = "personal_tokens"
    __table_args__ = (sa.UniqueConstraint("user_id", "name"), Base.__table_args__)

    id: Mapped[str] = id_column()
    user_id: Mapped[str] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), doc="Its person.")
    name: Mapped[str] = mapped_column(sa.String(64), doc="Purpose; unique among the tokens of the person.")
    token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JsonText, doc="Permissions it may use, as far as the person has them.")
    # A new password of the person ends all tokens of older generations.
    generation: Mapped[int] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, index=True, doc="Creation time, UTC.")
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, doc="When it expires, UTC.")
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When it was last used, to the minute; or null.")

    # Set only on a newly created row: returned once.
    token: ClassVar[str | None] = None


def own_tokens(account: Account) -> sa.Select[PersonalToken]:
    """Returns the query for the tokens of the caller."""
    return sa.select(PersonalToken).where(PersonalToken.user_id == account.id)


def find(account: Account, token_id: str) -> PersonalToken:
    """Returns a token of the caller.

    Raises:
        NotFound: the caller has no token with this id.
    """
    row = db.session.scalar(own_tokens(account).where(PersonalToken.id == token_id))
    if row is None:
        raise NotFound("You have no token with this id.")
    return row


def create(account: Account, name: str, scopes: Iterable[str], expires_at: datetime | None) -> PersonalToken:
    """Creates a token of the caller.

    Args:
        account: the caller, a person who has signed in.
        name: purpose of the token.
        scopes: the permissions it may use; the caller has all of them.
        expires_at: when it expires; None for the default.
    Returns:
        The row, with the token itself in `token`; it cannot be read again.
    Raises:
        Forbidden: the caller is not a person who has signed in, or lacks one of the permissions.
        InvalidRequest: the time is in the past or too far away.
        Conflict: the name is taken, or there are too many tokens.
    """
    user = _signed_in(account)
    account.require_permissions(scopes)
    token, now = PREFIX + secrets.token_urlsafe(32), utcnow()
    expires = expires_at or now + timedelta(days=DEFAULT_DAYS)
    if not now < expires <= now + timedelta(days=MOST_DAYS):
        hint = f"Choose a time in the next {MOST_DAYS} days."
        raise InvalidRequest(
            issues=[Finding("invalid_field", "The time is not allowed.", path="expires_at", hint=hint)]
        )
    old = PersonalToken.expires_at < now - _KEPT_AFTER_EXPIRY
    db.session.execute(sa.delete(PersonalToken).where(PersonalToken.user_id == user.id, old))
    known = list(db.session.scalars(own_tokens(account)))
    if len(known) >= MOST:
        raise Conflict(f"You have {MOST} tokens already.", hint="Delete those that are not needed.")
    row = PersonalToken(
        user_id=user.id,
        name=name,
        token_hash=_hash(token),
        scopes=sorted(set(scopes)),
        generation=user.token_generation,
        expires_at=expires,
    )
    db.session.add(row)
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        raise Conflict(f"You have a token named {name!r} already.", hint="Choose another name.") from None
    row.token = token  # type: ignore[misc]  # on this object only
    audit.record(account, "create", "personal_token", row.id, name, account.realm_id, scopes=row.scopes)
    db.session.commit()
    return row


def remove(account: Account, token_id: str) -> PersonalToken:
    """Deletes a token of the caller, which ends it at once.

    Returns:
        The row as it was.
    Raises:
        NotFound: the caller has no token with this id.
        Forbidden: the call was made with another token.
    """
    row = find(account, token_id)
    if account.token_id != token_id:
        refuse_token(account)
    _delete(account, row)
    return row


def revoke(token: str) -> bool:
    """Deletes a token, without a check of the caller: a token that was found in public can be ended by its finder.

    Returns:
        Whether there was such a token.
    """
    row = db.session.scalar(sa.select(PersonalToken).where(PersonalToken.token_hash == _hash(token)))
    user = db.session.get(User, row.user_id) if row is not None else None
    if row is None or user is None:
        return False
    _delete(Account(user.id, user.name, user.realm_id, user.realm.name), row)
    return True


def _delete(account: Account, row: PersonalToken) -> None:
    audit.record(account, "delete", "personal_token", row.id, row.name, account.realm_id)
    db.session.delete(row)
    db.session.commit()


def account_of(token: str) -> Account:
    """Returns the caller that a token acts for.

    Raises:
        Unauthorized: the token is unknown or expired, or its person may not sign in any more.
    """
    found = db.session.execute(_holder(), {"hash": _hash(token), "now": utcnow()}).mappings().first()
    if found is None:
        raise Unauthorized("The token is not valid or has expired.")
    _note_use(found["token_id"], found["used_at"])
    limits = {found[f"{scope}id"]: {name: found[f"{scope}max_{name}"] for name in QUOTAS} for scope in ("", "realm_")}
    held = permissions_held("user", found["id"], found["realm_name"]) & set(found["scopes"])
    row = {name: found[name] for name in ("id", "name", "realm_id", "realm_name", "token_id")}
    return Account(**row, kind="user", permissions=held, limits=limits)


def _note_use(token_id: str, used_at: datetime | None) -> None:
    """Writes down that a token was used, at most once a minute."""
    now = utcnow()
    if used_at is not None and now - used_at < _USED_AGAIN_AFTER:
        return
    noted = sa.update(PersonalToken).where(PersonalToken.id == token_id).values(used_at=now)
    try:
        db.session.rollback()
        with write_transaction(durable=False):
            db.session.execute(noted, execution_options={"synchronize_session": False})
    except SQLAlchemyError:
        # The call can be answered nevertheless; the next one tries again.
        db.session.rollback()


@cache  # constructing the statement costs more than executing it
def _holder() -> sa.Select[Any]:
    own = [getattr(User, f"max_{name}") for name in QUOTAS]
    of_realm = [getattr(Realm, f"max_{name}").label(f"realm_max_{name}") for name in QUOTAS]
    return (
        sa.select(
            User.id,
            User.name,
            User.realm_id,
            *own,
            Realm.name.label("realm_name"),
            *of_realm,
            PersonalToken.scopes,
            PersonalToken.id.label("token_id"),
            PersonalToken.used_at,
        )
        .join(PersonalToken, PersonalToken.user_id == User.id)
        .join(Realm, Realm.id == User.realm_id)
        .where(
            PersonalToken.token_hash == sa.bindparam("hash", type_=sa.String),
            PersonalToken.expires_at > sa.bindparam("now", type_=UtcDateTime),
            PersonalToken.generation == User.token_generation,
            User.active,
        )
    )


def refuse_token(account: Account) -> None:
    """Refuses changes of the account itself, which no scope covers, by a program with a token.

    Raises:
        Forbidden: the call was made with a personal token.
    """
    if account.token_id is not None:
        hint = "Sign in with your password, or on the page /ui/account."
        raise Forbidden("Only a person who has signed in can do this.", hint=hint)


def _signed_in(account: Account) -> User:
    refuse_token(account)
    user = db.session.get(User, account.id)
    if user is None:
        raise Forbidden("Only a person can create tokens.", hint="A robot signs in with its id and secret.")
    return user


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
