"""The files of a Space: a list, an editor, and changes as new commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.http.json_body import load_partly
from assembler_runner.api.schemas.change_input import UpdateInput
from assembler_runner.api.uploads import Parts, new_spool, read_parts
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, Conflict, InvalidRequest
from assembler_runner.files.content import Content
from assembler_runner.requests import diff, queries, releases, update
from assembler_runner.requests.commands import Caller
from assembler_runner.requests.sources import gather
from assembler_runner.services import current_services
from assembler_runner.spaces.models import RequestFile, Space, SpaceRequest
from assembler_runner.ui.layout import go, pages, show

MAX_EDITED_BYTES = 500_000
"""Largest file that is shown in the editor."""

_update = UpdateInput()


def show_files(found: Space) -> dict[str, Any]:
    """Returns what the tab shows: the files of the newest release, and the one that the address names."""
    try:
        base = releases.newest_release(found)
    except Conflict:
        return {"files": [], "path": None, "text": None, "base": None}
    path = request.args.get("path")
    row = next((row for row in base.files if row.path == path), None)
    text = _text_of(base, row) if row is not None else "" if request.args.get("new") else None
    return {"files": base.files, "path": path, "row": row, "text": text, "base": base, "is_new": row is None}


def _text_of(base: SpaceRequest, row: RequestFile) -> str | None:
    """Returns a file as its sender gave it; None if it is not text, or too large for the editor."""
    if row.size > MAX_EDITED_BYTES:
        return None
    services = current_services()
    content = releases.originals(services, base).get(row.path) or services.files.content(row.sha256, row.size)
    try:
        text = content.read().decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


@pages.post("/spaces/<space_id>/files")
@requires("space_update")
def change_files(space_id: str) -> AnyResponse:
    """Shows what a change of files would do, or publishes it as one commit."""
    account, services = current_account(), current_services()
    found = queries.find_space(account, space_id)
    with new_spool() as spool:
        parts = read_parts(spool)
        form = dict(parts.texts)
        found = queries.find_space(account, space_id)
        body = _body(found, parts, form)
        fields = gather(services, account, load_partly(_update, body), spool)
        caller = Caller(account, [form["commit"]] if form.get("commit") else None)
        if form.get("action") != "publish":
            return _checked(found, form, lambda: _preview(caller, found, fields))
        try:
            update.update(services, caller, found, fields, lambda made: made.id)
        except AssemblerError as error:
            db.session.rollback()
            return _again(space_id, form, error.status, problem=error)
    return go(f"/ui/spaces/{space_id}", done="update")


def _body(found: Space, parts: Parts, form: Mapping[str, str]) -> dict[str, Any]:
    """Returns the body of the update that a form describes."""
    files: dict[str, Any] = {}
    path = form.get("path", "").strip()
    if path and form.get("action") != "upload":
        files[path] = None if form.get("remove") else _with_line_ends(found, path, form.get("content", ""))
    uploads = {part.filename: part.content for part in parts.files if part.filename and part.field != "archive"}
    files |= without_folder(uploads)
    body: dict[str, Any] = {"mode": "replace" if form.get("mode") == "replace" else "merge", "files": files}
    if archive := next((part.content for part in parts.files if part.field == "archive"), None):
        body["archive"] = archive
    if form.get("fixes") == "safe":
        body["fixes"] = "safe"
    if not files and "archive" not in body:
        raise InvalidRequest("There is nothing to change.", hint="Choose a file, or change the text of one.")
    return body


def without_folder(uploads: Mapping[str, Content]) -> dict[str, Content]:
    """Takes away the name of the folder that a browser puts before the paths of an uploaded folder."""
    tops = {path.partition("/")[0] for path in uploads if "/" in path}
    inside = all("/" in path for path in uploads)
    if not uploads or len(tops) != 1 or not inside:
        return dict(uploads)
    return {path.partition("/")[2]: content for path, content in uploads.items()}


def _with_line_ends(found: Space, path: str, text: str) -> str:
    """Returns the text with the line ends that the file has: a form always sends carriage returns."""
    plain = text.replace("\r\n", "\n")
    try:
        base = releases.newest_release(found)
    except Conflict:
        return plain
    row = next((row for row in base.files if row.path == path), None)
    before = _text_of(base, row) if row is not None else None
    return plain.replace("\n", "\r\n") if before and "\r\n" in before else plain


def _preview(caller: Caller, found: Space, fields: Any) -> dict[str, Any]:
    services = current_services()
    planned = update.plan_update(services, caller, found, fields)
    live = releases.newest_release(found, published=True)
    if planned.prepared is None:
        return {"findings": [], "changes": None}
    assembly = planned.prepared.assembly
    return {"findings": assembly.findings, "changes": diff.diff(services, live, assembly.tree)}


def _checked(found: Space, form: Mapping[str, str], check: Any) -> Response:
    space_id = found.id
    try:
        values, status = {"checked": check()}, 200
    except AssemblerError as error:
        values, status = {"problem": error}, error.status
    db.session.rollback()
    return _again(space_id, form, status, **values)


def _again(space_id: str, form: Mapping[str, str], status: int, **values: Any) -> Response:
    """Shows the tab again with all that was typed."""
    # Imported here: the page of a Space has this tab.
    from assembler_runner.ui.space import head_of

    found = queries.find_space(current_account(), space_id)
    shown = show_files(found)
    path = form.get("path") or None
    typed = form.get("content", "").replace("\r\n", "\n")
    row = next((row for row in shown["files"] if row.path == path), None)
    shown |= {"path": path, "row": row, "text": typed if path else None, "is_new": row is None, "form": form}
    return show("space_files.html", status, tab="files", **head_of(found), **(shown | values))
