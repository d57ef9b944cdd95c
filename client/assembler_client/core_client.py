"""Spaces, their requests, events and logs, space types, plugins and webhooks."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Literal, Unpack
from uuid import uuid4

from assembler_client.app_calls import AppCalls
from assembler_client.archive import with_contents
from assembler_client.inputs import (
    BulkChanges,
    CommandFields,
    DiagnosisFields,
    NewWebhook,
    SpaceChanges,
    SpaceFields,
    WebhookChanges,
    body_of,
    plain,
)
from assembler_client.models import (
    Bulk,
    Delivery,
    Event,
    FixPreview,
    Health,
    Log,
    Preview,
    Problem,
    Request,
    Space,
    Webhook,
    WebhookCommandAnswer,
)
from assembler_client.request_calls import RequestCalls
from assembler_client.sansio.calls import create, finding, finding_one, getting, iterating, listing, one, parsed, update
from assembler_client.sansio.steps import Ask, Call, Flow, Item, Send, Step, method, stream
from assembler_client.streams import Follower, log_lines
from assembler_client.transport import AsyncClient, SyncClient
from assembler_client.type_calls import TypeCalls
from assembler_client.types import Filter, Ref, id_of, query
from assembler_client.wait import WAIT_SECONDS, Listener, deadline_in, waiting


class CoreCalls(AppCalls, RequestCalls, TypeCalls):
    """Methods for everything except accounts and buckets, synchronous and asynchronous."""

    get_spaces = listing("/spaces", Space)
    find_spaces = finding("/spaces", Space)
    find_one_space = finding_one("/spaces", Space)
    iter_spaces = iterating("/spaces", Space)

    @method
    def get_space(self, space: Ref, *, refresh: bool = False) -> Call[Space | None]:
        """Gets one Space, or None if it does not exist.

        Args:
            space: the Space.
            refresh: whether to query the target for the current state first.
        """
        return one("/spaces", space, Space, (("refresh", "true"),) if refresh else ())

    @method
    def create_space(self, *, idempotency_key: str | None = None, **fields: Unpack[SpaceFields]) -> Call[Space]:
        """Requests a new Space; a worker publishes it later, see `wait_for`.

        Args:
            idempotency_key: the same key returns the same Space; generated if omitted.
            fields: see POST /spaces; a file is text, bytes or a local path.
        """
        body = body_of(SpaceFields, with_contents(fields))
        return Call(Ask("POST", "/spaces", json=body, headers=_key(idempotency_key)), parsed(Space))

    @method
    def adopt_space(self, namespace: str, name: str, *, target: str | None = None) -> Call[Space]:
        """Manages a Space that exists on a target from now on; its files become the first release.

        Args:
            namespace: user or organization that owns it.
            name: its name.
            target: `huggingface` or `local`; defaults to the default target of the realm.
        """
        body = {"namespace": namespace, "name": name, **({"target": target} if target else {})}
        return Call(Ask("POST", "/spaces/adopt", json=body), parsed(Space))

    @method
    def preview_space(self, *, content: bool = False, **fields: Unpack[SpaceFields]) -> Call[Preview]:
        """Returns the tree that would be published; stores nothing.

        Args:
            content: whether to include the contents of files.
            fields: as for `create_space`.
        """
        body = body_of(SpaceFields, with_contents(fields))
        return Call(Ask("POST", "/spaces/preview", _content(content), json=body), parsed(Preview))

    @method
    def update_space(
        self,
        space: Ref,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[SpaceChanges],
    ) -> Call[Space]:
        """Requests a change of a Space.

        Args:
            space: the Space.
            if_match: the commit that the Space must be at.
            idempotency_key: the same key returns the same change; generated if omitted.
            fields: see POST /spaces/{id}; omitted fields stay unchanged.
        """
        body = body_of(SpaceChanges, with_contents(fields))
        headers = _key(idempotency_key) | _match(if_match)
        return Call(Ask("POST", f"/spaces/{id_of(space)}", json=body, headers=headers), parsed(Space))

    @method
    def preview_update(
        self, space: Ref, *, content: bool = False, if_match: str | None = None, **fields: Unpack[SpaceChanges]
    ) -> Call[Preview]:
        """Returns the tree that a change would publish, and its differences from the published one.

        Args:
            space: the Space.
            content: whether to include the contents of files.
            if_match: the commit that the Space must be at.
            fields: as for `update_space`.
        """
        body = body_of(SpaceChanges, with_contents(fields))
        ask = Ask("POST", f"/spaces/{id_of(space)}/preview", _content(content), json=body, headers=_match(if_match))
        return Call(ask, parsed(Preview))

    @method
    def preview_fix(self, space: Ref) -> Call[FixPreview]:
        """Returns the fix of a Space's problem with the differences that it makes; changes nothing."""
        return Call(Ask("GET", f"/spaces/{id_of(space)}/fix"), parsed(FixPreview))

    @method
    def delete_space(self, space: Ref) -> Call[Space]:
        """Requests the deletion of a Space, including its repository on the target."""
        return Call(Ask("DELETE", f"/spaces/{id_of(space)}"), parsed(Space))

    @method
    def command_space(
        self,
        space: Ref,
        command: str,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[CommandFields],
    ) -> Call[Request]:
        """Sends a command to a Space.

        Args:
            space: the Space.
            command: rollback, apply_fix, restart, factory_rebuild, pause, wake, hardware, move or duplicate.
            if_match: the commit that the Space must be at.
            idempotency_key: the same key returns the same request; generated if omitted.
            fields: arguments of the command.
        """
        body = {"command": command, **body_of(CommandFields, fields)}
        headers = _key(idempotency_key) | _match(if_match)
        return Call(Ask("POST", f"/spaces/{id_of(space)}/command", json=body, headers=headers), parsed(Request))

    @method
    def command_spaces(
        self, command: str, filter: Filter, *, dry_run: bool = False, **changes: Unpack[BulkChanges]
    ) -> Call[Bulk]:
        """Sends a command to all Spaces of the realm that match a filter.

        Args:
            command: delete, restart, factory_rebuild, pause, wake, rollback (to the one before), update (changes).
            filter: as for `find_spaces`; `label` matches Spaces with that label.
            dry_run: only list them.
        """
        wanted = {name.removeprefix("filter[").removesuffix("]"): text for name, text in query(filter)}
        body = body_of(BulkChanges, changes, command=command, filter=wanted, dry_run=dry_run)
        return Call(Ask("POST", "/spaces/command", json=body, repeatable=dry_run), parsed(Bulk))

    @method
    def get_events(self, of: Space | Request | None = None, *, after: int = 0, limit: int = 200) -> Call[list[Event]]:
        """Gets events of a Space, of a request, or of all Spaces of the realm, oldest first.

        Args:
            of: the Space or the request; None for all.
            after: id of the last known event.
            limit: maximum number of events, at most 200.
        """
        ask = Ask("GET", f"{_path(of)}/events", (("after", str(after)), ("page[limit]", str(limit))))
        return Call(ask, parsed(Event).many)

    @stream
    def follow_events(
        self, of: Space | Request | None = None, *, after: int = 0, timeout: float | None = None
    ) -> Generator[Step | Item[Event], Any, None]:
        """Yields events as they happen; those of a Space or a request until the last one.

        Each event is delivered exactly once, across lost connections and restarts of the service.

        Args:
            of: the Space or the request; None for all Spaces of the realm.
            after: id of the last known event.
            timeout: seconds until giving up; None for no limit.
        Raises:
            WaitTimeout: the timeout has expired.
        """
        follower = Follower(_path(of), after, deadline_in(timeout))
        while (event := (yield from follower.next())) is not None:
            yield Item(event)

    @method
    def get_logs(self, space: Ref, *, kind: Literal["run", "build"] = "run", tail: int = 200) -> Call[Log]:
        """Gets the last lines of a log.

        Args:
            space: the Space.
            kind: `run` for the log of the app, `build` for that of its build.
            tail: number of lines.
        """
        params = (("kind", kind), ("tail", str(tail)))
        return Call(Ask("GET", f"/spaces/{id_of(space)}/logs", params), parsed(Log))

    @stream
    def follow_logs(
        self, space: Ref, *, kind: Literal["run", "build"] = "run", tail: int = 200
    ) -> Generator[Step | Item[Any], Any, None]:
        """Yields the lines of a log as they are written.

        Args:
            space: the Space.
            kind: `run` for the log of the app, `build` for that of its build.
            tail: number of existing lines to start with.
        """
        yield from log_lines(f"/spaces/{id_of(space)}", kind, tail)

    @method
    def wait_for(
        self,
        request: Request,
        *,
        app: bool = True,
        timeout: float = WAIT_SECONDS,
        on_event: Listener | None = None,
    ) -> Flow[Space | None]:
        """Waits until a request has ended and the app runs.

        Args:
            request: the request, such as `space.latest_request`.
            app: whether to also wait for the app.
            timeout: maximum wait in seconds.
            on_event: called with each event.
        Returns:
            The Space, or None if it no longer exists.
        Raises:
            RequestFailed: the request failed or was cancelled.
            AppFailed: the app does not run; the error has the cause.
            WaitTimeout: the timeout has expired.
        """
        return (yield from waiting(request, app, deadline_in(timeout), on_event))

    @method
    def diagnose(self, **fields: Unpack[DiagnosisFields]) -> Call[Problem]:
        """Finds the cause of an error in a log; stores nothing.

        Args:
            fields: `log`, `kind` (build or run), and what is known of the app; see POST /diagnoses.
        """
        return Call(Ask("POST", "/diagnoses", json=body_of(DiagnosisFields, fields)), parsed(Problem))

    get_webhook = getting("/webhooks", Webhook)
    get_webhooks = listing("/webhooks", Webhook)
    find_webhooks = finding("/webhooks", Webhook)
    find_one_webhook = finding_one("/webhooks", Webhook)
    iter_webhooks = iterating("/webhooks", Webhook)

    @method
    def create_webhook(self, **fields: Unpack[NewWebhook]) -> Call[Webhook]:
        """Creates a webhook; its `secret` is returned only here."""
        return create("/webhooks", NewWebhook, fields, Webhook)

    @method
    def update_webhook(self, webhook: Ref, **fields: Unpack[WebhookChanges]) -> Call[Webhook]:
        """Updates the given fields of a webhook."""
        return update("/webhooks", webhook, WebhookChanges, fields, Webhook)

    @method
    def delete_webhook(self, webhook: Ref) -> Flow[None]:
        """Deletes a webhook."""
        yield Send(Ask("DELETE", f"/webhooks/{id_of(webhook)}"))

    @method
    def command_webhook(self, webhook: Ref, command: str, *, secret: str | None = None) -> Call[WebhookCommandAnswer]:
        """Sends a command to a webhook: rotate_secret, replay or test."""
        body = {"command": command} | ({"secret": secret} if secret else {})
        ask = Ask("POST", f"/webhooks/{id_of(webhook)}/command", json=body, repeatable=False)
        return Call(ask, parsed(WebhookCommandAnswer))

    @method
    def find_deliveries(self, webhook: Ref, *, filter: Filter | None = None, limit: int = 50) -> Call[list[Delivery]]:
        """Finds deliveries of a webhook."""
        ask = Ask("GET", f"/webhooks/{id_of(webhook)}/deliveries", query(filter, {"limit": limit}))
        return Call(ask, parsed(Delivery).many)

    @method
    def replay_delivery(self, delivery: Delivery) -> Call[Delivery]:
        """Sends a delivery again."""
        return _command(f"/webhooks/{delivery.webhook_id}/deliveries", str(delivery.id), "replay", Delivery)

    @method
    def get_health(self) -> Call[Health]:
        """Gets the readiness of the service and its components."""
        return Call(Ask("GET", "/health/ready"), parsed(Health))


class CoreClient(CoreCalls, SyncClient):
    """Spaces, requests, events, logs, space types, plugins, webhooks."""


class AsyncCoreClient(CoreCalls, AsyncClient):
    """The asyncio counterpart of :class:`CoreClient`."""


def _path(of: Space | Request | None) -> str:
    if of is None:
        return ""
    return f"/{'spaces' if isinstance(of, Space) else 'requests'}/{of.id}"


def _key(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key or str(uuid4())}


def _match(commit: str | None) -> dict[str, str]:
    return {} if commit is None else {"If-Match": f'"{commit}"'}


def _content(content: bool) -> tuple[tuple[str, str], ...]:
    return (("content", "true"),) if content else ()


def _command(path: str, ref: Ref, command: str, model: Any) -> Call[Any]:
    body: Mapping[str, Any] = plain({"command": command})
    return Call(Ask("POST", f"{path}/{id_of(ref)}/command", json=body, repeatable=False), parsed(model))
