"""Space type `static`: a website of plain files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from assembler_runner.plugin import (
    CommonOptions,
    Finding,
    SpacePlugin,
    Template,
    Tree,
    app_file_missing,
    app_file_option,
    on_card,
)


class LandingParameters(ma.Schema):
    """Parameters of the template `landing`."""

    headline = ma.fields.String(load_default="Welcome", metadata={"description": "Headline of the page."})
    text = ma.fields.String(load_default="Something new starts here.", metadata={"description": "Text below it."})
    button = ma.fields.String(load_default="Learn more", metadata={"description": "Text of the button."})
    link = ma.fields.Url(
        schemes={"http", "https"}, load_default="https://example.org", metadata={"description": "URL of the button."}
    )


class StaticPlugin(SpacePlugin):
    """A website of HTML, CSS and JavaScript; nothing runs on a server."""

    space_type = "static"
    version = "1.0.0"
    sdk = "static"
    description = "Website of HTML, CSS and JavaScript files; needs an index.html."
    tags = ("html", "website")
    parameter_files = True

    class Options(CommonOptions):
        """Options of a static Space."""

        app_file = app_file_option("index.html")
        app_build_command = ma.fields.String(
            validate=ma.validate.Length(1, 200),
            metadata=on_card("app_build_command", "Command that builds the site on the Hub, e.g. npm run build."),
        )

    def templates(self) -> list[Template]:
        """Returns a landing page."""
        return [self.template("landing", "A page with headline, text and button.", LandingParameters)]

    def check(self, tree: Tree, options: Mapping[str, Any]) -> list[Finding]:
        """Finds a missing start page, unless a build command generates it on the Hub."""
        if "app_build_command" in options:
            return []
        return app_file_missing(tree, options["app_file"], self.space_type)
