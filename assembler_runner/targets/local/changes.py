"""Operations on an existing local Space other than commits: settings, reading files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from assembler_runner.core.errors import TargetNotFound
from assembler_runner.targets.base import LiveFile, PublishedSpace
from assembler_runner.targets.local.apps_table import LocalApps


class StoredFile(NamedTuple):
    """One file of a commit; `blob_id` is git's id of its content."""

    path: str
    size: int
    blob_id: str


class OpenFile(NamedTuple):
    """One file of a commit, open for reading; `blob_id` is git's id of its content."""

    size: int
    blob_id: str
    content: BinaryIO


class LocalChanges:
    """A mixin of :class:`LocalTarget`, which accesses the repositories."""

    apps: LocalApps | None

    def files(self, namespace: str, name: str, oid: str | None) -> list[StoredFile]:
        """Lists the files of a commit."""
        raise NotImplementedError

    def open(self, namespace: str, name: str, path: str, oid: str | None) -> OpenFile | None:
        """Opens one file of a commit."""
        raise NotImplementedError

    def _read_details(self, space: PublishedSpace) -> dict[str, Any]:
        raise NotImplementedError

    def _change_details(self, space: PublishedSpace, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        raise NotImplementedError

    def set_visibility(self, space: PublishedSpace, visibility: str) -> None:
        """See :meth:`Target.set_visibility`."""
        self._change_details(space, lambda details: details | {"visibility": visibility})
        if self.apps is not None:
            self.apps.change(space.namespace, space.name, starts=False, visibility=visibility)

    def files_at(self, space: PublishedSpace, oid: str) -> dict[str, LiveFile]:
        """See :meth:`Target.files_at`."""
        found = self.files(space.namespace, space.name, oid)
        return {file.path: LiveFile(file.blob_id, file.size) for file in found}

    @contextmanager
    def open_file(self, space: PublishedSpace, path: str, oid: str) -> Iterator[BinaryIO]:
        """See :meth:`Target.open_file`."""
        opened = self.open(space.namespace, space.name, path, oid)
        if opened is None:
            raise TargetNotFound("The commit does not contain this file.")
        with opened.content as content:
            yield content

    def variables(self, space: PublishedSpace) -> dict[str, str]:
        """See :meth:`Target.variables`."""
        return dict(self._read_details(space).get("variables", {}))

    def set_variable(self, space: PublishedSpace, key: str, value: str | None) -> None:
        """See :meth:`Target.set_variable`."""

        def change(details: dict[str, Any]) -> dict[str, Any]:
            others = {name: other for name, other in details.get("variables", {}).items() if name != key}
            return details | {"variables": others if value is None else others | {key: value}}

        self._change_details(space, change)
        if self.apps is not None:
            self.apps.change(space.namespace, space.name)
