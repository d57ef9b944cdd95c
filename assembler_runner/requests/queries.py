"""Queries for Spaces and requests: lists with filters, and single rows by id or name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import NotFound
from assembler_runner.core.listing import Listing, Page, read_page
from assembler_runner.publishing.queue import load_positions
from assembler_runner.spaces.models import Space, SpaceRequest
from assembler_runner.spaces.names import slot_name


def _has_label(label: str) -> sa.ColumnElement[bool]:
    # The list is stored as JSON: the quotes delimit a whole element, and an element contains no unescaped quote.
    text = json.dumps(label).replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return sa.type_coerce(Space.labels, sa.Text).like(f"%{text}%", escape="!")


SPACES = Listing(
    {
        "id": Space.id,
        "name": Space.name,
        "namespace": Space.namespace,
        "target": Space.target,
        "space_type": Space.space_type,
        "visibility": Space.visibility,
        "state": Space.state,
        "state_since": Space.state_since,
        "state_checked_at": Space.state_checked_at,
        "owner_id": Space.owner_id,
        "realm_id": Space.realm_id,
        "expires_at": Space.expires_at,
        "created_at": Space.created_at,
        "updated_at": Space.updated_at,
    },
    Space.id,
    contains={"label": _has_label},
)
REQUESTS = Listing(
    {
        "id": SpaceRequest.id,
        "space_id": SpaceRequest.space_id,
        "number": SpaceRequest.number,
        "action": SpaceRequest.action,
        "status": SpaceRequest.status,
        "space_type": SpaceRequest.space_type,
        "owner_id": SpaceRequest.owner_id,
        "tree_digest": SpaceRequest.tree_digest,
        "attempts": SpaceRequest.attempts,
        "created_at": SpaceRequest.created_at,
        "updated_at": SpaceRequest.updated_at,
        "started_at": SpaceRequest.started_at,
        "finished_at": SpaceRequest.finished_at,
    },
    SpaceRequest.id,
)


def read_spaces(session: Session, query: sa.Select[Any], arguments: Mapping[str, str]) -> Page:
    """Reads a page of Spaces with their latest requests; see :func:`listing.read_page`."""
    latest = selectinload(Space.latest_request).selectinload(SpaceRequest.files)
    page = read_page(session, query.options(latest), SPACES, arguments)
    load_positions(session, [space.latest_request for space in page.rows])
    return page


def read_requests(session: Session, query: sa.Select[Any], arguments: Mapping[str, str]) -> Page:
    """Reads a page of requests with their files; see :func:`listing.read_page`."""
    page = read_page(session, query.options(selectinload(SpaceRequest.files)), REQUESTS, arguments)
    load_positions(session, page.rows)
    return page


def find_space(account: Account, space_id: str) -> Space:
    """Returns a Space by id.

    Raises:
        NotFound: it does not exist for this account.
    """
    space = db.session.get(Space, space_id)
    if space is None or not account.sees(space.realm_id):
        raise NotFound("There is no Space with this id.")
    return space


def find_published(account: Account, target: str, namespace: str, name: str) -> Space | None:
    """Returns the Space with this name on a target; None if it does not exist for the account."""
    slot = slot_name(target, namespace, name)
    return db.session.scalar(sa.select(Space).where(Space.slot == slot, account.visible(Space.realm_id)))


def was_public(target: str, namespace: str, name: str) -> bool:
    """Returns whether the last Space with this name on a target was public, and all Spaces of this name are deleted."""
    place = (Space.target == target, sa.func.lower(Space.namespace) == namespace.lower())
    # Exact or in lower case, so that the index on names is used.
    named = Space.name.in_((name, name.lower()))
    found = sa.select(Space.visibility, Space.state).where(*place, named).order_by(Space.created_at.desc())
    rows = db.session.execute(found).all()
    return bool(rows) and rows[0].visibility == "public" and all(row.state == "deleted" for row in rows)


def find_request(account: Account, request_id: str) -> SpaceRequest:
    """Returns a request by id.

    Raises:
        NotFound: it does not exist for this account.
    """
    request = db.session.get(SpaceRequest, request_id)
    if request is None or not account.sees(request.realm_id):
        raise NotFound("There is no request with this id.")
    return request
