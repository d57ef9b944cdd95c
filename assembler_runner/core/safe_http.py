"""Requests to URLs supplied by users, protected against server-side request forgery (SSRF).

The host name is resolved once and the connection uses the address that was checked, so that a name that resolves to
another address the second time has no effect (DNS rebinding). Redirects are not followed; proxies are not used.

urllib3 is imported on the first call: most installations have no webhooks.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse
    from urllib3.connection import HTTPConnection

T = TypeVar("T")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_URL = 2000
CONNECT_SECONDS, READ_SECONDS, TOTAL_SECONDS = 5.0, 10.0, 20.0
# Special-purpose address registries of the IANA. Not taken from the library: what it knows depends on its version.
_NOT_GLOBAL_4 = [
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_GLOBAL_6 = [ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class CallFailed(Exception):  # not an AssemblerError: it is stored with the delivery, not returned to a caller
    """A call got no response; the message is the reason, in the service's own words."""

    @property
    def reason(self) -> str:
        """The reason, as a part of a sentence."""
        return str(self.args[0])


@dataclass(frozen=True)
class Response:
    """Response to a POST.

    Args:
        status: HTTP status.
        retry_after: seconds from the header Retry-After, or None.
    """

    status: int
    retry_after: float | None


def url_problem(url: str, allowed: Sequence[IpNetwork]) -> str | None:
    """Checks a URL without resolving its host name.

    Args:
        url: the URL.
        allowed: networks that may be called although they are not public.
    Returns:
        Why the URL may not be called, as the end of a sentence; None if it may.
    """
    if len(url) > LONGEST_URL or not url.isascii() or any(ord(letter) <= 32 for letter in url):
        return f"must be at most {LONGEST_URL} ASCII characters without spaces"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a valid URL"
    if parts.scheme not in ("http", "https") or not host:
        return "must start with https:// or http:// and name a host"
    if "@" in parts.netloc:
        return "must not contain a user name or a password"
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if _may_reach(literal, allowed) else "must not name an address of a private network"


def resolve(url: str, allowed: Sequence[IpNetwork]) -> str:
    """Resolves the host of a URL once, and checks its addresses.

    Args:
        url: the URL; see :func:`url_problem`.
        allowed: networks that may be called although they are not public.
    Returns:
        The address to connect to.
    Raises:
        CallFailed: there is none, or one is of a private network.
    """
    return _resolve(urlsplit(url), allowed)


def get(url: str, allowed: Sequence[IpNetwork], most: int, headers: Mapping[str, str] | None = None) -> bytes:
    """Reads a document.

    Args:
        url: the URL.
        allowed: networks that may be called although they are not public.
        most: maximum size of the document in bytes.
        headers: additional headers.
    Returns:
        The document.
    Raises:
        CallFailed: there is none, or it is larger, with a short reason.
    """

    def read(response: BaseHTTPResponse) -> bytes:
        if response.status != HTTPStatus.OK:
            raise CallFailed(f"the response has the status {response.status}")
        return _body(response, most)

    return _call("GET", url, None, {"Accept": "application/json", **(headers or {})}, allowed, read)


def exchange(
    url: str, body: bytes, headers: Mapping[str, str], allowed: Sequence[IpNetwork], most: int
) -> tuple[int, bytes]:
    """Sends one POST and reads its response.

    Args:
        url: the URL.
        body: the bytes to send.
        headers: additional headers.
        allowed: networks that may be called although they are not public.
        most: maximum size of the response in bytes.
    Returns:
        HTTP status and body of the response.
    Raises:
        CallFailed: no response, or it is larger, with a short reason.
    """

    def read(response: BaseHTTPResponse) -> tuple[int, bytes]:
        return response.status, _body(response, most)

    return _call("POST", url, body, headers, allowed, read)


def post(url: str, body: bytes, headers: Mapping[str, str], allowed: Sequence[IpNetwork]) -> Response:
    """Sends one POST.

    Args:
        url: the URL.
        body: the bytes to send.
        headers: additional headers.
        allowed: networks that may be called although they are not public.
    Returns:
        The response, whatever its status; its body is not read.
    Raises:
        CallFailed: no response, with a short reason.
    """

    def read(response: BaseHTTPResponse) -> Response:
        seconds = response.headers.get("Retry-After", "")
        return Response(response.status, float(seconds) if seconds.isdecimal() and len(seconds) < 8 else None)

    return _call("POST", url, body, headers, allowed, read)


def _body(response: BaseHTTPResponse, most: int) -> bytes:
    body = response.read(most + 1)
    if len(body) > most:
        raise CallFailed(f"the response has more than {most} bytes")
    return body


def _call(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    allowed: Sequence[IpNetwork],
    read: Callable[[BaseHTTPResponse], T],
) -> T:
    from urllib3.exceptions import HTTPError

    if problem_text := url_problem(url, allowed):
        raise CallFailed(f"the URL {problem_text}")
    parts = urlsplit(url)
    connection = _connect(parts, _resolve(parts, allowed))
    # The read timeout restarts with every byte: a receiver that sends slowly could block this thread for ever.
    timed_out = threading.Event()
    deadline = threading.Timer(TOTAL_SECONDS, _shut_down, [connection, timed_out])
    deadline.daemon = True
    deadline.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body=body, headers={"Host": parts.netloc, **headers}, preload_content=False)
        response = read(connection.getresponse())
        if timed_out.is_set():
            raise TimeoutError
        return response
    except (HTTPError, OSError, ValueError) as problem:
        raise CallFailed(_reason(problem)) from None
    finally:
        deadline.cancel()
        connection.close()


def _resolve(parts: SplitResult, allowed: Sequence[IpNetwork]) -> str:
    assert parts.hostname is not None
    try:
        found = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise CallFailed("the host name cannot be resolved") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not all(_may_reach(ipaddress.ip_address(address), allowed) for address in addresses):
        raise CallFailed("the host name resolves to an address of a private network")
    return addresses[0]


def _may_reach(address: IpAddress, allowed: Sequence[IpNetwork]) -> bool:
    inner = _inner(address)
    if any(inner in network for network in allowed if network.version == inner.version):
        return True
    if isinstance(inner, ipaddress.IPv6Address):
        return inner in _GLOBAL_UNICAST and not any(inner in network for network in _NOT_GLOBAL_6)
    return not any(inner in network for network in _NOT_GLOBAL_4)


def _inner(address: IpAddress) -> IpAddress:
    """Returns the IPv4 address embedded in an IPv6 address, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _connect(parts: SplitResult, address: str) -> HTTPConnection:
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.util import Timeout

    timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    if parts.scheme == "http":
        return HTTPConnection(address, _port(parts), timeout=timeout.connect_timeout)
    host = parts.hostname
    return HTTPSConnection(
        address,
        _port(parts),
        timeout=timeout.connect_timeout,
        server_hostname=host,
        assert_hostname=host,
        ssl_context=_tls(),
    )


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _shut_down(connection: HTTPConnection, timed_out: threading.Event) -> None:
    timed_out.set()
    if connection.sock is not None:
        # Closing alone would not wake the reading thread.
        connection.sock.shutdown(socket.SHUT_RDWR)


def _reason(problem: Exception) -> str:
    text = type(problem).__name__
    known = {
        "NewConnectionError": "connection refused",
        "ConnectTimeoutError": "the connection timed out",
        "ReadTimeoutError": "the response timed out",
        "TimeoutError": "the response timed out",
        "SSLError": "the certificate is not valid",
        "CertificateError": "the certificate is not valid",
        "SSLCertVerificationError": "the certificate is not valid",
    }
    return known.get(text, f"the connection failed ({text})")
