"""Namespaces of the target `local`: each belongs to one realm, the first that used it.

A realm publishes under its own name; accounts of `master` publish under theirs, and wherever no other realm is. So no
name of a Space, and no refusal, tells one realm anything of another.
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assembler_runner.accounts.models import Realm, Robot, User
from assembler_runner.accounts.permissions import MASTER_REALM, Account
from assembler_runner.core.database import Base, db
from assembler_runner.core.errors import Conflict, Finding
from assembler_runner.core.upsert import insert_rows


class LocalNamespace(Base):
    """A namespace of the target `local`, and the realm that it belongs to."""

    __tablename__ = "local_namespaces"

    # Folded: upper and lower case make no second namespace.
    name: Mapped[str] = mapped_column(sa.String(96), primary_key=True)
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id", ondelete="CASCADE"), index=True)


def default_namespace(account: Account) -> str:
    """Returns where an account publishes if its request names no namespace."""
    return _of(account)[0]


def claim_default_namespace(account: Account) -> str:
    """Returns where an account publishes if its request names no namespace, and writes down that it is the realm's.

    Raises:
        Conflict: another realm was faster.
    """
    namespace, owner = _of(account)
    if owner != account.realm_id:
        claim_namespace(account.realm_id, namespace)
    return namespace


def check_namespace(realm_id: str, namespace: str) -> list[Finding]:
    """Finds a namespace that belongs to another realm, or to none where the realm has one of its own.

    Args:
        realm_id: the realm that would publish.
        namespace: the namespace.
    """
    owner = _owner(namespace)
    if owner == realm_id:
        return []
    name = db.session.scalar(sa.select(Realm.name).where(Realm.id == realm_id)) or ""
    if name == MASTER_REALM:
        if owner is None and not _is_reserved(realm_id, namespace):
            return []
        hint = "Use another one, or leave it out."
    else:
        own, _ = _own(realm_id, name)
        if namespace.casefold() == own.casefold():
            return []
        hint = f"Use {own}, or leave it out."
    message = f"The realm may not publish to the namespace {namespace}."
    return [Finding("namespace_not_allowed", message, path="namespace", hint=hint)]


def claim_namespace(realm_id: str, namespace: str) -> None:
    """Writes down that a namespace belongs to a realm, in the transaction that stores its Space.

    Args:
        realm_id: the realm.
        namespace: the namespace; it was checked.
    Raises:
        Conflict: another realm was faster.
    """
    owner = _owner(namespace)
    if owner is None:
        insert_rows(db.session(), LocalNamespace, [{"name": namespace.casefold(), "realm_id": realm_id}])
        owner = _owner(namespace)
    if owner != realm_id:
        db.session.rollback()
        raise Conflict(f"The namespace {namespace} belongs to another realm.", hint="Use another one.")


def _of(account: Account) -> tuple[str, str | None]:
    if account.realm_name == MASTER_REALM:
        return _own(account.realm_id, account.name, is_master=True)
    return _own(account.realm_id, account.realm_name)


def _own(realm_id: str, name: str, *, is_master: bool = False) -> tuple[str, str | None]:
    """Returns the own namespace of a realm or of an account of `master`, and the realm that has it, if any."""
    own = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "user"
    owner = _owner(own)
    # The names of master's accounts are theirs before they are those of a realm.
    free = owner is None and (is_master or not _is_reserved(realm_id, own))
    return (own, owner) if owner == realm_id or free else (f"{own}-{realm_id[:8]}", None)


def _owner(namespace: str) -> str | None:
    query = sa.select(LocalNamespace.realm_id).where(LocalNamespace.name == namespace.casefold())
    return db.session.scalar(query)


def _is_reserved(realm_id: str, namespace: str) -> bool:
    """Whether an unused namespace is the name of another realm, or of an account of `master`."""
    key = namespace.lower()
    master = sa.select(Realm.id).where(Realm.name == MASTER_REALM).scalar_subquery()
    others = [sa.select(Realm.id).where(sa.func.lower(Realm.name) == key, Realm.id.not_in((realm_id, master)))]
    for model in (User, Robot):
        named = sa.func.lower(model.name) == key
        others.append(sa.select(model.id).where(named, model.realm_id == master, model.realm_id != realm_id))
    return db.session.scalar(sa.union_all(*others).limit(1)) is not None
