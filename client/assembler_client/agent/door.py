"""Calls of a service's tools for agents: POST /mcp, one message per call."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from assembler_client.assembler import Assembler
from assembler_client.errors import HubAPIError, InvalidAnswer, InvalidRequest
from assembler_client.folder import Collected
from assembler_client.remembered import completed
from assembler_client.sansio.steps import Ask, Call
from assembler_client.upload import gather, upload
from assembler_client.version import __version__

VERSION = "2026-07-28"
META = "io.modelcontextprotocol/"
SECRETS_META, LEFT_OUT_META = "assembler/secrets", "assembler/left_out"
TIMEOUT = 60.0
"""Seconds to wait for an answer; the service waits for at most 45."""

_ids = itertools.count(1)


class Door:
    """The tools of a service.

    Args:
        assembler: a client of the service.
        client: name and version of the program that an agent uses.
        capabilities: what that program can do, such as `elicitation`.
    """

    def __init__(
        self,
        assembler: Assembler,
        client: Mapping[str, str] | None = None,
        capabilities: Mapping[str, Any] | None = None,
    ) -> None:
        self.assembler = assembler
        self.client = dict(client or {"name": "assembler", "version": __version__})
        self.capabilities = dict(capabilities or {})

    def send(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Sends one message of the stateless generation; returns the response.

        Args:
            method: the method.
            params: the parameters; `_meta` is completed.
        Raises:
            HubAPIError: the service cannot be reached, or refuses the login.
        """
        meta = {
            f"{META}protocolVersion": VERSION,
            f"{META}clientInfo": self.client,
            f"{META}clientCapabilities": self.capabilities,
            **params.get("_meta", {}),
        }
        headers = {"MCP-Protocol-Version": VERSION, "Mcp-Method": method}
        if method == "tools/call":
            headers["Mcp-Name"] = str(params.get("name"))
        body = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": {**params, "_meta": meta}}
        ask = Ask("POST", "/mcp", json=body, headers=headers, read_timeout=TIMEOUT)
        return self.assembler.run(Call(ask, _parsed))

    def call(self, tool: str, arguments: Mapping[str, Any], **meta: Any) -> tuple[dict[str, Any], bool]:
        """Calls a tool.

        Args:
            tool: its name.
            arguments: its arguments.
            meta: parts of `_meta` by name.
        Returns:
            The answer, and whether the call did nothing.
        Raises:
            HubAPIError: the service cannot be reached, refuses the login, or does not know the tool.
        """
        response = self.send("tools/call", {"name": tool, "arguments": dict(arguments), "_meta": meta})
        result = response.get("result")
        if not isinstance(result, Mapping) or "structuredContent" not in result:
            message = (response.get("error") or {}).get("message", "The service sent no answer.")
            raise InvalidAnswer(str(message))
        return dict(result["structuredContent"]), bool(result.get("isError"))

    def publish(
        self, source: Any, arguments: Mapping[str, Any], tool: str = "publish_space", **meta: Any
    ) -> tuple[dict[str, Any], bool]:
        """Publishes or checks local files: small ones are sent, large ones are uploaded first.

        Args:
            source: a folder, a file, several files, or a mapping of path → content.
            arguments: the other arguments of the tool.
            tool: `publish_space` or `check_files`.
            meta: parts of `_meta` by name.
        Returns:
            The answer, and whether the call did nothing; what is wrong with the files is an answer, too.
        Raises:
            HubAPIError: see :meth:`call`.
        """
        try:
            gathered = gather(source)
        except InvalidRequest as problem:
            return refused(problem), True
        files = gathered.get("files")
        if isinstance(files, Collected) and files.left_out:
            reasons = list(files.left_out.values())
            meta[LEFT_OUT_META] = {"files": len(reasons), "secrets": reasons.count("secret")}
        sent = self.assembler.run(upload(self.assembler, gathered, None))
        return self.call(tool, {**completed(source, arguments), "files": sent["files"]}, **meta)


def refused(problem: HubAPIError) -> dict[str, Any]:
    """Returns the answer for a call that did not reach the service: paths and codes only, no texts of files."""
    issues = problem.issues
    rows: list[dict[str, Any]] = [
        {"severity": "error", "code": issue.code, "at": issue.path, "message": issue.message, "fix": issue.hint}
        for issue in issues[:8]
    ]
    if not rows:
        code = problem.code or type(problem).__name__
        rows = [{"severity": "error", "code": code, "message": problem.message, "fix": problem.hint}]
    notes = [{name: value[:200] for name, value in row.items() if value} for row in rows]
    return {"state": "invalid" if isinstance(problem, InvalidRequest) else "refused", "notes": notes}


def inside(path: str, folders: list[Path]) -> Path | None:
    """Returns a folder by its path if it is one of the named folders, or in one of them; None if it is not.

    Args:
        path: absolute, or relative to one of the named folders.
        folders: the named folders, resolved.
    """
    for folder in folders:
        found = (folder / path).resolve()
        if found.is_dir() and (found == folder or folder in found.parents):
            return found
    return None


def _parsed(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        raise InvalidAnswer("The service did not answer with JSON.") from None
    if not isinstance(body, dict):
        raise InvalidAnswer("The service did not answer with an object.")
    return body
