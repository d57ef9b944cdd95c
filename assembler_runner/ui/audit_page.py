"""/ui/audit: who did what, to which object, and when."""

from __future__ import annotations

from flask import Response, request

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.directory import AuditLog
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.accounts import RESOURCES
from assembler_runner.ui.layout import pages, rows, show

_LOG = AuditLog()
_LISTING = next(each.listing for each in RESOURCES if isinstance(each.kind, AuditLog))


@pages.get("/audit")
@requires("audit_read")
def audit_log() -> Response:
    """Shows the audit log, the newest entries first."""
    words = {name: request.args.get(name, "").strip() for name in ("actor_name", "action", "object_name")}
    filters = {f"filter[{name}]": f"~%{word}%" for name, word in words.items() if word}
    page = rows(_LOG.query(current_account()), _LISTING, {**filters, "sort": "-id"})
    return show("audit.html", page=page, words=words)
