"""Space type `docker`: any app in a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from assembler_runner.plugin import (
    CommonOptions,
    Finding,
    SpaceFile,
    SpacePlugin,
    Tree,
    app_file_missing,
    app_file_option,
    on_card,
    python_dockerfile,
    python_version_option,
)


class DockerPlugin(SpacePlugin):
    """An app in a container; without a Dockerfile a Python app is assumed."""

    space_type = "docker"
    version = "1.0.0"
    sdk = "docker"
    description = (
        "Any app in a container; without a Dockerfile, app.py is run with Python and must listen on port 7860."
    )
    tags = ("container", "python", "app")

    class Options(CommonOptions):
        """Options of a Docker Space."""

        app_port = ma.fields.Integer(
            strict=True,
            load_default=7860,
            validate=ma.validate.Range(1, 65535),
            metadata=on_card("app_port", "Port the app listens on."),
        )
        app_file = app_file_option("app.py", card=False)
        python_version = python_version_option(card=False)

    def defaults(self, options: Mapping[str, Any]) -> list[SpaceFile]:
        """Returns requirements.txt and a Dockerfile that runs the app file."""
        dockerfile = python_dockerfile(options["python_version"], options["app_port"], ["python", options["app_file"]])
        return [*super().defaults(options), dockerfile]

    def check(self, tree: Tree, options: Mapping[str, Any]) -> list[Finding]:
        """Finds a default Dockerfile that has nothing to run."""
        if tree["Dockerfile"].origin == "given":
            return []
        return app_file_missing(tree, options["app_file"], self.space_type)
