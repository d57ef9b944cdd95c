"""The headers that the proxy passes on, and those that it sets or removes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from aiohttp import web
from multidict import CIMultiDictProxy

from assembler_runner.core.cookies import OWN

HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"),
        *("trailer", "trailers", "transfer-encoding", "upgrade"),
    )
)
"""Headers of one connection (RFC 9110, 7.6.1)."""

_FORWARDED = frozenset(
    (
        *("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix"),
        *("x-forwarded-port", "x-forwarded-server", "x-real-ip"),
    )
)
_DOMAIN = re.compile(r";\s*domain\s*=[^;]*", re.IGNORECASE)


def for_app(request: web.Request, cookie: str, prefix: str, *, trusted: bool, secure: bool) -> list[tuple[str, str]]:
    """Returns the headers of a request for an app.

    Args:
        request: the visitor's request.
        cookie: name of the cookie that the app must not see, besides those of the web pages.
        prefix: path that the app is served below.
        trusted: whether a proxy in front has set the X-Forwarded headers.
        secure: whether visitors use https.
    """
    named = {word.strip().lower() for word in request.headers.get("Connection", "").split(",")}
    found = []
    for name, value in request.headers.items():
        lower = name.lower()
        if lower in HOP or lower in named or (lower in _FORWARDED and not trusted):
            continue
        kept = without_cookies(value, {cookie, *OWN}) if lower == "cookie" else value
        if kept or lower != "cookie":
            found.append((name, kept))
    own = {"X-Forwarded-For": request.remote or "", "X-Forwarded-Host": request.host}
    own |= {"X-Forwarded-Proto": "https" if secure else "http"}
    if prefix:
        own["X-Forwarded-Prefix"] = prefix
    known = {name.lower() for name, _ in found}
    return found + [(name, value) for name, value in own.items() if name.lower() not in known]


def for_visitor(headers: CIMultiDictProxy[str] | Mapping[str, str], cookie: str) -> Iterator[tuple[str, str]]:
    """Yields the headers of an app's response for the visitor.

    Args:
        headers: the headers of the response.
        cookie: name of the cookie that the app must not set, besides those of the web pages.
    """
    for name, value in headers.items():
        lower = name.lower()
        if lower in HOP:
            continue
        if lower == "set-cookie":
            if value.partition("=")[0].strip() in {cookie, *OWN}:
                continue
            # A cookie for all hosts would reach the other apps.
            yield name, _DOMAIN.sub("", value)
        else:
            yield name, value


def without_cookies(header: str, names: Collection[str]) -> str:
    """Returns the header Cookie without some cookies.

    Args:
        header: value of the header.
        names: names of the cookies.
    """
    pairs = [pair.strip() for pair in header.split(";")]
    return "; ".join(pair for pair in pairs if pair and pair.partition("=")[0].strip() not in names)
