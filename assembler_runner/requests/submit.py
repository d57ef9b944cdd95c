"""What callers do before the queue: check, preview, submit, find, cancel, retry. API, pages and CLI all call this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.attributes import set_committed_value

from assembler_runner.accounts import audit
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db, new_id, violated_constraint
from assembler_runner.core.errors import InvalidRequest, NameTaken
from assembler_runner.files.content import Content
from assembler_runner.files.store import LARGE_BYTES
from assembler_runner.files.tree import SpaceFile
from assembler_runner.publishing.queue import assign_queue_position, refuse_if_full
from assembler_runner.publishing.tasks import wakeups
from assembler_runner.requests import quotas
from assembler_runner.requests.idempotency import Idempotency, known_answer
from assembler_runner.requests.prepare import Prepared
from assembler_runner.services import Services
from assembler_runner.spaces.change import Change
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import QUEUED, IdempotencyKey, RequestFile, Space, SpaceRequest
from assembler_runner.spaces.names import SLOT_CONSTRAINT, generated_name, slot_of
from assembler_runner.spaces.transitions import hold_space
from assembler_runner.targets.namespaces import claim_namespace, default_namespace
from assembler_runner.targets.realm_targets import HUB, LOCAL
from assembler_runner.webhooks import webhooks

NAME_TRIES = 5


def submit(
    services: Services,
    account: Account,
    prepared: Prepared,
    render: Callable[[Space], Any],
    idempotency: Idempotency | None = None,
) -> Any:
    """Accepts a request: stores it in one transaction, then wakes a worker.

    Args:
        services: what the process holds.
        account: who is calling.
        prepared: the checked request.
        render: makes the answer from the new Space.
        idempotency: the caller's key, if it sent one.
    Returns:
        The answer; for a repeated key the one given first.
    Raises:
        InvalidRequest: the tree has an error, or the key came with another body.
        NameTaken: a Space holds the name.
        QuotaExceeded: the realm or the account may not have more.
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

    return accept_new(account, prepared.data.get("name"), store, idempotency)


def accept_new(
    account: Account,
    name: str | None,
    store: Callable[[], tuple[SpaceRequest, Any]],
    idempotency: Idempotency | None,
) -> Any:
    """Accepts a request that makes a Space; see :func:`accept`.

    Args:
        account: who is calling.
        name: the name that was asked for; None for one that `store` generates anew each time.
        store: stores Space and request; returns the request and the answer.
        idempotency: the caller's key, if it sent one.
    Raises:
        NameTaken: a Space holds the name.
    """
    for _ in range(NAME_TRIES):
        try:
            return accept(account, store, idempotency)
        except IntegrityError as problem:
            # Another caller was faster with this name.
            if violated_constraint(problem) != SLOT_CONSTRAINT:
                raise
            if name:
                raise NameTaken(f"A Space named {name} exists already.") from None
    raise NameTaken("No free name was found.", hint="Send the request again.")


