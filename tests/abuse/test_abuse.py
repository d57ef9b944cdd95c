"""Everything in `cases/`, against the real service: the expected refusal, within bounds, while others are answered."""

from __future__ import annotations

import gzip
import json
import os
import re
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ops.test_serve import READY
from tests.support.services import PASSWORD, Client, Process

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
MEMORY_LIMIT = 1500 * 2**20
OTHERS_WAIT = 20.0
"""Seconds until others are answered, on a busy machine."""
PROGRAM = (
    "import resource, runpy, sys; "
    f"resource.setrlimit(resource.RLIMIT_DATA, ({MEMORY_LIMIT}, {MEMORY_LIMIT})); "
    "sys.argv = ['assembler', *sys.argv[1:]]; runpy.run_module('assembler_runner', run_name='__main__')"
)


class Running:
    """The service, and a caller that is logged in."""

    def __init__(self, process: Process, url: str) -> None:
        self.process, self.url = process, url
        with Client(url) as client:
            self.headers = {"Authorization": f"Bearer {client.token}"}

    def work(self) -> float:
        """The seconds of processor time that it has had: they do not depend on what else the machine does."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self) -> float:
        """The most memory that it has had, in MB."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("abuse")
    with Process("-c", PROGRAM, "serve", "--port", "0", "--instance", str(folder), ADMIN_PASSWORD=PASSWORD) as process:
        service = Running(process, process.wait_for_line(READY)[1])
        # What is loaded with the first request is not the abuse's.
        body = {"space_type": "static", "files": {"index.html": "x", "README.md": "---\na: 1\n---\n"}}
        assert httpx.post(f"{service.url}/spaces/preview", json=body, headers=service.headers, timeout=60).is_success
        yield service


def made(value: Any) -> Any:
    """A value of a case, with what stands for something long in full."""
    if isinstance(value, list):
        return [made(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if "$repeat" in value:
        return value["$repeat"] * value["times"]
    if "$join" in value:
        return "".join(made(value["$join"]))
    if "$nest" in value:
        return json.loads("[" * value["$nest"] + "]" * value["$nest"])
    if "$files" in value:
        return {f"f{number}": "x" for number in range(value["$files"])}
    if "$paths" in value:
        return dict.fromkeys(made(value["$paths"]), "x")
    return {key: made(inner) for key, inner in value.items()}


def packed(archive: dict[str, Any]) -> tuple[str, bytes]:
    """The name and the bytes of an archive."""
    if "$gzip_zeros" in archive:
        content = b"\0" * 2**20 * archive["$gzip_zeros"]
        info = tarfile.TarInfo("zeros")
        info.size = len(content)
        return "a.tar.gz", gzip.compress(info.tobuf() + content + b"\0" * 1024, 9)
    if "$pax_value" in archive:
        record = f" x={made(archive['$pax_value'])}\n"
        header = f"{len(record) + 5}{record}"
    else:
        header = made(archive["$pax"])
    extended = tarfile.TarInfo("x")
    extended.type, extended.size = tarfile.XHDTYPE, len(header)
    body = header.encode() + b"\0" * (-len(header) % 512)
    return "a.tar", extended.tobuf() + body + tarfile.TarInfo("index.html").tobuf() + b"\0" * 1024


def send(service: Running, case: dict[str, Any]) -> httpx.Response:
    url = service.url + case["path"]
    if "archive" in case:
        form = {"request": (None, json.dumps({"space_type": "static"}), "application/json")}
        files = {**form, "archive": packed(case["archive"])}
        return httpx.post(url, files=files, headers=service.headers, timeout=60)
    body = json.dumps(made(case["json"]))
    headers = service.headers | {"Content-Type": "application/json"}
    return httpx.post(url, content=body, headers=headers, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_it_is_refused_within_bounds(running: Running, path: Path) -> None:
    case = json.loads(path.read_text())
    before, over, waits = running.peak(), threading.Event(), [0.0]

    def ask() -> None:
        while not over.is_set():
            began = time.monotonic()
            assert httpx.get(f"{running.url}/health/live", timeout=60).status_code == 200
            waits.append(time.monotonic() - began)
            over.wait(0.05)

    other = threading.Thread(target=ask)
    other.start()
    began = running.work()
    try:
        answer = send(running, case)
        seconds = running.work() - began
    finally:
        over.set()
        other.join()
    assert answer.status_code == case["status"], answer.text[:500]
    if "code" in case:
        assert case["code"] in {issue["code"] for issue in answer.json()["issues"]}, answer.text[:500]
    assert seconds < case["bounds"]["seconds"]
    assert running.peak() - before < case["bounds"]["megabytes"]
    assert max(waits) < OTHERS_WAIT, "others are answered meanwhile"
    assert running.process.running
