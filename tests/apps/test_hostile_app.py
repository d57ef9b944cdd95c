"""An app that tries to get out of its sandbox, and to use more than its share."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.app_service import ECHO, AppService, app_service, visit
from tests.support.services import wait_until

pytestmark = pytest.mark.slow

SERVE = """
import http.server, json, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(attack(self.path)).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", 7860), Handler).serve_forever()
"""

ATTACKS = """
import ctypes, glob, os, pathlib, signal, socket, subprocess, sys, threading

def outcome(work):
    try:
        return ["ok", str(work())]
    except BaseException as problem:
        return ["refused", type(problem).__name__]

def connect(address):
    with socket.create_connection(address, 3):
        return "connected"

def attack(path):
    libc = ctypes.CDLL(None, use_errno=True)
    def call(name, *arguments):
        result = getattr(libc, name)(*arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), name)
        return result
    return {
        "read": {name: outcome(lambda name=name: os.listdir(name) if os.path.isdir(name) else open(name).read(9))
                 for name in PARAMS["files"]},
        "write": {name: outcome(lambda name=name: open(name, "w").close())
                  for name in ("/usr/x", "/etc/x", "/x", "/assembler/env/x", "/assembler/bridge.py", "/dev/x",
                               "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger")},
        "connect": {str(place): outcome(lambda place=place: connect(tuple(place))) for place in PARAMS["places"]},
        "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()),
        "environments": [open(name, "rb").read().decode("utf-8", "replace") for name in glob.glob("/proc/*/environ")
                         if outcome(lambda name=name: open(name, "rb").read())[0] == "ok"],
        "user": [os.getuid(), os.geteuid(), os.getgid()],
        "groups": os.getgroups(),
        "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")],
        "setuid": outcome(lambda: os.setuid(0)),
        "namespace": outcome(lambda: call("unshare", 0x10000000)),
        "mount": outcome(lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
        "chroot": outcome(lambda: os.chroot("/tmp")),
        "kill": outcome(lambda: os.kill(-1, 0)),
        "kill_service": outcome(lambda: os.kill(PARAMS["pid"], 0)),
        "setuid_programs": outcome(lambda: subprocess.check_output(["su", "-c", "id"], stdin=subprocess.DEVNULL)),
        "descriptors": [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                        if os.path.exists(f"/proc/self/fd/{name}")],
        "interfaces": [name for _, name in socket.if_nameindex()],
        "written": outcome(lambda: [pathlib.Path(name).write_text("x") for name in ("/app/x", "/data/x", "/tmp/x")]),
    }
"""

EXHAUST = """
import mmap, os, subprocess, sys, threading, time

kept = []

def attack(path):
    if path == "/fork":
        count = 0
        try:
            while count < 5000:
                kept.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
                count += 1
        except OSError as problem:
            return [count, type(problem).__name__]
        return [count, None]
    if path == "/memory":
        try:
            kept.append(bytearray(4 * 2**30))
            return "taken"
        except MemoryError:
            return "refused"
    if path == "/many":
        code = "import sys; kept = b'x' * (300 * 2**20); print(len(kept), flush=True); sys.stdin.read()"
        for _ in range(4):
            child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            child.stdout.readline()
            kept.append(child)
        return "taken"
    if path == "/shared":
        # Neither a limit of data nor of files counts it.
        shared = mmap.mmap(-1, 1200 * 2**20)
        kept.append(shared)
        for place in range(0, len(shared), 4096):
            shared[place] = 1
        return "taken"
    if path == "/file":
        try:
            with open("/data/large", "wb") as file:
                for _ in range(1024):
                    file.write(bytes(2**20))
            return "written"
        except OSError as problem:
            return type(problem).__name__
    if path == "/scratch":
        try:
            with open("/tmp/large", "wb") as file:
                for _ in range(1024):
                    file.write(bytes(2**20))
            return "written"
        except OSError as problem:
            return type(problem).__name__
    if path == "/log":
        for _ in range(40000):
            print("x" * 1000)
        sys.stdout.flush()
        return "logged"
    return "hello"
