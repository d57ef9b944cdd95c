"""/ui/plugins: the types of Spaces, and the plugins they come from."""

from __future__ import annotations

from flask import Response

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.permissions import requires
from assembler_runner.services import current_services
from assembler_runner.ui.layout import pages, show
from assembler_runner.ui.space_form import pages_of_types, types


@pages.get("/plugins")
@requires("plugin_read")
def plugins() -> Response:
    """Shows every plugin that was found."""
    # Sources, errors and notes name addresses and folders.
    detailed = current_account().everywhere
    return show(
        "plugins.html",
        records=current_services().registry.records,
        types=types(),
        own_pages=pages_of_types(),
        detailed=detailed,
    )
