"""Accepts requests: stores them with their files in one transaction and wakes a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.attributes import set_committed_value

from assembler_runner.accounts import audit, hub_tokens
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db, new_id, violated_constraint
from assembler_runner.core.errors import Finding, InvalidRequest, NameTaken
from assembler_runner.core.insert import insert_object
from assembler_runner.files.store import LARGE_BYTES
from assembler_runner.files.tree import SpaceFile
from assembler_runner.publishing.queue import assign_queue_position, refuse_if_full
from assembler_runner.publishing.tasks import wakeups
from assembler_runner.requests import quotas
from assembler_runner.requests.idempotency import Idempotency, known_answer
from assembler_runner.requests.prepare import Prepared
from assembler_runner.requests.publisher import check_change, publisher_of
from assembler_runner.requests.taken import name_taken
from assembler_runner.services import Services
from assembler_runner.spaces.change import Change
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import QUEUED, IdempotencyKey, RequestFile, Space, SpaceRequest
from assembler_runner.spaces.names import SLOT_CONSTRAINT, generated_name, slot_of
from assembler_runner.spaces.transitions import hold_space
from assembler_runner.targets.namespaces import claim_default_namespace, claim_namespace, default_namespace
from assembler_runner.targets.realm_targets import HUB, LOCAL
from assembler_runner.webhooks import webhooks

NAME_TRIES = 5
MAX_FINDINGS = 200
"""Most findings that are stored with a request."""


def submit(
    services: Services,
    account: Account,
    prepared: Prepared,
    render: Callable[[Space], Any],
    idempotency: Idempotency | None = None,
) -> Any:
    """Accepts a request: stores it in one transaction, then wakes a worker.

    Args:
        services: the services of this process.
        account: the caller.
        prepared: the validated request.
        render: builds the response from the new Space.
        idempotency: the caller's idempotency key, if any.
    Returns:
        The response; for a repeated key the first response.
    Raises:
        InvalidRequest: the tree has an error.
        KeyReused: the key was sent before with another body.
        NameTaken: a Space with this name exists.
        QueueFull: too many requests are waiting.
        QuotaExceeded: the realm or the account has reached a quota.
    """
    if not prepared.assembly.errors:
        stage_large(services, account, prepared, spaces=1)
    if idempotency and (known := known_answer(account, idempotency)):
        return known
    if prepared.assembly.errors:
        raise InvalidRequest(issues=prepared.assembly.findings)
    refuse_if_full(db.session(), services.settings.MAX_QUEUE, services.settings.MAX_QUEUE_WAIT)

    def store() -> tuple[SpaceRequest, Any]:
        space, request = _store(services, account, prepared)
        return request, render(space)

    data = prepared.data
    target = data.get("target") or services.targets.default(account.realm_id)

    def taken() -> NameTaken:
        publisher_id = publisher_of(account, data)
        namespace = data.get("namespace") or default_namespace_of(services, account, target, publisher_id)
        return name_taken(account, target, namespace, str(data["name"]))

    return accept_new(account, data.get("name"), store, idempotency, taken)


def accept_new(
    account: Account,
    name: str | None,
    store: Callable[[], tuple[SpaceRequest, Any]],
    idempotency: Idempotency | None,
    taken: Callable[[], NameTaken],
) -> Any:
    """Accepts a request that creates a Space; see :func:`accept`.

    Args:
        account: the caller.
        name: the requested name; None if `store` generates a new one each time.
        store: stores Space and request; returns the request and the response.
        idempotency: the caller's idempotency key, if any.
        taken: returns the error for a requested name that is taken.
    Returns:
        The response; for a repeated key the first response.
    Raises:
        KeyReused: the key was sent before with another body.
        NameTaken: a Space with this name exists.
    """
    for _ in range(NAME_TRIES):
        try:
            return accept(account, store, idempotency)
        except IntegrityError as problem:
            # A concurrent call took this name.
            if violated_constraint(problem) != SLOT_CONSTRAINT:
                raise
            if name:
                raise taken() from None
    raise NameTaken("No free name was found.", hint="Send the request again.")


def accept(
    account: Account, store: Callable[[], tuple[SpaceRequest, Any]], idempotency: Idempotency | None = None
) -> Any:
    """Accepts a request: stores it in one transaction, then wakes a worker.

    Args:
        account: the caller.
        store: stores the request; returns it and the response.
        idempotency: the caller's idempotency key, if any.
    Returns:
        The response; for a repeated key the first response.
    Raises:
        KeyReused: the key was sent before with another body.
    """
    if idempotency and (known := known_answer(account, idempotency)):
        return known
    try:
        request, answer = store()
        if idempotency:
            row = IdempotencyKey(account_id=account.id, key=idempotency.key, body_digest=idempotency.body_digest)
            row.request_id, row.answer = request.id, answer
            db.session.add(row)
        request_id = request.id
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        # A concurrent call may have stored this key.
        if idempotency and (known := known_answer(account, idempotency)):
            return known
        raise
    wakeups.send(request_id)
    return answer


def _store(services: Services, account: Account, prepared: Prepared) -> tuple[Space, SpaceRequest]:
    data, plugin = prepared.data, prepared.plugin
    quotas.check(services.settings, account, spaces=1, size=_size_of(prepared))
    target = data.get("target") or services.targets.default(account.realm_id)
    space = Space(
        name=data.get("name") or generated_name(),
        namespace=_claimed_namespace(services, account, target, data),
        publisher_id=publisher_of(account, data),
        target=target,
        space_type=plugin.space_type,
        visibility=data.get("visibility", "public"),
        labels=data.get("labels", []),
        expires_at=data.get("expires_at"),
        realm_id=account.realm_id,
        owner_id=account.id,
        state="creating",
    )
    space.slot = slot_of(space)
    space.url = services.targets.url_of(target, space.namespace, space.name)
    request = add_request(
        services,
        account,
        space,
        action="create",
        callback=data,
        **_with_note(values_of(prepared), space),
        environment={
            name: data[name] for name in ("hardware", "sleep_time", "variables") if data.get(name) is not None
        },
        encrypted_secrets=sealed(services, data.get("secrets")),
        on_failure=data.get("on_failure", "delete"),
        change=Change(
            name=data.get("name"),
            template=data.get("template"),
            with_parameters=data.get("parameters") is not None,
            git=data.get("git"),
            verify=bool(data.get("verify")),
        ),
    )
    keep_contents(services, prepared)
    audit_allowed(account, space, prepared)
    return space, request


def _with_note(values: dict[str, Any], space: Space) -> dict[str, Any]:
    """Adds a finding to the columns of a request if the address of its Space is not known yet."""
    if space.url is not None:
        return values
    message = "The address is not known yet: the Hub has not answered whose token this service has."
    note = Finding("url_unknown", message, "info", "namespace", hint="Name the namespace to know it at once.")
    return {**values, "findings": [*values["findings"], note.to_json()]}


def add_request(
    services: Services,
    account: Account,
    space: Space,
    action: str,
    *,
    callback: Mapping[str, Any] | None = None,
    **values: Any,
) -> SpaceRequest:
    """Adds the next request of a Space, which waits until all earlier ones have ended; the caller commits.

    Args:
        services: the services of this process.
        account: the caller.
        space: the Space, which is added if it is new; its row is locked until the transaction ends.
        action: the requested action.
        callback: the fields of the call, with `callback_url` and `callback_secret` if they were given.
        values: the other columns.
    Returns:
        The new request.
    Raises:
        Forbidden: the change would be published as another person.
    """
    is_new = sa.inspect(space).transient
    if not is_new:
        hold_space(db.session(), space.id)
        db.session.refresh(space)
        check_change(space, account, action)
    turn = assign_queue_position(db.session(), space.realm_id, account.id)
    if is_new:
        # A new Space is not visible to other transactions, so it needs no lock.
        space.id, space.event_count, space.request_count = new_id(), 1, 1
        insert_object(db.session(), space)
    else:
        space.request_count += 1
    files: list[RequestFile] = values.pop("files", [])
    request = SpaceRequest(
        space_id=space.id,
        realm_id=space.realm_id,
        owner_id=account.id,
        number=space.request_count,
        action=action,
        status=QUEUED,
        fair_round=turn.round,
        turn_at=turn.at,
        due_at=turn.now + services.settings.RESEND_SECONDS,
        **values,
    )
    insert_object(db.session(), request)
    set_committed_value(space, "latest_request", request)
    _add_files(request, files)
    if callback and callback.get("callback_url"):
        webhooks.add_callback(services, request, callback["callback_url"], callback.get("callback_secret"))
    noted = _noted(request.findings)
    record_event(db.session(), QUEUED, space_id=space.id, request_id=request.id, data=noted, counted=is_new)
    audit.record(account, action, "space", space.id, space.name, space.realm_id, request_id=request.id)
    return request


def _add_files(request: SpaceRequest, files: list[RequestFile]) -> None:
    if files:
        columns = ("position", "path", "size", "sha256", "origin", "given_sha256")
        rows = [{"request_id": request.id, **{name: getattr(file, name) for name in columns}} for file in files]
        db.session.execute(_INSERT_FILES, rows)
    set_committed_value(request, "files", files)


# Prebuilt, and without the session, which takes several times as long for many rows.
_INSERT_FILES = sa.insert(RequestFile.__table__)  # type: ignore[arg-type]  # declared as FromClause


def _noted(findings: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Returns what the first event says of the findings."""
    shown = [{key: finding[key] for key in ("code", "severity", "path", "message")} for finding in findings or ()]
    return {"findings": shown[:50]} if shown else {}


