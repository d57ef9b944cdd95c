"""Adopt a Space that exists on a target: its files become the first release, and it is managed from then on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db, utcnow, violated_constraint
from assembler_runner.core.errors import Conflict, Finding, InvalidRequest, TargetNotFound
from assembler_runner.files.content import Content, Spool
from assembler_runner.files.tree import SpaceFile, Tree
from assembler_runner.plugin import SpacePlugin
from assembler_runner.requests import quotas, target_files
from assembler_runner.requests.prepare import DEFAULT_TYPE, check_target, type_hints
from assembler_runner.requests.submit import add_request
from assembler_runner.requests.taken import holder_of
from assembler_runner.runtime import watches
from assembler_runner.services import Services
from assembler_runner.spaces.app_state import STATE_OF_STAGE, UNKNOWN
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import RequestFile, Space, SpaceRequest
from assembler_runner.spaces.names import SLOT_CONSTRAINT, slot_of
from assembler_runner.spaces.transitions import adopt_as_done
from assembler_runner.targets import Target
from assembler_runner.targets.existing import ExistingSpace
from assembler_runner.targets.namespaces import claim_namespace
from assembler_runner.targets.realm_targets import LOCAL


class AlreadyManaged(Conflict):
    """The Space is already managed by this service."""

    code = "already_managed"
    default_message = "The Space is already managed by this service."
    default_hint = "An administrator of its realm can change it."


def adopt(services: Services, account: Account, data: Mapping[str, Any]) -> Space:
    """Adopts a Space: reads it from its target, and stores it with its files as the first release.

    Args:
        services: the services of this process.
        account: the caller.
        data: the validated fields `target`, `namespace` and `name`.
    Returns:
        The Space; its latest request is the release.
    Raises:
        AlreadyManaged: the Space is managed by this service.
        InvalidRequest: the realm may not publish there, or the files exceed the limits.
        QuotaExceeded: the realm or the account has reached a quota.
        TargetForbidden: the token of the realm may not write to the Space.
        TargetNotFound: the Space does not exist.
    """
    name = data.get("target") or services.targets.default(account.realm_id)
    namespace = data["namespace"]
    if findings := check_target(services, account.realm_id, {"target": name, "namespace": namespace}):
        raise InvalidRequest(issues=findings)
    _refuse_managed(account, name, namespace, data["name"])
    quotas.check(services.settings, account, spaces=1, size=0)
    target = services.targets.find(account.realm_id, name)
    assert target is not None, "check_target has refused targets that the realm does not have"
    # No transaction stays open while the target is read.
    db.session.rollback()
    existing = _read(target, namespace, data["name"])
    found = existing.space
    _refuse_managed(account, name, found.namespace, found.name)
    db.session.rollback()
    with Spool(services.instance / "incoming", services.settings.MAX_FILE_BYTES) as spool:
        problem = "The Space cannot be adopted: its files exceed the limits."
        files = target_files.read(services, target, existing.space, existing.head.oid, spool, problem)
        services.files.stage(files.values())
        return _store(services, account, target, existing, files)


def _read(target: Target, namespace: str, name: str) -> ExistingSpace:
    try:
        return target.existing(namespace, name)
    except TargetNotFound:
        message = f"There is no Space {namespace}/{name} on the target, or its token may not see it."
        hint = "Check the spelling of namespace and name; POST /spaces creates a new Space."
        raise TargetNotFound(message, hint=hint) from None


def _refuse_managed(account: Account, target: str, namespace: str, name: str) -> None:
    holder = holder_of(target, namespace, name, account.realm_id)
    if holder is None:
        return
    if not account.sees(holder.realm_id):
        raise AlreadyManaged(f"The Space {namespace}/{name} is managed by another realm of this service.")
    hint = f"Change it with POST /spaces/{holder.id} (assembler update {holder.name})."
    raise AlreadyManaged(f"The Space {namespace}/{name} is already managed here: {holder.id}.", hint=hint)


def _store(
    services: Services, account: Account, target: Target, existing: ExistingSpace, files: Mapping[str, Content]
) -> Space:
    try:
        space = _add_space(account, target, existing)
        quotas.check(services.settings, account, spaces=1, size=sum(content.size for content in files.values()))
        request = _add_release(services, account, space, existing, files)
        services.files.put(db.session(), files.values())
        adopt_as_done(db.session(), request.id, space_id=space.id, commit_oid=existing.head.oid)
        message = f"The Space {space.namespace}/{space.name} was adopted with {len(files)} files."
        record_event(db.session(), "adopted", space_id=space.id, request_id=request.id, message=message)
        state = STATE_OF_STAGE.get(existing.stage, UNKNOWN)
        watches.start(services, db.session(), space.id, existing.head.oid, target=target, state=state)
        db.session.commit()
    except IntegrityError as problem:
        db.session.rollback()
        if violated_constraint(problem) != SLOT_CONSTRAINT:
            raise
        raise AlreadyManaged from None
    db.session.refresh(space)
    return space


def _add_space(account: Account, target: Target, existing: ExistingSpace) -> Space:
    found, head = existing.space, existing.head
    if target.name == LOCAL:
        claim_namespace(account.realm_id, found.namespace)
    space = Space(
        name=found.name,
        namespace=found.namespace,
        target=target.name,
        url=found.url,
        space_type="",
        visibility=existing.visibility,
        labels=[],
        realm_id=account.realm_id,
        owner_id=account.id,
        state="creating",
        created_on_target=True,
        made_at=head.created_at,
        published_oid=head.oid,
        variables=dict(existing.variables),
        secret_names=list(existing.secret_names),
    )
    space.slot = slot_of(space)
    return space


def _add_release(
    services: Services, account: Account, space: Space, existing: ExistingSpace, files: Mapping[str, Content]
) -> SpaceRequest:
    plugin, options, reason = _type_of(services, existing, files)
    space.space_type = plugin.space_type
    tree = Tree({path: SpaceFile(path, content, "given") for path, content in files.items()})
    environment = {"hardware": existing.hardware, "sleep_time": existing.sleep_time, "variables": existing.variables}
    return add_request(
        services,
        account,
        space,
        "adopt",
        space_type=plugin.space_type,
        plugin_version=plugin.version,
        sdk=plugin.sdk,
        parameters={},
        options=options,
        tree_digest=tree.digest,
        environment={key: value for key, value in environment.items() if value},
        findings=[Finding("type_recognized", reason, "info", "space_type").to_json()],
        started_at=utcnow(),
        files=[
            RequestFile(position=number, path=file.path, size=file.size, sha256=file.sha256, origin="adopted")
            for number, file in enumerate(tree.values())
        ],
    )


def _type_of(
    services: Services, existing: ExistingSpace, files: Mapping[str, Content]
) -> tuple[SpacePlugin, dict[str, Any], str]:
    """Returns the plugin of a Space, options that its files need, and why."""
    registry = services.registry
    given = {path: SpaceFile(path, content, "given") for path, content in files.items()}
    from assembler_runner.assembly.recognise import recognise

    found = recognise(given, [plugin.space_type for plugin in registry.types()], type_hints(registry))
    plugin = registry.get(found.space_type) if found is not None and found.space_type else None
    # The Hub runs no streamlit SDK any more: such a Space becomes a container with its next commit.
    fits = plugin is not None and existing.sdk in (plugin.sdk, plugin.space_type, "")
    if found is not None and plugin is not None and fits:
        return plugin, dict(found.options), f"{plugin.space_type} was recognized: {found.reason}"
    plain = registry.get(existing.sdk) or registry.get(DEFAULT_TYPE)
    assert plain is not None, "the bundled types are always loaded"
    return plain, {}, f"The target runs the SDK {plain.sdk}."
