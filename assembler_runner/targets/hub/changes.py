"""Operations on an existing Space on the Hub other than commits: settings, reading files, renaming."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from assembler_runner.core.errors import TargetForbidden
from assembler_runner.targets.base import Head, LiveFile, Machine, PublishedSpace
from assembler_runner.targets.existing import ExistingSpace
from assembler_runner.targets.hub.account import READ_ROLE, HubAccount
from assembler_runner.targets.hub.token_owner import TokenOwner

if TYPE_CHECKING:
    from huggingface_hub import HfApi


class HubChanges:
    """A mixin of :class:`HuggingFaceTarget`, which translates the library's exceptions; each call is one request."""

    _work_folder: Path
    _owner: TokenOwner

    @cached_property
    def _api(self) -> HfApi:
        raise NotImplementedError

    def _asking(self, action: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def _published(self, namespace: str, name: str) -> PublishedSpace:
        raise NotImplementedError

    def whoami(self) -> HubAccount:
        """Returns the account of the token."""
        raise NotImplementedError

    def existing(self, namespace: str, name: str) -> ExistingSpace:
        """See :meth:`Target.existing`; six requests."""
        if self.whoami().role == READ_ROLE:
            raise TargetForbidden(f"{self._owner.said_of} is read-only.", hint=self._owner.hint)
        with self._asking("find"):
            info = self._api.space_info(f"{namespace}/{name}")
            space = self._published(*info.id.split("/", 1))
            paths = frozenset(sibling.rfilename for sibling in info.siblings or [])
            visibility = getattr(info, "visibility", None) or ("private" if info.private else "public")
        with self._asking("write"):
            self._api.auth_check(info.id, repo_type="space", write=True)
            secrets = tuple(sorted(self._api.get_space_secrets(info.id)))
        machine = self.machine(space)
        return ExistingSpace(
            space=space,
            head=Head(info.sha, paths, info.created_at),
            sdk=str(info.sdk or ""),
            visibility=str(visibility),
            variables=self.variables(space),
            secret_names=secrets,
            stage=machine.stage,
            hardware=machine.hardware,
            sleep_time=machine.sleep_time,
        )

    def set_visibility(self, space: PublishedSpace, visibility: str) -> None:
        """See :meth:`Target.set_visibility`."""
        wanted: Any = visibility
        with self._asking("settings"):
            self._api.update_repo_settings(_id(space), repo_type="space", visibility=wanted)

    def files_at(self, space: PublishedSpace, oid: str) -> dict[str, LiveFile]:
        """See :meth:`Target.files_at`; one request for each thousand files."""
        from huggingface_hub.hf_api import RepoFile

        with self._asking("files"):
            rows = list(self._api.list_repo_tree(_id(space), recursive=True, revision=oid, repo_type="space"))
            return {
                row.path: LiveFile(row.lfs.sha256 if row.lfs else row.blob_id, row.size)
                for row in rows
                if isinstance(row, RepoFile)
            }

    @contextmanager
    def open_file(self, space: PublishedSpace, path: str, oid: str) -> Iterator[BinaryIO]:
        """See :meth:`Target.open_file`; two requests, three for a large file."""
        self._work_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._work_folder) as folder:
            with self._asking("file"):
                found = self._api.hf_hub_download(_id(space), path, revision=oid, repo_type="space", cache_dir=folder)
            with Path(found).open("rb") as file:
                yield file

    def variables(self, space: PublishedSpace) -> dict[str, str]:
        """See :meth:`Target.variables`."""
        with self._asking("variables"):
            return {key: variable.value for key, variable in self._api.get_space_variables(_id(space)).items()}

    def set_variable(self, space: PublishedSpace, key: str, value: str | None) -> None:
        """See :meth:`Target.set_variable`."""
        with self._asking("variables"):
            if value is None:
                self._api.delete_space_variable(_id(space), key)
            else:
                self._api.add_space_variable(_id(space), key, value)

    def set_secret(self, space: PublishedSpace, key: str, value: str | None) -> None:
        """See :meth:`Target.set_secret`."""
        with self._asking("secrets"):
            if value is None:
                self._api.delete_space_secret(_id(space), key)
            else:
                self._api.add_space_secret(_id(space), key, value)

    def machine(self, space: PublishedSpace) -> Machine:
        """See :meth:`Target.machine`."""
        with self._asking("machine"):
            runtime = self._api.get_space_runtime(_id(space))
            return Machine(str(runtime.stage), runtime.requested_hardware, runtime.sleep_time)

    def set_hardware(self, space: PublishedSpace, flavor: str, sleep_time: int | None) -> None:
        """See :meth:`Target.set_hardware`."""
        wanted: Any = flavor
        with self._asking("hardware"):
            self._api.request_space_hardware(_id(space), wanted, sleep_time=sleep_time)

    def set_sleep_time(self, space: PublishedSpace, seconds: int) -> None:
        """See :meth:`Target.set_sleep_time`."""
        with self._asking("sleeptime"):
            self._api.set_space_sleep_time(_id(space), seconds)

    def restart(self, space: PublishedSpace, *, factory: bool = False) -> None:
        """See :meth:`Target.restart`."""
        with self._asking("restart"):
            self._api.restart_space(_id(space), factory_reboot=factory)

    def pause(self, space: PublishedSpace) -> None:
        """See :meth:`Target.pause`."""
        with self._asking("pause"):
            self._api.pause_space(_id(space))

    def move(self, space: PublishedSpace, namespace: str, name: str) -> PublishedSpace:
        """See :meth:`Target.move`."""
        with self._asking("move"):
            self._api.move_repo(_id(space), f"{namespace}/{name}", repo_type="space")
        return self._published(namespace, name)


def _id(space: PublishedSpace) -> str:
    return f"{space.namespace}/{space.name}"
