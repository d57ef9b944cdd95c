"""What is known of a Space beside its log, for finding the cause of an error: its type, its card, its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from assembler_runner.assembly.card import README, read_card
from assembler_runner.core.database import db
from assembler_runner.files.tree import SpaceFile
from assembler_runner.services import Services
from assembler_runner.spaces.models import RELEASES, SUCCEEDED, RequestFile, SpaceRequest
from assembler_runner.targets import Runtime

MOST_FILES, MOST_BYTES, LARGEST_BYTES = 60, 2 * 2**20, 256 * 1024
"""How many files are read as text, how many bytes in all, and the largest single file."""

TEXT_FILES = (".py", ".txt", ".md", ".toml", ".yaml", ".yml", ".json", ".sh", "Dockerfile")
"""Ends of the names of files that are read as text."""


@dataclass(frozen=True)
class AppContext:
    """What is known of the app.

    Args:
        space_type: its type; None if nothing was published.
        card: the front matter of its README.
        files: path → text; None for a file that was not read.
    """

    space_type: str | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str | None] = field(default_factory=dict)


def read_context(services: Services, space_id: str) -> AppContext:
    """Reads the newest published release of a Space; ends the transaction.

    Args:
        services: what the process holds.
        space_id: the Space.
    """
    release = (
        sa.select(SpaceRequest.id, SpaceRequest.space_type)
        .where(SpaceRequest.space_id == space_id, SpaceRequest.status == SUCCEEDED, SpaceRequest.action.in_(RELEASES))
        .order_by(SpaceRequest.number.desc())
        .limit(1)
    )
    row = db.session.execute(release).first()
    if row is None:
        db.session.rollback()
        return AppContext()
    columns = (RequestFile.path, RequestFile.size, RequestFile.sha256)
    rows = db.session.execute(sa.select(*columns).where(RequestFile.request_id == row.id)).all()
    chosen: dict[str, tuple[str, int]] = {}
    room = MOST_BYTES
    # The ones that decide come first: files at the top, then small ones.
    for path, size, digest in sorted(rows, key=lambda found: (found.path.count("/"), found.size)):
        if path.endswith(TEXT_FILES) and size <= LARGEST_BYTES and size <= room and len(chosen) < MOST_FILES:
            chosen[path] = (digest, size)
            room -= size
    held = services.files.read_small(db.session(), dict(chosen.values()))
    db.session.rollback()
    files: dict[str, str | None] = {path: None for path, _, _ in rows}
    files |= {path: held[digest].decode("utf-8", "replace") for path, (digest, _) in chosen.items()}
    card = read_card((files.get(README) or "").encode()).values
    return AppContext(row.space_type, card, files)


def context_of(tree: Mapping[str, SpaceFile], space_type: str | None) -> AppContext:
    """Returns what is known of an app that is not published.

    Args:
        tree: its files.
        space_type: its type.
    """
    files: dict[str, str | None] = {}
    for path, file in tree.items():
        readable = path.endswith(TEXT_FILES) and file.size <= LARGEST_BYTES
        files[path] = file.text() if readable and len(files) < MOST_FILES else None
    return AppContext(space_type, read_card((files.get(README) or "").encode()).values, files)


def answer_digest(runtime: Runtime, lines: Sequence[str] | None) -> str:
    """Returns a digest of what a target says of an app: a problem is read anew when it changes.

    Args:
        runtime: what the target says.
        lines: the end of the log; None if there is none, or if it cannot be read.
    """
    report = _digest("\0".join((runtime.stage, runtime.message or "", runtime.commit or "")))
    return report if lines is None else f"{report}.{_digest(chr(10).join(lines))}"


def same_answer(known: str | None, digest: str) -> bool:
    """Returns whether a target says the same as before; a log that cannot be read now has not changed."""
    if known is None:
        return False
    report, _, log = digest.partition(".")
    return known == digest or (not log and known.partition(".")[0] == report)


def _digest(text: str) -> str:
    # Two of them and a dot fit into the column of 64 characters.
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:31]
