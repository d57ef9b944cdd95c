"""Bulk commands: one command for all Spaces of the caller's realm that match a filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.listing import filtered
from assembler_runner.requests.commands import Caller, add_command, add_deletion
from assembler_runner.requests.queries import SPACES
from assembler_runner.requests.submit import accept
from assembler_runner.services import Services
from assembler_runner.spaces.models import Space, SpaceRequest

AT_ONCE = 1000


def command(
    services: Services, account: Account, name: str, wanted: Mapping[str, str], *, dry_run: bool
) -> dict[str, Any]:
    """Accepts a command for every Space that matches a filter, as one request per Space.

    Args:
        services: the services of this process.
        account: the caller; only Spaces of its realm match.
        name: delete, restart, factory_rebuild, pause or wake.
        wanted: the filter, as in a list: field → operator and value.
        dry_run: only report what would be done.
    Returns:
        `accepted`: id, name and request_id of each Space; `refused`: the Spaces for which the command is not possible,
        with code and message; `left`: number of matching Spaces beyond the first `AT_ONCE`.
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
            request_id = _accept_one(services, account, name, space_id, dry_run=dry_run)
        except AssemblerError as problem:
            db.session.rollback()
            result["refused"].append({**shown, "code": problem.code, "message": problem.message})
        else:
            result["accepted"].append({**shown, "request_id": request_id})
    return {**result, "left": max(0, total - len(ids))}


def _accept_one(services: Services, account: Account, name: str, space_id: str, *, dry_run: bool) -> str | None:
    space = db.session.get_one(Space, space_id)
    add: Callable[[], SpaceRequest] = lambda: (  # noqa: E731 - one of two calls
        add_deletion(services, account, space) if name == "delete" else add_command(services, account, space, name, {})
    )
    if dry_run:
        add()
        db.session.rollback()
        return None

    def store() -> tuple[SpaceRequest, Any]:
        request = add()
        return request, request.id

    return str(accept(Caller(account).account, store))
