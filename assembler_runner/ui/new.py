"""/ui/new: a new Space from a starter app, a folder, an archive or typed files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.hub_tokens import hub_name
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.http.json_body import load_partly
from assembler_runner.api.schemas.change_input import VISIBILITIES
from assembler_runner.api.schemas.space_input import HARDWARE, SpaceInput
from assembler_runner.api.uploads import new_spool, read_parts
from assembler_runner.core.addresses import service_url
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, Finding, InvalidRequest
from assembler_runner.core.fixes import Fix, FixDoesNotFit, apply
from assembler_runner.core.validation import Fields
from assembler_runner.files.content import Content, Spool
from assembler_runner.requests import prepare, queries, releases, submit
from assembler_runner.requests.prepare import Prepared
from assembler_runner.requests.sources import gather
from assembler_runner.services import current_services
from assembler_runner.ui import space_form
from assembler_runner.ui.layout import go, pages, show
from assembler_runner.ui.space_form import OPTION, PARAMETER, SpaceForm

SHOWN_BYTES = 100_000
"""Largest text that a page carries for the editor."""

_input = SpaceInput()


@dataclass(frozen=True)
class Preview:
    """What would be published.

    Args:
        files: path, size and origin of each file; with `text` for those that the sender did not give.
        findings: all findings about them.
        can_publish: whether no finding prevents publishing.
    """

    files: list[dict[str, Any]]
    findings: list[Finding]
    can_publish: bool


@pages.get("/new")
@requires("space_create")
def new_space() -> Response:
    """Shows the form: empty, for a type and starter app, or filled in from an earlier request."""
    form = _from_request(request.args["request"]) if request.args.get("request") else SpaceForm()
    form.values.setdefault("space_type", request.args.get("type", ""))
    if template := request.args.get("template"):
        form.values["template"] = f"{form.values['space_type']}/{template}"
        form.body |= {"space_type": form.values["space_type"], "template": template}
    preview = None
    if "template" in form.body:
        with new_spool() as spool:
            preview = _preview(form, spool)[1]
    return _page(form, preview=preview)


@pages.post("/new")
@requires("space_create")
def send_space() -> AnyResponse:
    """Shows what would be published, applies the fix of a finding, or publishes."""
    with new_spool() as spool:
        form = space_form.read_form(read_parts(spool))
        changed: list[str] = []
        try:
            if wanted := form.values.get("apply"):
                changed = _apply_fix(form, spool, wanted)
            prepared, preview = _preview(form, spool)
            if form.values.get("action") == "publish":
                if prepared is None or not preview.can_publish:
                    return _page(form, 422, preview=preview, announced=True)
                answer = submit.submit(current_services(), current_account(), prepared, lambda made: made.id)
                return go(f"/ui/spaces/{answer}", done="create")
        except AssemblerError as error:
            db.session.rollback()
            return _page(form, error.status, problem=error)
        keep_texts(form)
        return _page(form, preview=preview, changed=changed)


def _preview(form: SpaceForm, spool: Spool) -> tuple[Prepared | None, Preview]:
    """Assembles the tree; a form that is not valid has findings only."""
    try:
        fields = _fields(form, spool)
        prepared = prepare.prepare(current_services(), current_account(), fields)
    except InvalidRequest as error:
        db.session.rollback()
        return None, Preview([], error.issues or [Finding(error.code, error.message, hint=error.hint)], False)
    assembly = prepared.assembly
    files = [
        {"path": file.path, "size": file.size, "origin": file.origin, "text": _text(file.source)
         if file.path not in prepared.given else None}
        for file in assembly.tree.values()
    ]  # fmt: skip
    return prepared, Preview(files, assembly.findings, not assembly.errors)


def _fields(form: SpaceForm, spool: Spool) -> Fields:
    fields = gather(current_services(), current_account(), load_partly(_input, form.body), spool)
    if form.findings:
        fields = Fields(fields.data, [*fields.findings, *form.findings], fields.invalid | {"parameters"})
    return fields


def _apply_fix(form: SpaceForm, spool: Spool, wanted: str) -> list[str]:
    """Applies the fix of the finding that was named; returns the paths of the files that it changed.

    Raises:
        InvalidRequest: the finding is not there any more, or its fix does not fit.
    """
    fields = _fields(form, spool)
    prepared = prepare.prepare(current_services(), current_account(), fields)
    found = next((each for each in prepared.assembly.findings if finding_id(each) == wanted and each.fix), None)
    if found is None or found.fix is None:
        raise InvalidRequest("This finding is not there any more.", hint="Check the files again.")
    named = {edit.path for edit in found.fix.edits}
    tree = prepared.assembly.tree
    sources = {path: prepared.given[path] if path in prepared.given else tree[path] for path in named & tree.keys()}
    before = {path: file.content for path, file in sources.items()}
    after = _applied(before, found.fix)
    for path in before.keys() - after.keys():
        form.files.pop(path, None)
        form.texts.pop(path, None)
    changed = [path for path in after if after[path] != before.get(path)]
    for path in changed:
        text = after[path]
        form.texts[path] = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        form.files[path] = form.texts[path]
    for name, value in found.fix.options.items():
        form.body.setdefault("options", {})[name] = value
        form.values[OPTION + name] = space_form.shown_value(value)
    return changed


def _applied(before: Mapping[str, bytes], fix: Fix) -> dict[str, str | bytes]:
    try:
        return apply(before, fix)
    except FixDoesNotFit as problem:
        message = f"The fix does not fit {problem.path} any more: {problem.reason}."
        raise InvalidRequest(message, hint="Check the files again.") from None


def finding_id(finding: Finding) -> str:
    """Returns what tells a finding from the others of the same files."""
    return f"{finding.code}|{finding.path or ''}|{finding.line or ''}"


def keep_texts(form: SpaceForm) -> None:
    """Keeps uploaded text files in the form that is shown again: a browser cannot fill in files."""
    if form.values.get("paths") == "exact":
        return
    for path, content in form.files.items():
        if isinstance(content, Content) and (text := _text(content)) is not None:
            form.texts[path] = text


def _text(source: Content | bytes) -> str | None:
    size = source.size if isinstance(source, Content) else len(source)
    if size > SHOWN_BYTES:
        return None
    try:
        text = (source.read() if isinstance(source, Content) else source).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _from_request(request_id: str) -> SpaceForm:
    """Returns the form of an earlier request: its files, options, parameters and settings, without secrets."""
    found = queries.find_request(current_account(), request_id)
    space, base, form = found.space, found, SpaceForm()
    files = releases.originals(current_services(), base)
    form.texts = {path: text for path, content in files.items() if (text := _text(content)) is not None}
    form.body = {"files": dict(files), "space_type": base.space_type}
    form.values = {"space_type": base.space_type, "name": base.change.name or "", "visibility": space.visibility}
    form.values |= {"target": space.target, "labels": ", ".join(space.labels or [])}
    if base.change.template:
        form.values["template"] = f"{base.space_type}/{base.change.template}"
        form.body["template"] = base.change.template
    prefix = PARAMETER if base.change.template else ""
    form.values |= {OPTION + name: space_form.shown_value(value) for name, value in (base.options or {}).items()}
    if prefix:
        form.values |= {prefix + name: space_form.shown_value(value) for name, value in (base.parameters or {}).items()}
    elif base.parameters:
        form.values["parameters"] = space_form.shown_value(base.parameters)
    form.variables = dict((base.environment or {}).get("variables") or {})
    return form


def _page(form: SpaceForm, status: int = 200, **values: Any) -> Response:
    chosen = space_form.type_of(form.values.get("space_type", ""))
    return show(
        "new.html",
        status,
        form=form,
        types=space_form.types(),
        own_pages=space_form.pages_of_types(),
        chosen=chosen,
        starter=space_form.template_of(chosen, form.body.get("template")),
        targets=current_services().targets,
        person=hub_name(current_account().id),
        hardware=HARDWARE,
        visibilities=VISIBILITIES,
        elsewhere=space_form.same_elsewhere(form.body, service_url()),
        finding_id=finding_id,
        **values,
    )
