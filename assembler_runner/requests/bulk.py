"""Bulk commands: one command for all Spaces of the caller's realm that match a filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, Conflict
from assembler_runner.core.listing import filtered
from assembler_runner.requests import releases
from assembler_runner.requests.commands import Caller, add_command, add_deletion, add_rollback
from assembler_runner.requests.queries import SPACES
from assembler_runner.requests.submit import accept
from assembler_runner.requests.update import change_at_once
from assembler_runner.services import Services
from assembler_runner.spaces.models import Space, SpaceRequest
from assembler_runner.spaces.transitions import hold_space

AT_ONCE = 1000
MAX_LABELS = 50


def command(
    services: Services,
    account: Account,
    name: str,
    wanted: Mapping[str, str],
    *,
    dry_run: bool,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Accepts a command for every Space that matches a filter, as one request per Space.

    Args:
        services: the services of this process.
        account: the caller; only Spaces of its realm match.
        name: delete, restart, factory_rebuild, pause, wake, rollback (to the release before) or update.
        wanted: the filter, as in a list: field → operator and value.
        dry_run: only report what would be done.
        changes: of update: `add_labels`, `remove_labels`, `expires_at`.
    Returns:
        `accepted`: id, name and request_id of each Space, which is null for update; `refused`: the Spaces for which
        the command is not possible, with code and message; `left`: number of matching Spaces beyond the first
        `AT_ONCE`.
    Raises:
        Forbidden: the caller may not delete Spaces.
        InvalidQuery: the filter is invalid.
    """
    if name == "delete":
        account.require_permissions({"space_delete"})
    mine = sa.select(Space).where(Space.realm_id == account.realm_id, Space.alive)
    query = filtered(mine, SPACES, wanted)
    total = db.session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    rows = db.session.scalars(query.order_by(Space.created_at, Space.id).limit(AT_ONCE))
    ids = [(space.id, space.name) for space in rows]
    db.session.rollback()
    result: dict[str, Any] = {"command": name, "dry_run": dry_run, "accepted": [], "refused": []}
    for space_id, space_name in ids:
        shown: dict[str, Any] = {"id": space_id, "name": space_name}
        try:
            request_id = _do_one(services, account, name, space_id, changes or {}, dry_run=dry_run)
        except AssemblerError as problem:
            db.session.rollback()
            result["refused"].append({**shown, "code": problem.code, "message": problem.message})
        else:
            result["accepted"].append({**shown, "request_id": request_id})
    return {**result, "left": max(0, total - len(ids))}


def _do_one(
    services: Services, account: Account, name: str, space_id: str, changes: Mapping[str, Any], *, dry_run: bool
) -> str | None:
    space = db.session.get_one(Space, space_id)
    if name == "update":
        _update(account, space, changes)
        if dry_run:
            db.session.rollback()
        else:
            db.session.commit()
        return None
    if dry_run:
        _add(services, account, name, space)
        db.session.rollback()
        return None

    def store() -> tuple[SpaceRequest, Any]:
        request = _add(services, account, name, space)
        return request, request.id

    return str(accept(account, store))


def _add(services: Services, account: Account, name: str, space: Space) -> SpaceRequest:
    if name == "delete":
        return add_deletion(services, account, space)
    if name == "rollback":
        releases.refuse_deleted(space)
        return add_rollback(services, Caller(account), space, releases.earlier_release(space), {})
    return add_command(services, account, space, name, {})


def _update(account: Account, space: Space, changes: Mapping[str, Any]) -> None:
    """Changes labels and expiry of a Space; the caller commits."""
    hold_space(db.session(), space.id)
    db.session.refresh(space)
    releases.refuse_deleted(space)
    data = {name: value for name, value in changes.items() if name == "expires_at"}
    if "add_labels" in changes or "remove_labels" in changes:
        removed = set(changes.get("remove_labels", ()))
        kept = [label for label in space.labels if label not in removed]
        data["labels"] = list(dict.fromkeys([*kept, *changes.get("add_labels", ())]))
        if len(data["labels"]) > MAX_LABELS:
            raise Conflict(f"The Space would have {len(data['labels'])} labels; at most {MAX_LABELS} are allowed.")
    change_at_once(account, space, data)
