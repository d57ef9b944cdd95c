"""Schema of the adoption of a Space that exists on a target."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma

from assembler_runner.api.schemas.space_input import check_name


class AdoptInput(ma.Schema):
    """A Space that exists on a target and is to be managed from now on."""

    example: ClassVar[dict[str, Any]] = {"target": "huggingface", "namespace": "my-org", "name": "greeter"}

    class Meta:
        """Unknown fields are errors."""

        unknown = ma.RAISE

    target = ma.fields.String(
        validate=ma.validate.OneOf(("huggingface", "local")), metadata={"description": "Where the Space is."}
    )
    namespace = ma.fields.String(
        required=True, validate=check_name, metadata={"description": "User or organisation that owns it."}
    )
    name = ma.fields.String(required=True, validate=check_name, metadata={"description": "Name of the Space."})
