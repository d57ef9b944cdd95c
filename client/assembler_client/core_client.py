"""Spaces, their requests, events and logs, space types, plugins and webhooks."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Literal, Unpack
from uuid import uuid4

from assembler_client.archive import with_contents
from assembler_client.inputs import (
    CommandFields,
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
    FailureCause,
    Health,
    Log,
    Plugin,
    Preview,
    Request,
    Retried,
    Space,
    SpaceType,
    Webhook,
    WebhookCommandAnswer,
)
from assembler_client.sansio.calls import changed, finding, finding_one, getting, iterating, listing, made, one, parsed
from assembler_client.sansio.steps import Ask, Call, Flow, Item, Send, Step, method, stream
from assembler_client.streams import Follower, log_lines
from assembler_client.transport import AsyncClient, SyncClient
from assembler_client.types import Filter, Ref, id_of, query
from assembler_client.wait import WAIT_SECONDS, Listener, deadline_in, waiting


class CoreCalls:
    """Everything that is neither an account nor a bucket, for both kinds of clients."""

    get_spaces = listing("/spaces", Space)
    find_spaces = finding("/spaces", Space)
    find_one_space = finding_one("/spaces", Space)
    iter_spaces = iterating("/spaces", Space)

    @method
    def get_space(self, space: Ref, *, refresh: bool = False) -> Call[Space | None]:
        """Gets one Space; None if it is not there.

        Args:
            space: the Space.
            refresh: whether its target is asked for the present state first.
        """
        return one("/spaces", space, Space, (("refresh", "true"),) if refresh else ())

    @method
    def create_space(self, *, idempotency_key: str | None = None, **fields: Unpack[SpaceFields]) -> Call[Space]:
        """Asks for a Space; it is published later, see `wait_for`.

        Args:
            idempotency_key: the same key gives the same Space; one is made if left out.
            fields: see POST /spaces; a file is a text, bytes or a path of this machine.
        """
        body = body_of(SpaceFields, with_contents(fields))
        return Call(Ask("POST", "/spaces", json=body, headers=_key(idempotency_key)), parsed(Space))

    @method
    def preview_space(self, *, content: bool = False, **fields: Unpack[SpaceFields]) -> Call[Preview]:
        """Shows the tree that would be published; nothing is stored.

        Args:
            content: whether the contents are shown, too.
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
        """Asks for a change of a Space.

        Args:
            space: the Space.
            if_match: the commit that must be the live one.
            idempotency_key: the same key gives the same change; one is made if left out.
            fields: see POST /spaces/{id}; what is left out stays as it is.
        """
        body = body_of(SpaceChanges, with_contents(fields))
        headers = _key(idempotency_key) | _match(if_match)
        return Call(Ask("POST", f"/spaces/{id_of(space)}", json=body, headers=headers), parsed(Space))

    @method
    def preview_update(
        self, space: Ref, *, content: bool = False, if_match: str | None = None, **fields: Unpack[SpaceChanges]
    ) -> Call[Preview]:
        """Shows the tree that a change would publish, and how it differs from what is published.

        Args:
            space: the Space.
            content: whether the contents are shown, too.
            if_match: the commit that must be the live one.
            fields: as for `update_space`.
        """
        body = body_of(SpaceChanges, with_contents(fields))
        ask = Ask("POST", f"/spaces/{id_of(space)}/preview", _content(content), json=body, headers=_match(if_match))
        return Call(ask, parsed(Preview))

    @method
    def delete_space(self, space: Ref) -> Call[Space]:
        """Asks for the deletion of a Space, on its target, too."""
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
        """Commands a Space.

        Args:
            space: the Space.
            command: rollback, restart, factory_rebuild, pause, wake, hardware, move or duplicate.
            if_match: the commit that must be the live one.
            idempotency_key: the same key gives the same request; one is made if left out.
            fields: what the command takes.
        """
        body = {"command": command, **body_of(CommandFields, fields)}
        headers = _key(idempotency_key) | _match(if_match)
        return Call(Ask("POST", f"/spaces/{id_of(space)}/command", json=body, headers=headers), parsed(Request))

    @method
    def command_spaces(self, command: str, filter: Filter, *, dry_run: bool = False) -> Call[Bulk]:
        """Commands all Spaces of the realm that a filter finds.

        Args:
            command: delete, restart, factory_rebuild, pause or wake.
            filter: as for `find_spaces`; `label` finds those with a label.
            dry_run: whether it is only told which.
        """
        found = {name.removeprefix("filter[").removesuffix("]"): text for name, text in query(filter)}
        body = {"command": command, "filter": found, "dry_run": dry_run}
        return Call(Ask("POST", "/spaces/command", json=body, repeatable=dry_run), parsed(Bulk))

    get_requests = listing("/requests", Request)
    find_requests = finding("/requests", Request)
    find_one_request = finding_one("/requests", Request)
    iter_requests = iterating("/requests", Request)
    get_request = getting("/requests", Request)

    @method
    def find_space_requests(
        self, space: Ref, *, filter: Filter | None = None, sort: str = "-created_at", limit: int = 50
    ) -> Call[list[Request]]:
        """Finds requests of one Space, newest first."""
        ask = Ask("GET", f"/spaces/{id_of(space)}/requests", query(filter, {"limit": limit}, sort))
        return Call(ask, parsed(Request).many)

    @method
    def cancel_request(self, request: Ref) -> Call[Request]:
        """Cancels a request that has not ended."""
        return _command("/requests", request, "cancel", Request)

    @method
    def retry_request(self, request: Ref) -> Call[Request]:
        """Puts a failed or cancelled request back into the queue."""
        return _command("/requests", request, "retry", Request)

    @method
    def get_failures(self) -> Call[list[FailureCause]]:
        """Tells what has failed, by cause."""
        return Call(Ask("GET", "/requests/failures"), parsed(FailureCause).many)

    @method
    def retry_failures(self, code: str | None = None) -> Call[Retried]:
        """Puts all failed requests back into the queue, or those that failed for one cause."""
        body = {"command": "retry"} | ({"code": code} if code else {})
        return Call(Ask("POST", "/requests/failures/command", json=body, repeatable=False), parsed(Retried))

    @method
    def get_events(self, of: Space | Request, *, after: int = 0, limit: int = 200) -> Call[list[Event]]:
        """Gets events of a Space or a request, oldest first.

        Args:
            of: the Space or the request.
            after: number of the last event that is known.
            limit: how many, at most 200.
        """
        params = (("after", str(after)), ("page[limit]", str(limit)))
        return Call(Ask("GET", f"{_path(of)}/events", params), parsed(Event).many)

    @stream
    def follow_events(
        self, of: Space | Request, *, after: int = 0, timeout: float | None = None
    ) -> Generator[Step | Item[Event], Any, None]:
        """Gives the events of a Space or a request as they happen, until none will follow.

        None is missing and none comes twice, also over broken connections and restarts of the service.

        Args:
            of: the Space or the request.
            after: number of the last event that is known.
            timeout: seconds after which to give up; None for never.
        Raises:
            WaitTimeout: the time is over.
        """
        follower = Follower(_path(of), after, deadline_in(timeout))
        while (event := (yield from follower.next())) is not None:
            yield Item(event)

    @method
    def get_logs(self, space: Ref, *, kind: Literal["run", "build"] = "run", tail: int = 200) -> Call[Log]:
        """Gets the end of a log.

        Args:
            space: the Space.
            kind: of the app, or of its build.
            tail: how many lines.
        """
        params = (("kind", kind), ("tail", str(tail)))
        return Call(Ask("GET", f"/spaces/{id_of(space)}/logs", params), parsed(Log))

    @stream
    def follow_logs(
        self, space: Ref, *, kind: Literal["run", "build"] = "run", tail: int = 200
    ) -> Generator[Step | Item[Any], Any, None]:
        """Gives the lines of a log as they are written.

        Args:
            space: the Space.
            kind: of the app, or of its build.
            tail: how many of the lines that are there already.
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
        """Waits until a request has ended and, after a change, its app runs.

        Args:
            request: the request, such as `space.latest_request`.
            app: whether to wait for the app, too.
            timeout: seconds after which to give up.
            on_event: is called with each event.
        Returns:
            The Space; None if its record is not there any more.
        Raises:
            RequestFailed: the request failed or was cancelled.
            AppFailed: the app does not run; the error tells why.
            WaitTimeout: the time is over.
        """
        return (yield from waiting(request, app, deadline_in(timeout), on_event))

    get_space_types = listing("/space-types", SpaceType)

    @method
    def get_space_type(self, name: str) -> Call[SpaceType | None]:
        """Gets one space type, by its name or as name@version; None if it is not there."""
        from urllib.parse import quote

        return Call(Ask("GET", f"/space-types/{quote(name, safe='@')}"), parsed(SpaceType), (None,))

    get_plugins = listing("/plugins", Plugin)

    get_webhook = getting("/webhooks", Webhook)
    get_webhooks = listing("/webhooks", Webhook)
    find_webhooks = finding("/webhooks", Webhook)
    find_one_webhook = finding_one("/webhooks", Webhook)
    iter_webhooks = iterating("/webhooks", Webhook)

    @method
    def create_webhook(self, **fields: Unpack[NewWebhook]) -> Call[Webhook]:
        """Makes a webhook; its `secret` is shown only now."""
        return made("/webhooks", NewWebhook, fields, Webhook)

    @method
    def update_webhook(self, webhook: Ref, **fields: Unpack[WebhookChanges]) -> Call[Webhook]:
        """Changes the given fields of a webhook."""
        return changed("/webhooks", webhook, WebhookChanges, fields, Webhook)

    @method
    def delete_webhook(self, webhook: Ref) -> Flow[None]:
        """Deletes a webhook."""
        yield Send(Ask("DELETE", f"/webhooks/{id_of(webhook)}"))

    @method
    def command_webhook(self, webhook: Ref, command: str, *, secret: str | None = None) -> Call[WebhookCommandAnswer]:
        """Commands a webhook: rotate_secret, replay or test."""
        body = {"command": command} | ({"secret": secret} if secret else {})
        ask = Ask("POST", f"/webhooks/{id_of(webhook)}/command", json=body, repeatable=False)
        return Call(ask, parsed(WebhookCommandAnswer))

    @method
    def find_deliveries(self, webhook: Ref, *, filter: Filter | None = None, limit: int = 50) -> Call[list[Delivery]]:
        """Finds messages of a webhook."""
        ask = Ask("GET", f"/webhooks/{id_of(webhook)}/deliveries", query(filter, {"limit": limit}))
        return Call(ask, parsed(Delivery).many)

    @method
    def replay_delivery(self, delivery: Delivery) -> Call[Delivery]:
        """Sends a message again."""
        return _command(f"/webhooks/{delivery.webhook_id}/deliveries", str(delivery.id), "replay", Delivery)

    @method
    def get_health(self) -> Call[Health]:
        """Tells whether the service can accept requests and publish them."""
        return Call(Ask("GET", "/health/ready"), parsed(Health))


class CoreClient(CoreCalls, SyncClient):
    """Spaces, requests, events, logs, space types, plugins, webhooks."""


class AsyncCoreClient(CoreCalls, AsyncClient):
    """The asynchronous twin of :class:`CoreClient`."""


def _path(of: Space | Request) -> str:
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
