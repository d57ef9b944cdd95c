"""The life of an app on this machine: started, updated, paused, asleep, crashed, and after a crash of the service."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.app_service import ECHO, AppService, app_service, seen_by, visit
from tests.support.services import wait_until

pytestmark = pytest.mark.slow


def processes_of(text: str) -> list[int]:
    """Returns the processes whose command line or environment contains a text, as root or their own account sees it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in told:
                found.append(int(entry.name))
    return found


def test_an_app_runs_with_its_secrets_and_variables(apps: AppService) -> None:
    space = apps.run(name="first", secrets={"KEY": "top secret value"}, variables={"MODE": "test"}, parameters={"n": 3})
    assert space["app_url"].startswith("http://admin-first.localhost:")
    told = seen_by(space["app_url"])
    environ = told["environ"]
    assert told["params"] == {"n": 3}
    assert (environ["KEY"], environ["MODE"], environ["SPACE_ID"]) == ("top secret value", "test", "admin/first")
    assert environ["SPACE_HOST"] == "admin-first.localhost" and environ["HOME"] == "/home/user"
    assert not {"SECRET_KEY", "ADMIN_PASSWORD", "APPS", "SYSTEM"} & set(environ)
    assert apps.log(space["id"]) == ["The app starts with {'n': 3}"]
    assert apps.log(space["id"], "build")[0].startswith("Python 3.")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert b"top secret value" not in path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_a_log_shows_no_secret(apps: AppService) -> None:
    app = "import os\nprint('it is', os.environ['KEY'], flush=True)\n" + ECHO
    space = apps.run(app, name="teller", secrets={"KEY": "another secret"})
    assert "it is [secret]" in apps.log(space["id"])


def test_secrets_and_variables_change_with_a_restart(apps: AppService) -> None:
    space = apps.run(name="changing", secrets={"A": "first"})
    apps.change(space["id"], secrets={"A": None, "B": "second"}, variables={"C": "third"})
    url = space["app_url"]
    wait_until(lambda: seen_by(url)["environ"].get("C") == "third", "the app was restarted")
    environ = seen_by(url)["environ"]
    assert (environ.get("A"), environ["B"]) == (None, "second")


def test_an_update_is_not_noticed_by_visitors(apps: AppService) -> None:
    space = apps.run(name="updated")
    url, statuses, ended = space["app_url"], set(), threading.Event()

    def visits() -> None:
        while not ended.is_set():
            try:
                statuses.add(visit(url).status_code)
            except httpx.HTTPError as problem:
                statuses.add(type(problem).__name__)

    visitor = threading.Thread(target=visits)
    visitor.start()
    try:
        apps.change(space["id"], parameters={"n": 2}, files={"app.py": ECHO, "requirements.txt": ""})
        wait_until(lambda: seen_by(url)["params"] == {"n": 2}, "the new version answers")
        assert apps.until(space["id"], "running")["commit_oid"] != space["commit_oid"]
    finally:
        ended.set()
        visitor.join()
    assert statuses == {200}


def test_a_failed_update_leaves_the_old_version(apps: AppService) -> None:
    space = apps.run(name="robust")
    apps.change(space["id"], files={"app.py": "import nothing_like_this\n", "requirements.txt": ""})
    failed = apps.until(space["id"], "runtime_error")
    assert failed["problem"]["code"] == "missing_module"
    assert visit(space["app_url"]).status_code == 200


def test_an_app_that_fails_at_its_start_is_diagnosed(apps: AppService) -> None:
    space = apps.publish("print('so far', flush=True)\nimport cv2\n", name="broken")
    problem = apps.until(space["id"], "runtime_error")["problem"]
    assert problem["code"] == "missing_module" and problem["fix"]["edits"][0]["new"] == "opencv-python-headless"
    url = apps.space(space["id"])["app_url"]
    wait_until(lambda: "failed" in visit(url).text, "visitors are told")
    assert visit(url).status_code == 503


def test_requirements_that_cannot_be_installed(apps: AppService) -> None:
    files = {"app.py": ECHO, "requirements.txt": "./bad-1.0-py3-none-any.whl\n", "bad-1.0-py3-none-any.whl": "no"}
    space = apps.publish(name="unbuildable", files=files)
    assert apps.until(space["id"], "build_error")["problem"]["log_kind"] == "build"


def test_what_needs_a_container_is_only_stored(apps: AppService) -> None:
    dockerfile = 'FROM debian:12\nRUN apt-get update\nEXPOSE 7860\nUSER 1000\nCMD ["true"]\n'
    space = apps.publish(name="container", files={"Dockerfile": dockerfile})
    stored = apps.until(space["id"], "stored")
    assert stored["app_url"] is None
    assert "Line 1 of the Dockerfile needs a container" in apps.log(space["id"], "build")[0]


def test_an_app_that_crashes_is_started_again(apps: AppService) -> None:
    space = apps.run(name="crashing")
    with pytest.raises(httpx.HTTPError):
        visit(space["app_url"], "/crash").raise_for_status()
    wait_until(lambda: visit(space["app_url"]).status_code == 200, "the app answers again")
    assert apps.until(space["id"], "running")


def test_pause_and_restart(apps: AppService) -> None:
    space = apps.run(name="paused")
    apps.command(space["id"], "pause")
    apps.until(space["id"], "paused")
    wait_until(lambda: visit(space["app_url"]).status_code == 503, "the app has ended")
    assert "paused" in visit(space["app_url"]).text
    apps.command(space["id"], "restart")
    apps.until(space["id"], "running")
    assert visit(space["app_url"]).status_code == 200


