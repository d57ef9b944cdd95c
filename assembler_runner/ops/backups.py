"""Backup of all data in one file, restorable into any supported database and file store.

It contains rows as JSON, contents by digest and the repositories of local Spaces, but not the keys. All rows come from
one database snapshot. Contents never change, and unreferenced ones are kept for a day; local Spaces are read after the
rows, and newer data in them is reconciled as after a crash.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, BinaryIO

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from assembler_runner import __version__
from assembler_runner.core.database import READ_ONLY, utcnow
from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.vault import UnreadableSecret
from assembler_runner.files.content import Content, pieces_of
from assembler_runner.files.store import BlobMissing
from assembler_runner.ops.retention import REFERENCES
from assembler_runner.services import Services

FORMAT = 1
MANIFEST, TABLES, BLOBS, SPACES = "manifest.json", "tables/", "blobs/", "spaces/"
_NOT_AS_ROWS = {"blobs", "blob_chunks", "alembic_version"}
_ROWS_AT_ONCE = 500


class BackupError(AssemblerError):
    """A backup cannot be created or restored."""

    code = "backup_error"
    default_message = "The backup cannot be used."
    default_hint = None


@dataclass
class Summary:
    """Numbers of a backup or restore.

    Args:
        rows: number of rows.
        contents: number of contents.
        spaces: number of files of local Spaces.
    """

    rows: int = 0
    contents: int = 0
    spaces: int = 0


def back_up(services: Services, engine: sa.Engine, path: Path) -> Summary:
    """Writes a backup; the service may be running.

    Args:
        services: the process's services.
        engine: the database.
        path: the file, created with mode 0600; an existing one is replaced once the new one is complete.
    Returns:
        The numbers of rows, contents and files.
    Raises:
        BackupError: a referenced content is missing, or the database has no tables.
    """
    summary = Summary()
    new = path.with_name(f"{path.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
                contents, needed = _write_rows(services, engine, archive, summary)
                _write_contents(services, contents, needed, archive, summary)
                _write_spaces(services.instance / "spaces", archive, summary)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return summary


def restore(
    services: Services, engine: sa.Engine, path: Path, migrate: Callable[[str], None], *, other_key: bool = False
) -> Summary:
    """Restores a backup into an empty database, the file store and the folder of local Spaces.

    Args:
        services: the process's services.
        engine: the database; its tables are empty or do not exist.
        path: the backup.
        migrate: migrates the database to a revision; `head` is the newest.
        other_key: continue with another SECRET_KEY than that of the backup; encrypted secrets are then lost.
    Returns:
        The numbers of rows, contents and files.
    Raises:
        BackupError: the file is not a backup, is damaged or of a newer version, or the destination is not empty.
    """
    summary = Summary()
    _refuse_existing_data(services, engine)
    try:
        with tarfile.open(path, "r:gz") as archive:
            members = iter(archive)
            manifest = _read_manifest(archive, next(members, None))
            if not other_key:
                _check_key(services, manifest)
            migrate(manifest["revision"])
            member = _read_rows(archive, members, engine, summary)
            migrate("head")
            _read_files(services, archive, member, members, summary)
    except (tarfile.TarError, EOFError, OSError, ValueError, KeyError) as problem:
        raise BackupError(
            f"The backup cannot be read ({type(problem).__name__}).", hint="Use another one, with an empty database."
        ) from problem
    if (summary.rows, summary.contents) != (manifest["rows"], manifest["contents"]):
        raise BackupError("The backup is not complete.", hint="Use another one, with an empty database.")
    return summary


def _write_rows(
    services: Services, engine: sa.Engine, archive: tarfile.TarFile, summary: Summary
) -> tuple[dict[str, int], set[str]]:
    """Writes all rows of one snapshot; returns all contents (digest → size) and the digests of referenced ones."""
    with tempfile.TemporaryDirectory() as folder, _snapshot(engine) as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        if revision is None:
            raise BackupError("The database has no tables yet.", hint="Check SQLALCHEMY_DATABASE_URI and --instance.")
        tables = sa.MetaData()
        tables.reflect(connection)
        files = []
        for table in tables.sorted_tables:
            if table.name not in _NOT_AS_ROWS:
                files.append((table.name, Path(folder) / table.name))
                summary.rows += _dump(connection, table, files[-1][1])
        blobs = tables.tables["blobs"]
        rows = connection.execute(sa.select(blobs.c.sha256, blobs.c.size))
        contents = {digest: int(size) for digest, size in rows}
        named = (connection.scalars(sa.select(column).distinct()) for column in REFERENCES)
        needed = {digest for digests in named for digest in digests if digest is not None}
        manifest = {
            "format": FORMAT,
            "version": __version__,
            "revision": revision,
            "made_at": utcnow().isoformat(),
            "database": engine.dialect.name,
            "rows": summary.rows,
            "contents": len(contents),
            "key": services.vault.encrypt({"probe": "backup"}),
        }
        _add_bytes(archive, MANIFEST, json.dumps(manifest, indent=1).encode())
        for name, file in files:
            archive.add(file, f"{TABLES}{name}.jsonl", filter=_plain)
    return contents, needed


@contextmanager
def _snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    options: dict[str, Any] = {READ_ONLY: True, "stream_results": True}
    if engine.dialect.name != "sqlite":
        options["isolation_level"] = "REPEATABLE READ"
    with engine.connect().execution_options(**options) as connection:
        yield connection


def _dump(connection: sa.Connection, table: sa.Table, file: Path) -> int:
    number = 0
    with file.open("w", encoding="ascii") as lines:
        lines.write(json.dumps([column.name for column in table.columns]) + "\n")
        for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns)):
            lines.write(json.dumps([_to_json(value) for value in row]) + "\n")
            number += 1
    return number


def _write_contents(
    services: Services, contents: dict[str, int], needed: set[str], archive: tarfile.TarFile, summary: Summary
) -> None:
    if missing := needed - contents.keys():
        raise BackupError(
            f"{len(missing)} contents have no row, such as {min(missing)}.", hint="Repair the database first."
        )
    for digest, size in sorted(contents.items()):
        header = tarfile.TarInfo(f"{BLOBS}{digest}")
        header.size = size
        try:
            with services.files.open(digest) as file:
                archive.addfile(header, file)
        except BlobMissing:
            if digest in needed:
                raise BackupError(
                    f"The content {digest} is missing in the file store.", hint="Restore the file store first."
                ) from None
            # It was unreferenced and has been removed since the snapshot: an empty entry keeps the count.
            _add_bytes(archive, f"{BLOBS}{digest}.gone", b"")
        summary.contents += 1


def _write_spaces(folder: Path, archive: tarfile.TarFile, summary: Summary) -> None:
    """Writes the repositories: references before objects, so that every referenced object is in the backup."""
    if not folder.is_dir():
        return
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    for path in sorted(files, key=lambda path: ("objects" in path.relative_to(folder).parts, str(path))):
        try:
            archive.add(path, f"{SPACES}{path.relative_to(folder)}", recursive=False, filter=_plain)
        except FileNotFoundError:
            continue
        summary.spaces += 1


def _refuse_existing_data(services: Services, engine: sa.Engine) -> None:
    tables = sa.MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        full = [
            table.name
            for table in tables.sorted_tables
            if table.name != "alembic_version"
            and connection.scalar(sa.select(sa.literal(1)).select_from(table).limit(1))
        ]
    if full:
        raise BackupError(
            f"The database is not empty: there are rows in {', '.join(full[:3])}.",
            hint="Name a new database, or drop everything in this one with: flask drop-db",
        )
    spaces = services.instance / "spaces"
    if spaces.is_dir() and any(spaces.iterdir()):
        raise BackupError(f"There are local Spaces in {spaces}.", hint="Name another folder with --instance.")


def _read_manifest(archive: tarfile.TarFile, member: tarfile.TarInfo | None) -> dict[str, Any]:
    if member is None or member.name != MANIFEST:
        raise BackupError("The file is not an Assembler backup.")
    manifest: dict[str, Any] = json.load(_open(archive, member))
    if manifest["format"] > FORMAT:
        raise BackupError("The backup was created by a newer version.", hint=f"Use {manifest['version']} or newer.")
    return manifest


def _check_key(services: Services, manifest: dict[str, Any]) -> None:
    try:
        services.vault.decrypt(manifest["key"])
    except UnreadableSecret:
        raise BackupError(
            "SECRET_KEY is not that of the backup; Hub tokens and secrets of Spaces could not be decrypted.",
            hint="Set SECRET_KEY or OLD_SECRET_KEYS to the former key, or continue without secrets with --other-key.",
        ) from None


def _read_rows(
    archive: tarfile.TarFile, members: Iterator[tarfile.TarInfo], engine: sa.Engine, summary: Summary
) -> tarfile.TarInfo | None:
    """Restores all rows in one transaction; returns the first archive member after them."""
    tables = sa.MetaData()
    with engine.begin() as connection:
        tables.reflect(connection)
        # Rows that migrations inserted into the empty database are also in the backup.
        for table in reversed(tables.sorted_tables):
            if table.name != "alembic_version":
                connection.execute(table.delete())
        for member in members:
            if not member.name.startswith(TABLES):
                break
            table = tables.tables[member.name.removeprefix(TABLES).removesuffix(".jsonl")]
            lines = iter(_open(archive, member))
            # A backup uses column names; a few columns have another key in Python.
            keys = {column.name: column.key for column in table.columns}
            names = [keys[name] for name in json.loads(next(lines))]
            for batch in _batches(dict(zip(names, map(_from_json, json.loads(line)), strict=True)) for line in lines):
                connection.execute(table.insert(), batch)
                summary.rows += len(batch)
            _advance_sequence(connection, table)
        else:
            member = None
    return member


def _read_files(
    services: Services,
    archive: tarfile.TarFile,
    member: tarfile.TarInfo | None,
    members: Iterator[tarfile.TarInfo],
    summary: Summary,
) -> None:
    while member is not None:
        if member.name.startswith(BLOBS):
            if not member.name.endswith(".gone"):
                _read_content(services, archive, member)
            summary.contents += 1
        elif member.name.startswith(SPACES) and member.isfile():
            archive.extract(member, services.instance, filter="data")
            summary.spaces += 1
        member = next(members, None)


def _read_content(services: Services, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=services.instance) as file:
        for piece in pieces_of(_open(archive, member)):  # type: ignore[arg-type]  # IO[bytes] is compatible
            digest.update(piece)
            file.write(piece)
        file.flush()
        name = member.name.removeprefix(BLOBS)
        if digest.hexdigest() != name:
            raise BackupError(f"The content {name} is damaged in the backup.", hint="Use another one.")
        services.files.stage([Content(name, member.size, _opener(Path(file.name)))])


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def _advance_sequence(connection: sa.Connection, table: sa.Table) -> None:
    """Advances the sequence of a restored table on PostgreSQL; other databases do so automatically."""
    counted = [column for column in table.primary_key.columns if isinstance(column.type, sa.Integer)]
    if connection.dialect.name != "postgresql" or len(counted) != 1 or len(table.primary_key.columns) != 1:
        return
    (column,) = counted
    sequence = connection.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, column.name)))
    newest = connection.scalar(sa.select(sa.func.max(column)))
    if sequence and newest is not None:
        connection.execute(sa.select(sa.func.setval(sequence, newest)))


def _open(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    if file is None:
        raise BackupError("The backup is damaged.", hint="Use another one.")
    return file


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(data)
    archive.addfile(header, io.BytesIO(data))


def _plain(header: tarfile.TarInfo) -> tarfile.TarInfo:
    header.uid = header.gid = 0
    header.uname = header.gname = ""
    return header


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"moment": value.isoformat()}
    if isinstance(value, Decimal):
        # MariaDB returns a double as Decimal.
        return float(value)
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if "moment" in value:
            return datetime.fromisoformat(value["moment"])
        return base64.b64decode(value["bytes"])
    return value


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