def accept(
    account: Account, store: Callable[[], tuple[SpaceRequest, Any]], idempotency: Idempotency | None = None
) -> Any:
    """Accepts a request: stores it in one transaction, then wakes a worker.

    Args:
        account: who is calling.
        store: stores it; returns the request and the answer.
        idempotency: the caller's key, if it sent one.
    Returns:
        The answer; for a repeated key the one given first.
    Raises:
        KeyReused: the key came with another body.
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
        # Another caller may have been faster with this key.
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
        namespace=data.get("namespace") or _default_namespace(services, account, target),
        target=target,
        space_type=plugin.space_type,
        visibility=data.get("visibility", "public"),
        labels=data.get("labels", []),
        expires_at=data.get("expires_at"),
        realm_id=account.realm_id,
        owner_id=account.id,
        state="creating",
    )
    if target == LOCAL and space.namespace:
        claim_namespace(account.realm_id, space.namespace)
    space.slot = slot_of(space)
    db.session.add(space)
    request = add_request(
        services,
        account,
        space,
        action="create",
        callback=data,
        **values_of(prepared),
        environment={
            name: data[name] for name in ("hardware", "sleep_time", "variables") if data.get(name) is not None
        },
        encrypted_secrets=sealed(services, data.get("secrets")),
        on_failure=data.get("on_failure", "delete"),
        change=Change(
            name=data.get("name"),
            template=data.get("template"),
            with_parameters=data.get("parameters") is not None,
        ),
    )
    keep_contents(services, prepared)
    return space, request


def add_request(
    services: Services,
    account: Account,
    space: Space,
    action: str,
    *,
    callback: Mapping[str, Any] | None = None,
    **values: Any,
) -> SpaceRequest:
    """Adds the next request of a Space, which waits until the ones before it have ended; the caller commits.

    Args:
        services: what the process holds.
        account: who asks for it.
        space: the Space; its row is held from here on.
        action: what is asked for.
        callback: the fields of the call, `callback_url` and `callback_secret` among them if they were given.
        values: the other columns.
    """
    if sa.inspect(space).pending:
        # It is nobody else's to see yet.
        space.id = new_id()
    else:
        hold_space(db.session(), space.id)
        db.session.refresh(space)
    space.request_count = (space.request_count or 0) + 1
    turn = assign_queue_position(db.session(), space.realm_id, account.id)
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
    db.session.add(request)
    db.session.flush()
    set_committed_value(space, "latest_request", request)
    if callback and callback.get("callback_url"):
        webhooks.add_callback(services, request, callback["callback_url"], callback.get("callback_secret"))
    record_event(db.session(), QUEUED, space_id=space.id, request_id=request.id)
    audit.record(account, action, "space", space.id, space.name, space.realm_id, request_id=request.id)
    return request


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
        "files": [_file_row(number, file, prepared.given) for number, file in enumerate(tree.values())],
    }


def stage_large(services: Services, account: Account, prepared: Prepared, *, spaces: int) -> None:
    """Stores large contents in transactions of their own, before the one that refers to them; it holds no lock.

    Raises:
        QueueFull: the request would be refused.
        QuotaExceeded: likewise.
    """
    large = [content for content in contents_of(prepared) if content.size >= LARGE_BYTES]
    if large:
        refuse_if_full(db.session(), services.settings.MAX_QUEUE, services.settings.MAX_QUEUE_WAIT)
        quotas.check(services.settings, account, spaces=spaces, size=_size_of(prepared))
        db.session.rollback()
        services.files.stage(large)


def keep_contents(services: Services, prepared: Prepared) -> None:
    """Stores the contents that a request refers to; the caller commits."""
    services.files.put(db.session(), contents_of(prepared))
    db.session.flush()


def sealed(services: Services, secrets: Mapping[str, str | None] | None) -> str | None:
    """Returns secrets as they are stored."""
    return services.vault.encrypt(dict(secrets)) if secrets else None


def _size_of(prepared: Prepared) -> int:
    return sum(file.size for file in prepared.assembly.tree.values())


def contents_of(prepared: Prepared) -> list[Content]:
    """Returns what is to be stored of a request: what it publishes, and what the caller sent where that differs."""
    tree = prepared.assembly.tree
    changed = [file for file in prepared.given.values() if file.path in tree and tree[file.path].sha256 != file.sha256]
    return [file.as_content() for file in (*tree.values(), *changed)]


def _file_row(number: int, file: SpaceFile, given: Mapping[str, SpaceFile]) -> RequestFile:
    sent = given.get(file.path)
    return RequestFile(
        position=number,
        path=file.path,
        size=file.size,
        sha256=file.sha256,
        origin=file.origin,
        given_sha256=sent.sha256 if sent is not None and sent.sha256 != file.sha256 else None,
    )


def _default_namespace(services: Services, account: Account, target: str) -> str | None:
    if target == HUB:
        access = services.targets.access(account.realm_id)
        return access.default_namespace if access else None
    return default_namespace(account)
