"""The processes of containers, and the Dockerfile, compose files and manifests."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import yaml

from assembler_runner.core.settings import SETTINGS
from assembler_runner.devhub import StandInHub
from tests.support.services import (
    PASSWORD,
    PROJECT,
    Client,
    Process,
    assert_published_once,
    forget_queue,
    free_port,
    hub_settings,
    postgres_database,
    redis_url,
    wait_until,
)

pytestmark = pytest.mark.slow

COMPOSE = ["docker-compose.yml", "docker-compose.mariadb.yml"]
MANIFESTS = sorted((PROJECT / "deploy" / "kubernetes").glob("*.yaml"))
NAMES = {row.name for row in SETTINGS}


class Containers:
    """Starts the processes of containers with the settings of one deployment."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings

    def start(self, mode: str, **settings: str) -> Process:
        return Process("-m", "assembler_runner.ops.container", **self.settings, CONTAINER_MODE=mode, **settings)

    def health(self, mode: str, **settings: str) -> int:
        with Process(
            "-m", "assembler_runner.ops.healthcheck", **self.settings, CONTAINER_MODE=mode, **settings
        ) as process:
            return process.wait()


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as running:
        yield running


@pytest.fixture
def containers(tmp_path: Path, hub: StandInHub) -> Iterator[Containers]:
    queue = f"assembler-test-{uuid.uuid4().hex[:12]}"
    broker = redis_url()
    with postgres_database() as database:
        yield Containers(
            hub_settings(hub)
            | {
                "SQLALCHEMY_DATABASE_URI": database,
                "BROKER_URL": broker,
                "CELERY_QUEUE": queue,
                "SECRET_KEY": "secret-key-of-the-tests-0123456789",
                "JWT_SECRET_KEY": "jwt-key-of-the-tests-0123456789ab",
                "ADMIN_PASSWORD": PASSWORD,
                "INSTANCE_FOLDER": str(tmp_path / "instance"),
                "ALIVE_FILE": str(tmp_path / "alive"),
                "RESEND_SECONDS": "1",
                "FLASK_APP": "assembler_runner.app:create_app",
            }
        )
    forget_queue(broker, queue)


def test_a_deployment_starts_publishes_and_stops(containers: Containers, hub: StandInHub) -> None:
    port = str(free_port())
    with containers.start("worker") as worker:
        worker.wait_for_line("Waiting: the database has not been migrated yet")
        assert containers.health("worker") == 1
        with containers.start("migrate") as first, containers.start("migrate") as second:
            assert (first.wait(), second.wait()) == (0, 0), first.log + second.log
            assert "The database is up to date." in first.log
        with containers.start("server", SERVER_PORT=port) as server, containers.start("beat") as beat:
            server.wait_for_http(f"http://127.0.0.1:{port}/health/live")
            worker.wait_for_line("ready")
            beat.wait_for_line("beat: Starting")
            assert containers.health("server", SERVER_PORT=port) == 0
            wait_until(lambda: containers.health("worker") == 0, "the worker is healthy")
            with Client(f"http://127.0.0.1:{port}") as client:
                ids = client.submit_all(["one", "two-static"])
                assert_published_once(hub, client.wait_all(ids))
                wait_until(lambda: client.get("/health/ready")["status"] == "ok", "all parts are there")
                stream = {"Accept": "text/event-stream", "Authorization": f"Bearer {client.token}"}
                space_id = client.get("/spaces")["data"][0]["id"]
            url = f"http://127.0.0.1:{port}/spaces/{space_id}/events"
            with httpx.stream("GET", url, headers=stream, timeout=30) as reader:
                lines = reader.iter_lines()
                assert next(lines).startswith("retry")
                began = time.monotonic()
                server.send(signal.SIGTERM)
                for _ in lines:
                    pass
            assert server.wait() == 0, server.log
            assert time.monotonic() - began < 15, "a reader does not hold up the end"
            assert containers.health("server", SERVER_PORT=port) == 1
            assert beat.stop() == 0, beat.log
        assert worker.stop() == 0, worker.log


