"""The Model Context Protocol over HTTP, without sessions: JSON-RPC messages of both generations.

2026-07-28: each call carries its version, client and capabilities; headers repeat version, method and name. Before:
`initialize` first; as nothing is remembered, such a client cannot be asked anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import Headers

from assembler_runner import __version__
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, InvalidRequest, NotFound
from assembler_runner.mcp import publish, read
from assembler_runner.mcp.answers import INVALID, REFUSED, Answer, Call, as_text
from assembler_runner.mcp.confirm import Confirmation
from assembler_runner.mcp.context import Context, reply_of
from assembler_runner.mcp.tools import BY_NAME, INSTRUCTIONS, TOOLS, check_arguments
from assembler_runner.mcp.untrusted import Quotes, texts_of
from assembler_runner.services import Services

NEW = "2026-07-28"
OLD = ("2025-11-25", "2025-06-18", "2025-03-26")
VERSIONS = (NEW, *OLD)
META = "io.modelcontextprotocol/"
SECRETS_META, LEFT_OUT_META = "assembler/secrets", "assembler/left_out"
INFO = {"name": "assembler", "title": "Assembler", "version": __version__}
_CACHED = {"ttlMs": 3_600_000, "cacheScope": "private"}

PARSE_ERROR, INVALID_MESSAGE, UNKNOWN_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADER_MISMATCH, UNKNOWN_VERSION = -32020, -32022

Run = Callable[[Context, Mapping[str, Any]], Answer | Confirmation]

CALLS: Mapping[str, Run] = {
    "check_files": publish.check_files,
    "delete_space": publish.delete_space,
    "get_space": read.get_space,
    "list_space_types": read.list_space_types,
    "publish_space": publish.publish_space,
    "read_log": read.read_log,
    "restore_space": publish.restore_space,
    "wait_for_space": read.wait_for_space,
}


class ProtocolError(Exception):
    """A message that breaks the protocol.

    Args:
        code: code of JSON-RPC.
        message: what is wrong.
        status: HTTP status.
        data: details.
    """

    def __init__(self, code: int, message: str, status: int = 400, data: Any = None) -> None:
        self.code, self.message, self.status, self.data = code, message, status, data
        super().__init__(message)

    def to_json(self, id: Any = None) -> dict[str, Any]:
        """Returns the response."""
        error = {"code": self.code, "message": self.message} | ({"data": self.data} if self.data else {})
        return {"jsonrpc": "2.0", "id": id, "error": error}


@dataclass(frozen=True)
class Message:
    """A message of a client.

    Args:
        id: its id; None for a notification.
        method: its method.
        params: its parameters.
        is_new: whether it is of the stateless generation.
    """

    id: Any
    method: str
    params: Mapping[str, Any]
    is_new: bool

    @property
    def meta(self) -> Mapping[str, Any]:
        """What the message says of its client."""
        found = self.params.get("_meta")
        return found if isinstance(found, Mapping) else {}

    @property
    def client(self) -> str | None:
        """Name and version of the client, if it says them."""
        info = self.meta.get(f"{META}clientInfo")
        if not isinstance(info, Mapping) or not isinstance(info.get("name"), str):
            return None
        return f"{info['name']} {info.get('version', '')}".strip()

    @property
    def may_ask(self) -> bool:
        """Whether the client can ask a person."""
        able = self.meta.get(f"{META}clientCapabilities")
        return self.is_new and isinstance(able, Mapping) and isinstance(able.get("elicitation"), Mapping)


def read_message(body: Any, headers: Headers) -> Message:
    """Checks a message and its headers.

    Args:
        body: the parsed JSON.
        headers: the headers of the call.
    Raises:
        ProtocolError: the message breaks the protocol.
    """
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0" or not isinstance(body.get("method"), str):
        raise ProtocolError(INVALID_MESSAGE, "One JSON-RPC 2.0 message is expected.")
    params = body.get("params") or {}
    if not isinstance(params, dict):
        raise ProtocolError(INVALID_PARAMS, "params must be an object.")
    version = headers.get("MCP-Protocol-Version")
    if version is not None and version not in VERSIONS:
        data = {"supported": list(VERSIONS), "requested": version[:40]}
        raise ProtocolError(UNKNOWN_VERSION, "This version of the protocol is not supported.", data=data)
    message = Message(body.get("id"), body["method"], params, version == NEW)
    if message.is_new:
        _check_headers(message, headers)
    return message


def _check_headers(message: Message, headers: Headers) -> None:
    wanted = {"Mcp-Method": message.method}
    if message.method == "tools/call":
        wanted["Mcp-Name"] = str(message.params.get("name"))
    differs = [name for name, value in wanted.items() if headers.get(name) != value]
    if message.id is not None and message.meta.get(f"{META}protocolVersion") != NEW:
        differs.append("MCP-Protocol-Version")
    if differs:
        raise ProtocolError(HEADER_MISMATCH, f"Header and body differ: {', '.join(differs)}.")


def respond(services: Services, account: Account, message: Message) -> dict[str, Any]:
    """Returns the result of a message.

    Args:
        services: the services of this process.
        account: the caller.
        message: the message; it has an id.
    Raises:
        ProtocolError: there is no such method or tool.
    """
    method, params = message.method, message.params
    if method == "tools/call":
        return _shaped(_call(services, account, message), message)
    if method == "tools/list":
        return _shaped({"tools": list(TOOLS), **_CACHED}, message)
    if method == "server/discover":
        found = {"supportedVersions": list(VERSIONS), "capabilities": {"tools": {}}, "instructions": INSTRUCTIONS}
        return _shaped({**found, **_CACHED}, message)
    if method == "initialize" and not message.is_new:
        wanted = params.get("protocolVersion")
        version = wanted if wanted in OLD else OLD[0]
        able = {"tools": {"listChanged": False}}
        return {"protocolVersion": version, "capabilities": able, "serverInfo": INFO, "instructions": INSTRUCTIONS}
    if method == "ping":
        return _shaped({}, message)
    raise ProtocolError(UNKNOWN_METHOD, "There is no such method.", 404 if message.is_new else 200)


def _shaped(result: Mapping[str, Any], message: Message) -> dict[str, Any]:
    """Returns a result in the form of the generation of the message."""
    if message.is_new:
        return {"resultType": "complete", **result, "_meta": {f"{META}serverInfo": INFO}}
    return {name: value for name, value in result.items() if name not in _CACHED}


def _call(services: Services, account: Account, message: Message) -> Mapping[str, Any]:
    name, arguments = message.params.get("name"), message.params.get("arguments") or {}
    if not isinstance(name, str) or name not in BY_NAME:
        raise ProtocolError(INVALID_PARAMS, f"There is no such tool. Tools: {', '.join(BY_NAME)}.")
    if not isinstance(arguments, dict):
        raise ProtocolError(INVALID_PARAMS, "arguments must be an object.")
    answer = answer_call(services, account, name, arguments, message)
    if isinstance(answer, Confirmation):
        return answer.to_json()
    shown = answer.to_json()
    content = [{"type": "text", "text": as_text(shown)}]
    return {"content": content, "structuredContent": shown, "isError": answer.is_error}


def answer_call(
    services: Services, account: Account, name: str, arguments: dict[str, Any], message: Message
) -> Answer | Confirmation:
    """Runs a tool; what it refuses is an answer, too.

    Args:
        services: the services of this process.
        account: the caller.
        name: name of the tool.
        arguments: its arguments as sent.
        message: the message.
    """
    refused = name == "publish_space" and arguments.pop("secrets", None) is not None
    given = message.meta.get(SECRETS_META)
    secrets = {str(key): str(value) for key, value in given.items()} if isinstance(given, Mapping) else {}
    context = Context(services, account, message.may_ask, reply_of(message.params), secrets, refused)
    try:
        if findings := check_arguments(BY_NAME[name], arguments):
            raise InvalidRequest(issues=findings)
        answer = CALLS[name](context, arguments)
        if isinstance(answer, Answer):
            _add_left_out(answer, message.meta.get(LEFT_OUT_META))
        return answer
    except AssemblerError as problem:
        db.session.rollback()
        answer = Answer(INVALID if isinstance(problem, InvalidRequest) else REFUSED, is_error=True)
        answer.quotes = Quotes(texts_of(arguments))
        answer.add_error(problem)
        if isinstance(problem, NotFound) and "space" in arguments:
            answer.next = Call("get_space")
        elif name in ("publish_space", "check_files") and not arguments.get("fix"):
            answer.next = publish.repair_of(problem.issues)
        return answer


def _add_left_out(answer: Answer, counts: Any) -> None:
    """Says how many files of a folder the client program has left out."""
    if not isinstance(counts, Mapping) or not all(isinstance(counts.get(name), int) for name in ("files", "secrets")):
        return
    message = f"{counts['files']} ignored files and folders of the folder were left out."
    if counts["secrets"]:
        message += f" {counts['secrets']} of them usually hold secrets."
    answer.add("info", "left_out", message)
