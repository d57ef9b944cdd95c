"""Files of a deployment: small ones are sent in its JSON, large ones are uploaded to a bucket, each only once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from assembler_client.archive import in_json, is_archive
from assembler_client.errors import Conflict, invalid_input
from assembler_client.folder import collect
from assembler_client.models import Bucket, Finding
from assembler_client.sansio.steps import Flow
from assembler_client.storage_client import StorageCalls
from assembler_client.types import FileContent

Source: TypeAlias = str | Path | Mapping[str, FileContent] | Iterable[str | Path]
"""A folder, a file, an archive, several files, or a mapping of path → content."""

BUCKET = "deployments"
"""Name of the realm's bucket for large files."""
LARGE_BYTES = 256 * 1024
INLINE_BYTES = 8 * 2**20
_HASHES_AT_ONCE = 40
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadProgress:
    """Progress of an upload.

    Args:
        path: path of the current file.
        sent: bytes sent so far, of all files.
        total: bytes of all files to upload.
    """

    path: str
    sent: int
    total: int


UploadListener: TypeAlias = Callable[[UploadProgress], Any]


def gather(source: Source) -> dict[str, Any]:
    """Collects the files of a source.

    Args:
        source: see :data:`Source`; a single archive becomes the field `archive`.
    Returns:
        The field `files`, with local paths as contents, or the field `archive`.
    Raises:
        InvalidRequest: a path does not exist, or the combination is not supported.
    """
    if isinstance(source, Mapping):
        return {"files": dict(source)}
    paths = [Path(source)] if isinstance(source, (str, Path)) else [Path(path) for path in source]
    missing = [path for path in paths if not path.exists()]
    if missing:
        hint = "Check the path."
        raise invalid_input(
            [
                Finding(code="not_there", path=str(path), message="This file does not exist.", hint=hint)
                for path in missing
            ]
        )
    if len(paths) == 1 and paths[0].is_dir():
        files = collect(paths[0])
        if files.left_out:
            _LOGGER.info("Left out of %s: %s", paths[0], ", ".join(files.left_out))
        return {"files": files}
    if len(paths) == 1 and is_archive(paths[0]):
        return {"archive": paths[0]}
    if folders := [path for path in paths if path.is_dir()]:
        hint = "Pass either one folder or files."
        raise invalid_input([Finding(code="folder", path=str(folders[0]), message="This is a folder.", hint=hint)])
    return {"files": {path.name: path for path in paths}}


def upload(client: Any, fields: Mapping[str, Any], listener: UploadListener | None) -> Flow[dict[str, Any]]:
    """Uploads files that are too large for JSON, unless the service already has them.

    Args:
        client: the client.
        fields: `files` and `archive` as returned by :func:`gather`.
        listener: called with the progress.
    Returns:
        The fields as JSON, with references to uploaded files.
    """
    files, archive = fields.get("files"), fields.get("archive")
    large = {"": archive} if isinstance(archive, Path) else {}
    small: dict[str, Any] = {}
    inline = 0
    for path, content in (files or {}).items():
        size = _size(content)
        if size > LARGE_BYTES or inline + size > INLINE_BYTES:
            large[path] = content
        else:
            inline += size
            small[path] = in_json(content)
    made: dict[str, Any] = dict(fields)
    ids = (yield from _in_bucket(client, large, listener)) if large else {}
    if files is not None:
        # In the order of the input.
        made["files"] = {path: small[path] if path in small else {"bucket_file_id": ids[path]} for path in files}
    if "" in ids:
        made["archive"] = {"bucket_file_id": ids[""]}
    return made


def _in_bucket(client: Any, large: Mapping[str, Any], listener: UploadListener | None) -> Flow[dict[str, str]]:
    bucket = yield from _bucket(client)
    hashes = {path: _digest(content) for path, content in large.items()}
    known: dict[str, str] = {}
    wanted = sorted(set(hashes.values()))
    for start in range(0, len(wanted), _HASHES_AT_ONCE):
        some = {"bucket_id": bucket.id, "hash": wanted[start : start + _HASHES_AT_ONCE]}
        found = yield from StorageCalls.find_bucket_files(client, filter=some, page={"limit": 200})
        known |= {file.hash: str(file.id) for file in found}
    todo = {digest: path for path, digest in hashes.items() if digest not in known}
    total, done = sum(_size(large[path]) for path in todo.values()), 0
    for digest, path in todo.items():
        content = large[path]
        name = path or Path(content).name
        progress = None if listener is None else _progress(listener, name, done, total)
        body = content.encode() if isinstance(content, str) else content
        uploaded = yield from StorageCalls.upload_to_bucket(client, bucket, {name: body}, progress=progress)
        known[digest] = str(uploaded[0].id)
        done += _size(content)
    return {path: known[digest] for path, digest in hashes.items()}


def _progress(listener: UploadListener, path: str, before: int, total: int) -> Callable[[int], None]:
    sent = before

    def moved(count: int) -> None:
        nonlocal sent
        sent += count
        listener(UploadProgress(path, sent, total))

    return moved


def _bucket(client: Any) -> Flow[Bucket]:
    """Finds or creates the bucket of the caller's realm."""
    from assembler_client.auth_client import AuthCalls

    me = yield from AuthCalls.get_me(client)
    wanted = {"name": BUCKET, "realm_id": me.realm_id}
    found = yield from StorageCalls.find_one_bucket(client, filter=wanted)
    if found is not None:
        return found
    try:
        return (yield from StorageCalls.create_bucket(client, name=BUCKET))
    except Conflict:
        # Another process has created it meanwhile.
        found = yield from StorageCalls.find_one_bucket(client, filter=wanted)
        if found is None:
            raise
        return found


def _size(content: Any) -> int:
    if isinstance(content, Path):
        return content.stat().st_size
    if isinstance(content, str):
        return len(content.encode())
    return len(content) if isinstance(content, (bytes, bytearray)) else 0


def _digest(content: Any) -> str:
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
