"""The blocks for nginx and Caddy in docs/apps.md, as they are written there, in front of running apps."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.app_service import ECHO, AppService, app_service
from tests.support.services import PROJECT, free_port, wait_until

pytestmark = [
    pytest.mark.slow,
    # aiohttp leaves a connection open if the server does not finish the shutdown of TLS.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DOMAIN, MEGABYTES = "apps.example.org", 200
README = "---\ntitle: Tried\nbase_path: /start\ncustom_headers:\n  cross-origin-opener-policy: same-origin\n---\n"


def block(program: str) -> str:
    """Returns the block of a program in the documentation."""
    text = (PROJECT / "docs" / "apps.md").read_text()
    found = [code for code in re.findall(r"```text\n(.*?)```", text, re.DOTALL) if DOMAIN in code]
    return next(code for code in found if ("reverse_proxy" in code) == (program == "caddy"))


def certificate(folder: Path) -> tuple[Path, Path]:
    """Makes a wildcard certificate that is signed by itself; returns certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"*.{DOMAIN}")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"*.{DOMAIN}")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "apps.pem", folder / "apps.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return certificate_file, key_file


@contextmanager
def in_front(program: str, folder: Path, apps_port: int) -> Iterator[Front]:
    """Runs a program with its block; only ports, and places of files, are others than in the documentation."""
    certificate_file, key_file = certificate(folder)
    port = free_port()
    text = block(program).replace("127.0.0.1:5006", f"127.0.0.1:{apps_port}")
    text = text.replace(f"/etc/ssl/{DOMAIN}.pem", str(certificate_file)).replace(
        f"/etc/ssl/{DOMAIN}.key", str(key_file)
    )
    file = folder / "configuration"
    if program == "nginx":
        places = "".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
        file.write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;\nevents {{}}\n"
            f"http {{ access_log off; {places}\n{text} }}\n"
        )
        command = ["nginx", "-c", str(file), "-p", str(folder)]
    else:
        text = text.replace(f"*.{DOMAIN} {{", f"https://*.{DOMAIN}:{port} {{\n  bind 127.0.0.1", 1)
        file.write_text(f"{{\n  admin off\n  auto_https disable_redirects\n}}\n{text}")
        command = ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            front = Front(port, ssl.create_default_context(cafile=str(certificate_file)))
            wait_until(lambda: process.poll() is not None or front.listens(), f"{program} listens")
            assert process.poll() is None, (folder / "output").read_text()
            yield front
        finally:
            process.terminate()
            process.wait(20)


class Front:
    """A program in front of the proxy of the apps.

    Args:
        port: its port.
        trust: what its certificate is checked with.
    """

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        self.port, self.trust = port, trust

    def listens(self) -> bool:
        try:
            return self.visit(f"none.{DOMAIN}").status_code == 404
        except httpx.HTTPError:
            return False

    def visit(self, host: str, path: str = "/", method: str = "GET", **more: Any) -> httpx.Response:
        headers = {"Host": host, **more.pop("headers", {})}
        with httpx.Client(verify=self.trust, timeout=120) as client:
            url = f"https://127.0.0.1:{self.port}{path}"
            return client.request(method, url, headers=headers, extensions={"sni_hostname": host}, **more)

    @contextmanager
    def stream(self, host: str, path: str) -> Iterator[httpx.Response]:
        with (
            httpx.Client(verify=self.trust, timeout=120) as client,
            client.stream(
                "GET", f"https://127.0.0.1:{self.port}{path}", headers={"Host": host}, extensions={"sni_hostname": host}
            ) as answer,
        ):
            yield answer

    def frames(self, host: str, *messages: str) -> list[Any]:
        async def talk() -> list[Any]:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(
                    f"https://127.0.0.1:{self.port}/ws",
                    headers={"Host": host},
                    protocols=["chat"],
                    ssl=self.trust,
                    server_hostname=host,
                ) as socket,
            ):
                answers: list[Any] = [socket.protocol]
                for message in messages:
                    await socket.send_str(message)
                    answers.append((await socket.receive()).data)
                return answers

        try:
            return asyncio.run(talk())
        finally:
            # What is left open is reported here, not in a later test.
            gc.collect()


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AppService, dict[str, Any], int]]:
    settings = {"APPS_URL": f"https://{{app}}.{DOMAIN}", "TRUSTED_PROXIES": "1"}
    with app_service(tmp_path_factory.mktemp("apps") / "instance", **settings) as running:
        port = int(running.process.wait_for_line(r"proxy listens on port (\d+)")[1])
        files = {"app.py": ECHO, "requirements.txt": "", "README.md": README}
        yield running, running.run(name="tried", files=files), port


@pytest.fixture(params=["nginx", "caddy"])
def front(
    request: pytest.FixtureRequest, tmp_path: Path, apps: tuple[AppService, dict[str, Any], int]
) -> Iterator[Front]:
    program = str(request.param)
    if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        pytest.skip(f"{program} is not installed (apt-get install {'nginx-light' if program == 'nginx' else program})")
    with in_front(program, tmp_path, apps[2]) as running:
        yield running


def test_apps_behind_a_proxy(front: Front, apps: tuple[AppService, dict[str, Any], int]) -> None:
    service, space, _ = apps
    assert space["app_url"] == f"https://admin-tried.{DOMAIN}"
    host = f"admin-tried.{DOMAIN}"
    answer = front.visit(host, "/a%2Fb?x=%20", headers={"X-Forwarded-For": "10.1.1.1", "X-Forwarded-Host": "evil"})
    told = answer.json()
    seen = {name.lower(): value for name, value in told["headers"]}
    assert told["path"] == "/a%2Fb?x=%20" and seen["host"] == seen["x-forwarded-host"] == host
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert service.client.post(f"/spaces/{space['id']}/open", {})["url"] == f"{space['app_url']}/start"
    assert front.visit(f"none.{DOMAIN}").status_code == 404
    assert front.frames(host, "hello", "x" * 100) == ["chat", "hello", "x" * 100]
    check_events(front, host)
    check_upload(front, host)
    check_ticket(front, service)


def check_events(front: Front, host: str) -> None:
    with front.stream(host, "/events") as events:
        lines = events.iter_lines()
        assert next(lines) == "data: first"
        front.visit(host, "/release")
        assert [line for line in lines if line] == ["data: last"]


def check_upload(front: Front, host: str) -> None:
    piece, digest = b"0123456789abcdef" * 65536, hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for _ in range(MEGABYTES):
            digest.update(piece)
            yield piece

    headers = {"Content-Length": str(MEGABYTES * len(piece))}
    told = front.visit(host, "/upload", "POST", content=pieces(), headers=headers).json()
    assert told["digest"] == digest.hexdigest()


def check_ticket(front: Front, service: AppService) -> None:
    name = f"private-{front.port}"
    files = {"app.py": ECHO, "requirements.txt": "", "README.md": README}
    space = service.run(name=name, visibility="private", files=files)
    host = f"admin-{name}.{DOMAIN}"
    assert front.visit(host).status_code == 401
    opened = urlsplit(service.client.post(f"/spaces/{space['id']}/open", {})["url"])
    assert (opened.scheme, opened.netloc) == ("https", host)
    answer = front.visit(host, f"{opened.path}?{opened.query}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/start")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-assembler-app=") and "Secure" in cookie
    kept = {"Cookie": cookie.partition(";")[0]}
    assert front.visit(host, headers=kept).status_code == 200
    assert front.visit(host, headers={**kept, "Origin": f"https://{host}"}).status_code == 200
    assert front.visit(host, headers={**kept, "Origin": f"https://admin-tried.{DOMAIN}"}).status_code == 403
