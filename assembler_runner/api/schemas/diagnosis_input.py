"""The JSON that comes in for a diagnosis."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma

MOST_CHARACTERS = 4 * 2**20


class DiagnosisInput(ma.Schema):
    """A log, and what is known of the app that wrote it."""

    example: ClassVar[dict[str, Any]] = {
        "log": 'Traceback (most recent call last):\n  File "app.py", line 1, in <module>\n    import cv2\n'
        "ModuleNotFoundError: No module named 'cv2'\n",
        "kind": "run",
    }

    class Meta:
        """Unknown fields are errors."""

        unknown = ma.RAISE

    log = ma.fields.String(
        load_default="", validate=ma.validate.Length(max=MOST_CHARACTERS), metadata={"description": "The log."}
    )
    kind = ma.fields.String(
        load_default="run",
        validate=ma.validate.OneOf(("build", "run")),
        metadata={"description": "Which log it is: of the build, or of the app."},
    )
    space_type = ma.fields.String(allow_none=True, metadata={"description": "Type of the Space."})
    files = ma.fields.List(
        ma.fields.String(),
        load_default=list,
        validate=ma.validate.Length(max=10_000),
        metadata={"description": "Paths of the files of the Space."},
    )
    card = ma.fields.Dict(
        keys=ma.fields.String(), allow_none=True, metadata={"description": "Front matter of README.md."}
    )
    stage = ma.fields.String(allow_none=True, metadata={"description": "Stage as the Hub names it."})
    said = ma.fields.String(
        allow_none=True,
        validate=ma.validate.Length(max=100_000),
        metadata={"description": "What the Hub says of the error."},
    )