def audit_allowed(account: Account, space: Space, prepared: Prepared) -> None:
    """Writes into the audit log which errors a caller lets pass; the caller commits."""
    if prepared.allowed:
        codes = sorted({finding.code for finding in prepared.allowed})
        paths = sorted({finding.path for finding in prepared.allowed if finding.path})[:20]
        audit.record(account, "allow", "space", space.id, space.name, space.realm_id, codes=codes, paths=paths)


def values_of(prepared: Prepared) -> dict[str, Any]:
    """Returns the columns of a request that publishes a tree."""
    data, plugin, tree = prepared.data, prepared.plugin, prepared.assembly.tree
    return {
        "space_type": plugin.space_type,
        "plugin_version": plugin.version,
        "sdk": plugin.sdk,
        "parameters": data.get("parameters") if data.get("parameters") is not None else {},
        "options": data.get("options") or {},
        "tree_digest": tree.digest,
        "findings": [finding.to_json() for finding in prepared.assembly.findings[:MAX_FINDINGS]],
        "files": [_file_row(number, file, prepared.given) for number, file in enumerate(tree.values())],
    }


def stage_large(services: Services, account: Account, prepared: Prepared, *, spaces: int) -> None:
    """Stores large contents in separate transactions before the one that refers to them, so that it holds no lock.

    Args:
        services: the services of this process.
        account: the caller.
        prepared: the validated request.
        spaces: how many Spaces the request adds; checked against the quota.
    Raises:
        QueueFull: too many requests are waiting.
        QuotaExceeded: the realm or the account has reached a quota.
    """
    large = [file.as_content() for file in _files_to_keep(prepared) if file.size >= LARGE_BYTES]
    if large:
        refuse_if_full(db.session(), services.settings.MAX_QUEUE, services.settings.MAX_QUEUE_WAIT)
        quotas.check(services.settings, account, spaces=spaces, size=_size_of(prepared))
        db.session.rollback()
        services.files.stage(large)


