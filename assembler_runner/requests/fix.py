"""Applies the fix of a Space's problem: one update with the changed files and options."""

from __future__ import annotations

from typing import Any

from assembler_runner.core.errors import Conflict
from assembler_runner.core.fixes import Fix, FixDoesNotFit, apply
from assembler_runner.core.validation import Fields
from assembler_runner.requests import releases
from assembler_runner.requests.commands import Caller, Render
from assembler_runner.requests.diff import compare_bytes
from assembler_runner.requests.update import update
from assembler_runner.services import Services
from assembler_runner.spaces.models import Space, SpaceRequest


def apply_fix(services: Services, caller: Caller, space: Space, render: Render) -> Any:
    """Accepts the fix of the problem that a Space has, as one new commit.

    Args:
        services: what the process holds.
        caller: who asks for it.
        space: the Space.
        render: makes the answer from the new request.
    Returns:
        The answer; for a repeated key the one given first.
    Raises:
        Conflict: the Space has no problem with a fix, or its files have changed since.
    """
    return update(services, caller, space, change_of(services, space)[1], render)


def change_of(services: Services, space: Space) -> tuple[Fix, Fields]:
    """Returns the fix of a Space's problem, and the update that applies it.

    Args:
        services: what the process holds.
        space: the Space.
    Raises:
        Conflict: the Space has no problem with a fix, or its files have changed since.
    """
    releases.refuse_deleted(space)
    proposed = (space.problem or {}).get("fix")
    if not proposed:
        raise Conflict("The Space has no problem with a fix.", hint="Read `problem`: its hint says what to do.")
    fix = Fix.from_json(proposed)
    base = releases.newest_release(space, published=True)
    data: dict[str, Any] = {"mode": "merge"}
    if fix.edits:
        data["files"] = _edited(services, base, fix)
    if fix.options:
        data["options"] = {**(base.options or {}), **fix.options}
    return fix, Fields(data, [], frozenset())


def _edited(services: Services, base: SpaceRequest, fix: Fix) -> dict[str, bytes | None]:
    """Returns path → new content of the files that a fix changes; None for those that it deletes."""
    return {path: text for path, (_, text) in _changes(services, base, fix).items()}


def preview(services: Services, base: SpaceRequest, fix: Fix) -> dict[str, Any]:
    """Returns what a fix would change in the files of a release, see :func:`assembler_runner.requests.diff.diff`.

    Args:
        services: what the process holds.
        base: the release.
        fix: the fix.
    Raises:
        Conflict: the files have changed since the fix was created.
    """
    found: dict[str, Any] = {"added": [], "changed": [], "deleted": [], "options": dict(fix.options)}
    for path, (old, new) in sorted(_changes(services, base, fix).items()):
        kind = "deleted" if new is None else "added" if old is None else "changed"
        found[kind].append(compare_bytes(path, old, new).to_json())
    return found


def _changes(services: Services, base: SpaceRequest, fix: Fix) -> dict[str, tuple[bytes | None, bytes | None]]:
    """Returns path → old and new content of the files that a fix changes; None where there is no file."""
    given = releases.originals(services, base)
    rows = {row.path: row for row in base.files}
    contents: dict[str, str | bytes] = {}
    for path in {edit.path for edit in fix.edits} & rows.keys():
        content = given.get(path) or services.files.content(rows[path].sha256, rows[path].size)
        contents[path] = content.read()
    try:
        changed = apply(contents, fix)
    except FixDoesNotFit as problem:
        raise Conflict(
            f"The fix does not fit {problem.path} any more: {problem.reason}.",
            hint="Ask for the state with ?refresh=true: it brings the problem up to date.",
        ) from None
    old = {path: _bytes(content) for path, content in contents.items()}
    edited: dict[str, tuple[bytes | None, bytes | None]] = {
        path: (old[path], None) for path in contents.keys() - changed.keys()
    }
    for path, text in changed.items():
        if old.get(path) != _bytes(text):
            edited[path] = (old.get(path), _bytes(text))
    return edited


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
