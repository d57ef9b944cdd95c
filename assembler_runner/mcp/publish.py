"""The tools that change Spaces: publish, restore, delete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from assembler_runner.api.http.json_body import load_partly
from assembler_runner.api.schemas.change_input import UpdateInput
from assembler_runner.api.schemas.space_input import SpaceInput
from assembler_runner.api.uploads import new_spool
from assembler_runner.core.database import db
from assembler_runner.core.errors import Conflict, Finding, InvalidRequest, NameTaken
from assembler_runner.core.validation import Fields
from assembler_runner.files.content import Spool
from assembler_runner.mcp.answers import INVALID, OK, REFUSED, Answer, Call
from assembler_runner.mcp.confirm import Confirmation
from assembler_runner.mcp.context import Context
from assembler_runner.mcp.space_answers import (
    DELETING,
    about,
    find,
    page_of,
    previous_release,
    wait,
    wait_for_event,
)
from assembler_runner.mcp.tools import DEFAULT_WAIT
from assembler_runner.mcp.untrusted import Quotes, texts_of
from assembler_runner.requests import commands, fix, prepare, submit, taken, update
from assembler_runner.requests.cancel_retry import retry
from assembler_runner.requests.commands import Caller
from assembler_runner.requests.idempotency import Idempotency, known_answer
from assembler_runner.requests.sources import gather
from assembler_runner.spaces.app_state import DELETED
from assembler_runner.spaces.models import CANCELLED, FAILED, Space, SpaceRequest

_TREE = ("files", "space_type", "template", "parameters", "options", "allow")
_SETTINGS = ("name", "namespace", "target", "visibility", "hardware", "variables")
_TRIES = 100


def publish_space(context: Context, arguments: Mapping[str, Any]) -> Answer:
    """Publishes a new Space, or changes one, and waits for its app."""
    if "space" in arguments:
        context.require("space_update")
        space_id = _change(context, arguments)
    else:
        context.require("space_create")
        try:
            space_id = _create(context, arguments)
        except NameTaken as problem:
            return _taken(context, arguments, problem)
    return _waited(context, space_id, arguments)


def _waited(context: Context, space_id: str, arguments: Mapping[str, Any]) -> Answer:
    wait(context.services, context.account, space_id, arguments.get("wait", DEFAULT_WAIT))
    space = db.session.get_one(Space, space_id)
    answer = about(space, findings=True)
    if context.secrets_refused:
        message = "Secrets are not taken from agents."
        fix = f"Ask the person to set them on {page_of(space, '?tab=settings')}."
        answer.add("warning", "secrets_not_taken", message, "secrets", fix)
    return answer


def _create(context: Context, arguments: Mapping[str, Any]) -> str:
    """Accepts a new Space; the same arguments give the Space that they gave before, while it exists."""
    services, account = context.services, context.account
    given = {name: value for name, value in arguments.items() if name != "wait"}
    canonical = json.dumps([given, sorted(context.secrets)], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode("utf-8", "replace")).hexdigest()
    for number in range(_TRIES):
        idempotency = Idempotency(f"agent:{digest}:{number}", digest)
        known = known_answer(account, idempotency)
        if known is None:
            break
        space = db.session.get(Space, known["id"])
        if space is not None and space.state != DELETED:
            if space.latest_request.status in (FAILED, CANCELLED):
                _retry(context, space)
            return str(known["id"])
    body = {name: given[name] for name in (*_TREE, *_SETTINGS) if name in given}
    body |= {"fixes": "safe"} if given.get("fix") else {}
    body |= {"secrets": dict(context.secrets)} if context.secrets else {}
    with new_spool() as spool:
        fields = _fields(context, SpaceInput(), body, spool)
        prepared = prepare.prepare(services, account, fields)
        made = submit.submit(services, account, prepared, lambda space: {"id": space.id}, idempotency)
    return str(made["id"])


def _retry(context: Context, space: Space) -> None:
    """Tries the failed creation of a Space again, after the clean-up that follows a failure."""
    space_id, request_id = space.id, space.latest_request.id
    for _ in range(_TRIES):
        try:
            retry(context.account, request_id)
        except Conflict as problem:
            if problem.retry_after is None or not wait_for_event(
                context.services, context.account, space_id, problem.retry_after
            ):
                raise
        else:
            return


def _change(context: Context, arguments: Mapping[str, Any]) -> str:
    services, account = context.services, context.account
    space = find(account, arguments["space"])
    body = change_of(arguments)
    if context.secrets:
        body["secrets"] = dict(context.secrets)
    only_fix = arguments.get("fix") and not set(body) - {"fixes"}
    if not body:
        message = "There is nothing to publish."
        raise InvalidRequest(issues=[Finding("nothing_to_publish", message, path="files", hint="Send files, or fix.")])
    if only_fix:
        fix.apply_fix(services, Caller(account), space, _id)
    else:
        with new_spool() as spool:
            fields = _fields(context, UpdateInput(), body, spool)
            update.update(services, Caller(account), space, fields, _id)
    return space.id


def change_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the body of an update for the arguments of a call."""
    body = {name: arguments[name] for name in (*_TREE, *_SETTINGS) if name in arguments}
    if "files" in body or "template" in body:
        body["mode"] = "replace" if arguments.get("replace") else "merge"
    return body | ({"fixes": "safe"} if arguments.get("fix") else {})


