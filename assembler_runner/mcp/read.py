"""The tools that only read: Spaces, logs, types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from assembler_runner.api.types import describe
from assembler_runner.core.database import db
from assembler_runner.core.errors import NotFound
from assembler_runner.mcp.answers import LONG, OK, Answer, Call
from assembler_runner.mcp.context import Context
from assembler_runner.mcp.space_answers import NEWEST, about, find, summary, wait
from assembler_runner.mcp.tools import DEFAULT_WAIT
from assembler_runner.mcp.untrusted import Untrusted
from assembler_runner.requests.queries import find_space
from assembler_runner.runtime import logs
from assembler_runner.spaces.models import Space

_LINES = 200


def get_space(context: Context, arguments: Mapping[str, Any]) -> Answer:
    """Says what the state of a Space is; without one, lists the newest."""
    context.require("space_read")
    account = context.account
    if "space" in arguments:
        return about(find(account, arguments["space"]))
    newest = sa.select(Space).where(Space.realm_id == account.realm_id, Space.state != "deleted")
    rows = db.session.scalars(newest.order_by(Space.created_at.desc()).limit(NEWEST))
    answer = Answer(OK, more={"spaces": [summary(space) for space in rows]})
    if not answer.more["spaces"]:
        answer.next = Call("list_space_types")
    return answer


def wait_for_space(context: Context, arguments: Mapping[str, Any]) -> Answer:
    """Waits until the app of a Space runs or fails."""
    context.require("space_read")
    space_id = find(context.account, arguments["space"]).id
    wait(context.services, context.account, space_id, arguments.get("wait", DEFAULT_WAIT))
    return about(find_space(context.account, space_id))


def read_log(context: Context, arguments: Mapping[str, Any]) -> Answer:
    """Reads the end of a log."""
    context.require("space_read")
    space = find(context.account, arguments["space"])
    kind = arguments.get("kind", "run")
    answer = about(space)
    found = logs.read(context.services, space, kind, _LINES)
    answer.next, answer.most = None, LONG
    answer.log = Untrusted(f"{kind}_log", "\n".join(line.text for line in found.lines))
    if found.note:
        answer.add("info", "log", answer.quotes.sentence(found.note) or "")
    return answer


def list_space_types(context: Context, arguments: Mapping[str, Any]) -> Answer:
    """Lists the types of Spaces, or describes one."""
    context.require("plugin_read")
    registry = context.services.registry
    if "name" not in arguments:
        rows = [{"name": plugin.space_type, "description": plugin.description[:100]} for plugin in registry.types()]
        return Answer(OK, more={"types": rows[:12]})
    plugin = registry.get(arguments["name"])
    if plugin is None:
        names = ", ".join(known.space_type for known in registry.types())
        raise NotFound("There is no type of this name.", hint=f"Use one of: {names}.")
    shown = describe(plugin)
    described = {
        "name": shown["name"],
        "description": shown["description"][:120],
        "options": {name: _kind(schema) for name, schema in shown["options"].get("properties", {}).items()},
        "templates": [
            {"name": template["name"], "parameters": sorted(template["parameters"].get("properties", {}))}
            for template in shown["templates"]
        ],
        "default_files": shown["default_files"],
    }
    return Answer(OK, more={"types": [described]})


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        values = [str(value) for value in schema["enum"]]
        return "|".join(values) if len(values) <= 5 else f"{'|'.join(values[:3])}|…"
    kind = schema.get("type", "any")
    return kind if isinstance(kind, str) else "|".join(kind)
