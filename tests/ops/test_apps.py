"""Whether a service runs apps, and what its start says; apps in a process of their own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from assembler_runner.core.errors import SettingsError
from assembler_runner.core.settings import load
from assembler_runner.ops import apps
from assembler_runner.ops import serve as serve_module
from tests.conftest import PASSWORD, SECRETS, MakeService
from tests.support.app_service import ECHO, needs_sandbox, seen_by
from tests.support.services import Client, Process, wait_until

pytestmark = pytest.mark.slow

STATIC = {"space_type": "static", "files": {"index.html": "<h1>Hello</h1>"}, "target": "local"}


def serve(instance: Path, **settings: str) -> Process:
    command = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(instance))
    return Process(*command, **{"ADMIN_PASSWORD": PASSWORD, "APPS_PORT": "0", **settings})


def test_apps_run_by_default_where_a_sandbox_works(tmp_path: Path) -> None:
    needs_sandbox()
    with serve(tmp_path / "instance", APPS="") as process:
        process.wait_for_line(r"ready at \S+\nApps of the target local run in a sandbox of bubblewrap")
        assert process.stop() == 0


def test_where_none_works_the_start_says_why(tmp_path: Path) -> None:
    with serve(tmp_path / "instance", APPS="", PATH="/nowhere") as process:
        url = process.wait_for_line(r"ready at (\S+)")[1]
        process.wait_for_line(r"Apps of the target local are not run: bubblewrap \(bwrap\) is not installed\.")
        with Client(url, PASSWORD) as client:
            space = client.post("/spaces", {**STATIC, "space_type": "docker", "files": {"app.py": "", "x.txt": ""}})
            client.wait(space["latest_request"]["id"])
            found = client.get(f"/spaces/{space['id']}?refresh=true")
            assert (found["state"], found["app_url"]) == ("stored", None)
        assert process.stop() == 0


def test_what_is_asked_for_and_impossible_stops_the_start(tmp_path: Path) -> None:
    with serve(tmp_path / "instance", APPS="process", PATH="/nowhere") as process:
        assert process.wait() == 1
        assert "APPS=process is not possible: bubblewrap (bwrap) is not installed" in process.log


def test_apps_can_be_switched_off() -> None:
    settings, listener, line = serve_module._choose_apps(load({"APPS": "off"}))
    assert (settings.runs_apps, listener, "APPS=off" in line) == (False, None, True)


def test_a_port_in_use() -> None:
    needs_sandbox()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        settings, listener, line = apps.choose(load({"APPS_PORT": port}))
        assert listener is not None
        with listener:
            assert settings.APPS_PORT == listener.getsockname()[1] != int(port)
            assert f"port {port} is in use" in line
        with pytest.raises(SettingsError, match="cannot listen"):
            apps.choose(load({"APPS_PORT": port, "APPS": "process"}))


@pytest.mark.parametrize(
    "given",
    [
        {"APPS_URL": "https://apps.example.org"},
        {"APPS_URL": "ftp://{app}.example.org"},
        {"APPS_URL": "https://{app}.example.org/path"},
        {"APPS_URL": "https://{app}.{app}.example.org"},
        {"APPS_URL": "https://{app}.example.org", "APPS_ROUTING": "path"},
        {"APPS": "maybe"},
        {"APPS_PIDS": "1"},
    ],
)
def test_bad_settings_stop_the_start(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="APPS"):
        load(given)


def test_apps_in_a_process_of_their_own(make_service: MakeService) -> None:
    needs_sandbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    service = make_service(APPS="process", APPS_PORT=port)
    files = {"app.py": ECHO, "requirements.txt": ""}
    done = service.publish(space_type="docker", files=files, parameters={}, target="local", secrets={"KEY": "value"})
    command = ("-m", "assembler_runner", "apps", "--instance", str(service.services.instance))
    with Process(*command, **SECRETS, APPS_PORT=str(port)) as process:
        process.wait_for_line("Apps of the target local run in a sandbox")
        path = f"/spaces/{done['space_id']}?refresh=true"
        wait_until(lambda: service.get(path).json["state"] == "running", "the app runs", timeout=180, every=1.1)
        assert seen_by(service.get(path).json["app_url"])["environ"]["KEY"] == "value"
        with Process(*command, **SECRETS, APPS_PORT="0") as second:
            assert second.wait() == 1
            assert "Another process runs the apps of this instance" in second.log
        assert process.stop() == 0
