"""A stand-in for a FLAME Hub (version 0.13 and later), spoken to over real HTTP by the published client.

It knows what a user needs to make an analysis: token, projects, master images, analyses and their commands, the buckets
and links that the Hub makes some time later, files, logs.
"""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

USER, PASSWORD = "researcher", "start" + "-4711"
LATER_SECONDS = 0.15
Row = dict[str, Any]


@dataclass
class Fault:
    """Something that goes wrong once: a status without the work, or an answer that is lost after it."""

    method: str
    path: str
    status: int | None = None


@dataclass
class FlameHubState:
    """Everything the stand-in remembers; rows by table and id."""

    tables: dict[str, dict[str, Row]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(self, table: str, **values: Any) -> Row:
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z"
        row = {"id": str(uuid.uuid4()), "created_at": now, "updated_at": now, **values}
        self.tables.setdefault(table, {})[row["id"]] = row
        return row

    def rows(self, table: str) -> list[Row]:
        return list(self.tables.get(table, {}).values())


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message
        super().__init__(message)


class FlameHub:
    """The stand-in, as a context manager; one address for all three services."""

    def __init__(self) -> None:
        self.state = FlameHubState()
        self.realm, self.user = str(uuid.uuid4()), str(uuid.uuid4())
        self.image = self.state.add(
            "master-images",
            **{"path": None, "virtual_path": "python/base", "group_virtual_path": "python", "build_status": None},
            **{"build_progress": None, "name": "base", "command": "python", "command_arguments": []},
        )
        self.project = self.state.add(
            "projects",
            **{"name": "study", "display_name": None, "description": None, "master_image_id": self.image["id"]},
            **{"analyses": 0, "nodes": 2, "realm_id": self.realm, "user_id": self.user},
        )
        self.nodes_approved = True
        self._token = uuid.uuid4().hex
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                with hub.state.lock:
                    self._answer(*hub.respond(self.command, self.path, dict(self.headers), body))

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815

            def _answer(self, status: int, content: Any) -> None:
                if status == 0:
                    self.close_connection = True
                    self.connection.shutdown(2)
                    return
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a service that uses it."""
        addresses = {f"FLAME_{name}_URL": self.url for name in ("CORE", "AUTH", "STORAGE")}
        return {**addresses, "FLAME_USERNAME": USER, "FLAME_PASSWORD": PASSWORD, "FLAME_WAIT": "5"}

    def analysis(self, name: str) -> Row:
        (row,) = [row for row in self.state.rows("analyses") if row["name"] == name]
        return row

    def code(self, name: str) -> dict[str, bytes]:
        """The files of an analysis."""
        bucket = self._code_bucket(self.analysis(name)["id"])["bucket_id"]
        rows = [row for row in self.state.rows("bucket-files") if row["bucket_id"] == bucket]
        assert len({row["path"] for row in rows}) == len(rows), "a name was uploaded twice"
        return {row["path"]: self.state.contents[row["id"]] for row in rows}

    def entrypoint(self, name: str) -> list[str]:
        analysis = self.analysis(name)["id"]
        links = self.state.rows("analysis-bucket-files")
        return [row["path"] for row in links if row["analysis_id"] == analysis and row["root"]]

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        parts = urlsplit(target)
        path = parts.path.strip("/")
        self.state.calls.append(f"{method} {path}")
        fault = next((each for each in self.state.faults if each.method == method and re.search(each.path, path)), None)
        if fault is not None:
            self.state.faults.remove(fault)
            if fault.status is not None:
                return self._error(Refused(fault.status, "FAULT", "It went wrong."))
        try:
            answer = self._work(method, path, parse_qs(parts.query), headers, body)
        except Refused as refused:
            answer = self._error(refused)
        return (0, None) if fault is not None else answer

    def _error(self, refused: Refused) -> tuple[int, Any]:
        shown = {"statusCode": refused.status, "code": refused.code, "message": refused.message, "issues": []}
        return refused.status, shown

    def _work(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> tuple[int, Any]:
        if path == "token":
            return self._sign_in(json.loads(body))
        if headers.get("Authorization") != f"Bearer {self._token}":
            raise Refused(401, "UNAUTHORIZED", "Sign in first.")
        self._make_later_things()
        table, _, rest = path.partition("/")
        one, _, action = rest.partition("/")
        if table == "buckets" and action == "upload":
            return self._upload(one, headers, body)
        if table == "bucket-files" and action == "stream":
            return 200, self.state.contents[one]
        if method == "GET":
            return self._read(table, one, query)
        if method == "DELETE":
            return self._delete(table, one)
        values = {re.sub(r"([A-Z])", r"_\1", key).lower(): value for key, value in json.loads(body).items()}
        if action == "command":
            analysis = self._command(self._row("analyses", one), values["command"])
            return 202, {"data": analysis, "meta": {}}
        if one:
            row = self._row(table, one)
            row.update(values)
            return 202, row
        if table == "analyses":
            return 201, self._create_analysis(values)
        raise Refused(404, "NOT_FOUND", "There is no such thing.")

    def _sign_in(self, grant: Row) -> tuple[int, Any]:
        if grant.get("password") != PASSWORD and grant.get("grant_type") == "password":
            raise Refused(400, "invalid_credentials", "Name or password is wrong.")
        token = {"access_token": self._token, "expires_in": 3600, "token_type": "Bearer", "scope": "global"}
        return 200, {**token, "refresh_token": "r"}

    def _read(self, table: str, one: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        if one:
            return 200, self._row(table, one)
        found = self.state.rows(table)
        for key, (value, *_) in query.items():
            if name := re.fullmatch(r"filter\[(\w+)\]", key):
                field_name = re.sub(r"([A-Z])", r"_\1", name[1]).lower()
                found = [row for row in found if str(row[field_name]) == value.removeprefix("=")]
        limit = min(50, int(query.get("page[limit]", ["50"])[0]))
        offset = int(query.get("page[offset]", ["0"])[0])
        meta = {"total": len(found), "limit": limit, "offset": offset, "schema": {}}
        return 200, {"data": found[offset : offset + limit], "meta": meta}

    def _delete(self, table: str, one: str) -> tuple[int, Any]:
        row = self._row(table, one)
        del self.state.tables[table][one]
        if table == "bucket-files":
            links = self.state.tables.get("analysis-bucket-files", {})
            for link in [link for link in links.values() if link["bucket_file_id"] == one]:
                del links[link["id"]]
        return 202, row

    def _row(self, table: str, one: str) -> Row:
        row = self.state.tables.get(table, {}).get(one)
        if row is None:
            raise Refused(404, "NOT_FOUND", f"There is no such row in {table}.")
        return row

    def _create_analysis(self, values: Row) -> Row:
        project = self._row("projects", values["project_id"])
        if any(row["name"] == values["name"] for row in self.state.rows("analyses")):
            raise Refused(409, "CONFLICT", "The name is taken.")
        states = ("build", "distribution", "execution")
        never = {f"{name}_{what}": None for name in states for what in ("status", "progress")}
        valid = ("entrypoint", "image", "node_aggregator", "node_default", "nodes")
        return self.state.add(
            "analyses",
            **never,
            **{f"configuration_{name}_valid": False for name in valid},
            **{"build_hash": None, "build_os": None, "build_size": None, "distribution_nodes_valid": False},
            **{"nodes": 2, "nodes_approved": 2, "configuration_locked": False, "client_id": None},
            **{"realm_id": self.realm, "user_id": self.user, "made": time.monotonic()},
            **{**values, "master_image_id": values.get("master_image_id") or project["master_image_id"]},
        )

    def _make_later_things(self) -> None:
        """Buckets and links appear by themselves, some time after what they belong to."""
        for analysis in self.state.rows("analyses"):
            if time.monotonic() < analysis["made"] + LATER_SECONDS:
                continue
            if not [row for row in self.state.rows("analysis-buckets") if row["analysis_id"] == analysis["id"]]:
                for kind in ("CODE", "RESULT", "TEMP"):
                    bucket = {"bucket_id": str(uuid.uuid4()), "analysis_id": analysis["id"], "type": kind}
                    self.state.add("analysis-buckets", realm_id=self.realm, **bucket)
        linked = {row["bucket_file_id"] for row in self.state.rows("analysis-bucket-files")}
        for file in self.state.rows("bucket-files"):
            if file["id"] in linked or time.monotonic() < file["made"] + LATER_SECONDS:
                continue
            (bucket,) = [row for row in self.state.rows("analysis-buckets") if row["bucket_id"] == file["bucket_id"]]
            self.state.add(
                "analysis-bucket-files",
                **{"path": file["path"], "bucket_file_id": file["id"], "bucket_id": file["bucket_id"], "root": False},
                **{"analysis_bucket_id": bucket["id"], "analysis_id": bucket["analysis_id"], "client_id": None},
                **{"realm_id": self.realm, "user_id": self.user},
            )

    def _code_bucket(self, analysis: str) -> Row:
        buckets = self.state.rows("analysis-buckets")
        (found,) = [row for row in buckets if row["analysis_id"] == analysis and row["type"] == "CODE"]
        return found

    def _upload(self, bucket: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        made = []
        for path, content in _parts(headers["Content-Type"], body):
            same = [row for row in self.state.rows("bucket-files") if (row["bucket_id"], row["path"]) == (bucket, path)]
            row = self.state.add(
                "bucket-files",
                **{"name": path.rpartition("/")[2], "path": path, "directory": path.rpartition("/")[0] or "."},
                # The real Hub hashes the name.
                **{"hash": hashlib.sha256(path.encode()).hexdigest(), "size": len(content), "bucket_id": bucket},
                **{"actor_type": "user", "actor_id": self.user, "realm_id": self.realm, "made": time.monotonic()},
            )
            self.state.contents[row["id"]] = content
            for other in same:
                self.state.contents[other["id"]] = content
            made.append(row)
        return 201, {"data": made, "meta": {"total": len(made)}}

    def _command(self, analysis: Row, command: str) -> Row:
        if command == "configurationLock":
            if analysis["configuration_locked"]:
                raise Refused(400, "LOCKED", "The configuration is locked already.")
            if not self.entrypoint(analysis["name"]):
                raise Refused(400, "NO_ENTRYPOINT", "There is no entrypoint.")
            if not self.nodes_approved:
                raise Refused(400, "NODES", "Not all nodes have approved the analysis.")
            analysis["configuration_locked"] = True
        if command == "configurationUnlock":
            analysis["configuration_locked"] = False
        if command == "buildStart":
            analysis["build_status"] = "starting"
        return analysis


def _parts(content_type: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    boundary = message.get_boundary()
    assert boundary is not None
    # The parser of messages would change line ends; only the heads are read by it.
    for part in body.split(b"--" + boundary.encode())[1:-1]:
        top, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'filename="([^"]*)"', top)
        assert name is not None and name[1], "a part without a name gets no answer from the real Hub"
        yield unquote(name[1].decode("latin-1")), content.removesuffix(b"\r\n")
