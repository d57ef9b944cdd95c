"""The main job, shown: starts the service in a throw-away folder and creates a Space from every example.

`--stay` leaves the service running until Ctrl-C, to look at its pages.

Uses nothing but the standard library, as any caller could.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from load import load_example

EXAMPLES = Path(__file__).resolve().parent
START_SECONDS, PUBLISH_SECONDS, RUN_SECONDS = 60, 60, 180
SHOWN_RUNNING = ("gradio", "streamlit")
KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH")
# Where packages come from, for the requirements of the apps.
OF_INDEXES = re.compile(r"(PIP|UV|SSL_CERT)_.*|https?_proxy|no_proxy", re.IGNORECASE)


class Service:
    """The service as a process of its own."""

    def __init__(self, instance: Path) -> None:
        self.password = secrets.token_urlsafe(12)
        ours = {name: value for name, value in os.environ.items() if name in KEPT or OF_INDEXES.fullmatch(name)}
        command = [sys.executable, "-m", "assembler_runner", "serve", "--port", "0", "--instance", str(instance)]
        self.process = subprocess.Popen(
            command,
            env={**ours, "ADMIN_PASSWORD": self.password, "LOG_LEVEL": "WARNING", "APPS_PORT": "0"},
            stdout=subprocess.PIPE,
            text=True,
            cwd=EXAMPLES.parent,
        )
        self.url = self._wait_until_ready()
        self.about_apps = self.process.stdout.readline().strip() if self.process.stdout else ""
        self.token = ""
        answer = self.call(
            "POST", "/auth/token", {"grant_type": "password", "username": "admin", "password": self.password}
        )
        self.token = answer["access_token"]

    def _wait_until_ready(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"ready at (\S+)", line):
                return found[1]
        sys.exit("The service did not start; its message stands above.")

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Calls the API and returns its JSON."""
        request = urllib.request.Request(self.url + path, method=method)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, data, timeout=PUBLISH_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as problem:
            sys.exit(f"{method} {path} was answered with {problem.code}: {problem.read().decode()}")

    def wait(self, request_id: str) -> dict[str, Any]:
        """Follows a request's events until it has ended."""
        request = urllib.request.Request(f"{self.url}/requests/{request_id}/events")
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Accept", "text/event-stream")
        deadline = time.monotonic() + PUBLISH_SECONDS
        with urllib.request.urlopen(request, timeout=PUBLISH_SECONDS) as events:
            for _ in events:
                if time.monotonic() > deadline:
                    break
        found: dict[str, Any] = self.call("GET", f"/requests/{request_id}")
        return found

    def stop(self) -> int:
        """Stops the service and returns its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=60)


def show(space: dict[str, Any], request: dict[str, Any]) -> None:
    """Prints one result."""
    print(f"\n{space['name']} ({space['space_type']}): {request['status']}")
    print(f"  URL     {space['url']}")
    if request["error"]:
        print(f"  Error   {request['error']['message']}")
        return
    print(f"  Commit  {request['commit']['oid']}")
    for file in request["files"]:
        print(f"  {file['origin']:<9} {file['size']:>6} bytes  {file['path']}")


def answer_of(address: str) -> str:
    """Visits an app; its host name needs no DNS. Returns what it answers."""
    parts = urllib.parse.urlsplit(address)
    request = urllib.request.Request(f"http://127.0.0.1:{parts.port}/", headers={"Host": parts.netloc})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return f"answers {answer.status} with {len(answer.read())} bytes"
    except urllib.error.HTTPError as problem:
        return f"answers {problem.code}"
    except OSError as problem:
        return f"does not answer: {problem}"


def show_running(service: Service, spaces: list[dict[str, Any]]) -> None:
    """Shows that apps really run, where this machine can run them; never fails the demo."""
    print(f"\n{service.about_apps}")
    for kind in SHOWN_RUNNING:
        first = next((space for space in spaces if space["space_type"] == kind), None)
        if first is not None and first["state"] != "stored":
            show_app(kind, wait_until_it_runs(service, first))


def wait_until_it_runs(service: Service, space: dict[str, Any]) -> dict[str, Any]:
    """Returns the Space when its app runs or has failed, or after a while."""
    deadline = time.monotonic() + RUN_SECONDS
    found = space
    while found["state"] in ("creating", "building", "starting") and time.monotonic() < deadline:
        time.sleep(1)
        found = service.call("GET", f"/spaces/{space['id']}?refresh=true")
    return found


def show_app(kind: str, space: dict[str, Any]) -> None:
    """Prints the answer of an app, or why there is none."""
    if space["state"] == "running":
        print(f"  {kind}: {space['app_url']} {answer_of(space['app_url'])}")
        return
    reason = (space["problem"] or {}).get("message", f"it did not start within {RUN_SECONDS} s")
    print(f"  {kind}: {space['name']} is {space['state']}, so it is not shown: {reason}")


def stay(service: Service) -> None:
    """Leaves the service running until Ctrl-C."""
    print(f"\nLook around at {service.url}: sign in as admin with the password {service.password}. Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):
        service.process.wait()


def main() -> int:
    """Runs the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--stay", action="store_true", help="Leave the service running until Ctrl-C.")
    stays = parser.parse_args().stay
    folders = sorted(path.parent for path in EXAMPLES.glob("*/request.json"))
    failed = []
    with tempfile.TemporaryDirectory(prefix="assembler-demo-") as folder:
        service = Service(Path(folder) / "instance")
        print(f"Assembler runs at {service.url}; it publishes {len(folders)} examples to its own git repositories.")
        try:
            accepted = [service.call("POST", "/spaces", load_example(example)) for example in folders]
            for space in accepted:
                request = service.wait(space["latest_request"]["id"])
                show(service.call("GET", f"/spaces/{space['id']}"), request)
                if request["status"] != "succeeded":
                    failed.append(space["name"])
            show_running(service, [service.call("GET", f"/spaces/{space['id']}") for space in accepted])
            missing = {shown["name"] for shown in service.call("GET", "/space-types")["data"]} - {
                space["space_type"] for space in accepted
            }
            if stays:
                stay(service)
        finally:
            code = service.stop()
    if failed or missing or code:
        print(f"\nFailed: {failed}; types without an example: {sorted(missing)}; exit code of the service: {code}")
        return 1
    print(f"\n{len(folders)} Spaces published, every type once at least.")
    print("To look at their pages: make demo STAY=1. To run the service yourself: make run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
