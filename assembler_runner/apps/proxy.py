"""The proxy of the apps: one host name or path for each, HTTP of any length, WebSockets, tickets for private Spaces.

A process of its own, without access to the database and without secrets except the key of the tickets. It is started as
`python -m assembler_runner.apps.proxy DESCRIPTOR` with its configuration on the standard input, and ends with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yarl
from aiohttp import web

from assembler_runner.apps import proxy_pages, tickets
from assembler_runner.apps.outgoing import serve_outgoing
from assembler_runner.apps.proxy_headers import for_app, for_visitor
from assembler_runner.apps.routes import Route, Routes, RoutesReader

HOLD_SECONDS = 25.0
"""How long a visit waits for an app that wakes."""

OPEN_SECONDS = 3600.0
"""How long one open request counts as use of its app."""

_POLL_SECONDS, _SIGNAL_SECONDS, _CLOSE_SECONDS = 0.1, 0.5, 60.0
_PASSING = ("SLEEPING", "BUILDING", "APP_STARTING", "RUNNING_BUILDING", "RUNNING_APP_STARTING")
_WEBSOCKET_OWN = frozenset(
    ("sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-protocol", "host")
)


class Proxy:
    """The application.

    Args:
        routes: the routes.
        key: the key of the tickets.
        suffix: what follows the first label of host names; empty if apps are distinguished by path.
        secure: whether visitors use https.
        trusted: whether a proxy in front sets the X-Forwarded headers.
    """

    def __init__(self, routes: RoutesReader, key: bytes, suffix: str, *, secure: bool, trusted: bool) -> None:
        self._routes, self._key, self._suffix = routes, key, suffix
        self._secure, self._trusted = secure, trusted
        self._cookie = "__Host-assembler-app" if secure and suffix else "assembler-app"
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._taken: dict[str, float] = {}
        self._signalled: dict[str, float] = {}
        self._open: dict[int, tuple[Route, float]] = {}
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers one request."""
        label, prefix = self._place(request)
        routes = self._routes.read()
        route = routes.by_host.get(label)
        if route is None:
            return proxy_pages.page(404, "There is no such app.")
        if prefix and request.path == prefix:
            return web.HTTPPermanentRedirect(f"{prefix}/")
        if not route.is_open:
            refused = self._refused(request, route, label, prefix)
            if refused is not None:
                return refused
        if not route.socket:
            route = await self._woken(label, route)
            if not route.socket:
                return proxy_pages.stage_page(route.stage)
        self._signal("used", route)
        address = request.raw_path if route.keeps_prefix else request.raw_path.removeprefix(prefix)
        target = yarl.URL(f"http://app{address}", encoded=True)
        headers = for_app(request, self._cookie, prefix, trusted=self._trusted, secure=self._secure)
        session = self._session(route, routes)
        try:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._websocket(request, session, target, headers, route)
            self._open[id(request)] = (route, time.monotonic())
            return await self._pass_on(request, session, target, headers, route)
        except (aiohttp.ClientConnectionError, aiohttp.WSServerHandshakeError):
            return proxy_pages.page(502, "The app does not answer.")
        finally:
            self._open.pop(id(request), None)

    async def report_open_requests(self) -> None:
        """Reports to the supervisor which apps work on requests, so that none of them is sent to sleep."""
        while True:
            await asyncio.sleep(_SIGNAL_SECONDS)
            for route, since in list(self._open.values()):
                if time.monotonic() - since < OPEN_SECONDS:
                    self._signal("used", route)

    async def close(self, app: web.Application) -> None:
        """Closes all connections to apps."""
        for session in self._sessions.values():
            await session.close()
        self._sender.close()

    def _place(self, request: web.Request) -> tuple[str, str]:
        """Returns the label of the app that a request is for, and the path that it is served below."""
        if not self._suffix:
            parts = request.path.split("/", 3)
            if len(parts) > 2 and parts[1] == "apps":
                return parts[2], f"/apps/{parts[2]}"
            return "", ""
        host = request.host.rpartition(":")[0] or request.host
        return (host.removesuffix(self._suffix).lower() if host.endswith(self._suffix) else ""), ""

    def _refused(self, request: web.Request, route: Route, label: str, prefix: str) -> web.StreamResponse | None:
        """Returns the response to a visitor of a private app without a valid cookie; takes tickets."""
        if request.path == prefix + tickets.PATH:
            return self._take_ticket(request, route, label, prefix)
        cookie = request.cookies.get(self._cookie, "")
        if not tickets.is_valid(self._key, cookie, tickets.COOKIE, label, route.app_id):
            return proxy_pages.page(401, "This app is private. Open it from the page of its Space.")
        origin = request.headers.get("Origin")
        if origin is not None and not _is_own(origin, f"{'https' if self._secure else 'http'}://{request.host}"):
            return proxy_pages.page(403, "This app takes no requests from other sites.")
        return None

    def _take_ticket(self, request: web.Request, route: Route, label: str, prefix: str) -> web.StreamResponse:
        ticket = request.query.get(tickets.PARAMETER, "")
        now = time.time()
        self._taken = {text: until for text, until in self._taken.items() if until > now}
        valid = tickets.is_valid(self._key, ticket, tickets.TICKET, label, route.app_id)
        if not valid or ticket in self._taken:
            return proxy_pages.page(401, "This ticket has expired or was used. Open the app from its Space again.")
        self._taken[ticket] = now + tickets.TICKET_SECONDS
        cookie = tickets.sign(self._key, tickets.COOKIE, label, route.app_id, tickets.COOKIE_SECONDS)
        response = web.Response(
            status=303, headers={"Location": f"{prefix}{route.base_path or '/'}", "Referrer-Policy": "no-referrer"}
        )
        response.set_cookie(
            self._cookie,
            cookie,
            max_age=tickets.COOKIE_SECONDS,
            path=f"{prefix}/",
            httponly=True,
            secure=self._secure,
            samesite="Lax",
        )
        return response

    async def _woken(self, label: str, route: Route) -> Route:
        """Waits until an app that is asleep or starting answers; returns its newest route."""
        deadline = time.monotonic() + HOLD_SECONDS
        while not route.socket and route.stage in _PASSING and time.monotonic() < deadline:
            self._signal("wake" if route.stage == "SLEEPING" else "used", route)
            await asyncio.sleep(_POLL_SECONDS)
            route = self._routes.read().by_host.get(label, Route(route.app_id, False, "DELETED"))
        return route

    def _signal(self, kind: str, route: Route) -> None:
        """Tells the supervisor that an app was used; not more often than it needs to know."""
        now, known = time.monotonic(), f"{kind} {route.app_id}"
        if now - self._signalled.get(known, -_SIGNAL_SECONDS) < _SIGNAL_SECONDS:
            return
        self._signalled[known] = now
        try:
            self._sender.sendto(known.encode(), self._routes.read().signals)
        except OSError:
            # The supervisor has ended or is busy; the next request wakes it again.
            del self._signalled[known]

    def _session(self, route: Route, routes: Routes) -> aiohttp.ClientSession:
        used = {one.socket for one in routes.by_host.values()}
        for old in [path for path in self._sessions if path not in used]:
            # Its open connections end by themselves.
            asyncio.get_running_loop().call_later(
                60, lambda done: asyncio.ensure_future(done.close()), self._sessions.pop(old)
            )
        if route.socket not in self._sessions:
            self._sessions[route.socket] = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(route.socket, limit=0),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._sessions[route.socket]

    async def _pass_on(
        self,
        request: web.Request,
        session: aiohttp.ClientSession,
        target: yarl.URL,
        headers: list[tuple[str, str]],
        route: Route,
    ) -> web.StreamResponse:
        body = request.content if request.can_read_body else None
        sent = session.request(request.method, target, headers=headers, data=body, allow_redirects=False)
        async with sent as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in for_visitor(answer.headers, self._cookie):
                response.headers.add(name, value)
            response.headers.update(route.custom_headers)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    async def _websocket(
        self,
        request: web.Request,
        session: aiohttp.ClientSession,
        target: yarl.URL,
        headers: list[tuple[str, str]],
        route: Route,
    ) -> web.StreamResponse:
        offered = [
            word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if word.strip()
        ]
        own = [(name, value) for name, value in headers if name.lower() not in _WEBSOCKET_OWN]
        inner = await session.ws_connect(
            target, protocols=offered, headers=[*own, ("Host", request.host)], max_msg_size=0, compress=0
        )
        outer = web.WebSocketResponse(protocols=[inner.protocol] if inner.protocol else (), max_msg_size=0)
        await outer.prepare(request)

        def used() -> None:
            self._signal("used", route)

        await _first_done(_pump(outer, inner, used), _pump(inner, outer, lambda: None))
        await inner.close()
        await outer.close()
        return outer


