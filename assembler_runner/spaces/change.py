"""What a request changes besides files, parameters, options and settings: the column `change`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import sqlalchemy as sa

from assembler_runner.core.database import JsonText


@dataclass(frozen=True)
class Slots:
    """The slots of a Space that is moved.

    Args:
        old: its current slot, or None.
        new: its new slot.
    """

    old: str | None
    new: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a request changes its Space.

    Args:
        mode: whether the given files replace all files or are merged into them; None if there are no files.
        force: overwrite foreign commits.
        if_match: commits, one of which must be live; None for any.
        tree: whether the request changes files.
        base: id of the request it builds on, if that had not ended yet.
        release: id of the request whose tree is published again.
        touched: paths named by the caller.
        template: name of the template the tree was assembled from.
        with_parameters: whether parameters were given; None if that was not recorded.
        space_type: the new type of the Space, if it changes.
        name: the requested name, or the one a Space is moved to.
        namespace: the namespace a Space is moved to.
        slots: the slots of a Space that is moved.
        git: url, ref, subdirectory and commit of the repository that files were read from.
        verify: whether the app is run first and published only if it answers.
    """

    mode: Literal["replace", "merge"] | None = None
    force: bool = False
    if_match: tuple[str, ...] | None = None
    tree: bool = True
    base: str | None = None
    release: str | None = None
    touched: tuple[str, ...] = ()
    template: str | None = None
    with_parameters: bool | None = None
    space_type: str | None = None
    name: str | None = None
    namespace: str | None = None
    slots: Slots | None = None
    git: Mapping[str, str] | None = None
    verify: bool = False

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON object without the fields that have their default."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {field.name: _plain(values[field.name]) for field in fields(self) if values[field.name] != field.default}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Change:
        """Reverses :meth:`to_json`.

        Args:
            data: the JSON object.
        """
        values = dict(data)
        for name in ("if_match", "touched"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        if values.get("slots"):
            values["slots"] = Slots(**values["slots"])
        return cls(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, Slots):
        return asdict(value)
    return list(value) if isinstance(value, tuple) else value


class ChangeJson(sa.TypeDecorator[Change]):
    """A :class:`Change` as JSON."""

    impl = JsonText
    cache_ok = True

    def process_bind_param(self, value: Change | None, dialect: sa.Dialect) -> Any:
        """Serializes the change as JSON."""
        return {} if value is None else value.to_json()

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Change:
        """Parses the stored JSON."""
        return Change.from_json(value or {})
