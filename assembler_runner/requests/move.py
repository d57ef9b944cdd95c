"""Move and duplicate: commands that give a Space, or a copy of it, another name or namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import db
from assembler_runner.core.errors import Conflict, Finding, InvalidRequest, NameTaken
from assembler_runner.publishing.queue import refuse_if_full
from assembler_runner.requests import quotas, releases
from assembler_runner.requests.commands import Caller, Render, same_kind, same_tree
from assembler_runner.requests.prepare import check_machine, check_target
from assembler_runner.requests.releases import newest_release, refuse_deleted
from assembler_runner.requests.submit import accept, accept_new, add_request, sealed
from assembler_runner.requests.taken import name_taken
from assembler_runner.services import Services
from assembler_runner.spaces.change import Change, Slots
from assembler_runner.spaces.models import Space, SpaceRequest
from assembler_runner.spaces.names import generated_name, slot_beside
from assembler_runner.targets.namespaces import claim_namespace
from assembler_runner.targets.realm_targets import LOCAL


def move(services: Services, caller: Caller, space: Space, data: Mapping[str, Any], render: Render) -> Any:
    """Accepts a new name or namespace for a Space.

    Args:
        services: the services of this process.
        caller: the caller and its conditions.
        space: the Space.
        data: `name`, `namespace` or both.
        render: builds the response from the request.
    Returns:
        The response; for a repeated key the first response.
    Raises:
        Conflict: the Space is deleted, was not published, or already has that name.
        InvalidRequest: the realm may not publish to the namespace.
        NameTaken: another Space has the name.
    """
    refuse_deleted(space)
    base = newest_release(space)
    name, namespace = data.get("name", space.name), data.get("namespace", space.namespace)
    if (name, namespace) == (space.name, space.namespace):
        raise Conflict(f"The Space is already named {namespace}/{name}.", hint="Send another name or namespace.")
    if namespace is None:
        raise Conflict("The namespace of the Space is not known yet.", hint="Send the namespace, too.")
    if namespace != space.namespace and space.publisher_id is None:
        _check_namespace(services, space, namespace)
    slot = slot_beside(space, namespace, name)
    holder = db.session.scalar(sa.select(Space.id).where(Space.slot == slot))
    if holder not in (None, space.id):
        raise name_taken(caller.account, space.target, namespace, name)

    def store() -> tuple[SpaceRequest, Any]:
        quotas.check(services.settings, caller.account, spaces=0, size=0)
        if space.target == LOCAL and namespace != space.namespace:
            claim_namespace(space.realm_id, namespace)
        change = Change(name=name, namespace=namespace, slots=Slots(space.slot, slot))
        request = add_request(services, caller.account, space, "move", callback=data, **same_kind(base), change=change)
        return request, render(request)

    return accept(caller.account, store, caller.idempotency)


def duplicate(services: Services, caller: Caller, space: Space, data: Mapping[str, Any], render: Render) -> Any:
    """Accepts a copy: a new Space with the published files, parameters, options, labels and variables.

    Args:
        services: the services of this process.
        caller: the caller and its conditions.
        space: the Space.
        data: the fields in which the copy differs.
        render: builds the response from the request of the new Space.
    Returns:
        The response; for a repeated key the first response.
    Raises:
        Conflict: the Space is deleted, or was not published yet.
        Forbidden: the caller may not create Spaces.
        InvalidRequest: the fields do not fit the Space.
        NameTaken: a Space has the name.
        QueueFull: too many requests are queued.
        QuotaExceeded: the realm or the account has reached a quota.
    """
    caller.account.require_permissions({"space_create"})
    refuse_deleted(space)
    refuse_if_full(db.session(), services.settings.MAX_QUEUE, services.settings.MAX_QUEUE_WAIT)
    release = newest_release(space, published=True)
    namespace = data.get("namespace", space.namespace)
    publisher_id = space.publisher_id if space.publisher_id == caller.account.id else None
    if publisher_id is None:
        _check_namespace(services, space, namespace)
    given = {name: data[name] for name in ("hardware", "sleep_time", "secrets") if name in data}
    variables = releases.settings_of(space)["variables"] | (data.get("variables") or {})
    given["variables"] = {key: value for key, value in variables.items() if value is not None}
    if findings := check_machine(release.sdk, given):
        raise InvalidRequest(issues=findings)

    def store() -> tuple[SpaceRequest, Any]:
        files = same_tree(release)
        quotas.check(services.settings, caller.account, spaces=1, size=sum(row.size for row in files["files"]))
        copy = Space(
            name=data.get("name") or generated_name(),
            namespace=namespace,
            target=space.target,
            publisher_id=publisher_id,
            space_type=release.space_type,
            visibility=data.get("visibility", space.visibility),
            labels=data.get("labels", space.labels),
            expires_at=data.get("expires_at"),
            realm_id=space.realm_id,
            owner_id=caller.account.id,
            state="creating",
        )
        if space.target == LOCAL and namespace:
            claim_namespace(space.realm_id, namespace)
        copy.slot = slot_beside(space, namespace, copy.name)
        copy.url = services.targets.url_of(copy.target, namespace, copy.name)
        request = add_request(
            services,
            caller.account,
            copy,
            "duplicate",
            callback=data,
            **files,
            environment={name: value for name, value in given.items() if name != "secrets"},
            encrypted_secrets=sealed(services, given.get("secrets")),
            findings=_missing_secrets(space, given.get("secrets") or {}),
            change=replace(release.change, release=release.id, base=None),
        )
        return request, render(request)

    def taken() -> NameTaken:
        return name_taken(caller.account, space.target, namespace, str(data["name"]))

    return accept_new(caller.account, data.get("name"), store, caller.idempotency, taken)


def _missing_secrets(space: Space, given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Names the secrets of a Space that its copy does not have, because no target shows their values."""
    missing = [name for name in space.secret_names or () if name not in given]
    if not missing:
        return []
    message = f"The copy lacks these secrets of the original: {', '.join(missing)}."
    hint = "Values of secrets cannot be copied: send them in secrets, or set them in an update of the copy."
    finding = Finding("secrets_not_copied", message, "warning", "secrets", hint=hint, values={"names": missing})
    return [finding.to_json()]


def _check_namespace(services: Services, space: Space, namespace: str | None) -> None:
    if findings := check_target(services, space.realm_id, {"target": space.target, "namespace": namespace}):
        raise InvalidRequest(issues=findings)