def test_a_deployment_can_be_monitored(containers: Containers, hub: StandInHub) -> None:
    port, worker_port = str(free_port()), str(free_port())
    token = "the metrics token of the tests 0123456789"
    containers.settings |= {"METRICS_TOKEN": token, "LOG_FORMAT": "json", "GUNICORN_WORKERS": "2"}
    bearer = {"Authorization": f"Bearer {token}"}
    url, worker_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{worker_port}/metrics"
    with (
        containers.start("server", SERVER_PORT=port) as server,
        containers.start("worker", METRICS_PORT=worker_port) as worker,
    ):
        server.wait_for_http(f"{url}/health/live")
        with Client(url) as client:
            client._http.headers["X-Request-Id"] = "call-of-the-test"
            request_id = client.submit("one")
            client.wait(request_id)
        # One connection per call, so that both processes serve some of them.
        for _ in range(20):
            httpx.get(f"{url}/health/live")
        asked = 'assembler_http_request_seconds_count{method="GET",route="/health/live",status="200"}'
        seen = {value(httpx.get(f"{url}/metrics", headers=bearer).text, asked) for _ in range(6)}
        # wait_for_http also called; all processes report the same total.
        assert len(seen) == 1
        assert seen.pop() >= 21
        assert httpx.get(worker_url).status_code == 401
        worked = httpx.get(worker_url, headers=bearer).text
        assert value(worked, 'assembler_job_seconds_count{outcome="succeeded"}') == 1
        hub_calls = 'assembler_hub_call_seconds_count{method="POST",route="/api/repos/create",status="200"}'
        assert value(worked, hub_calls) == 1
        assert value(worked, "assembler_queue_length") == 0
        assert server.stop() == 0
        assert worker.stop() == 0
    lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
    published = next(line for line in lines if "published" in line["message"])
    assert (published["request_id"], published["space_request_id"]) == ("call-of-the-test", request_id)
    assert published["logger"] == "assembler_runner.publishing.pipeline"
    called = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    assert any(line.get("route") == "/spaces" and line["request_id"] == "call-of-the-test" for line in called)
    assert any("Booting worker" in line["message"] for line in called), "gunicorn's own lines have the same form"
    assert token not in server.log + worker.log


def value(text: str, series: str) -> float:
    """Returns the value of one series in the text format of Prometheus."""
    (found,) = [line for line in text.splitlines() if line.startswith(f"{series} ")]
    return float(found.rpartition(" ")[2])


@pytest.mark.parametrize(
    ("mode", "settings", "words"),
    [
        ("server", {"SECRET_KEY": ""}, "SECRET_KEY must be set"),
        ("server", {"BROKER_URL": "memory://"}, "BROKER_URL is not set"),
        ("worker", {"MIGRATION_WAIT": "0.1"}, "The database has not been migrated yet"),
        (
            "migrate",
            {"SQLALCHEMY_DATABASE_URI": "postgresql+psycopg://nobody@127.0.0.1:1/none", "MIGRATION_WAIT": "0.1"},
            "The database does not respond",
        ),
        (
            "migrate",
            {"SQLALCHEMY_DATABASE_URI": "postgresql+psycopg://me:op@en:sesame@database/assembler"},
            "SQLALCHEMY_DATABASE_URI cannot be used: its port is not a number",
        ),
        ("worker", {"SQLALCHEMY_DATABASE_URI": "nonsense"}, "SQLALCHEMY_DATABASE_URI cannot be used: Could not parse"),
        ("worker", {"SQLALCHEMY_DATABASE_URI": "oracle://host/name"}, "No module named 'oracledb'"),
        ("cook", {}, "CONTAINER_MODE must be one of server, worker, beat, migrate, apps"),
    ],
)
def test_a_failed_step_ends_the_container_with_a_message(
    containers: Containers, mode: str, settings: dict[str, str], words: str
) -> None:
    containers.settings |= settings
    with containers.start(mode) as process:
        assert process.wait() == 1, process.log
    assert words in process.log
    assert "Traceback" not in process.log
    assert "sesame" not in process.log, "a part of a password"
    assert "Hint: " in process.log


