"""Updates of a Space: combines the sent fields with those of the previous release, and accepts the request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts import audit
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import Finding, InvalidRequest
from assembler_runner.core.validation import Fields
from assembler_runner.files.content import Content
from assembler_runner.files.paths import field_of
from assembler_runner.publishing.queue import refuse_if_full
from assembler_runner.requests import releases
from assembler_runner.requests.commands import Caller, Render, add_change, same_tree
from assembler_runner.requests.prepare import Prepared, check_machine, prepare
from assembler_runner.requests.publisher import check_kept
from assembler_runner.requests.releases import newest_release, refuse_deleted
from assembler_runner.requests.submit import accept, audit_allowed, keep_contents, sealed, stage_large, values_of
from assembler_runner.services import Services
from assembler_runner.spaces.change import Change
from assembler_runner.spaces.models import MAKING, SUCCEEDED, Space, SpaceRequest
from assembler_runner.spaces.transitions import hold_space
from assembler_runner.targets.realm_targets import LOCAL
from assembler_runner.webhooks import webhooks

TREE_FIELDS = ("files", "parameters", "options", "space_type", "template")
SETTING_FIELDS = ("visibility", "hardware", "sleep_time", "variables", "secrets")
AT_ONCE = ("labels", "expires_at", "on_failure")


class _BaseMoved(Exception):  # not an error: the update is planned again
    """Another change was accepted after this one was planned."""


def update(services: Services, caller: Caller, space: Space, fields: Fields, render: Render) -> Any:
    """Accepts a change of files, parameters, options or settings.

    Args:
        services: the services of this process.
        caller: the caller and its conditions.
        space: the Space.
        fields: the validated fields.
        render: builds the response from the new request, or from the latest one if nothing changes on the target.
    Returns:
        The response; for a repeated key the first response.
    Raises:
        InvalidRequest: with all problems at once.
        Conflict: the Space is deleted, or was never published.
        PreconditionFailed: If-Match names another commit.
    """
    refuse_if_full(db.session(), services.settings.MAX_QUEUE, services.settings.MAX_QUEUE_WAIT)
    for held in (False, True):
        if held:
            # A concurrent change was accepted first; the lock makes others wait for the second try.
            db.session.rollback()
            hold_space(db.session(), space.id)
            db.session.refresh(space)
        planned = plan_update(services, caller, space, fields)
        if planned.prepared is not None and planned.prepared.assembly.errors:
            raise InvalidRequest(issues=planned.prepared.assembly.findings)
        if planned.prepared is not None and not held:
            stage_large(services, caller.account, planned.prepared, spaces=0)
        try:
            return accept(
                caller.account, partial(_store, services, caller, planned, fields.data, render), caller.idempotency
            )
        except _BaseMoved:
            continue
    raise AssertionError("another change was accepted although the Space was locked")


@dataclass(frozen=True)
class PlannedUpdate:
    """A validated update.

    Args:
        space: the Space.
        base: the release it builds on; None if the update needs no request, such as a change of labels.
        prepared: the tree; None if no files change.
        change: the arguments of the request.
    """

    space: Space
    base: SpaceRequest | None
    prepared: Prepared | None
    change: Change


def plan_update(services: Services, caller: Caller, space: Space, fields: Fields) -> PlannedUpdate:
    """Validates an update and assembles its tree, without storing anything; see :func:`update`."""
    data = fields.data
    refuse_deleted(space)
    releases.check_if_match(space, caller.if_match)
    findings = [*fields.findings, *_check_place(space, data), *check_kept(space, caller.account, data)]
    findings += webhooks.check(services, data.get("callback_url"), data.get("callback_secret"), "callback_")
    if any(name in data for name in TREE_FIELDS):
        return _plan_tree(services, caller, space, Fields(data, findings, fields.invalid))
    base = newest_release(space) if any(name in data for name in SETTING_FIELDS) else None
    if base is not None:
        findings += check_machine(base.sdk, {name: data.get(name) for name in SETTING_FIELDS})
    if findings:
        raise InvalidRequest(issues=findings)
    if base is None:
        return PlannedUpdate(space, None, None, Change())
    change = _change(caller, base, data)
    kept = replace(base.change, mode="merge", force=change.force, if_match=change.if_match, tree=False)
    return PlannedUpdate(space, base, None, replace(kept, base=change.base or kept.base))


def _plan_tree(services: Services, caller: Caller, space: Space, fields: Fields) -> PlannedUpdate:
    """Plans a change of files, parameters or options."""
    data, base = fields.data, newest_release(space)
    merge = data.get("mode", "replace" if "files" in data else "merge") == "merge"
    # A tree that replaces the old one does not inherit its starter app.
    template = data.get("template", base.change.template if merge else None)
    effective = _effective(services, space, base, data, template)
    files, problems = _files(services, base, data, merge)
    invalid = fields.invalid | {"files"} if problems else fields.invalid
    # The realm of the Space, not of the caller, determines the allowed targets and namespaces.
    account = replace(caller.account, realm_id=space.realm_id)
    kept = {row.path for row in base.files if row.origin == "adopted"} - (data.get("files") or {}).keys()
    whole = Fields(
        {**effective, "files": files, "adopted": kept & files.keys(), "remarks": data.get("remarks", ())},
        [*fields.findings, *problems],
        invalid,
    )
    prepared = prepare(services, account, whole)
    if prepared.plugin.sdk != base.sdk:
        message = f"A {base.sdk} Space cannot become a {prepared.plugin.sdk} Space."
        hint = "Send a new Space request."
        raise InvalidRequest(issues=[Finding("sdk_changed", message, path="space_type", hint=hint)])
    new_type = prepared.plugin.space_type
    change = replace(
        _change(caller, base, data),
        mode="merge" if merge else "replace",
        template=template,
        with_parameters=effective.get("parameters") is not None,
        git=data.get("git") or (base.change.git if merge else None),
        touched=tuple(sorted(data.get("files") or ())),
        space_type=new_type if new_type != space.space_type else None,
    )
    return PlannedUpdate(space, base, prepared, change)


def _change(caller: Caller, base: SpaceRequest, data: Mapping[str, Any]) -> Change:
    """Returns the arguments that all changes of a release share."""
    builds_on = base.status != SUCCEEDED and (base.action in MAKING or _inherits(data, base))
    return Change(
        name=base.change.name,
        force=data.get("force", False),
        if_match=caller.expected_commits,
        base=base.id if builds_on else None,
    )


def _inherits(data: Mapping[str, Any], base: SpaceRequest) -> bool:
    """Returns whether an update inherits files, parameters or options from the release before it."""
    if "files" not in data or data.get("mode") == "merge":
        return True
    kept = [name for name in ("parameters", "options") if name not in data]
    return any(getattr(base, name) for name in kept)


def _check_place(space: Space, data: Mapping[str, Any]) -> list[Finding]:
    hint = "Use the command move to change name or namespace; the target cannot be changed."
    return [
        Finding("place_changed", f"The Space has the {name} {getattr(space, name)}.", path=name, hint=hint)
        for name in ("name", "namespace", "target")
        if data.get(name) is not None and data[name] != getattr(space, name)
    ]


def _effective(
    services: Services, space: Space, base: SpaceRequest, data: Mapping[str, Any], template: str | None
) -> dict[str, Any]:
    """Returns the fields of a complete Space request: the sent fields, and the previous ones for all others."""
    pinned = f"{base.space_type}@{base.plugin_version}"
    last_type = pinned if services.registry.get(pinned) else base.space_type
    space_type = data.get("space_type") or last_type
    options = (data["options"] or {}) if "options" in data else base.options
    plugin = services.registry.get(space_type)
    if plugin is not None and "options" not in data and plugin.space_type != base.space_type:
        options = {name: value for name, value in options.items() if name in plugin.options_schema.fields}
    last_parameters = base.parameters if releases.had_parameters(base) else None
    wanted = {
        "space_type": space_type,
        "options": options,
        "parameters": data.get("parameters", last_parameters),
        "name": base.change.name,
        "template": template,
        "target": space.target,
        "publisher_id": space.publisher_id,
        # A local Space keeps the namespace it has, whichever realm owns that now.
        "namespace": space.namespace if space.target != LOCAL else None,
        "visibility": data.get("visibility", space.visibility),
        **{name: data[name] for name in ("fixes", "allow") if name in data},
        **{name: data[name] for name in ("hardware", "sleep_time") if name in data},
    }
    for name in ("variables", "secrets"):
        wanted[name] = {key: value for key, value in (data.get(name) or {}).items() if value is not None}
    return {name: value for name, value in wanted.items() if value is not None}


def _files(
    services: Services, base: SpaceRequest, data: Mapping[str, Any], merge: bool
) -> tuple[dict[str, bytes | Content], list[Finding]]:
    """Returns all files as a complete request would send them, and findings about the sent ones."""
    given: Mapping[str, bytes | Content | None] = data.get("files") or {}
    gone = [path for path, content in given.items() if content is None]
    present: dict[str, bytes | Content] = {path: content for path, content in given.items() if content is not None}
    if not merge:
        hint = "Leave the file out, or use mode merge."
        message = "null removes a file only in mode merge; in mode replace, all files that are left out are removed."
        return present, [Finding("null_file", message, path=field_of(path), hint=hint) for path in gone]
    every: dict[str, bytes | Content] = {**releases.originals(services, base), **present}
    return {path: content for path, content in every.items() if path not in gone}, []


def _store(
    services: Services, caller: Caller, planned: PlannedUpdate, data: Mapping[str, Any], render: Render
) -> tuple[SpaceRequest, Any]:
    space, base, prepared = planned.space, planned.base, planned.prepared
    hold_space(db.session(), space.id)
    db.session.refresh(space)
    refuse_deleted(space)
    change_at_once(caller.account, space, data)
    if base is None:
        request = space.latest_request
        return request, render(request)
    if newest_release(space).id != base.id:
        raise _BaseMoved
    environment = {
        name: data[name] for name in ("visibility", "hardware", "sleep_time", "variables") if data.get(name) is not None
    }
    values = values_of(prepared) if prepared else same_tree(base)
    request = add_change(
        services,
        caller,
        space,
        "update",
        callback=data,
        **values,
        environment=environment,
        encrypted_secrets=sealed(services, data.get("secrets")),
        change=planned.change,
    )
    if prepared:
        keep_contents(services, prepared)
        audit_allowed(caller.account, space, prepared)
    return request, render(request)


def change_at_once(account: Account, space: Space, data: Mapping[str, Any]) -> None:
    """Changes what needs no request: labels, expiry and what a failure does; the caller commits.

    Args:
        account: the caller.
        space: the Space; its row is locked.
        data: the new values of any of :data:`AT_ONCE`.
    """
    changed = [name for name in AT_ONCE if name in data]
    if "labels" in changed:
        space.labels = data["labels"]
    if "expires_at" in changed:
        space.expires_at, space.expiry_warnings = data["expires_at"], 0
    if "on_failure" in changed:
        made = sa.update(SpaceRequest).where(SpaceRequest.space_id == space.id, SpaceRequest.action.in_(MAKING))
        db.session.execute(
            made.values(on_failure=data["on_failure"], updated_at=SpaceRequest.updated_at),
            execution_options={"synchronize_session": False},
        )
    if changed:
        audit.record(account, "update", "space", space.id, space.name, space.realm_id, fields=changed)
