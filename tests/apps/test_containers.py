"""Apps as containers of a real engine: what they can do, their life, and what is left of them."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from assembler_runner.apps.container_driver import INSTANCE
from assembler_runner.apps.engine import Engine, EngineError
from tests.apps.test_hostile_app import ATTACKS, EXHAUST, SERVE
from tests.support.app_service import ECHO, AppService, app_service, seen_by, visit
from tests.support.engine import needs_engine
from tests.support.services import wait_until

pytestmark = pytest.mark.slow

BUILT_WITH_SECRET = """\
FROM python:3.12-slim-bookworm
ARG MODE
RUN --mount=type=secret,id=KEY,mode=0444 echo "$MODE $(cat /run/secrets/KEY | tr a-z A-Z)" > /built
WORKDIR /srv
COPY . .
CMD ["python", "app.py"]
"""
NOT_PYTHON = """\
FROM python:3.12-slim-bookworm AS made
RUN mkdir /made && echo made > /made/file
FROM python:3.12-slim-bookworm
COPY --from=made /made /made
COPY app.py /opt/app.py
ENV FOUND=/made/file
EXPOSE 9000
ENTRYPOINT ["sh", "-c", "cat $FOUND && exec python /opt/app.py"]
"""


@contextmanager
def containers(instance: Path, **settings: str) -> Iterator[tuple[AppService, Engine]]:
    """Runs a service whose apps are containers; removes what is left of them."""
    path = needs_engine()
    engine = Engine(path)
    try:
        with app_service(instance, sandbox=False, APPS="containers", APPS_ENGINE=str(path), **settings) as running:
            yield running, engine
            if running.process.running:
                assert running.process.stop() == 0, running.process.log
                assert not of_instance(engine, instance), "a service that ends leaves no container"
    finally:
        clean(engine, instance)
        engine.close()


def clean(engine: Engine, instance: Path) -> None:
    left = of_instance(engine, instance)
    # Podman removes no container whose network another one still uses.
    for row in sorted(left, key=lambda row: bool(row["Labels"]["assembler.role"] == "app")):
        engine.remove(row["Id"])
    for row in engine.images(f"{INSTANCE}={(instance / 'apps' / 'instance-id').read_text()}"):
        engine.call("DELETE", f"/images/{row['Id']}", {"force": "true"}, missing=True)


def container_of(engine: Engine, instance: Path, host: str) -> dict[str, Any]:
    """Returns the container of an app by its host name."""
    for row in of_instance(engine, instance):
        found = engine.call("GET", f"/containers/{row['Id']}/json", missing=True)
        if found is not None and found["Config"].get("Hostname") == host and row["Labels"]["assembler.role"] == "app":
            return row
    raise AssertionError(f"there is no container {host}")


def of_instance(engine: Engine, instance: Path) -> list[dict[str, Any]]:
    return engine.containers(f"{INSTANCE}={(instance / 'apps' / 'instance-id').read_text()}")


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AppService, Engine]]:
    limits = {"APPS_PIDS": "40", "APPS_MEMORY": str(300 * 2**20), "APPS_DISK": str(100 * 2**20)}
    with containers(tmp_path_factory.mktemp("boxed") / "instance", **limits) as running:
        yield running


@pytest.fixture(scope="module")
def apps(boxed: tuple[AppService, Engine]) -> AppService:
    return boxed[0]


def test_an_app_runs_with_its_secrets_and_variables(apps: AppService) -> None:
    space = apps.run(name="first", secrets={"KEY": "top secret value"}, variables={"MODE": "test"}, parameters={"n": 3})
    told = seen_by(space["app_url"])
    environ = told["environ"]
    assert told["params"] == {"n": 3}
    assert (environ["KEY"], environ["MODE"], environ["SPACE_ID"]) == ("top secret value", "test", "admin/first")
    assert not {"SECRET_KEY", "ADMIN_PASSWORD", "APPS", "SYSTEM"} & set(environ)
    assert apps.log(space["id"]) == ["The app starts with {'n': 3}"]
    assert any("useradd" in line for line in apps.log(space["id"], "build"))


def test_any_dockerfile_runs(apps: AppService) -> None:
    files = {
        "Dockerfile": NOT_PYTHON,
        "app.py": ECHO.replace("7860", "9000"),
        "README.md": "---\napp_port: 9000\n---\n",
    }
    space = apps.run(name="stages", files=files)
    assert seen_by(space["app_url"], "/path")["path"] == "/path"
    assert apps.log(space["id"])[0] == "made"


def test_secrets_while_an_image_is_built(apps: AppService) -> None:
    app = "print(open('/built').read().strip(), flush=True)\n" + ECHO
    files = {"Dockerfile": BUILT_WITH_SECRET, "app.py": app}
    space = apps.publish(name="built", files=files, secrets={"KEY": "a secret"}, variables={"MODE": "x y"})
    found = apps.until(space["id"], "running", "build_error")
    if found["state"] == "build_error":
        assert any("needs the plugin buildx" in line for line in apps.log(space["id"], "build"))
    else:
        assert apps.log(space["id"])[0] == "x y A SECRET"


def test_an_image_that_cannot_be_built(apps: AppService) -> None:
    dockerfile = 'FROM python:3.12-slim-bookworm\nRUN echo no such thing && false\nCMD ["true"]\n'
    space = apps.publish(name="unbuildable", files={"Dockerfile": dockerfile})
    assert apps.until(space["id"], "build_error")["problem"]
    assert any("no such thing" in line for line in apps.log(space["id"], "build"))


def test_an_app_that_ends_at_once(apps: AppService) -> None:
    space = apps.publish("print('it ends', flush=True)\nimport nothing_like_this\n", name="ending")
    problem = apps.until(space["id"], "runtime_error")["problem"]
    assert problem["code"] == "missing_module"
    assert apps.log(space["id"])[0] == "it ends"


def test_nothing_can_be_reached(boxed: tuple[AppService, Engine]) -> None:
    apps, engine = boxed
    other = socket.create_server(("0.0.0.0", 0))
    port = int(str(apps.client._http.base_url).rpartition(":")[2].rstrip("/"))
    own = socket.gethostbyname(socket.gethostname())
    places = [[host, number] for host in ("127.0.0.1", own, "172.17.0.1") for number in (port, other.getsockname()[1])]
    places += [["169.254.169.254", 80], ["192.0.2.1", 80], ["1.1.1.1", 443]]
    files = ["/run/docker.sock", str(engine.socket_path), str(apps.instance), "/assembler", "/etc/shadow"]
    parameters = {"files": files, "places": places, "pid": apps.process.pid}
    apps.run(name="neighbour", secrets={"KEY": "secret of the neighbour"})
    space = apps.run(ATTACKS + SERVE.replace("127.0.0.1", "0.0.0.0"), name="hostile", parameters=parameters)
    with other:
        found = visit(space["app_url"]).json()
    assert {answer[0] for answer in found["read"].values()} == {"refused"}
    assert {answer[0] for answer in found["connect"].values()} == {"refused"}
    assert found["interfaces"] == ["lo"]
    assert found["user"] == [1000, 1000, 1000] and set(found["capabilities"]) == {"0000000000000000"}
    assert len(found["processes"]) <= 4 and "secret of the neighbour" not in json.dumps(found["environments"])
    for attempt in ("setuid", "mount", "chroot", "setuid_programs"):
        assert found[attempt][0] == "refused", attempt


def test_limits(apps: AppService) -> None:
    app = EXHAUST + SERVE.replace("127.0.0.1", "0.0.0.0")
    forks = apps.run(app, name="forks")
    count, problem = visit(forks["app_url"], "/fork").json()
    assert count < 40 and problem == "BlockingIOError"
    writes = apps.run(app, name="writes")
    assert visit(writes["app_url"], "/file").json() == "OSError"
    eats = apps.run(app, name="eats")

    def told() -> bool:
        with suppress(httpx.HTTPError):
            visit(eats["app_url"], "/shared")
        # Podman does not tell it with every version of cgroups.
        said = any("Memory limit exceeded" in line for line in apps.log(eats["id"]))
        return said or apps.space(eats["id"])["state"] == "runtime_error"

    wait_until(told, "the app was ended", timeout=120, every=0.3)


def test_an_update_and_a_failed_one(apps: AppService) -> None:
    space = apps.run(name="updated")
    files = {"app.py": ECHO, "requirements.txt": ""}
    apps.change(space["id"], parameters={"n": 2}, files=files)
    wait_until(lambda: seen_by(space["app_url"])["params"] == {"n": 2}, "the new version answers", timeout=120)
    apps.change(space["id"], files={"app.py": "import nothing_like_this\n", "requirements.txt": ""})
    apps.until(space["id"], "runtime_error")
    assert seen_by(space["app_url"])["params"] == {"n": 2}, "the old version stays"


def test_a_crash_a_pause_and_sleep(apps: AppService) -> None:
    space = apps.run(name="living", sleep_time=4)
    with pytest.raises(httpx.HTTPError):
        visit(space["app_url"], "/crash").raise_for_status()
    wait_until(lambda: visit(space["app_url"]).status_code == 200, "the app answers again")
    apps.until(space["id"], "sleeping")
    wait_until(lambda: visit(space["app_url"]).status_code == 200, "the app is awake")
    apps.command(space["id"], "pause")
    apps.until(space["id"], "paused")
    wait_until(lambda: visit(space["app_url"]).status_code == 503, "the app has ended")
    apps.command(space["id"], "restart")
    apps.until(space["id"], "running")
    assert visit(space["app_url"]).status_code == 200


def test_a_deleted_app_leaves_nothing(boxed: tuple[AppService, Engine]) -> None:
    apps, engine = boxed
    write = "import os\nos.makedirs('/data/closed/inner')\nos.chmod('/data/closed', 0o700)\n"
    space = apps.run(write + ECHO, name="deleted", variables={"MARK": "x"})
    name = container_of(engine, apps.instance, "admin-deleted")["Labels"]["assembler.app"]
    answer = apps.client._http.delete(f"/spaces/{space['id']}")
    apps.client.wait(answer.json()["latest_request"]["id"])
    mark = f"assembler.app={name}"

    def gone() -> bool:
        # Podman cannot list images while it removes one.
        with suppress(EngineError):
            return not engine.containers(mark) and not engine.images(mark)
        return False

    wait_until(gone, "containers and images are gone")
    wait_until(lambda: not (apps.instance / "apps" / "apps" / name).exists(), "its files are gone")


def test_an_app_is_tried_before_it_is_published(apps: AppService) -> None:
    files = {"app.py": ECHO, "requirements.txt": ""}
    body = {"space_type": "docker", "files": files, "target": "local", "verify": True, "parameters": {}}
    space = apps.client.post("/spaces", {**body, "name": "tried"})
    assert apps.client.wait(space["latest_request"]["id"])["status"] == "succeeded"
    files["app.py"] = "import nothing_like_this\n"
    refused = apps.client.post("/spaces", {**body, "name": "refused", "files": files})
    done = apps.client.wait(refused["latest_request"]["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "verify_failed")


def test_running_apps_are_taken_over_after_the_service_was_killed(tmp_path: Path) -> None:
    instance = tmp_path / "instance"
    counts = ECHO.replace("def do_GET(self):", "def do_GET(self):\n        PARAMS['n'] += 1")
    with containers(instance) as (first, engine):
        kept = first.run(counts, name="kept")
        gone = first.run(name="gone")
        seen = seen_by(kept["app_url"])["params"]["n"]
        first.process.send(signal.SIGKILL)
        first.process.wait()
        before = {row["Id"] for row in of_instance(engine, instance)}
        orphan = container_of(engine, instance, "admin-gone")
        engine.stop(orphan["Id"], 0)
        path = needs_engine()
        with app_service(instance, sandbox=False, APPS="containers", APPS_ENGINE=str(path)) as second:
            space = second.until(kept["id"], "running")
            wait_until(lambda: visit(space["app_url"]).status_code == 200, "the app answers")
            assert seen_by(space["app_url"])["params"]["n"] > seen, "it was not started again"
            wait_until(lambda: visit(second.space(gone["id"])["app_url"]).status_code == 200, "this one was")
            now = {row["Id"] for row in of_instance(engine, instance)}
            assert len(now & before) == 2 and orphan["Id"] not in now
            second.command(kept["id"], "restart")
            wait_until(lambda: seen_by(space["app_url"])["params"]["n"] <= seen, "the app was started anew")
            assert second.log(kept["id"])


def test_calls_to_public_addresses_only(tmp_path: Path) -> None:
    app = ECHO.replace(
        "def do_GET(self):",
        """def do_GET(self):
        import urllib.request
        if self.path.startswith("/call"):
            try:
                told = str(urllib.request.urlopen(self.path.partition("?")[2], timeout=20).status)
            except Exception as problem:
                told = str(problem)
            body = json.dumps([told]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return self.wfile.write(body)""",
    )
    with containers(tmp_path / "instance", APPS_NETWORK="outgoing") as (apps, _):
        space = apps.run(app, name="calling")
        address = str(apps.client._http.base_url).replace("127.0.0.1", "127.0.0.2")
        assert "403" in visit(space["app_url"], f"/call?{address}").text
        assert "403" in visit(space["app_url"], "/call?http://169.254.169.254/").text


def test_an_engine_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    engine = str(tmp_path / "none.sock")
    with (
        pytest.raises(AssertionError),
        app_service(tmp_path / "instance", sandbox=False, APPS="containers", APPS_ENGINE=engine),
    ):
        raise RuntimeError("it started")


def test_images_of_apps_that_do_not_run_make_room(tmp_path: Path) -> None:
    with containers(tmp_path / "instance", APPS_CACHE_MAX="1") as (apps, engine):
        first = apps.run(name="first")
        apps.command(first["id"], "pause")
        apps.until(first["id"], "paused")
        wait_until(lambda: not of_instance(engine, apps.instance), "its containers are gone")
        second = apps.run(name="second", parameters={"n": 2})
        mark = f"{INSTANCE}={(apps.instance / 'apps' / 'instance-id').read_text()}"
        wait_until(lambda: len(engine.images(mark)) == 1, "the image of the app that does not run is gone")
        apps.command(first["id"], "restart")
        apps.until(first["id"], "running")
        assert {visit(space["app_url"]).status_code for space in (first, second)} == {200}
