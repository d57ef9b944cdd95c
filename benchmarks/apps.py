"""Apps on this machine: time to the first answer, memory, and what the proxy adds to a direct connection."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx

from assembler_runner.apps import process_tree
from assembler_runner.apps.engine import Engine, engine_problem, find_socket
from assembler_runner.apps.environments import COMPILED, RESOLVED
from benchmarks.measuring import Goal, Result, percentile
from tests.support.app_service import ECHO, AppService, app_service, visit
from tests.support.engine import socket_of_tests
from tests.support.services import free_port, wait_until

WHAT = (
    "`first s`: seconds from `POST /spaces` to the first answer of the app at its address, when nothing is installed "
    "yet; the package index or its cache is part of it. `again s`: from waking the paused app to its answer. `MB`: "
    "memory of all processes of the app after some visits, without pages of files; in a container as the engine "
    "counts it. The second table: the smallest app, reached by the proxy and its sandbox, and the same app listening "
    "on this machine; the client, an aiohttp one, shares the processors with both."
)
KINDS: dict[str, dict[str, Any]] = {
    "Python without packages": {"space_type": "docker", "files": {"app.py": ECHO, "requirements.txt": ""}},
    "gradio, template chat": {"space_type": "gradio", "template": "chat"},
    "streamlit, template dashboard": {"space_type": "streamlit", "template": "dashboard"},
}
# Answers in one piece, so that neither side waits for the other's acknowledgement.
SMALL = """
import asyncio

ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\n\\r\\n" + b"x" * 1000

async def answer(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    async with await asyncio.start_server(answer, "0.0.0.0", 7860) as server:
        await server.serve_forever()

asyncio.run(main())
"""
START_GOAL, WAIT_SECONDS = 30, 900.0
SLOWER = "fetching and installing packages on a busy machine"


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    result = Result("apps", WHAT)
    names = list(KINDS)[: 1 if quick else None]
    drivers: dict[str, dict[str, str]] = {"sandbox": {}}
    engine = engine_problem(socket_of_tests())
    if engine is None and not quick:
        drivers["container"] = {"APPS": "containers", "APPS_ENGINE": str(find_socket(socket_of_tests()))}
    for driver, settings in drivers.items():
        boxed = driver == "sandbox"
        with (
            tempfile.TemporaryDirectory() as folder,
            app_service(Path(folder) / "instance", sandbox=boxed, **settings) as apps,
        ):
            result.rows += [_start(apps, driver, name, settings.get("APPS_ENGINE")) for name in names]
            if boxed:
                result.more += _proxy(apps, 0.3 if quick else 5.0)
    for row in result.rows:
        for column, when in (("first s", "nothing installed"), ("again s", "installed before")):
            if row["in"] == "sandbox":
                text = f"first answer in s, {row['app']}, {when}"
                result.goals.append(Goal(text, row[column], START_GOAL, at_least=False, why=SLOWER))
    return result


def _start(apps: AppService, driver: str, name: str, engine: str | None) -> dict[str, Any]:
    begun = time.monotonic()
    space = apps.client.post("/spaces", {"target": "local", "name": f"a{len(name)}", **KINDS[name]})
    url = _answers(apps, space["id"])
    first = time.monotonic() - begun
    wait_until(lambda: _are_compiled(apps.instance), "the packages are compiled", WAIT_SECONDS, every=0.5)
    again = []
    for _ in range(3):
        apps.command(space["id"], "pause")
        apps.until(space["id"], "paused")
        wait_until(lambda: visit(url).status_code == 503, "the app has ended")
        begun = time.monotonic()
        apps.command(space["id"], "restart")
        _answers(apps, space["id"])
        again.append(time.monotonic() - begun)
    for _ in range(5):
        visit(url)
    used = _memory(apps, engine)
    apps.command(space["id"], "pause")
    apps.until(space["id"], "paused")
    row = {"app": name, "in": driver, "first s": round(first, 1), "again s": round(statistics.median(again), 1)}
    return {**row, "MB": round(used / 10**6)}


def _are_compiled(instance: Path) -> bool:
    """Whether the work that follows a first start is done; images are compiled when they are built."""
    made = [path.parent for path in (instance / "apps" / "cache").glob(f"*/*/{RESOLVED}")]
    return all(path.with_name(f"{path.name}{COMPILED}").exists() for path in made)


def _answers(apps: AppService, space_id: str) -> str:
    """Waits until an app answers; returns its address."""

    def answers() -> str | None:
        found = apps.space(space_id)
        assert found["state"] not in ("build_error", "runtime_error"), found["problem"]
        url = found["app_url"]
        return url if url is not None and visit(url).status_code == 200 else None

    return str(wait_until(answers, "the app answers", WAIT_SECONDS, every=0.1))


def _memory(apps: AppService, socket: str | None) -> int:
    if socket is None:
        return process_tree.used_memory(process_tree.inside_sandbox(process_tree.descendants(apps.process.pid)), 0)
    engine = Engine(Path(socket))
    try:
        total = 0
        instance = (apps.instance / "apps" / "instance-id").read_text()
        for row in engine.containers(f"assembler.instance={instance}"):
            stats = engine.call("GET", f"/containers/{row['Id']}/stats", {"stream": "false", "one-shot": "true"})
            memory = stats["memory_stats"]
            total += memory["usage"] - (memory["stats"].get("total_inactive_file") or 0)
        return total
    finally:
        engine.close()


def _proxy(apps: AppService, seconds: float) -> list[dict[str, Any]]:
    space = apps.run(SMALL, name="measured")
    parts = urlsplit(space["app_url"])
    rows = []
    with _directly() as port:
        ways = {"directly": (port, f"127.0.0.1:{port}"), "by the proxy": (parts.port or 80, parts.netloc)}
        for connections in (1, 16):
            for way, (at, host) in ways.items():
                times = asyncio.run(_load(at, host, connections, seconds))
                row = {"way": way, "connections": connections, "requests/s": round(len(times) / seconds)}
                row |= {"p50 ms": statistics.median(times) * 1000, "p95 ms": percentile(times, 0.95) * 1000}
                rows.append(row)
    return rows


@contextmanager
def _directly() -> Iterator[int]:
    port = free_port()
    app = SMALL.replace('"0.0.0.0", 7860', f'"127.0.0.1", {port}')
    process = subprocess.Popen([sys.executable, "-c", app], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: visit_is_good(port), "the app answers")
        yield port
    finally:
        process.kill()
        process.wait()


def visit_is_good(port: int) -> bool:
    """Whether an app on this machine answers."""
    try:
        return visit(f"http://127.0.0.1:{port}").status_code == 200
    except httpx.HTTPError:
        return False


async def _load(port: int, host: str, connections: int, seconds: float) -> list[float]:
    times: list[float] = []
    end = time.monotonic() + seconds

    async def one(session: aiohttp.ClientSession) -> None:
        while (begun := time.monotonic()) < end:
            async with session.get(f"http://127.0.0.1:{port}/", headers={"Host": host}) as answer:
                await answer.read()
                assert answer.status == 200
            times.append(time.monotonic() - begun)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(one(session) for _ in range(connections)))
    return times
