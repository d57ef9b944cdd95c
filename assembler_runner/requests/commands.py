"""Commands for a Space: rollback, delete, restart, factory_rebuild, pause, wake and hardware."""

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
from assembler_runner.targets.realm_targets import LOCAL

Render = Callable[[SpaceRequest], Any]


@dataclass(frozen=True)
class Caller:
    """The caller of a change, and its conditions.

    Args:
        account: the caller.
        if_match: the commits named in If-Match; None without the header.
        idempotency: the caller's idempotency key, if any.
    """

    account: Account
    if_match: Collection[str] | None = None
    idempotency: Idempotency | None = None

    @property
    def expected_commits(self) -> tuple[str, ...] | None:
        """The commits named in If-Match, in order; None for any."""
        return None if self.if_match is None else tuple(sorted(self.if_match))


def rollback(services: Services, caller: Caller, space: Space, data: Mapping[str, Any], render: Render) -> Any:
    """Accepts a rollback to an earlier release: the same tree; files added later are deleted.

    Args:
        services: the services of this process.
        caller: the caller and its conditions.
        space: the Space.
        data: the validated fields; `request_id` names the release.
        render: builds the response from the new request.
    Returns:
        The response; for a repeated key the first response.
    Raises:
        NotFound: the request does not exist.
        Conflict: the request is not a release of this Space, or the Space is deleted.
        PreconditionFailed: If-Match names another commit.
    """
    refuse_deleted(space)
    releases.check_if_match(space, caller.if_match)
    release = find_request(caller.account, data["request_id"])
    if release.space_id != space.id or release.action not in RELEASES or release.status != SUCCEEDED:
        raise Conflict(
            "The request is not a release of this Space.", hint="Name a succeeded create, update or rollback of it."
        )

    def store() -> tuple[SpaceRequest, Any]:
        request = add_rollback(services, caller, space, release, data)
        return request, render(request)

    return accept(caller.account, store, caller.idempotency)


def add_rollback(
    services: Services, caller: Caller, space: Space, release: SpaceRequest, data: Mapping[str, Any]
) -> SpaceRequest:
    """Adds the request of a rollback; the caller commits. See :func:`rollback`."""
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
    values = same_tree(release)
    return add_change(services, caller, space, "rollback", callback=data, **values, change=change, environment={})


def delete(services: Services, caller: Caller, space: Space, render: Render) -> Any:
    """Accepts the deletion of a Space, also on its target; pending requests of the Space are cancelled.

    Args:
        services: the services of this process.
        caller: the caller and its conditions.
        space: the Space.
        render: builds the response from the request.
    Returns:
        The response; for a repeated key the first response.
    Raises:
        Conflict: the Space is already deleted.
    """

    def store() -> tuple[SpaceRequest, Any]:
        request = add_deletion(services, caller.account, space)
        return request, render(request)

    return accept(caller.account, store, caller.idempotency)


def add_deletion(services: Services, account: Account, space: Space) -> SpaceRequest:
    """Adds a request that deletes a Space, or returns the pending one; the caller commits.

    Raises:
        Conflict: the Space is already deleted.
    """
    hold_space(db.session(), space.id)
    db.session.refresh(space)
    if not space.alive:
        raise Conflict("The Space is already deleted.", hint="Nothing is left to do.")
    if deletion := releases.pending(space, ("delete",)):
        return deletion
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
    """Accepts a command for the app of a Space.

    Args:
        services: the services of this process.
        caller: the caller and its conditions.
        space: the Space.
        name: restart, factory_rebuild, pause, wake or hardware.
        data: the validated fields: `hardware` and `sleep_time` for hardware.
        render: builds the response from the new request.
    Returns:
        The response; for a repeated key the first response.
    Raises:
        Conflict: the Space is deleted, was not published, or does not run on hardware.
    """

    def store() -> tuple[SpaceRequest, Any]:
        request = add_command(services, caller.account, space, name, data)
        return request, render(request)

    return accept(caller.account, store, caller.idempotency)


def add_command(services: Services, account: Account, space: Space, name: str, data: Mapping[str, Any]) -> SpaceRequest:
    """Adds the request of a command; the caller commits. See :func:`command`."""
    refuse_deleted(space)
    base = newest_release(space)
    if space.target == LOCAL and not services.targets.local.runs_apps:
        raise Conflict(
            f"The target local stores files and runs no apps, so {name} is not possible.",
            hint="Publish it to a Hub, let the service run apps (APPS), or run it on your machine: assembler try.",
        )
    if base.sdk == "static":
        raise Conflict(
            f"A static Space does not run on hardware, so {name} is not possible.",
            hint="Its pages are served as soon as they are published.",
        )
    environment = {key: data[key] for key in ("hardware", "sleep_time") if key in data}
    values = same_kind(base)
    return add_change(services, Caller(account), space, name, callback=data, **values, environment=environment)


def add_change(services: Services, caller: Caller, space: Space, action: str, **values: Any) -> SpaceRequest:
    """Adds a request if the quotas allow it; the caller commits. See :func:`add_request`."""
    size = sum(row.size for row in values.get("files") or ())
    quotas.check(services.settings, caller.account, spaces=0, size=size)
    return add_request(services, caller.account, space, action, **values)


def same_kind(request: SpaceRequest) -> dict[str, Any]:
    """Returns the columns of a request without files, for a Space of the same type."""
    return {
        "space_type": request.space_type,
        "plugin_version": request.plugin_version,
        "sdk": request.sdk,
        "parameters": {},
        "options": {},
        "tree_digest": "",
    }


def same_tree(release: SpaceRequest) -> dict[str, Any]:
    """Returns the columns of a request that publishes the tree of another request."""
    rows: dict[str, RequestFile] = {row.path: row for row in release.files}
    return {
        **same_kind(release),
        "parameters": release.parameters,
        "options": release.options,
        "tree_digest": release.tree_digest,
        "files": copy_rows(rows),
    }