def test_a_visit_wakes_an_app(apps: AppService) -> None:
    space = apps.run(name="sleeper", sleep_time=1)
    apps.until(space["id"], "sleeping")
    # A slow machine shows the page of an app that is starting first.
    wait_until(lambda: visit(space["app_url"]).status_code == 200, "the app is awake")


def test_an_app_does_not_sleep_while_it_works(apps: AppService) -> None:
    idle = apps.run(name="idle", sleep_time=2)
    space = apps.run(name="working")
    parts = urlsplit(space["app_url"])
    address, headers = f"http://127.0.0.1:{parts.port}", {"Host": parts.netloc}
    with httpx.stream("GET", f"{address}/events", headers=headers, timeout=120) as events:
        lines = events.iter_lines()
        assert next(lines) == "data: first"
        # From now on it would sleep if it were idle, as the other one does, which is as long without a visit.
        apps.change(space["id"], sleep_time=2)
        visit(idle["app_url"])
        apps.until(idle["id"], "sleeping")
        visit(space["app_url"], "/release")
        assert [line for line in lines if line] == ["data: last"]
    apps.until(space["id"], "sleeping")


def test_a_deleted_app_leaves_nothing(apps: AppService) -> None:
    space = apps.run(name="deleted", variables={"MARK": "deleted-mark"})
    assert processes_of("deleted-mark")
    folders = set((apps.instance / "apps" / "apps").iterdir())
    answer = apps.client._http.delete(f"/spaces/{space['id']}")
    apps.client.wait(answer.json()["latest_request"]["id"])
    wait_until(lambda: not processes_of("deleted-mark"), "the app has ended")
    wait_until(lambda: len(set((apps.instance / "apps" / "apps").iterdir())) == len(folders) - 1, "its files are gone")
    wait_until(lambda: visit(space["app_url"]).status_code == 404, "its address is free")


def test_a_moved_app_has_a_new_address(apps: AppService) -> None:
    space = apps.run(name="old-name")
    apps._done(apps.client.post(f"/spaces/{space['id']}/command", {"command": "move", "name": "new-name"}))
    moved = apps.until(space["id"], "running")
    assert moved["app_url"].startswith("http://admin-new-name.localhost:")
    wait_until(lambda: visit(moved["app_url"]).status_code == 200, "the app answers at its new address")


def test_hardware_of_a_hub_is_refused_with_a_warning(apps: AppService) -> None:
    space = apps.run(name="hardware", hardware="t4-small")
    assert [finding["code"] for finding in space["findings"]] == ["not_used_locally"]


def test_apps_continue_after_the_service_was_killed(tmp_path: Path) -> None:
    instance = tmp_path / "instance"
    with app_service(instance) as first:
        kept = first.run(
            "import pathlib\nfile = pathlib.Path('/data/visits')\n"
            "file.write_text((file.read_text() if file.exists() else '') + 'x')\n"
            "print(file.read_text(), flush=True)\n" + ECHO,
            name="kept",
            variables={"MARK": "kept-mark"},
        )
        paused = first.run(name="resting")
        first.command(paused["id"], "pause")
        first.until(paused["id"], "paused")
        before = processes_of("kept-mark")
        first.process.send(signal.SIGKILL)
        first.process.wait()
        wait_until(lambda: not [pid for pid in before if Path(f"/proc/{pid}").exists()], "its apps have ended")
    with app_service(instance) as second:
        space = second.until(kept["id"], "running")
        wait_until(lambda: visit(space["app_url"]).status_code == 200, "the app answers again")
        assert second.log(kept["id"])[0] == "xx"
        assert second.space(paused["id"])["state"] == "paused"
        assert not list((instance / "apps" / "run").glob(f"*{os.sep}*resting*"))


def test_limits_of_the_machine_and_of_a_realm(tmp_path: Path) -> None:
    with app_service(tmp_path / "instance", APPS_MAX="1", APPS_ALLOWED_REALMS="master") as apps:
        apps.run(name="one")
        waiting = apps.publish(name="two")
        assert waiting["state"] in ("building", "starting")
    with app_service(tmp_path / "other", APPS_ALLOWED_REALMS="another") as apps:
        space = apps.publish(name="one")
        assert apps.until(space["id"], "stored")["app_url"] is None


def test_an_app_that_fails_at_its_start_is_started_once(apps: AppService) -> None:
    app = "import pathlib\nwith open('/data/starts', 'a') as file:\n    file.write('x')\nimport nothing_like_this\n"
    space = apps.publish(app, name="failing")
    apps.until(space["id"], "runtime_error")
    starts = next(path for path in (apps.instance / "apps" / "apps").glob("*/data/starts"))
    assert starts.read_text() == "x"


@pytest.mark.slow
def test_an_app_that_crashes_again_and_again_is_given_up(apps: AppService) -> None:
    ending = "threading.Timer(0.5, lambda: os._exit(9)).start()\nhttp.server.Threading"
    app = "with open('/data/starts', 'a') as file:\n    file.write('x')\n" + ECHO.replace(
        "http.server.Threading", ending
    )
    space = apps.publish(app, name="crashing-always", variables={"MARK": "given-up"})
    apps.until(space["id"], "runtime_error")
    starts = [path.read_text() for path in (apps.instance / "apps" / "apps").glob("*/data/starts")]
    assert "xxxx" in starts, "the first start and three more"
    assert not processes_of("given-up")
