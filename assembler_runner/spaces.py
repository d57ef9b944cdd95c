"""What callers do before the queue: check, preview, submit, find, cancel, retry. API, pages and CLI all call this."""

from __future__ import annotations

import hashlib
import random
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from assembler_runner import audit, quotas
from assembler_runner.assembling import Assembly, assemble, check_options, check_parameters
from assembler_runner.card import README, GivenCard, read_card
from assembler_runner.errors import Finding, InvalidRequest, NameTaken, NotFound
from assembler_runner.host import Host
from assembler_runner.models import (
    QUEUED,
    Event,
    IdempotencyKey,
    RequestFile,
    Space,
    SpaceRequest,
    database_now,
    db,
    record_event,
    utcnow,
)
from assembler_runner.paths import check_collisions, check_path, field_of
from assembler_runner.plugin import SpaceFile, SpacePlugin
from assembler_runner.realm_targets import HUB
from assembler_runner.rights import Account
from assembler_runner.scheduling import give_turn, refuse_if_full
from assembler_runner.tasks import wakeups

NAME_TRIES = 5
KEY_AGE = timedelta(hours=24)


@dataclass(frozen=True)
class Prepared:
    """A request that is understood, with the tree it would publish.

    Args:
        plugin: its type.
        assembly: the tree and what was noticed.
        given: what the caller sent, path → bytes.
        data: the other fields, checked.
    """

    plugin: SpacePlugin
    assembly: Assembly
    given: Mapping[str, bytes]
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Idempotency:
    """The caller's promise that a repeat is the same request.

    Args:
        key: the header Idempotency-Key.
        body_digest: digest of what was sent.
    """

    key: str
    body_digest: str


class KeyReused(InvalidRequest):
    """An Idempotency-Key came again with another body."""

    code = "idempotency_key_reused"
    default_message = "This Idempotency-Key was used with another body."
    default_hint = "Use a new key for a new request."


def prepare(host: Host, account: Account, data: Mapping[str, Any], noticed: list[Finding]) -> Prepared:
    """Checks a request and assembles its tree, without storing anything.

    Args:
        host: the process.
        account: who is calling.
        data: the fields that were understood; wrong ones are missing.
        noticed: what is wrong with the others.
    Returns:
        The request; its tree may still have findings.
    Raises:
        InvalidRequest: with everything that is wrong at once.
        PluginError: the plugin broke its word.
    """
    findings = list(noticed)
    files: Mapping[str, bytes] = data.get("files") or {}
    findings += _check_files(host, files) if "files" in data else []
    findings += check_parameters(data.get("parameters"))
    findings += _check_target(host, account, data)
    plugin = host.registry.get(data["space_type"]) if "space_type" in data else None
    if plugin is None:
        findings += _unknown_type(host, data["space_type"]) if "space_type" in data else []
        raise InvalidRequest(issues=findings)
    findings += _check_machine(plugin, data)
    card = read_card(files[README]) if README in files else GivenCard()
    findings += check_options(plugin, data.get("options") or {}, card)[1] if "options" in data else []
    usable = not any(_concerns_tree(finding) for finding in findings)
    if findings and not usable:
        raise InvalidRequest(issues=findings)
    assembly = assemble(
        plugin,
        files,
        options=data.get("options"),
        parameters=data.get("parameters"),
        name=data.get("name"),
        template=data.get("template"),
    )
    if findings:
        raise InvalidRequest(issues=[*findings, *assembly.findings])
    return Prepared(plugin, assembly, files, data)


