"""Space type `gradio`: a Python app built with Gradio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from assembler_runner.plugin import (
    CommonOptions,
    Finding,
    SpacePlugin,
    Tree,
    app_file_missing,
    app_file_option,
    on_card,
    python_version_option,
)


class GradioPlugin(SpacePlugin):
    """A Gradio app; the Hub installs Gradio and runs the app file."""

    space_type = "gradio"
    version = "1.0.0"
    sdk = "gradio"
    description = "Interactive Python app built with Gradio; needs an app.py."
    tags = ("python", "app", "demo")

    class Options(CommonOptions):
        """Options of a Gradio Space."""

        app_file = app_file_option("app.py")
        python_version = python_version_option()
        sdk_version = ma.fields.String(
            load_default="6.31.0",
            validate=ma.validate.Regexp(r"^[0-9]+\.[0-9]+\.[0-9]+(?!\n)$"),
            metadata=on_card("sdk_version", "Gradio version the Hub installs."),
        )

    def check(self, tree: Tree, options: Mapping[str, Any]) -> list[Finding]:
        """Finds a missing app file."""
        return app_file_missing(tree, options["app_file"], self.space_type)
