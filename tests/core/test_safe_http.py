"""Protection against SSRF: which addresses a user-supplied URL may reach."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from assembler_runner.core import safe_http
from tests.support.receiver import Receiver

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1:0:0:80ff:fffe]",
        "[::127.0.0.1]",
    ],
)
def test_private_networks_are_not_reached(address: str) -> None:
    assert safe_http.url_problem(f"http://{address}/", []) is not None
    with pytest.raises(safe_http.CallFailed):
        safe_http.post(f"http://{address}/", b"", {}, [])


@pytest.mark.parametrize("address", ["8.8.8.8", "[2001:4860:4860::8888]", "example.org", "1.1.1.1:8443"])
def test_public_addresses_may_be_reached(address: str) -> None:
    assert safe_http.url_problem(f"https://{address}/", []) is None


@pytest.mark.parametrize("host", ["localhost", "0x7f.1", "127.1", "2130706433"])
def test_a_name_that_resolves_to_a_private_address_is_rejected(receiver: Receiver, host: str) -> None:
    with pytest.raises(safe_http.CallFailed, match="private network"):
        safe_http.post(f"http://{host}:{receiver.port}/", b"{}", {}, [])
    assert receiver.messages == []
    assert safe_http.post(f"http://{host}:{receiver.port}/", b"{}", {}, LOOPBACK).status == 204
    assert receiver.messages[0][0]["host"] == f"{host}:{receiver.port}"


def test_the_checked_address_is_the_one_that_is_called(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = socket.getaddrinfo

    def resolve(host: str, *arguments: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert safe_http.post(f"http://rebinding.test:{receiver.port}/", b"{}", {}, LOOPBACK).status == 204
    assert asked.count("rebinding.test") == 1


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": f"http://127.0.0.1:{receiver.port}/other"})]
    assert safe_http.post(receiver.url, b"{}", {}, LOOPBACK).status == 307
    assert len(receiver.messages) == 1


def test_a_refused_connection_is_reported() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(safe_http.CallFailed, match="connection refused"):
            safe_http.post(f"http://127.0.0.1:{probe.getsockname()[1]}/", b"{}", {}, LOOPBACK)


def test_an_endless_response_is_aborted(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_http, "TOTAL_SECONDS", 0.6)
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
        while not over.wait(0.05):
            connection.sendall(b"a")

    receiver.before_answer = drip
    began = time.monotonic()
    with pytest.raises(safe_http.CallFailed):
        safe_http.post(receiver.url, b"{}", {}, LOOPBACK)
    over.set()
    assert time.monotonic() - began < 30


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate for a name: as a file to be trusted, and as the context of a server."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / f"{name}.crt", folder / f"{name}.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


def test_certificates_are_checked_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, context = certificate(tmp_path, "localhost")
    with Receiver(context) as receiver:
        safe_http._tls.cache_clear()
        with pytest.raises(safe_http.CallFailed, match="certificate"):
            safe_http.post(f"https://localhost:{receiver.port}/", b"{}", {}, LOOPBACK)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        safe_http._tls.cache_clear()
        assert safe_http.post(f"https://localhost:{receiver.port}/", b"{}", {}, LOOPBACK).status == 204
        with pytest.raises(safe_http.CallFailed, match="certificate"):
            safe_http.post(f"https://127.0.0.1:{receiver.port}/", b"{}", {}, LOOPBACK)
    safe_http._tls.cache_clear()


@pytest.mark.parametrize(
    "address",
    [
        *("192.0.0.192", "192.0.0.8", "192.88.99.1", "198.18.0.1", "100.64.0.1", "240.0.0.1", "255.255.255.255"),
        *("0.0.0.1", "224.0.0.1", "[fec0::1]", "[fe80::1]", "[fc00::1]", "[2001:db8::1]", "[2001:2::1]", "[3fff::1]"),
        *("[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[64:ff9b:1::1]", "[2002:a00:1::]", "[::10.0.0.1]", "[ff02::1]"),
        *("[5f00::1]", "[100::1]", "[::]", "[::1]", "[4000::1]"),
    ],
)
def test_special_addresses_do_not_depend_on_the_library(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (ipaddress.IPv4Address, ipaddress.IPv6Address):
        monkeypatch.setattr(kind, "is_global", property(lambda _: True))
        monkeypatch.setattr(kind, "is_reserved", property(lambda _: False))
    assert safe_http.url_problem(f"http://{address}/", []) is not None


@pytest.mark.parametrize("address", ["1.1.1.1", "[2606:4700::1111]", "[2a00:1450::1]", "192.31.196.1"])
def test_public_addresses_may_be_called(address: str) -> None:
    assert safe_http.url_problem(f"http://{address}/", []) is None
