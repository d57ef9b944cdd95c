"""Fields of bodies that every database can store, and the base of the schemas of bodies."""

from __future__ import annotations

import re
import uuid
from typing import Any

import marshmallow as ma

from assembler_runner.accounts.names import is_id, is_name
from assembler_runner.core.listing import snake

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Text(ma.fields.String):
    """Text that every database can store."""

    default_error_messages = {"control": "Must not contain control characters or lone surrogates."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is not None and _CONTROL.search(text):
            raise self.make_error("control")
        return text


class Id(Text):
    """A UUID, in its canonical form."""

    default_error_messages = {"id": "Must be an id (UUID)."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return str(uuid.UUID(text))
        except ValueError:
            raise self.make_error("id") from None


def check_account_name(name: str) -> None:
    """Checks the name of a realm, an account, a role or a permission.

    Raises:
        marshmallow.ValidationError: the name is invalid.
    """
    if is_name(name):
        return
    if is_id(name):
        raise ma.ValidationError("Must not look like an id.")
    raise ma.ValidationError("Must be 1 to 64 letters, digits or . _ - @ +, and start with a letter, digit or _.")


def name() -> Text:
    """Returns a field for a required name."""
    return Text(required=True, validate=check_account_name, metadata={"description": "Name, unique in the realm."})


def text(length: int, doc: str) -> Text:
    """Returns a field for a text that may be null.

    Args:
        length: maximum number of characters.
        doc: description for the documentation.
    """
    return Text(allow_none=True, validate=ma.validate.Length(max=length), metadata={"description": doc})


def password(doc: str) -> ma.fields.String:
    """Returns a write-only field for a password or secret."""
    return ma.fields.String(
        allow_none=True, load_only=True, validate=ma.validate.Length(8, 512), metadata={"description": doc}
    )


def quota(doc: str) -> ma.fields.Integer:
    """Returns a field for a quota."""
    return ma.fields.Integer(
        strict=True, allow_none=True, validate=ma.validate.Range(0, 2**31 - 1), metadata={"description": doc}
    )


class Input(ma.Schema):
    """Base of the schemas of bodies."""

    class Meta:
        """Unknown fields are errors, so that undeclared columns cannot be written."""

        unknown = ma.RAISE

    ignored: tuple[str, ...] = ()

    @ma.pre_load
    def read_keys(self, data: Any, **kwargs: Any) -> Any:
        """Accepts camelCase keys, and drops fields of published clients that have no meaning here."""
        if not isinstance(data, dict):
            return data
        read: dict[str, Any] = {}
        for key, value in data.items():
            known = snake(key) if snake(key) in self.fields else key
            if known in read:
                raise ma.ValidationError({key: ["Was sent twice, in snake_case and in camelCase."]})
            if snake(key) not in self.ignored:
                read[known] = value
        return read
