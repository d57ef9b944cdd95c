"""Finding Spaces and releases by what people call them."""

from __future__ import annotations

from typing import Any, TypeAlias
from uuid import UUID

from assembler_client.core_client import CoreCalls
from assembler_client.errors import NotFound, invalid_input
from assembler_client.models import ErrorResponse, Finding, Request, Space, Thing
from assembler_client.sansio.calls import PAGE_SIZE
from assembler_client.sansio.steps import Flow
from assembler_client.suggest import did_you_mean
from assembler_client.types import Ref

Named: TypeAlias = Ref
"""A Space, its id, its name, or namespace/name."""


def find_space(client: Any, space: Named) -> Flow[Space]:
    """Finds a Space.

    Args:
        client: the client.
        space: the Space, its id, its name, or namespace/name.
    Raises:
        NotFound: the Space does not exist.
        InvalidRequest: several Spaces have this name.
    """
    found: Space | None = None
    if isinstance(space, Space):
        return space
    name = str(space.id if isinstance(space, Thing) else space)
    if _is_id(name):
        found = yield from CoreCalls.get_space(client, name)
    else:
        namespace, _, last = name.rpartition("/")
        wanted: dict[str, Any] = {"name": last} | ({"namespace": namespace} if namespace else {})
        rows = yield from CoreCalls.find_spaces(client, filter=wanted, page={"limit": 20})
        # Deleted Spaces remain as records; their names may be used again.
        live = [row for row in rows if row.state not in ("deleted", "cancelled")] or rows[:1]
        if len(live) > 1:
            several = ", ".join(f"{row.namespace}/{row.name} on {row.target} ({row.id})" for row in live)
            hint = f"Use the id of one of them: {several}."
            message = f"{len(live)} Spaces are named {name}."
            raise invalid_input([Finding(code="ambiguous", path=name, message=message, hint=hint)])
        found = live[0] if live else None
    if found is None:
        raise (yield from _not_found(client, name))
    return found


def _not_found(client: Any, name: str) -> Flow[NotFound]:
    """Returns the error for a missing Space; suggests those of the newest Spaces that have a similar name."""
    message = f"There is no Space {name}."
    suggestion = None
    if not _is_id(name):
        rows = yield from CoreCalls.find_spaces(
            client, filter={"state": "!deleted"}, page={"limit": PAGE_SIZE}, sort="-created_at"
        )
        known = {f"{row.namespace}/{row.name}" if "/" in name else row.name for row in rows}
        suggestion = did_you_mean(name, sorted(known))
    hint = suggestion or "List all: assembler list (find_spaces)."
    return NotFound(message, ErrorResponse(status_code=404, code="not_found", message=message, hint=hint))


def release_before(client: Any, space: Space) -> Flow[Request]:
    """Finds the release before the current one."""
    wanted = {"status": "succeeded", "action": ["create", "duplicate", "adopt", "update", "rollback"]}
    releases = yield from CoreCalls.find_space_requests(client, space, filter=wanted, limit=50)
    published = [release for release in releases if not release.unchanged]
    for release in published[1:]:
        if release.tree_digest != published[0].tree_digest:
            return release
    raise NotFound(f"{space.name} has no earlier release.")


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
