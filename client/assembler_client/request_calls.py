"""Requests and their failures."""

from __future__ import annotations

from assembler_client.models import FailureCause, Request, Retried
from assembler_client.sansio.calls import finding, finding_one, getting, iterating, listing, parsed
from assembler_client.sansio.steps import Ask, Call, method
from assembler_client.types import Filter, Ref, id_of, query


class RequestCalls:
    """Methods for requests, synchronous and asynchronous."""

    get_requests = listing("/requests", Request)
    find_requests = finding("/requests", Request)
    find_one_request = finding_one("/requests", Request)
    iter_requests = iterating("/requests", Request)
    get_request = getting("/requests", Request)

    @method
    def find_space_requests(
        self, space: Ref, *, filter: Filter | None = None, sort: str = "-created_at", limit: int = 50
    ) -> Call[list[Request]]:
        """Finds requests of a Space, newest first."""
        path = f"/spaces/{id_of(space)}/requests"
        return Call(Ask("GET", path, query(filter, {"limit": limit}, sort)), parsed(Request).many)

    @method
    def cancel_request(self, request: Ref) -> Call[Request]:
        """Cancels a queued or running request."""
        path, body = f"/requests/{id_of(request)}/command", {"command": "cancel"}
        return Call(Ask("POST", path, json=body, repeatable=False), parsed(Request))

    @method
    def retry_request(self, request: Ref) -> Call[Request]:
        """Queues a failed or cancelled request again."""
        path, body = f"/requests/{id_of(request)}/command", {"command": "retry"}
        return Call(Ask("POST", path, json=body, repeatable=False), parsed(Request))

    @method
    def get_failures(self) -> Call[list[FailureCause]]:
        """Gets the number of failed requests by cause."""
        return Call(Ask("GET", "/requests/failures"), parsed(FailureCause).many)

    @method
    def retry_failures(self, code: str | None = None) -> Call[Retried]:
        """Queues all failed requests again, or those with one cause."""
        body = {"command": "retry"} | ({"code": code} if code else {})
        return Call(Ask("POST", "/requests/failures/command", json=body, repeatable=False), parsed(Retried))
