"""The audit log: who did what to which object, when and from where; written in the transaction of the change."""

from __future__ import annotations

from typing import Any

from flask import has_request_context, request

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
    """Writes one entry; the caller commits it with the change.

    Args:
        account: who did it.
        action: what: create, update, delete …
        object_type: kind of the object.
        object_id: which object.
        name: its name.
        realm_id: realm of the object; None for one of all realms.
        details: more, such as the names of changed fields; never a secret.
    """
    db.session.add(
        AuditEntry(
            realm_id=realm_id,
            actor_kind=account.kind,
            actor_id=account.id or None,
            actor_name=account.name,
            actor_realm_id=account.realm_id or None,
            action=action,
            object_type=object_type,
            object_id=object_id,
            object_name=name,
            address=request.remote_addr if has_request_context() else None,
            details=details,
        )
    )