def _fields(context: Context, schema: SpaceInput | UpdateInput, body: dict[str, Any], spool: Spool) -> Fields:
    return gather(context.services, context.account, load_partly(schema, body), spool)


def _id(request: SpaceRequest) -> dict[str, str]:
    return {"id": request.id}


def _taken(context: Context, arguments: Mapping[str, Any], problem: NameTaken) -> Answer:
    account, targets = context.account, context.services.targets
    target = arguments.get("target") or targets.default(account.realm_id)
    namespace = arguments.get("namespace") or submit.default_namespace_of(context.services, account, target)
    holder = taken.holder_of(target, namespace, str(arguments.get("name")), account.realm_id)
    answer = Answer(INVALID, is_error=True)
    answer.add_error(problem)
    if holder is not None and account.sees(holder.realm_id):
        answer.next = Call("publish_space", {"space": holder.id, "replace": True})
    return answer


def restore_space(context: Context, arguments: Mapping[str, Any]) -> Answer:
    """Publishes the files of an earlier release again."""
    context.require("space_update")
    space = find(context.account, arguments["space"])
    release = arguments.get("release") or previous_release(space)
    commands.rollback(context.services, Caller(context.account), space, {"request_id": release}, _id)
    return _waited(context, space.id, arguments)


def delete_space(context: Context, arguments: Mapping[str, Any]) -> Answer | Confirmation:
    """Deletes a Space after a person has agreed."""
    context.require("space_delete")
    space = find(context.account, arguments["space"])
    if space.state == DELETED:
        return about(space)
    confirmation = Confirmation.of(context.services.settings, context.account, space)
    if not context.may_ask:
        message = "Deleting a Space needs the consent of a person, and this client cannot ask."
        answer = Answer(REFUSED, space.id, is_error=True)
        answer.add("error", "confirmation_needed", message, fix=f"Ask the person to delete it on {page_of(space)}.")
        return answer
    if context.reply is None:
        return confirmation
    if not confirmation.matches(context.reply):
        answer = Answer(REFUSED, space.id, is_error=True, next=Call("delete_space", {"space": space.id}))
        answer.add("error", "stale_confirmation", "The consent is not for this Space as it is now, or too old.")
        return answer
    if not context.reply.agrees:
        answer = about(space)
        answer.add("info", "not_deleted", "The person did not agree; nothing was deleted.")
        answer.next = None
        return answer
    commands.delete(context.services, Caller(context.account), space, _id)
    return Answer(DELETING, space.id, next=Call("wait_for_space", {"space": space.id}))


def check_files(context: Context, arguments: Mapping[str, Any]) -> Answer:
    """Says what is wrong with files; publishes nothing."""
    services, account = context.services, context.account
    with new_spool() as spool:
        if "space" in arguments:
            context.require("space_update")
            space = find(account, arguments["space"])
            fields = _fields(context, UpdateInput(), change_of(arguments), spool)
            prepared = update.plan_update(services, Caller(account), space, fields).prepared
        else:
            context.require("space_create")
            body = {name: arguments[name] for name in (*_TREE, *_SETTINGS) if name in arguments}
            prepared = prepare.prepare(services, account, _fields(context, SpaceInput(), body, spool))
    if prepared is None:
        raise InvalidRequest(issues=[Finding("nothing_to_check", "There is nothing to check.", path="files")])
    errors = prepared.assembly.errors
    answer = Answer(INVALID if errors else OK, quotes=Quotes(texts_of(arguments)))
    answer.next = repair_of(errors) if errors else Call("publish_space", repeat=True)
    answer.add_findings(prepared.assembly.findings)
    made = [file.path for file in prepared.assembly.tree.values() if file.origin in ("default", "generated")]
    if made and not errors:
        answer.add("info", "generated", f"The service adds {', '.join(made[:8])}.")
    return answer


def repair_of(issues: Iterable[Finding]) -> Call | None:
    """Returns the call that applies safe fixes of findings and publishes; None if no error has one."""
    if any(issue.severity == "error" and issue.fix is not None and issue.fix.safe for issue in issues):
        return Call("publish_space", {"fix": True}, repeat=True)
    return None
