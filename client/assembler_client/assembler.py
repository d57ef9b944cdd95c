"""The high-level client: deploy, update, roll back, delete and inspect Spaces with one call each."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal, TypeAlias, Unpack

import httpx

from assembler_client.auth import PasswordAuth, StaticAuth
from assembler_client.auth_client import AuthCalls
from assembler_client.core_client import CoreCalls
from assembler_client.errors import invalid_input
from assembler_client.inputs import SpaceChanges, SpaceFields
from assembler_client.lookup import Named, find_space, release_before
from assembler_client.models import Event, Finding, Log, Preview, Space
from assembler_client.remembered import completed
from assembler_client.sansio.steps import Flow, Item, Notify, Step, method, stream
from assembler_client.storage_client import StorageCalls
from assembler_client.transport import PATIENCE, TIMEOUT, AsyncClient, SyncClient
from assembler_client.types import Ref
from assembler_client.upload import Source, UploadListener, gather, upload
from assembler_client.wait import WAIT_SECONDS, Listener, SpaceListener, waiting_for

Login: TypeAlias = httpx.Auth | tuple[str, str] | str | None
"""An Auth object, (user, password), or a token."""


class AssemblerCalls(AuthCalls, CoreCalls, StorageCalls):
    """The methods of all three clients, and methods that combine several calls."""

    @method
    def find(self, space: Named) -> Flow[Space]:
        """Finds a Space.

        Args:
            space: the Space, its id, its name, or namespace/name.
        Raises:
            NotFound: the Space does not exist.
            InvalidRequest: several Spaces have this name.
        """
        return (yield from find_space(self, space))

    @method
    def deploy(
        self,
        source: Source | None = None,
        *,
        wait: bool = True,
        timeout: float = WAIT_SECONDS,
        on_event: Listener | None = None,
        on_accepted: SpaceListener | None = None,
        on_upload: UploadListener | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[SpaceFields],
    ) -> Flow[Space]:
        """Creates a Space from a folder, files or an archive, and waits until its app runs.

        From a folder all files are sent, except environments, files that usually hold secrets, and those ignored by
        `.gitignore` and `.assemblerignore`; `assembler_client.folder.collect` returns which. Small files are sent in
        the request, large ones are uploaded first, unless the service already has them. The call survives lost
        connections and restarts of the service, and creates exactly one Space.

        Args:
            source: a folder, a file, a zip or tar archive, several files, or a mapping of path → content; None if the
                files come from `git` or `template`.
            wait: whether to wait until the app runs.
            timeout: maximum wait in seconds.
            on_event: called with each event.
            on_accepted: called with the Space and its `findings` when the request is accepted, before the wait.
            on_upload: called with the progress of uploads.
            idempotency_key: the same key and input return the same Space; generated if omitted.
            fields: `space_type` (recognized by the service if omitted), `name`, `parameters`, `options`, `secrets` …
        Returns:
            The Space.
        Raises:
            InvalidRequest: the input is not valid; `issues` lists all problems.
            RequestFailed: publishing failed.
            AppFailed: the Space is published, but its app does not run; `problem` has the cause and what to do.
            WaitTimeout: the timeout has expired.
        """
        sent = (yield from upload(self, gather(source), on_upload)) if source is not None else {}
        body: Any = {**completed(source, fields), **sent}
        space = yield from CoreCalls.create_space(self, idempotency_key=idempotency_key, **body)
        if on_accepted is not None:
            yield Notify(on_accepted, space)
        return (yield from waiting_for(space, wait, timeout, on_event))

    @method
    def adopt(self, space: str, *, target: str | None = None) -> Flow[Space]:
        """Manages a Space that exists on a target from now on.

        Its files become the first release; nothing is changed on the target.

        Args:
            space: namespace/name.
            target: `huggingface` or `local`; defaults to the default target of the realm.
        Raises:
            Conflict: the Space is already managed.
            NotFound: the Space does not exist, or the token may not see it.
        """
        namespace, slash, name = space.partition("/")
        if not (namespace and slash and name):
            message = f"{space} is not the name of a Space."
            raise invalid_input(
                [Finding(code="invalid_field", path="space", message=message, hint="Write NAMESPACE/NAME.")]
            )
        return (yield from CoreCalls.adopt_space(self, namespace, name, target=target))

    @method
    def preview(
        self,
        source: Source | None = None,
        *,
        space: Named | None = None,
        content: bool = False,
        on_upload: UploadListener | None = None,
        **fields: Unpack[SpaceChanges],
    ) -> Flow[Preview]:
        """Returns the tree that would be published, with all findings; publishes nothing.

        Args:
            source: as for `deploy`.
            space: an existing Space to compare with; the preview then has a `diff`.
            content: whether to include the contents of files.
            on_upload: called with the progress of uploads.
            fields: as for `deploy` or `update`.
        """
        sent: Any = (yield from upload(self, gather(source), on_upload)) if source is not None else {}
        if space is None:
            return (yield from CoreCalls.preview_space(self, content=content, **{**completed(source, fields), **sent}))
        found = yield from find_space(self, space)
        changes = {**completed(source, fields), **sent}
        return (yield from CoreCalls.preview_update(self, found, content=content, **changes))

    @method
    def update(
        self,
        space: Named,
        source: Source | None = None,
        *,
        wait: bool = True,
        timeout: float = WAIT_SECONDS,
        on_event: Listener | None = None,
        on_accepted: SpaceListener | None = None,
        on_upload: UploadListener | None = None,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[SpaceChanges],
    ) -> Flow[Space]:
        """Changes a Space, and waits until the app runs with the change.

        Args:
            space: the Space, its id or its name.
            source: the complete new set of files; with `mode="merge"` only the changed files.
            wait: whether to wait until the app runs.
            timeout: maximum wait in seconds.
            on_event: called with each event.
            on_accepted: called with the Space and its `findings` when the request is accepted, before the wait.
            on_upload: called with the progress of uploads.
            if_match: the commit that the Space must be at.
            idempotency_key: the same key and input return the same change; generated if omitted.
            fields: other changes; omitted fields stay unchanged.
        Returns:
            The Space.
        Raises:
            Conflict: the Space was changed outside this service, or is at another commit than `if_match`.
            RequestFailed: publishing failed.
            AppFailed: the change is published, but the app does not run.
        """
        found = yield from find_space(self, space)
        sent = (yield from upload(self, gather(source), on_upload)) if source is not None else {}
        changes = {**completed(source, fields), **sent}
        asked = yield from CoreCalls.update_space(
            self, found, if_match=if_match, idempotency_key=idempotency_key, **changes
        )
        if on_accepted is not None:
            yield Notify(on_accepted, asked)
        return (yield from waiting_for(asked, wait, timeout, on_event))

    @method
    def rollback(
        self,
        space: Named,
        to: Ref | None = None,
        *,
        force: bool = False,
        wait: bool = True,
        timeout: float = WAIT_SECONDS,
        on_event: Listener | None = None,
    ) -> Flow[Space]:
        """Rolls a Space back to an earlier release: publishes its files again, in one new commit.

        Args:
            space: the Space, its id or its name.
            to: the request that published the release; defaults to the previous release.
            force: whether to overwrite commits made outside this service.
            wait: whether to wait until the app runs.
            timeout: maximum wait in seconds.
            on_event: called with each event.
        Raises:
            NotFound: there is no earlier release.
        """
        found = yield from find_space(self, space)
        target = to if to is not None else (yield from release_before(self, found))
        request = yield from CoreCalls.command_space(self, found, "rollback", request_id=target, force=force)
        asked = found.model_copy(update={"latest_request": request})
        return (yield from waiting_for(asked, wait, timeout, on_event))

    @method
    def apply_fix(
        self, space: Named, *, wait: bool = True, timeout: float = WAIT_SECONDS, on_event: Listener | None = None
    ) -> Flow[Space]:
        """Applies the fix of a Space's problem, in one new commit.

        Args:
            space: the Space, its id or its name.
            wait: whether to wait until the app runs.
            timeout: maximum wait in seconds.
            on_event: called with each event.
        Raises:
            Conflict: there is no problem, no fix is known, or the files have changed.
        """
        found = yield from find_space(self, space)
        request = yield from CoreCalls.command_space(self, found, "apply_fix")
        asked = found.model_copy(update={"latest_request": request})
        return (yield from waiting_for(asked, wait, timeout, on_event))

    @method
    def delete(
        self, space: Named, *, wait: bool = True, timeout: float = WAIT_SECONDS, on_event: Listener | None = None
    ) -> Flow[None]:
        """Deletes a Space, including its repository on the target.

        Args:
            space: the Space, its id or its name.
            wait: whether to wait until it is deleted.
            timeout: maximum wait in seconds.
            on_event: called with each event.
        """
        found = yield from find_space(self, space)
        asked = yield from CoreCalls.delete_space(self, found)
        yield from waiting_for(asked, wait, timeout, on_event)

    @method
    def logs(self, space: Named, *, kind: Literal["run", "build"] = "run", tail: int = 200) -> Flow[Log]:
        """Gets the last lines of a log of a Space.

        Args:
            space: the Space, its id or its name.
            kind: `run` for the log of the app, `build` for that of its build.
            tail: number of lines.
        """
        found = yield from find_space(self, space)
        return (yield from CoreCalls.get_logs(self, found, kind=kind, tail=tail))

    @stream
    def events(
        self, space: Named, *, after: int = 0, follow: bool = False, timeout: float | None = None
    ) -> Generator[Step | Item[Event], Any, None]:
        """Yields the events of a Space, oldest first.

        Args:
            space: the Space, its id or its name.
            after: id of the last known event.
            follow: whether to continue with new events.
            timeout: seconds until following ends; None for no limit.
        """
        found = yield from find_space(self, space)
        if follow:
            yield from CoreCalls.follow_events(self, found, after=after, timeout=timeout)
            return
        while rows := (yield from CoreCalls.get_events(self, found, after=after)):
            for row in rows:
                yield Item(row)
            after = rows[-1].id


class Assembler(AssemblerCalls, SyncClient):
    """The high-level client of a service, with all methods of the three clients.

    Args:
        base_url: URL of the service, such as `http://127.0.0.1:5005`.
        auth: an Auth object, (user, password), or a token.
        client: your own httpx.Client instead of `auth`, `timeout`, `proxy` and `verify`; you must close it.
        timeout: seconds, or httpx.Timeout.
        proxy: proxy URL.
        verify: False to skip certificate checks, or an SSL context.
        patience: seconds to retry safe requests while the service is unavailable.
    """

    def __init__(
        self,
        base_url: str,
        auth: Login = None,
        client: httpx.Client | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT,
        proxy: str | None = None,
        verify: Any = True,
        patience: float = PATIENCE,
    ) -> None:
        login = _login(base_url, auth)
        super().__init__(base_url, login, client, timeout=timeout, proxy=proxy, verify=verify, patience=patience)


class AsyncAssembler(AssemblerCalls, AsyncClient):
    """The asyncio counterpart of :class:`Assembler`.

    Args:
        base_url: URL of the service.
        auth: an Auth object, (user, password), or a token.
        client: your own httpx.AsyncClient; you must close it.
        timeout: seconds, or httpx.Timeout.
        proxy: proxy URL.
        verify: False to skip certificate checks, or an SSL context.
        patience: seconds to retry safe requests while the service is unavailable.
    """

    def __init__(
        self,
        base_url: str,
        auth: Login = None,
        client: httpx.AsyncClient | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT,
        proxy: str | None = None,
        verify: Any = True,
        patience: float = PATIENCE,
    ) -> None:
        login = _login(base_url, auth)
        super().__init__(base_url, login, client, timeout=timeout, proxy=proxy, verify=verify, patience=patience)


def _login(base_url: str, auth: Login) -> httpx.Auth | None:
    if isinstance(auth, str):
        return StaticAuth(auth)
    if isinstance(auth, tuple):
        return PasswordAuth(*auth, base_url=base_url)
    return auth
