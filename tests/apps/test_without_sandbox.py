"""Apps without a sandbox, and with the network of this machine: what works, what is said, and that nothing is left."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from assembler_runner.core.settings import load
from assembler_runner.ops import apps as ops_apps
from assembler_runner.ops import doctor_apps
from tests.apps.test_supervisor import processes_of
from tests.support.app_service import ECHO, app_service, needs_sandbox, seen_by, visit
from tests.support.services import wait_until

# It reads the port that it is given.
APP = ECHO.replace('("0.0.0.0", 7860)', '("127.0.0.1", int(os.environ["PORT"]))')
DAEMON = """\
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
"""
MANY = """\
import subprocess, sys
for _ in range(20):
    subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
"""


@pytest.mark.slow
def test_apps_without_a_sandbox(tmp_path: Path) -> None:
    instance = tmp_path / "instance"
    with app_service(instance, sandbox=False, APPS_SANDBOX="none") as apps:
        apps.process.wait_for_line(r"run WITHOUT a sandbox \(APPS_SANDBOX=none\), .*; network: host;")
        first = apps.run(APP, name="first", secrets={"KEY": "value"}, variables={"MARK": "plain-mark"})
        second = apps.run(DAEMON + APP, name="second", variables={"MARK": "plain-mark"})
        told = seen_by(first["app_url"], "/path")
        assert (told["path"], told["environ"]["KEY"]) == ("/path", "value")
        assert not {"SECRET_KEY", "ADMIN_PASSWORD", "APPS", "HTTP_PROXY"} & set(told["environ"])
        assert seen_by(second["app_url"])["environ"]["PORT"] != told["environ"]["PORT"]
        apps.command(first["id"], "restart")
        wait_until(lambda: seen_by(first["app_url"])["environ"]["PORT"] != told["environ"]["PORT"], "a new start")
        apps.process.send(signal.SIGKILL)
        apps.process.wait()
        wait_until(lambda: not processes_of("plain-mark"), "the apps have ended with the service")


def test_processes_without_a_sandbox_are_counted(tmp_path: Path) -> None:
    with app_service(tmp_path / "instance", sandbox=False, APPS_SANDBOX="none", APPS_PIDS="8") as apps:
        space = apps.publish(MANY + APP, name="many")
        wait_until(lambda: any("Process limit" in line for line in apps.log(space["id"])), "the app was ended")


def test_the_network_of_the_machine_in_a_sandbox(tmp_path: Path) -> None:
    with app_service(tmp_path / "instance", APPS_NETWORK="host") as apps:
        apps.process.wait_for_line("in a sandbox of bubblewrap; network: host;")
        address = str(apps.client._http.base_url)
        call = (
            f"import urllib.request\nprint(urllib.request.urlopen({address + '/health/live'!r}).status, flush=True)\n"
        )
        spaces = [apps.run(call + APP, name=name) for name in ("one", "two")]
        assert apps.log(spaces[0]["id"])[0] == "200"
        assert {visit(space["app_url"]).status_code for space in spaces} == {200}


def test_preferred_means_where_one_works() -> None:
    needs_sandbox()
    settings, listener, line = ops_apps.choose(load({"APPS_SANDBOX": "preferred", "APPS_PORT": "0"}))
    assert listener is not None
    listener.close()
    assert settings.APPS_NETWORK == "none" and "in a sandbox of bubblewrap; network: none" in line


def test_what_the_doctor_says() -> None:
    rows = list(doctor_apps.checks(load({"APPS": "process", "APPS_SANDBOX": "none"})))
    assert rows[0][1] == "warning" and "WITHOUT a sandbox" in rows[0][2] and "network: host" in rows[0][2]
    rows = list(doctor_apps.checks(load({"APPS": "containers", "APPS_ENGINE": "/nowhere.sock"})))
    assert rows[0][1] == "error" and "/nowhere.sock" in rows[0][2]
    assert next(doctor_apps.checks(load({"APPS": "off"})))[1] == "ok"