def submit(
    host: Host,
    account: Account,
    prepared: Prepared,
    render: Callable[[Space], Any],
    idempotency: Idempotency | None = None,
) -> Any:
    """Accepts a request: stores it in one transaction, then wakes a worker.

    Args:
        host: the process.
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
    if idempotency and (known := _known_answer(account, idempotency)):
        return known
    if prepared.assembly.errors:
        raise InvalidRequest(issues=prepared.assembly.findings)
    refuse_if_full(db.session(), host.settings.MAX_QUEUE, host.settings.MAX_QUEUE_WAIT)
    for _ in range(NAME_TRIES):
        try:
            space, request = _store(host, account, prepared)
            answer = render(space)
            if idempotency:
                row = IdempotencyKey(account_id=account.id, key=idempotency.key, body_digest=idempotency.body_digest)
                row.request_id, row.answer = request.id, answer
                db.session.add(row)
            request_id = request.id
            db.session.commit()
        except IntegrityError as problem:
            # Another caller was faster with this key or this name.
            db.session.rollback()
            if idempotency and (known := _known_answer(account, idempotency)):
                return known
            if "slot" not in str(problem.orig):
                raise
            if prepared.data.get("name"):
                raise NameTaken(f"A Space named {prepared.data['name']} exists already.") from None
            continue
        wakeups.send(request_id)
        return answer
    raise NameTaken("No free name was found.", hint="Send the request again.")


def find_space(account: Account, space_id: str) -> Space:
    """Returns one Space.

    Raises:
        NotFound: there is none of that id for this account.
    """
    space = db.session.get(Space, space_id)
    if space is None or not account.sees(space.realm_id):
        raise NotFound("There is no Space of this id.")
    return space


def find_published(account: Account, target: str, namespace: str, name: str) -> Space | None:
    """Returns the Space that has this place on a target, None if there is none for the account."""
    slot = f"{target}:{namespace}/{name}".lower()
    return db.session.scalar(sa.select(Space).where(Space.slot == slot, account.visible(Space.realm_id)))


def find_request(account: Account, request_id: str) -> SpaceRequest:
    """Returns one request.

    Raises:
        NotFound: there is none of that id for this account.
    """
    request = db.session.get(SpaceRequest, request_id)
    if request is None or not account.sees(request.realm_id):
        raise NotFound("There is no request of this id.")
    return request


def events_after(request_id: str, after: int, limit: int = 1000) -> list[Event]:
    """Returns the events of a request with a number above `after`, in order."""
    query = sa.select(Event).where(Event.request_id == request_id, Event.id > after).order_by(Event.id).limit(limit)
    return list(db.session.scalars(query))


def _known_answer(account: Account, idempotency: Idempotency) -> Any:
    row = db.session.get(IdempotencyKey, (account.id, idempotency.key))
    if row is None:
        return None
    if utcnow() - row.created_at > KEY_AGE:
        db.session.delete(row)
        db.session.flush()
        return None
    if row.body_digest != idempotency.body_digest:
        raise KeyReused
    return row.answer


def _store(host: Host, account: Account, prepared: Prepared) -> tuple[Space, SpaceRequest]:
    data, plugin, tree = prepared.data, prepared.plugin, prepared.assembly.tree
    quotas.check(host.settings, account, spaces=1, size=sum(file.size for file in tree.values()))
    target = data.get("target") or host.targets.default(account.realm_id)
    space = Space(
        name=data.get("name") or _generated_name(),
        namespace=data.get("namespace") or _default_namespace(host, account, target),
        target=target,
        space_type=plugin.space_type,
        visibility=data.get("visibility", "public"),
        labels=data.get("labels", []),
        realm_id=account.realm_id,
        owner_id=account.id,
        state="creating",
    )
    space.slot = slot_of(space)
    db.session.add(space)
    db.session.flush()
    secrets = data.get("secrets") or {}
    turn = give_turn(db.session(), account.realm_id, account.id)
    request = SpaceRequest(
        space_id=space.id,
        realm_id=account.realm_id,
        owner_id=account.id,
        action="create",
        status=QUEUED,
        space_type=plugin.space_type,
        plugin_version=plugin.version,
        sdk=plugin.sdk,
        parameters=data.get("parameters") if data.get("parameters") is not None else {},
        options=data.get("options") or {},
        environment={
            name: data[name] for name in ("hardware", "sleep_time", "variables") if data.get(name) is not None
        },
        sealed_secrets=host.vault.seal(dict(secrets)) if secrets else None,
        on_failure=data.get("on_failure", "delete"),
        tree_digest=tree.digest,
        turn_round=turn.round,
        turn_at=turn.at,
        files=[_file_row(number, file, prepared.given) for number, file in enumerate(tree.values())],
    )
    db.session.add(request)
    contents = {file.sha256: file.content for file in tree.values()}
    contents |= {
        hashlib.sha256(prepared.given[row.path]).hexdigest(): prepared.given[row.path]
        for row in request.files
        if row.given_sha256
    }
    host.files.put(db.session(), contents)
    db.session.flush()
    due = (
        sa.update(SpaceRequest)
        .where(SpaceRequest.id == request.id)
        .values(due_at=database_now() + host.settings.RESEND_SECONDS)
    )
    db.session.execute(due, execution_options={"synchronize_session": False})
    record_event(db.session(), request.id, QUEUED)
    audit.record(account, "create", "space", space.id, space.name, space.realm_id, request_id=request.id)
    return space, request


def _file_row(number: int, file: SpaceFile, given: Mapping[str, bytes]) -> RequestFile:
    sent = given.get(file.path)
    changed = sent is not None and sent != file.content
    return RequestFile(
        position=number,
        path=file.path,
        size=file.size,
        sha256=file.sha256,
        origin=file.origin,
        given_sha256=hashlib.sha256(sent).hexdigest() if changed and sent is not None else None,
    )


def slot_of(space: Space) -> str:
    """Returns what a Space holds so that no other can have its name on its target."""
    owner = space.namespace or f"~{space.realm_id}"
    return f"{space.target}:{owner}/{space.name}".lower()


def _generated_name() -> str:
    letters = random.SystemRandom().choices(string.ascii_lowercase + string.digits, k=6)
    return f"GeneratedSpace-{''.join(letters)}"


def _default_namespace(host: Host, account: Account, target: str) -> str | None:
    if target == HUB:
        access = host.targets.access(account.realm_id)
        return access.default_namespace if access else None
    return re.sub(r"[^A-Za-z0-9-]+", "-", account.name).strip("-") or "user"


def _check_files(host: Host, files: Mapping[str, bytes]) -> list[Finding]:
    settings = host.settings
    findings = [finding for path in files for finding in check_path(path)]
    findings += check_collisions(files)
    if len(files) > settings.MAX_FILES:
        message = f"There are {len(files)} files; at most {settings.MAX_FILES} are taken."
        findings.append(Finding("too_many_files", message, path="files", hint="Send fewer files."))
    for path, content in files.items():
        if len(content) > settings.MAX_FILE_BYTES:
            message = f"The file has {len(content)} bytes; at most {settings.MAX_FILE_BYTES} are taken."
            findings.append(Finding("file_too_large", message, path=field_of(path), hint="Send a smaller file."))
    return findings


def _check_target(host: Host, account: Account, data: Mapping[str, Any]) -> list[Finding]:
    names = host.targets.names(account.realm_id)
    target = data.get("target") or host.targets.default(account.realm_id)
    if target not in names:
        hint = f"Use one of: {', '.join(names)}; for {HUB} the realm needs a Hub token (master: HF_TOKEN)."
        message = f"The target {target} is not available in this realm."
        return [Finding("target_not_available", message, path="target", hint=hint)]
    access = host.targets.access(account.realm_id) if target == HUB else None
    namespace = data.get("namespace")
    if access is None or access.namespaces is None or namespace is None or namespace in access.namespaces:
        return []
    message = f"The realm may not publish to the namespace {namespace}."
    hint = f"Use one of: {', '.join(access.namespaces)}."
    return [Finding("namespace_not_allowed", message, path="namespace", hint=hint)]


def _unknown_type(host: Host, space_type: str) -> list[Finding]:
    names = ", ".join(plugin.space_type for plugin in host.registry.types())
    message = f"There is no space_type {space_type}."
    return [Finding("unknown_space_type", message, path="space_type", hint=f"Use one of: {names}.")]


def _check_machine(plugin: SpacePlugin, data: Mapping[str, Any]) -> list[Finding]:
    findings = []
    secrets, variables = data.get("secrets") or {}, data.get("variables") or {}
    if plugin.sdk == "static":
        if secrets:
            message = "A static Space has no secrets: every visitor could read them."
            findings.append(
                Finding(
                    "secrets_on_static", message, path="secrets", hint="Leave secrets out, or use another space_type."
                )
            )
        for name in ("hardware", "sleep_time"):
            if data.get(name) is not None:
                message = f"A static Space runs on no machine, so it has no {name}."
                findings.append(Finding("machine_on_static", message, path=name, hint=f"Leave {name} out."))
    for key in sorted(set(secrets) & set(variables)):
        message = f"{key} is a secret and a variable at once."
        findings.append(
            Finding("duplicate_variable", message, path=f"variables.{key}", hint="Keep it in one of the two.")
        )
    return findings


def _concerns_tree(finding: Finding) -> bool:
    return (finding.path or "").split(".")[0].split("[")[0] in (
        "",
        "files",
        "options",
        "parameters",
        "space_type",
        "name",
        "template",
    )
