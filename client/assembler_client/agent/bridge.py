"""The Model Context Protocol on stdin and stdout, passed on to a service; and folders of this machine.

Each line is a message. A client of an earlier generation begins with `initialize`; its name and capabilities are added
to each of its calls, and it is asked with a message of its own generation.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from assembler_client.agent.door import META, VERSION, Door, inside, refused
from assembler_client.assembler import Assembler
from assembler_client.errors import HubAPIError

AT_ONCE = 8
ASK_SECONDS = 300.0
PARSE_ERROR, INTERNAL_ERROR = -32700, -32603

_FOLDER_ARGUMENTS = {
    "path": {"type": "string", "description": "Folder: absolute, or relative to a folder that was allowed."},
    "check": {"type": "boolean", "description": "Only say what is wrong; publish nothing."},
}
_NOT_FOR_FOLDERS = ("files", "template")


class Bridge:
    """Passes messages on to a service.

    Args:
        assembler: a client of the service.
        folders: the folders that may be published.
        output: where responses are written.
    """

    def __init__(self, assembler: Assembler, folders: list[Path], output: IO[str]) -> None:
        self._assembler = assembler
        self._folders = [folder.resolve() for folder in folders]
        self._output = output
        self._writing = threading.Lock()
        self._old: dict[str, Any] | None = None
        self._asked: dict[Any, queue.Queue[Any]] = {}
        self._count = 0

    def run(self, lines: IO[str]) -> None:
        """Answers messages until the input ends."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mcp") as pool:
            for line in lines:
                if not line.strip():
                    continue
                try:
                    message = json.loads(line)
                except ValueError:
                    message = None
                if not isinstance(message, dict):
                    self._write({"jsonrpc": "2.0", "id": None, "error": {"code": PARSE_ERROR, "message": "No JSON."}})
                elif "method" not in message:
                    self._deliver(message)
                elif message.get("id") is not None:
                    if message["method"] == "initialize":
                        self._old = dict(message.get("params") or {})
                    pool.submit(self._respond, message)

    def _respond(self, message: Mapping[str, Any]) -> None:
        try:
            response = self._answer(message)
        except HubAPIError as problem:
            text = f"{problem.message} {problem.hint or ''}".strip()
            response = {"error": {"code": INTERNAL_ERROR, "message": text}}
        self._write({"jsonrpc": "2.0", **response, "id": message["id"]})

    def _answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        method, params = str(message["method"]), message.get("params") or {}
        if method == "initialize":
            return self._initialized(params)
        if method == "tools/call" and params.get("name") == "publish_folder" and self._folders:
            result = self._publish_folder(params)
        else:
            response = self._door(params).send(method, params)
            if "result" not in response:
                return {"error": response.get("error", {"code": INTERNAL_ERROR, "message": "No answer."})}
            result = dict(response["result"])
            if result.get("resultType") == "input_required" and not self._is_new(params):
                result = self._ask(method, params, result)
        if method == "tools/list" and self._folders:
            result["tools"] = self._with_folders(result["tools"])
        return {"result": result if self._is_new(params) else _for_old(result)}

    def _initialized(self, params: Mapping[str, Any]) -> dict[str, Any]:
        found = Door(self._assembler).send("server/discover", {})
        if "result" not in found:
            return {"error": found.get("error")}
        shared = found["result"]
        older = [version for version in shared["supportedVersions"] if version != VERSION]
        wanted = params.get("protocolVersion")
        info = shared.get("_meta", {}).get(f"{META}serverInfo", {"name": "assembler", "version": ""})
        return {
            "result": {
                "protocolVersion": wanted if wanted in older else older[0],
                "capabilities": shared["capabilities"],
                "serverInfo": info,
                "instructions": shared.get("instructions", ""),
            }
        }

    def _is_new(self, params: Mapping[str, Any]) -> bool:
        meta = params.get("_meta")
        return isinstance(meta, Mapping) and f"{META}protocolVersion" in meta

    def _door(self, params: Mapping[str, Any]) -> Door:
        if self._is_new(params):
            meta = params["_meta"]
            return Door(self._assembler, meta.get(f"{META}clientInfo"), meta.get(f"{META}clientCapabilities"))
        old = self._old or {}
        return Door(self._assembler, old.get("clientInfo"), old.get("capabilities"))

    def _publish_folder(self, params: Mapping[str, Any]) -> dict[str, Any]:
        arguments = dict(params.get("arguments") or {})
        folder = inside(str(arguments.pop("path", "")), self._folders)
        only_checks = arguments.pop("check", False) is True
        if folder is None or set(arguments) & set(_NOT_FOR_FOLDERS):
            allowed = ", ".join(str(path) for path in self._folders)
            note = {"severity": "error", "code": "folder_not_allowed", "at": "path"}
            note |= {"message": "Only folders that were named at the start can be published.", "fix": f"Use {allowed}."}
            return _result({"state": "invalid", "notes": [note]}, is_error=True)
        if "space" in arguments and not only_checks:
            arguments.setdefault("replace", True)
        tool = "check_files" if only_checks else "publish_space"
        try:
            return _result(*self._door(params).publish(folder, arguments, tool))
        except HubAPIError as problem:
            return _result(refused(problem), is_error=True)

    def _with_folders(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        publish = next(tool for tool in tools if tool["name"] == "publish_space")
        shared = publish["inputSchema"]["properties"]
        known = {name: schema for name, schema in shared.items() if name not in _NOT_FOR_FOLDERS}
        schema = {**publish["inputSchema"], "properties": {**_FOLDER_ARGUMENTS, **known}, "required": ["path"]}
        tool = {
            **publish,
            "name": "publish_folder",
            "title": "Publish a folder",
            "description": "Like publish_space, with the files of a folder of this machine. What git and "
            ".assemblerignore ignore, and files that usually hold secrets, stay out.",
            "inputSchema": schema,
        }
        return sorted([*tools, tool], key=lambda found: str(found["name"]))

    def _ask(self, method: str, params: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
        """Asks the person with messages of the client's generation, and repeats the call with the answers."""
        responses = {}
        for name, asked in result.get("inputRequests", {}).items():
            with self._writing:
                self._count += 1
                id = f"ask-{self._count}"
            self._asked[id] = queue.Queue()
            self._write({"jsonrpc": "2.0", "id": id, "method": asked["method"], "params": asked["params"]})
            try:
                responses[name] = self._asked[id].get(timeout=ASK_SECONDS)
            except queue.Empty:
                responses[name] = {"action": "cancel"}
            finally:
                del self._asked[id]
        again = {**params, "inputResponses": responses, "requestState": result.get("requestState", "")}
        response = self._door(params).send(method, again)
        return dict(response.get("result") or _result({"state": "refused"}, is_error=True))

    def _deliver(self, message: Mapping[str, Any]) -> None:
        waiting = self._asked.get(message.get("id"))
        if waiting is not None:
            waiting.put(message.get("result") or {"action": "cancel"})

    def _write(self, message: Mapping[str, Any]) -> None:
        with self._writing:
            self._output.write(json.dumps(message, separators=(",", ":")) + "\n")
            self._output.flush()


def _result(answer: Mapping[str, Any], is_error: bool) -> dict[str, Any]:
    text = json.dumps(answer, separators=(",", ":"), ensure_ascii=False)
    found = {"content": [{"type": "text", "text": text}], "structuredContent": dict(answer), "isError": is_error}
    return {"resultType": "complete", **found}


def _for_old(result: Mapping[str, Any]) -> dict[str, Any]:
    new = ("resultType", "ttlMs", "cacheScope", "_meta")
    return {name: value for name, value in result.items() if name not in new}