"""


@pytest.fixture(scope="module")
def hostile(apps: AppService) -> Iterator[dict[str, Any]]:
    """What an app reports that tries to reach everything."""
    apps.run(ECHO, name="neighbour", secrets={"KEY": "secret of the neighbour"})
    other = socket.create_server(("127.0.0.1", 0))
    port = int(str(apps.client._http.base_url).rpartition(":")[2].rstrip("/"))
    home = str(Path("~root").expanduser())
    files = [home, "/home", "/etc/shadow", "/var", "/run", "/srv", "/mnt", f"/proc/1{home}/etc/shadow"]
    files += [str(apps.instance), str(apps.instance / "secrets.json"), str(apps.instance / "assembler.db")]
    places = [["127.0.0.1", port], ["127.0.0.1", other.getsockname()[1]], ["127.0.0.1", 5432], ["169.254.169.254", 80]]
    places += [["192.0.2.1", 80], ["1.1.1.1", 443]]
    parameters = {"files": files, "places": places, "pid": apps.process.pid}
    space = apps.run(ATTACKS + SERVE, name="hostile", parameters=parameters)
    with other:
        yield dict(visit(space["app_url"]).json())


def test_files_of_the_machine_and_of_others_cannot_be_read(hostile: dict[str, Any]) -> None:
    found = {name: answer[1] for name, answer in hostile["read"].items() if answer[0] == "ok"}
    # The home folder is its own; a Python installed below the home of the service's account is at its place.
    assert found.pop("/home") == "['user']"
    assert found in ({}, {"/root": "['.pyenv']"})


def test_only_its_own_folders_can_be_written(hostile: dict[str, Any]) -> None:
    assert {answer[0] for answer in hostile["write"].values()} == {"refused"}
    assert hostile["written"][0] == "ok"


def test_nothing_can_be_reached(hostile: dict[str, Any]) -> None:
    assert {answer[0] for answer in hostile["connect"].values()} == {"refused"}
    assert hostile["interfaces"] == ["lo"]


def test_other_processes_are_not_seen(hostile: dict[str, Any]) -> None:
    assert len(hostile["processes"]) <= 3
    assert hostile["kill_service"][0] == "refused"
    assert "secret of the neighbour" not in json.dumps(hostile["environments"])


def test_it_inherits_nothing_of_the_service(hostile: dict[str, Any]) -> None:
    kinds = {name.partition(":")[0] for name in hostile["descriptors"] if not name.startswith(("/dev/null", "/proc"))}
    # Its output, and its own sockets.
    assert kinds <= {"pipe", "socket"} and len(hostile["descriptors"]) < 8


def test_it_has_no_privileges(hostile: dict[str, Any]) -> None:
    assert hostile["user"] == [1000, 1000, 1000] and set(hostile["groups"]) <= {1000}
    assert set(hostile["capabilities"]) == {"0000000000000000"}
    for attempt in ("setuid", "namespace", "mount", "chroot", "setuid_programs"):
        assert hostile[attempt][0] == "refused", attempt


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppService]:
    limits = {"APPS_PIDS": "40", "APPS_MEMORY": str(700 * 2**20), "APPS_DISK": str(100 * 2**20)}
    with app_service(tmp_path_factory.mktemp("limited") / "instance", **limits) as apps:
        yield apps


def greedy(apps: AppService, name: str) -> dict[str, Any]:
    """Runs an app of its own for each test: what one has used up is not missing in another, and none is ended twice."""
    return apps.run(EXHAUST + SERVE, name=name)


def test_processes_are_limited(limited: AppService) -> None:
    space = greedy(limited, "forks")
    neighbour = limited.run(name="neighbour")
    count, problem = visit(space["app_url"], "/fork").json()
    assert count < 40 and problem == "BlockingIOError"
    assert visit(neighbour["app_url"]).status_code == 200


def test_memory_of_one_process_is_limited(limited: AppService) -> None:
    assert visit(greedy(limited, "allocates")["app_url"], "/memory").json() == "refused"


def test_files_are_limited(limited: AppService) -> None:
    space = greedy(limited, "writes")
    assert visit(space["app_url"], "/file").json() == "OSError"
    largest = max(path.stat().st_size for path in (limited.instance / "apps").rglob("large"))
    assert largest <= 100 * 2**20


@pytest.mark.slow
def test_all_files_together_are_limited(limited: AppService) -> None:
    space = greedy(limited, "stores")
    assert visit(space["app_url"], "/file").json() == "OSError"
    # This file and the app itself are more than the limit.
    until_log(limited, space, "Storage limit exceeded", "/")


def test_temporary_files_are_limited(limited: AppService) -> None:
    assert visit(greedy(limited, "scratches")["app_url"], "/scratch").json() == "OSError"


def test_a_log_is_limited(limited: AppService) -> None:
    assert visit(greedy(limited, "prints")["app_url"], "/log").json() == "logged"
    logs = [path.stat().st_size for path in (limited.instance / "apps").rglob("run.log*")]
    assert sum(logs) < 5 * 2**20


@pytest.mark.parametrize("kind", ["many", "shared"])
def test_memory_of_all_processes_is_limited(limited: AppService, kind: str) -> None:
    until_log(limited, greedy(limited, kind), "Memory limit exceeded", f"/{kind}")


def until_log(apps: AppService, space: dict[str, Any], text: str, path: str) -> None:
    """Visits an app again and again until its log has a text: the visit may fail when the app is ended."""

    def told() -> bool:
        with suppress(httpx.HTTPError):
            visit(space["app_url"], path)
        return any(text in line for line in apps.log(space["id"]))

    wait_until(told, f"the log says: {text}", timeout=120, every=0.3)


def test_no_process_of_an_app_survives_the_service(tmp_path: Path) -> None:
    with app_service(tmp_path / "instance") as apps:
        daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n"
        apps.run(daemon + ECHO, name="daemon", variables={"MARK": "daemon-mark"})
    left = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and os.access(entry / "environ", os.R_OK):
            try:
                left += [entry.name] if b"daemon-mark" in (entry / "environ").read_bytes() else []
            except OSError:
                continue
    assert left == []