def keep_contents(services: Services, prepared: Prepared) -> None:
    """Stores the contents that a request refers to; the caller commits."""
    services.files.put(db.session(), [file.as_content() for file in _files_to_keep(prepared)])
    db.session.flush()


def sealed(services: Services, secrets: Mapping[str, str | None] | None) -> str | None:
    """Encrypts secrets for the database; None for none."""
    return services.vault.encrypt(dict(secrets)) if secrets else None


def _size_of(prepared: Prepared) -> int:
    return sum(file.size for file in prepared.assembly.tree.values())


def _files_to_keep(prepared: Prepared) -> list[SpaceFile]:
    """Returns what to store for a request: all published files, and the files as sent if they differ."""
    tree = prepared.assembly.tree
    changed = [
        file for file in prepared.given.values() if file.path in tree and not file.has_content_of(tree[file.path])
    ]
    return [*tree.values(), *changed]


def _file_row(number: int, file: SpaceFile, given: Mapping[str, SpaceFile]) -> RequestFile:
    sent = given.get(file.path)
    return RequestFile(
        position=number,
        path=file.path,
        size=file.size,
        sha256=file.sha256,
        origin=file.origin,
        given_sha256=None if sent is None or sent.has_content_of(file) else sent.sha256,
    )


def _claimed_namespace(services: Services, account: Account, target: str, data: Mapping[str, Any]) -> str | None:
    """Returns the namespace of a new Space; one of the target `local` is the realm's from now on."""
    namespace: str | None = data.get("namespace")
    if target != LOCAL:
        return namespace or default_namespace_of(services, account, target, publisher_of(account, data))
    if namespace is None:
        return claim_default_namespace(account)
    claim_namespace(account.realm_id, namespace)
    return namespace


def default_namespace_of(
    services: Services, account: Account, target: str, publisher_id: str | None = None
) -> str | None:
    """Returns the namespace of a request that names none; None if it is not known yet."""
    if publisher_id is not None:
        person = hub_tokens.usable(publisher_id)
        return person.account_name if person is not None else None
    if target == HUB:
        return services.targets.own_namespace(account.realm_id)
    return default_namespace(account)