def test_plugins_whose_requirements_cannot_be_installed_end_the_container(
    containers: Containers, tmp_path: Path
) -> None:
    package = tmp_path / "plugins" / "wanting"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from assembler_runner.plugin import SpacePlugin\n\n\nclass Wanting(SpacePlugin):\n"
        '    """A type."""\n\n    space_type, version, sdk = "wanting", "1.0", "static"\n\n'
        "    def get_requirements(self) -> str:\n        return 'flask<1'\n"
    )
    with containers.start("server", PLUGIN_FOLDERS=str(package.parent)) as process:
        assert process.wait() == 1
    assert "wanting@1.0 requires flask<1, but the service runs with flask" in process.log
    assert "The requirements of the plugins could not be installed" in process.log


def test_the_health_check_imports_little() -> None:
    program = (
        "import sys, assembler_runner.ops.healthcheck; print({'flask', 'sqlalchemy', 'celery'} & set(sys.modules))"
    )
    with Process("-c", program) as process:
        assert process.wait() == 0
    assert process.log == "set()\n", "it runs every few seconds, in a container that may be busy"


def test_all_health_checks_use_the_same_command() -> None:
    command = ["python", "-m", "assembler_runner.ops.healthcheck"]
    (asked,) = re.findall(r"^HEALTHCHECK .*\n\s+CMD (.*)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert json.loads(asked) == command
    (worker,) = [each for each in manifests() if (each["kind"], each["metadata"]["name"]) == ("Deployment", "worker")]
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert [container[name]["exec"]["command"] for name in ("startupProbe", "livenessProbe")] == [command, command]


def test_the_dockerfile_has_no_known_faults() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, PROJECT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_build_context_contains_all_copied_files() -> None:
    text = (PROJECT / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for word in line.split()[:-1]}
    let_in = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == let_in
    assert all((PROJECT / name).exists() for name in copied)
    settings = set(re.findall(r"^\s+([A-Z_]+)=", text, re.MULTILINE))
    ours = {"PIP_DISABLE_PIP_VERSION_CHECK", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "FLASK_APP"}
    assert settings - ours - {"HF_HUB_DISABLE_TELEMETRY"} <= NAMES


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_use_existing_settings(name: str) -> None:
    described = yaml.safe_load((PROJECT / name).read_text())
    services = described["services"]
    assert {"migrate", "api", "worker", "beat", "apps", "database", "broker"} == set(services)
    for service in services.values():
        if service["image"].startswith("assembler"):
            assert set(service["environment"]) <= NAMES
            assert service["depends_on"]
    modes = {
        name: services[name]["environment"]["CONTAINER_MODE"] for name in ("migrate", "api", "worker", "beat", "apps")
    }
    assert modes == {"migrate": "migrate", "api": "server", "worker": "worker", "beat": "beat", "apps": "apps"}
    for name, service in services.items():
        assert (
            service["healthcheck"]["disable"] if name == "migrate" else "disable" not in service.get("healthcheck", {})
        )
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            has_engine = name == "apps" and source == "/var/run/docker.sock"
            assert source.startswith("./") or source in described["volumes"] or has_engine


@pytest.mark.parametrize("name", COMPOSE)
def test_the_supervisor_of_apps_alone_has_the_engine(name: str) -> None:
    services = yaml.safe_load((PROJECT / name).read_text())["services"]
    assert [each for each, service in services.items() if "docker.sock" in json.dumps(service)] == ["apps"]
    apps = services["apps"]
    assert apps["profiles"] == ["apps"], "it does not start unless it is asked for"
    assert apps["ports"] == ["127.0.0.1:${APPS_PORT:-5006}:${APPS_PORT:-5006}"]
    assert {services[each]["environment"]["APPS"] for each in ("api", "worker")} == {"${APPS:-off}"}
    assert f"AS {apps['build']['target']}\n" in (PROJECT / "Dockerfile").read_text()


def manifests() -> list[dict[str, Any]]:
    return [
        document
        for path in MANIFESTS
        if path.name != "kustomization.yaml"
        for document in yaml.safe_load_all(path.read_text())
    ]


@pytest.mark.parametrize(
    "manifest", manifests(), ids=lambda manifest: f"{manifest['kind']}-{manifest['metadata']['name']}"
)
def test_kubernetes_manifests_match_the_schema(manifest: dict[str, Any]) -> None:
    version = ".".join(kubernetes_validate.latest_version().split(".")[:2])
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_kustomization_names_every_manifest() -> None:
    listed = yaml.safe_load((PROJECT / "deploy/kubernetes/kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == [path.name for path in MANIFESTS]
    config = next(each for each in manifests() if each["kind"] == "ConfigMap")
    assert set(config["data"]) <= NAMES
    for each in manifests():
        template = each["spec"].get("template") if each["kind"] in ("Job", "Deployment") else None
        if template:
            assert {row["name"] for row in template["spec"]["containers"][0]["env"]} <= NAMES


SECRETS = {"SECRET_KEY", "JWT_SECRET_KEY", "ADMIN_PASSWORD", "HF_TOKEN"}
USED = {
    "api": {"SECRET_KEY", "JWT_SECRET_KEY", "HF_TOKEN"},
    "worker": {"SECRET_KEY", "HF_TOKEN"},
    "beat": set[str](),
    "apps": {"SECRET_KEY"},
    "migrate": {"ADMIN_PASSWORD"},
}


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_confines_every_service(name: str) -> None:
    services = yaml.safe_load((PROJECT / name).read_text())["services"]
    for service_name, service in services.items():
        assert service["cap_drop"] == ["ALL"], service_name
        assert service["security_opt"] == ["no-new-privileges:true"], service_name
        assert service["read_only"] or service["image"].startswith("rabbitmq"), service_name
        assert not service.get("privileged")
        if service_name == "apps":
            assert service["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
        if service["image"].startswith("assembler"):
            assert "cap_add" not in service or service_name == "apps"
            assert SECRETS & set(service["environment"]) == USED[service_name]
    assert "PASSWORD" in services["api"]["environment"]["BROKER_URL"]
    words = services["broker"].get("command", [])
    assert not any("${BROKER_PASSWORD" in word for word in words), "a command line is visible to every process"


def test_kubernetes_confines_every_pod() -> None:
    for each in manifests():
        if each["kind"] not in ("Job", "Deployment"):
            continue
        (container,) = each["spec"]["template"]["spec"]["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all("secretRef" not in source for source in container["envFrom"])
        given = {row["name"] for row in container["env"] if "valueFrom" in row}
        assert given & SECRETS == USED[each["metadata"]["name"]]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/tmp", "/app/git-plugins"}


def test_kubernetes_lets_in_the_api_alone() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in manifests() if each["kind"] == "NetworkPolicy"}
    assert policies["nothing-comes-in"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert policies["api"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "api"}
    assert "169.254.0.0/16" in str(policies["no-metadata-service"])


def test_the_service_does_not_own_its_environment() -> None:
    text = (PROJECT / "Dockerfile").read_text()
    assert not re.search(r"^COPY .*--chown", text, re.MULTILINE)
    (owned,) = re.findall(r"chown assembler:assembler (.*)$", text, re.MULTILINE)
    assert owned.split() == ["/app/instance", "/app/git-plugins", "/app/extra-plugins"]


def test_beat_is_healthy_while_it_looks_for_what_is_due(containers: Containers) -> None:
    del containers.settings["SECRET_KEY"], containers.settings["JWT_SECRET_KEY"]
    with containers.start("migrate") as migrate:
        assert migrate.wait() == 0, migrate.log
    del containers.settings["ADMIN_PASSWORD"]
    assert containers.health("beat") == 1
    with containers.start("beat") as beat:
        beat.wait_for_line("beat: Starting")
        wait_until(lambda: containers.health("beat") == 0, "beat is healthy")
        assert beat.stop() == 0, beat.log
