"""Names that are taken: which Space has the name, and what its caller can do instead."""

from __future__ import annotations

import sqlalchemy as sa

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import NameTaken
from assembler_runner.spaces.models import CANCELLED, FAILED, Space
from assembler_runner.spaces.names import slot_name


def holder_of(target: str, namespace: str | None, name: str, realm_id: str) -> Space | None:
    """Returns the managed Space that has a name on a target; None if there is none.

    Args:
        target: the target.
        namespace: the namespace; None for the default one of the realm.
        name: the name.
        realm_id: the realm of the caller.
    """
    named = sa.and_(
        Space.target == target,
        sa.func.lower(Space.namespace) == (namespace or "").lower(),
        sa.func.lower(Space.name) == name.lower(),
        Space.slot.is_not(None),
    )
    slot = slot_name(target, namespace or f"~{realm_id}", name)
    return db.session.scalar(sa.select(Space).where(sa.or_(Space.slot == slot, named)).limit(1))


def name_taken(account: Account, target: str, namespace: str | None, name: str) -> NameTaken:
    """Returns the error for a name that a managed Space has; its hint names that Space if the caller sees it.

    Args:
        account: the caller.
        target: the target.
        namespace: the namespace; None for the default one of the realm.
        name: the name.
    """
    shown = f"{namespace}/{name}" if namespace else name
    holder = holder_of(target, namespace, name, account.realm_id)
    if holder is None or not account.sees(holder.realm_id):
        return NameTaken(f"A Space named {shown} already exists.")
    return NameTaken(f"The Space {shown} already exists and is managed here: {holder.id}.", hint=_hint(holder))


def _hint(holder: Space) -> str:
    request = holder.latest_request
    if not holder.created_on_target and request.status in (FAILED, CANCELLED):
        return (
            f"Its request {request.status}: retry it (POST /requests/{request.id}/command with retry), delete the "
            f"Space (assembler delete {holder.id}), or choose another name."
        )
    return (
        f"To change it, update it: POST /spaces/{holder.id} (assembler update {holder.name}). Otherwise choose "
        "another name."
    )
