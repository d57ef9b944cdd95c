"""Large files: announce, upload in one or more parts, verify, download."""

from __future__ import annotations

import hashlib
import math

from assembler_runner.devhub.repo import RepoKind
from assembler_runner.devhub.routing import Call, Route
from assembler_runner.devhub.wire import Answer, HubError, Json, entry_not_found, json_answer


def batch(call: Call, repo: str, kind: RepoKind = "model") -> Answer:
    """POST ids and sizes, to hear where to send what is not there yet."""
    found = call.write(kind, repo.removesuffix(".git"))
    objects = call.request.json().get("objects", [])
    verify = f"{call.request.base_url}/{found.url_path}.git/info/lfs/verify"
    rows = [_announced(call, str(item["oid"]), int(item["size"]), verify) for item in objects]
    return json_answer({"transfer": "basic", "objects": rows})


def upload(call: Call, oid: str) -> Answer:
    """PUT the whole content."""
    _store(call, oid, call.request.body)
    return Answer(200)


def upload_part(call: Call, oid: str, part: str) -> Answer:
    """PUT one part."""
    call.state.parts[oid, int(part)] = call.request.body
    return Answer(200, headers={"ETag": f'"{hashlib.sha256(call.request.body).hexdigest()}"'})


def complete(call: Call, oid: str) -> Answer:
    """POST the list of parts, which become one file."""
    if oid in call.state.large_files:
        return json_answer({"success": True})
    numbers = [int(part["partNumber"]) for part in call.request.json().get("parts", [])]
    if any((oid, number) not in call.state.parts for number in numbers):
        raise HubError(400, "A part is missing")
    _store(call, oid, b"".join(call.state.parts.pop((oid, number)) for number in sorted(numbers)))
    return json_answer({"success": True})


def verify(call: Call, repo: str, kind: RepoKind = "model") -> Answer:
    """POST an id and a size, to hear whether they arrived."""
    call.write(kind, repo.removesuffix(".git"))
    body = call.request.json()
    data = call.state.large_files.get(str(body.get("oid")))
    if data is None or len(data) != body.get("size"):
        raise HubError(404, "The file has not arrived")
    return json_answer({})


def download(call: Call, oid: str) -> Answer:
    """GET the content."""
    data = call.state.large_files.get(oid)
    if data is None:
        raise entry_not_found()
    return Answer(200, data, {"ETag": f'"{oid}"', "Content-Type": "application/octet-stream"})


def _announced(call: Call, oid: str, size: int, verify_url: str) -> Json:
    row: Json = {"oid": oid, "size": size}
    if oid in call.state.large_files:
        return row
    href = f"{call.request.base_url}/_large/{oid}"
    to: Json = {"href": href}
    part_size = call.settings.lfs_part_size
    if part_size and size > part_size:
        parts = range(1, math.ceil(size / part_size) + 1)
        to["header"] = {"chunk_size": str(part_size), **{str(n): f"{href}/{n}" for n in parts}}
    return row | {"actions": {"upload": to, "verify": {"href": verify_url}}}


def _store(call: Call, oid: str, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != oid:
        raise HubError(400, "The content does not match its id")
    call.state.large_files[oid] = data


ROUTES = [
    Route("POST", "/{kind}/{repo}/info/lfs/objects/batch", batch),
    Route("POST", "/{repo}/info/lfs/objects/batch", batch),
    Route("POST", "/{kind}/{repo}/info/lfs/verify", verify),
    Route("POST", "/{repo}/info/lfs/verify", verify),
    Route("PUT", "/_large/{oid}", upload),
    Route("PUT", "/_large/{oid}/{part}", upload_part),
    Route("POST", "/_large/{oid}", complete),
    Route("GET", "/_large/{oid}", download),
]