def _is_own(origin: str, own: str) -> bool:
    """Whether a page of an origin belongs to the app; a port that the scheme implies may be named or not."""
    try:
        return yarl.URL(origin).origin() == yarl.URL(own).origin()
    except ValueError:
        return False


async def _pump(source: Any, sink: Any, seen: Callable[[], None]) -> None:
    async for message in source:
        seen()
        if message.type == aiohttp.WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type == aiohttp.WSMsgType.BINARY:
            await sink.send_bytes(message.data)
    await sink.close(code=source.close_code or 1000)


async def _first_done(*works: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(descriptor: int, given: Mapping[str, Any]) -> None:
    proxy = Proxy(
        RoutesReader(Path(given["routes"])),
        bytes.fromhex(given["key"]),
        given["suffix"],
        secure=given["secure"],
        trusted=given["trusted"],
    )
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    app.on_cleanup.append(proxy.close)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=5)
    await runner.setup()
    await web.SockSite(runner, socket.socket(fileno=descriptor)).start()
    outgoing = await serve_outgoing(given["outgoing"]) if given["outgoing"] else None
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def heard() -> None:
        if not os.read(0, 1024):
            loop.remove_reader(0)
            ended.set()

    # The service holds the other end.
    loop.add_reader(0, heard)
    reporting = asyncio.ensure_future(proxy.report_open_requests())
    await ended.wait()
    reporting.cancel()
    if outgoing is not None:
        outgoing.close()
    await runner.cleanup()


def main() -> None:
    """Runs the proxy until its standard input ends."""
    line = sys.stdin.readline()
    asyncio.run(_serve(int(sys.argv[1]), json.loads(line)))


if __name__ == "__main__":
    main()
