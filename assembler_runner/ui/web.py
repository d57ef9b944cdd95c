"""All web pages for people, added to an application."""

from __future__ import annotations

from flask import Flask

from assembler_runner.ui import (
    account_pages,
    audit_page,
    layout,
    live,
    my_account,
    new,
    plugin_page,
    realm_page,
    request_pages,
    saved_views,
    sign_in,
    single_sign_on,
    space,
    space_list,
    webhook_pages,
)

VIEWS = (
    account_pages,
    audit_page,
    live,
    my_account,
    new,
    plugin_page,
    realm_page,
    request_pages,
    saved_views,
    sign_in,
    single_sign_on,
    space,
    space_list,
    webhook_pages,
)
"""The modules whose views the blueprint of the pages has."""


def add_web_pages(app: Flask) -> None:
    """Adds the pages for people, the sign-in and the pages of errors to an application."""
    layout.configure(app)
    app.register_blueprint(sign_in.start)
    app.register_blueprint(layout.pages)
