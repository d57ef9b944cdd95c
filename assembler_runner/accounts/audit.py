"""The audit log: actor, action, object, time and address of each change, written in the change's transaction."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import g, has_request_context, request

from assembler_runner.accounts.models import AuditEntry
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db


def record(
    account: Account,
    action: str,
    object_type: str,
    object_id: str | None,
    name: str | None,
    realm_id: str | None,
    **details: Any,
) -> None:
    """Adds an entry; the caller commits it with the change.

    Args:
        account: the actor.
        action: the action: create, update, delete …
        object_type: kind of the object.
        object_id: id of the object.
        name: name of the object.
        realm_id: realm of the object; None if it is shared by all realms.
        details: further details, such as the names of changed fields; never a secret.
    """
    entry = {
        "realm_id": realm_id,
        "actor_kind": account.kind,
        "actor_id": account.id or None,
        "actor_name": account.name,
        "actor_realm_id": account.realm_id or None,
        "action": action,
        "object_type": object_type,
        "object_id": object_id,
        "object_name": name,
        "address": request.remote_addr if has_request_context() else None,
        "details": details | _client(),
    }
    db.session.execute(_INSERT, entry)


# Prebuilt, and without the session: constructing the statement or an object costs more than executing it.
_INSERT = sa.insert(AuditEntry.__table__)  # type: ignore[arg-type]  # declared as FromClause


def _client() -> dict[str, str]:
    """Returns the name of the program that an agent calls with, if it is known."""
    client = g.get("client") if has_request_context() else None
    return {"client": client} if client else {}
