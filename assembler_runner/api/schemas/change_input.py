"""The JSON that changes a Space: updates, commands, and commands for many Spaces at once."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma

from assembler_runner.api.schemas.base import Flag
from assembler_runner.api.schemas.space_input import (
    BUCKET_FILE,
    HARDWARE,
    Archive,
    Expiry,
    Files,
    JsonObject,
    check_name,
    check_variable,
)

MACHINE_COMMANDS = ("restart", "factory_rebuild", "pause", "wake", "hardware")
COMMANDS = ("rollback", *MACHINE_COMMANDS, "move", "duplicate")
BULK_COMMANDS = ("delete", "restart", "factory_rebuild", "pause", "wake")
VISIBILITIES = ("public", "private", "protected")


class ChangedFiles(Files):
    """Files as in a Space request; null removes one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        given = {path: entry for path, entry in value.items() if entry is not None}
        gone = dict.fromkeys(path for path, entry in value.items() if entry is None)
        return {**super()._deserialize(given, attr, data, **kwargs), **gone}


class _Strict(ma.Schema):
    class Meta:
        """Unknown fields are errors."""

        unknown = ma.RAISE


class _WithCallback(_Strict):
    callback_url = ma.fields.String(
        metadata={"description": "Is told of every event of this request; see POST /webhooks."}
    )
    callback_secret = ma.fields.String(
        metadata={"description": "`whsec_` and base64; signs what callback_url is sent. A random one if left out."}
    )


def _values(description: str) -> ma.fields.Dict:
    return ma.fields.Dict(
        keys=ma.fields.String(validate=check_variable),
        values=ma.fields.String(allow_none=True),
        metadata={"description": description},
    )


def _labels() -> ma.fields.List[Any]:
    return ma.fields.List(
        ma.fields.String(validate=ma.validate.Length(1, 64)),
        validate=ma.validate.Length(max=50),
        metadata={"description": "Words to find it by."},
    )


def _hardware() -> ma.fields.String:
    return ma.fields.String(validate=ma.validate.OneOf(HARDWARE), metadata={"description": "Flavour of the machine."})


def _sleep_time() -> ma.fields.Integer:
    return ma.fields.Integer(
        strict=True,
        validate=ma.validate.Range(1, 10**8),
        metadata={"description": "Seconds without use until it sleeps."},
    )


def _visibility() -> ma.fields.String:
    return ma.fields.String(
        validate=ma.validate.OneOf(VISIBILITIES),
        metadata={"description": "Who sees it; protected: the app is public, its code is not."},
    )


def _force() -> Flag:
    return Flag(
        load_default=False,
        metadata={"description": "Go on although somebody else has committed to the Space."},
    )


class UpdateInput(_WithCallback):
    """What is to change; what is left out stays as it is."""

    example: ClassVar[dict[str, Any]] = {
        "mode": "merge",
        "files": {"index.html": "<h1>Hello again</h1>", "old.html": None},
    }

    files = ChangedFiles(
        metadata={
            "type": "object",
            "description": "Path → content as in POST /spaces; in mode merge null removes a file.",
            "example": {"index.html": "<h1>Hello again</h1>"},
        }
    )
    archive = Archive(
        metadata={**BUCKET_FILE, "description": "As in POST /spaces; its files count like those in files."}
    )
    mode = ma.fields.String(
        validate=ma.validate.OneOf(("replace", "merge")),
        metadata={"description": "replace (default): files are all there are; merge: only these files change."},
    )
    force = _force()
    space_type = ma.fields.String(
        metadata={"description": "Another type of the same sdk, or its newest version; the last one if left out."}
    )
    parameters = JsonObject(allow_none=True, metadata={"description": "Becomes PARAMS; null for none."})
    options = JsonObject(allow_none=True, metadata={"description": "Options of the type; null for the defaults."})
    template = ma.fields.String(allow_none=True, metadata={"description": "Starter app of the type; null for none."})
    name = ma.fields.String(metadata={"description": "Its present name; the command move gives it another one."})
    namespace = ma.fields.String(allow_none=True, metadata={"description": "Its present namespace; see name."})
    target = ma.fields.String(metadata={"description": "Its present target."})
    visibility = _visibility()
    secrets = _values("Secret environment variables; null removes one.")
    variables = _values("Public environment variables; null removes one.")
    hardware = _hardware()
    sleep_time = _sleep_time()
    labels = _labels()
    expires_at = Expiry()
    on_failure = ma.fields.String(
        validate=ma.validate.OneOf(("keep", "private", "delete")),
        metadata={"description": "What becomes of the Space if its first request fails and it stays empty."},
    )


class SpaceCommandInput(_WithCallback):
    """A command for a Space."""

    example: ClassVar[dict[str, Any]] = {"command": "restart"}

    command = ma.fields.String(required=True, validate=ma.validate.OneOf(COMMANDS))
    request_id = ma.fields.String(metadata={"description": "rollback: the succeeded request to return to."})
    force = _force()
    hardware = _hardware()
    sleep_time = _sleep_time()
    name = ma.fields.String(validate=check_name, metadata={"description": "move, duplicate: the new name."})
    namespace = ma.fields.String(validate=check_name, metadata={"description": "move, duplicate: the new namespace."})
    visibility = _visibility()
    secrets = ma.fields.Dict(
        keys=ma.fields.String(validate=check_variable),
        values=ma.fields.String(),
        metadata={"description": "duplicate: secrets of the copy; those of the original are not known."},
    )
    variables = _values("duplicate: variables of the copy that differ; null leaves one out.")
    labels = _labels()
    expires_at = Expiry()

    _BELONGS: ClassVar[dict[str, tuple[str, ...]]] = {
        "rollback": ("request_id", "force"),
        "hardware": ("hardware", "sleep_time"),
        "move": ("name", "namespace"),
        "duplicate": (
            *("name", "namespace", "visibility", "secrets", "variables", "hardware", "sleep_time"),
            *("labels", "expires_at"),
        ),
    }

    @ma.validates_schema(pass_original=True)
    def check_fields(self, data: dict[str, Any], original: Any, **kwargs: Any) -> None:
        """Checks that the fields belong to the command, and that what it needs is there."""
        command = data["command"]
        allowed = self._BELONGS.get(command, ())
        strange = set(original) - {"command", "callback_url", "callback_secret", *allowed}
        if strange:
            raise ma.ValidationError({name: [f"Does not belong to the command {command}."] for name in strange})
        if command == "rollback" and "request_id" not in data:
            raise ma.ValidationError({"request_id": ["Missing data for required field."]})
        if command in ("move", "hardware") and not any(name in data for name in allowed):
            raise ma.ValidationError({allowed[0]: [f"The command {command} needs {' or '.join(allowed)}."]})


class BulkInput(_Strict):
    """A command for all Spaces that a filter finds."""

    example: ClassVar[dict[str, Any]] = {"command": "delete", "filter": {"label": "course-2026"}, "dry_run": True}

    command = ma.fields.String(required=True, validate=ma.validate.OneOf(BULK_COMMANDS))
    filter = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(validate=ma.validate.Length(1, 1000)),
        required=True,
        validate=ma.validate.Length(min=1, error="Name at least one thing to find Spaces by."),
        metadata={"description": "As in GET /spaces: label, name, state … → value; all must fit."},
    )
    dry_run = Flag(
        load_default=False,
        metadata={"description": "Only tell which Spaces it would concern."},
    )
