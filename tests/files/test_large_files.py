"""Large files through the real service in its own process: they arrive, and memory use stays low."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from assembler_runner.devhub import StandInHub
from tests.support.services import PASSWORD, Process, hub_settings, wait_until

pytestmark = pytest.mark.slow

MEBIBYTE = 2**20
GROWS_BY_LESS_THAN = 100 * MEBIBYTE
TREE = {"index.html": b"<h1>Hello</h1>"} | {
    f"data/größe-{number}.bin": random.Random(number).randbytes(10 * MEBIBYTE) for number in range(3)
}


class Running:
    """The service, and the memory use of its process."""

    def __init__(self, process: Process, address: str) -> None:
        self.pid = process._process.pid
        self.http = httpx.Client(base_url=address, timeout=120)
        login = {"grant_type": "password", "username": "admin", "password": PASSWORD}
        self.http.headers["Authorization"] = (
            f"Bearer {self.http.post('/auth/token', json=login).json()['access_token']}"
        )

    def memory(self, what: str) -> int:
        """Bytes of memory: `VmRSS` now, `VmHWM` at most since :meth:`forget_most`."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))

    def forget_most(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def publish(self, name: str, **request: Any) -> dict[str, Any]:
        answer = self.http.post("/spaces", **request)
        assert answer.status_code == 202, answer.text
        asked = answer.json()["latest_request"]["id"]

        def ended() -> Any:
            found = self.http.get(f"/requests/{asked}").json()
            return found if found["status"] not in ("queued", "running") else None

        done = wait_until(ended, f"{name} is published", 120)
        assert done["status"] == "succeeded", done
        return dict(done)


@pytest.fixture(params=["database", "local_filesystem"])
def running(request: pytest.FixtureRequest, tmp_path: Path, hub: StandInHub) -> Iterator[Running]:
    settings = {
        **hub_settings(hub),
        "ADMIN_PASSWORD": PASSWORD,
        "DEFAULT_FILE_STORE": request.param,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "TMPDIR": str(tmp_path),
    }
    arguments = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(tmp_path / "own"))
    with Process(*arguments, **settings) as process:
        address = process.wait_for_line(r"ready at (\S+)")[1]
        service = Running(process, address)
        # Modules loaded by the first request of its kind do not count as growth.
        service.publish("first", json={"name": "first", "space_type": "static", "files": {"index.html": "x"}})
        yield service
        service.http.close()


def as_form(name: str, service: Running) -> dict[str, Any]:
    parts = [("files", (path, content)) for path, content in TREE.items()]
    return {"data": {"body": json.dumps({"name": name, "space_type": "static"})}, "files": parts}


def as_archive(name: str, service: Running) -> dict[str, Any]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for path, content in TREE.items():
            entry = tarfile.TarInfo(f"project/{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    body = {"body": json.dumps({"name": name, "space_type": "static"})}
    return {"data": body, "files": {"archive": ("project.tar.gz", packed.getvalue())}}


def as_zip(name: str, service: Running) -> dict[str, Any]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, content in TREE.items():
            archive.writestr(path, content)
    bucket = service.http.post("/storage/buckets", json={"name": name}).json()["id"]
    uploaded = service.http.post(f"/storage/buckets/{bucket}/upload", files={"a": ("a.zip", packed.getvalue())}).json()
    return {"json": {"name": name, "space_type": "static", "archive": {"bucket_file_id": uploaded["data"][0]["id"]}}}


def from_a_bucket(name: str, service: Running) -> dict[str, Any]:
    bucket = service.http.post("/storage/buckets", json={"name": name}).json()["id"]
    parts = [(str(number), (path, content)) for number, (path, content) in enumerate(TREE.items())]
    uploaded = service.http.post(f"/storage/buckets/{bucket}/upload", files=parts).json()["data"]
    files = {file["path"]: {"bucket_file_id": file["id"]} for file in uploaded}
    digest = hashlib.sha256()
    with service.http.stream("GET", f"/storage/buckets/{bucket}/stream") as answer:
        for piece in answer.iter_bytes():
            digest.update(piece)
    return {"json": {"name": name, "space_type": "static", "files": files}}


def as_base64(name: str, service: Running) -> dict[str, Any]:
    files = {path: {"content": base64.b64encode(data).decode(), "encoding": "base64"} for path, data in TREE.items()}
    return {"json": {"name": name, "space_type": "static", "files": files}}


WAYS: dict[str, Callable[[str, Running], dict[str, Any]]] = {
    "form": as_form,
    "archive": as_archive,
    "zip": as_zip,
    "bucket": from_a_bucket,
    "base64": as_base64,
}


def test_thirty_megabytes_arrive_byte_for_byte_and_the_process_stays_small(running: Running, hub: StandInHub) -> None:
    grown = {}
    for name, way in WAYS.items():
        before = running.memory("VmRSS")
        running.forget_most()
        done = running.publish(name, **way(name, running))
        grown[name] = running.memory("VmHWM") - before
        tree = hub.tree(f"alice/{name}")
        assert {path: tree[path] for path in TREE} == TREE
        large = {path for path, file in hub.space(f"alice/{name}").head.tree.items() if file.large}
        assert large == TREE.keys() - {"index.html"}
        assert {file["path"] for file in done["files"]} >= TREE.keys()
    print({name: round(size / MEBIBYTE) for name, size in grown.items()}, os.getpid())
    assert all(size < GROWS_BY_LESS_THAN for size in grown.values()), grown
    # The same bytes are sent to the Hub only once.
    assert sum(record.method == "PUT" for record in hub.requests) == 3
