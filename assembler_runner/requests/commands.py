"""Changes of a Space, before the queue: rollback, delete and the commands for what it runs on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import Conflict
from assembler_runner.publishing.manifests import copy_rows
from assembler_runner.requests import quotas, releases
from assembler_runner.requests.cancel_retry import stop
from assembler_runner.requests.idempotency import Idempotency
from assembler_runner.requests.queries import find_request
from assembler_runner.requests.releases import newest_release, refuse_deleted
from assembler_runner.requests.submit import accept, add_request
from assembler_runner.services import Services
from assembler_runner.spaces.models import RELEASES, SUCCEEDED, RequestFile, Space, SpaceRequest
from assembler_runner.spaces.transitions import hold_space

Render = Callable[[SpaceRequest], Any]


@dataclass(frozen=True)
class Caller:
    """Who asks for a change, and under which conditions.

    Args:
        account: who is calling.
        if_match: the commits named in If-Match; None where there is no such header.
        idempotency: the caller's key, if it sent one.
    """

    account: Account
    if_match: Collection[str] | None = None
    idempotency: Idempotency | None = None

    @property
    def expected_commits(self) -> tuple[str, ...] | None:
        """The commits named in If-Match, in order; None for any."""
        return None if self.if_match is None else tuple(sorted(self.if_match))


def rollback(services: Services, caller: Caller, space: Space, data: Mapping[str, Any], render: Render) -> Any:
    """Accepts the return to an earlier release: the same tree, files that came later deleted.

    Raises:
        NotFound: there is no such request.
        Conflict: the request is none that can be returned to, or the Space is deleted.
        PreconditionFailed: If-Match names another commit.
    """
    refuse_deleted(space)
    releases.check_if_match(space, caller.if_match)
    release = find_request(caller.account, data["request_id"])
    if release.space_id != space.id or release.action not in RELEASES or release.status != SUCCEEDED:
        raise Conflict(
            "The request is no release of this Space.", hint="Name a succeeded create, update or rollback of it."
        )
    change = replace(
        release.change,
        mode="replace",
        force=data.get("force", False),
        if_match=caller.expected_commits,
        tree=True,
        base=None,
        release=release.id,
        space_type=release.space_type,
    )

    def store() -> tuple[SpaceRequest, Any]:
        values = same_tree(release)
        request = add_change(
            services, caller, space, "rollback", callback=data, **values, change=change, environment={}
        )
        return request, render(request)

    return accept(caller.account, store, caller.idempotency)


def delete(services: Services, caller: Caller, space: Space, render: Render) -> Any:
    """Accepts the deletion of a Space, on its target, too; what waits for it is cancelled.

    Raises:
        Conflict: it is deleted already.
    """

    def store() -> tuple[SpaceRequest, Any]:
        request = add_deletion(services, caller.account, space)
        return request, render(request)

    return accept(caller.account, store, caller.idempotency)


def add_deletion(services: Services, account: Account, space: Space) -> SpaceRequest:
    """Adds the request that deletes a Space, or returns the one that is under way; the caller commits.

    Raises:
        Conflict: it is deleted already.
    """
    hold_space(db.session(), space.id)
    db.session.refresh(space)
    if not space.alive:
        raise Conflict("The Space is deleted already.", hint="Nothing is left to do.")
    if under_way := releases.pending(space, ("delete",)):
        return under_way
    waiting = sa.select(SpaceRequest).where(
        SpaceRequest.space_id == space.id, SpaceRequest.status.in_(releases.WAITING)
    )
    for request in list(db.session.scalars(waiting)):
        stop(request)
    latest = space.latest_request
    return add_request(services, account, space, "delete", **same_kind(latest))


def command(
    services: Services, caller: Caller, space: Space, name: str, data: Mapping[str, Any], render: Render
) -> Any:
    """Accepts a command for what a Space runs on: restart, factory_rebuild, pause, wake or hardware.

    Raises:
        Conflict: the Space is deleted, was not published, or runs on no machine.
    """

    def store() -> tuple[SpaceRequest, Any]:
        request = add_command(services, caller.account, space, name, data)
        return request, render(request)

    return accept(caller.account, store, caller.idempotency)


def add_command(services: Services, account: Account, space: Space, name: str, data: Mapping[str, Any]) -> SpaceRequest:
    """Adds the request of a command; the caller commits; see :func:`command`."""
    refuse_deleted(space)
    base = newest_release(space)
    if space.target == "local":
        raise Conflict(
            f"The target local keeps files and runs no apps, so there is nothing for {name} to do.",
            hint="Publish the Space to a Hub, or clone it and run it yourself.",
        )
    if base.sdk == "static":
        raise Conflict(
            f"A static Space runs on no machine, so there is nothing for {name} to do.",
            hint="Its pages are served as soon as they are published.",
        )
    environment = {key: data[key] for key in ("hardware", "sleep_time") if key in data}
    values = same_kind(base)
    return add_change(services, Caller(account), space, name, callback=data, **values, environment=environment)


def add_change(services: Services, caller: Caller, space: Space, action: str, **values: Any) -> SpaceRequest:
    """Adds a request, if the quotas allow it; the caller commits; see :func:`add_request`."""
    size = sum(row.size for row in values.get("files") or ())
    quotas.check(services.settings, caller.account, spaces=0, size=size)
    return add_request(services, caller.account, space, action, **values)


def same_kind(request: SpaceRequest) -> dict[str, Any]:
    """Returns the columns of a request that concerns no files."""
    return {
        "space_type": request.space_type,
        "plugin_version": request.plugin_version,
        "sdk": request.sdk,
        "parameters": {},
        "options": {},
        "tree_digest": "",
    }


def same_tree(release: SpaceRequest) -> dict[str, Any]:
    """Returns the columns of a request that publishes the tree of another one."""
    rows: dict[str, RequestFile] = {row.path: row for row in release.files}
    return {
        **same_kind(release),
        "parameters": release.parameters,
        "options": release.options,
        "tree_digest": release.tree_digest,
        "files": copy_rows(rows),
    }
