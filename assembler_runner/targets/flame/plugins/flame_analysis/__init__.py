"""Space type `flame-analysis`: the code of an analysis on a FLAME Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from assembler_runner.plugin import Finding, SpaceFile, SpacePlugin, Tree, app_file_missing


class FlameAnalysisPlugin(SpacePlugin):
    """The code of an analysis; nodes of a project run it."""

    space_type = "flame-analysis"
    version = "1.0.0"
    sdk = "flame"
    description = "Analysis on a FLAME Hub: Python files that nodes of a project run; target flame."
    tags = ("flame", "python")

    class Options(ma.Schema):
        """Options of an analysis; they are written to flame.json."""

        app_file = ma.fields.String(
            load_default="main.py",
            validate=ma.validate.Length(1, 255),
            metadata={"description": "The entrypoint: the file that is started."},
        )
        master_image = ma.fields.String(
            validate=ma.validate.Length(1, 255),
            metadata={"description": "Virtual path of the master image, e.g. python/base; by default the project's."},
        )
        command_arguments = ma.fields.List(
            ma.fields.String(validate=ma.validate.Length(1, 1000)),
            load_default=list,
            validate=ma.validate.Length(max=100),
            metadata={"description": "Arguments of the command."},
        )
        until = ma.fields.String(
            load_default="prepare",
            validate=ma.validate.OneOf(("prepare", "lock", "build")),
            metadata={
                "description": "prepare: upload and configure; lock: also lock the configuration, which needs approved "
                "nodes; build: also start the build."
            },
        )

    def defaults(self, options: Mapping[str, Any]) -> list[SpaceFile]:
        """Returns flame.json, which says what the analysis runs with."""
        values = {
            "entrypoint": options["app_file"],
            "master_image": options.get("master_image"),
            "command_arguments": options["command_arguments"],
            "until": options["until"],
        }
        return [SpaceFile("flame.json", (json.dumps(values, indent=1) + "\n").encode())]

    def check(self, tree: Tree, options: Mapping[str, Any]) -> list[Finding]:
        """Finds a missing entrypoint, and names that a FLAME Hub does not keep."""
        findings = app_file_missing(tree, options["app_file"], self.space_type)
        for path in tree:
            if not path.isascii():
                message = f"A FLAME Hub does not keep the name {path!r}: it has characters other than ASCII."
                findings.append(Finding("flame_path", message, path=path, hint="Rename the file."))
        return findings
