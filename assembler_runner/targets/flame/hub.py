"""Calls to a FLAME Hub with the published client, each translated: projects, analyses, buckets."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, BinaryIO, TypeVar

from assembler_runner.core.errors import AssemblerError, TargetNotFound, TargetRefused, TargetUnavailable
from assembler_runner.core.settings import Settings
from assembler_runner.core.visible import visible
from assembler_runner.targets.flame.errors import translated

T = TypeVar("T")
PAGE = 50
CONNECT_SECONDS = 5.0
_UPLOADS = 20
_POLL_SECONDS = 0.2


class FlameClientMissing(AssemblerError):
    """The package flame-hub-client is not installed, or in a version that is not supported."""

    code = "flame_client_missing"
    default_message = "The target flame needs the package flame-hub-client 1.x."
    default_hint = "Install it where the service and its workers run: pip install 'assembler-runner[flame]'."


class FlameHub:
    """One user's access to a FLAME Hub.

    Args:
        settings: addresses, login and times.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: list[Any] = []

    def close(self) -> None:
        """Closes the connections; the next call opens new ones."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        for name in ("_auth", "_core", "_storage"):
            self.__dict__.pop(name, None)

    def project(self, name: str) -> Any:
        """Returns a project by its name.

        Raises:
            TargetNotFound: there is none.
        """
        with translated("find project"):
            found = self._core.find_projects(filter={"name": name})
        for project in found:
            if project.name == name:
                return project
        hint = "Create the project on the FLAME Hub first, and name it in namespace."
        raise TargetNotFound("The FLAME Hub has no project of this name, or does not show it.", hint=hint)

    def analysis(self, project_id: Any, name: str) -> Any:
        """Returns an analysis of a project by its name, or None."""
        with translated("find analysis"):
            found = self._core.find_analyses(filter={"project_id": str(project_id), "name": name})
        return next((row for row in found if row.name == name and row.project_id == project_id), None)

    def create_analysis(self, project: Any, name: str) -> Any:
        """Creates an analysis."""
        with translated("create analysis"):
            return self._core.create_analysis(project_id=project.id, name=name, master_image_id=project.master_image_id)

    def describe(self, analysis: Any, description: str) -> None:
        """Sets the description of an analysis."""
        with translated("describe analysis"):
            self._core.update_analysis(analysis.id, description=description)

    def configure(self, analysis: Any, image: str | None, arguments: list[str]) -> None:
        """Sets what an analysis runs with.

        Args:
            analysis: the analysis.
            image: virtual path of the master image; None: that of the project stays.
            arguments: arguments of the command.
        Raises:
            TargetRefused: there is no such master image.
        """
        values: dict[str, Any] = {}
        if image is not None:
            with translated("find master image"):
                images = self._core.find_master_images(filter={"virtual_path": image})
            if not images:
                hint = "Correct options.master_image."
                raise TargetRefused(f"The FLAME Hub has no master image {visible(image)!r}.", hint=hint)
            values["master_image_id"] = images[0].id
        if arguments:
            values["image_command_arguments"] = [{"value": value, "position": "after"} for value in arguments]
        if values:
            with translated("configure analysis"):
                self._core.update_analysis(analysis.id, **values)

    def command(self, analysis: Any, command: str) -> Any:
        """Sends a command to an analysis, and returns what it is afterwards."""
        with translated(command):
            return self._core.send_analysis_command(analysis.id, command)

    def delete_analysis(self, analysis: Any) -> None:
        """Deletes an analysis; does nothing if it is gone."""
        try:
            with translated("delete analysis"):
                self._core.delete_analysis(analysis.id)
        except TargetNotFound:
            return

    def code_bucket(self, analysis: Any, *, wait: bool) -> Any:
        """Returns the bucket of an analysis' code: the Hub makes it some time after the analysis.

        Args:
            analysis: the analysis.
            wait: whether to wait for it; else None is returned if it is not there.
        Raises:
            TargetUnavailable: it was not made in time.
        """

        def look() -> Any:
            with translated("find bucket"):
                found = self._core.find_analysis_buckets(filter={"analysis_id": str(analysis.id), "type": "CODE"})
            return found[0] if found else None

        if (found := look()) is not None or not wait:
            return found
        # Made again if it was lost; a no-op if it is on its way.
        self.command(analysis, "storageCheck")
        return self._until(look, "the bucket of the analysis")

    def files(self, bucket: Any) -> list[Any]:
        """Returns all files of a bucket, by path."""
        rows = self._all(self._storage_pages, {"bucket_id": str(bucket.bucket_id)})
        return sorted(rows, key=lambda row: (str(row.path), str(row.id)))

    def remove(self, rows: Iterable[Any]) -> None:
        """Deletes files of a bucket."""
        for row in rows:
            try:
                with translated("delete file"):
                    self._storage.delete_bucket_file(row.id)
            except TargetNotFound:
                continue

    def upload(self, bucket: Any, files: Iterable[tuple[str, BinaryIO]]) -> None:
        """Uploads files, some at a time."""
        waiting = list(files)
        for start in range(0, len(waiting), _UPLOADS):
            some: Any = [{"file_name": path, "content": content} for path, content in waiting[start : start + _UPLOADS]]
            with translated("upload"):
                self._storage.upload_to_bucket(bucket.bucket_id, *some)

    def open(self, row: Any) -> Iterator[bytes]:
        """Yields the content of a file."""
        with translated("download"):
            yield from self._storage.stream_bucket_file(row.id, chunk_size=2**18)

    def set_entrypoint(self, analysis: Any, path: str) -> None:
        """Makes a file the one that is started; waits for its link, which the Hub makes after the upload."""

        def look() -> Any:
            rows = self._all(self._link_pages, {"analysis_id": str(analysis.id)})
            return next((row for row in rows if row.path == path), None)

        link = self._until(look, "the link of the entrypoint")
        if not link.root:
            with translated("set entrypoint"):
                self._core.update_analysis_bucket_file(link.id, is_entrypoint=True)

    def logs(self, analysis: Any) -> list[Any]:
        """Returns the log lines of an analysis, oldest first."""
        with translated("logs"):
            return list(self._core.find_analysis_logs(filter={"analysis_id": str(analysis.id)}))

    def _until(self, look: Callable[[], T | None], what: str) -> T:
        until = time.monotonic() + self._settings.FLAME_WAIT
        while (found := look()) is None:
            if time.monotonic() > until:
                raise TargetUnavailable(f"The FLAME Hub did not make {what} in {self._settings.FLAME_WAIT:g} s.")
            time.sleep(_POLL_SECONDS)
        return found

    def _all(self, pages: Callable[[dict[str, Any], dict[str, int]], list[Any]], wanted: dict[str, Any]) -> list[Any]:
        rows: list[Any] = []
        while True:
            with translated("list"):
                found = pages(wanted, {"limit": PAGE, "offset": len(rows)})
            rows += found
            if len(found) < PAGE:
                return rows

    def _storage_pages(self, wanted: dict[str, Any], page: dict[str, int]) -> list[Any]:
        return list(self._storage.find_bucket_files(filter=wanted, page=page))

    def _link_pages(self, wanted: dict[str, Any], page: dict[str, int]) -> list[Any]:
        return list(self._core.find_analysis_bucket_files(filter=wanted, page=page))

    @cached_property
    def _auth(self) -> Any:
        from flame_hub.auth import PasswordAuth

        settings = self._settings
        client = self._client(settings.FLAME_AUTH_URL, None)
        return PasswordAuth(settings.FLAME_USERNAME, settings.FLAME_PASSWORD, client=client)

    @cached_property
    def _core(self) -> Any:
        _check_version()
        from flame_hub import CoreClient

        address = self._settings.FLAME_CORE_URL
        return CoreClient(base_url=address, client=self._client(address, self._auth))

    @cached_property
    def _storage(self) -> Any:
        _check_version()
        from flame_hub import StorageClient

        address = self._settings.FLAME_STORAGE_URL
        return StorageClient(base_url=address, client=self._client(address, self._auth))

    def _client(self, address: str, auth: Any) -> Any:
        """The client's own has no time limits, and other addresses than ours as defaults."""
        import httpx2

        timeout = httpx2.Timeout(self._settings.HUB_TIMEOUT, connect=CONNECT_SECONDS)
        self._clients.append(httpx2.Client(base_url=address, auth=auth, timeout=timeout))
        return self._clients[-1]


def tree_id(rows: Iterable[Any]) -> str | None:
    """Returns an id of the files of a bucket, or None for none: every upload makes new rows.

    The Hub's own `hash` is of the name of a file, not of its content.
    """
    lines = [f"{row.path}\0{row.id}\n" for row in rows]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:40] if lines else None


def _check_version() -> None:
    try:
        found = version("flame-hub-client")
    except PackageNotFoundError:
        raise FlameClientMissing from None
    if not found.startswith("1."):
        raise FlameClientMissing(f"flame-hub-client {found} is installed; the target flame needs 1.x.")
