"""API and workers as separate processes, with every database and broker: no request is lost or published twice."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from celery import Celery

from assembler_runner.devhub import Fault, StandInHub
from tests.support.services import (
    PASSWORD,
    Client,
    Process,
    assert_published_once,
    forget_queue,
    free_port,
    hub_settings,
    mariadb_database,
    postgres_database,
    rabbitmq_url,
    redis_url,
    wait_until,
)

pytestmark = pytest.mark.slow

DATABASES = {"postgresql": postgres_database, "mariadb": mariadb_database}
BROKERS = {"redis": redis_url, "rabbitmq": rabbitmq_url}
PAIRS = [("postgresql", "redis"), ("mariadb", "rabbitmq"), ("postgresql", "rabbitmq")]
MANY = 20
SLACK_SECONDS = 20.0


@dataclass
class Deployment:
    """A database, a broker with a separate queue, and a Hub; callers end the processes that they start."""

    hub: StandInHub
    settings: dict[str, str]

    def flask(self, *command: str) -> None:
        """Runs a command and waits for its end."""
        with Process("-m", "flask", *command, **self.settings) as process:
            assert process.wait() == 0, process.log

    @contextmanager
    def api(self, **settings: str) -> Iterator[Client]:
        """The API, and a client of it."""
        url = f"127.0.0.1:{free_port()}"
        gunicorn = ("gunicorn", "--workers=2", "--worker-class=gthread", "--threads=8", f"--bind={url}")
        with Process("-m", *gunicorn, "assembler_runner.wsgi:app", **{**self.settings, **settings}) as process:
            process.wait_for_http(f"http://{url}/health/live")
            with Client(f"http://{url}") as client:
                yield client
            assert process.stop() == 0

    @contextmanager
    def workers(self, count: int, **settings: str) -> Iterator[list[Process]]:
        """Workers that consume messages."""
        celery = ("-m", "celery", "--app=assembler_runner.ops.celery_worker:celery", "worker", "--pool=threads")
        quick = ("--loglevel=INFO", "--without-mingle", "--without-gossip")
        with ExitStack() as stack:
            made = []
            for _ in range(count):
                process = Process(*celery, *quick, f"--hostname={uuid.uuid4().hex}@%h", **{**self.settings, **settings})
                made.append(stack.enter_context(process))
            for process in made:
                process.wait_for_line(r"\w{32}@\S+ ready")
            yield made

    def send(self, request_ids: list[str]) -> None:
        """Sends the messages that the API sends, once more."""
        with Celery(broker=self.settings["BROKER_URL"], set_as_current=False) as celery:
            for request_id in request_ids:
                celery.send_task("assembler.run_request", [request_id], queue=self.settings["CELERY_QUEUE"])

    def cut_connections(self) -> None:
        """Ends all connections to the database, as its restart would."""
        url = sa.make_url(self.settings["SQLALCHEMY_DATABASE_URI"])
        if url.drivername.startswith("postgresql"):
            find = "SELECT pid FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"
            end = "SELECT pg_terminate_backend(:id)"
        else:
            find = "SELECT id FROM information_schema.processlist WHERE db = :name AND id <> connection_id()"
            end = "KILL :id"
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            for id in connection.scalars(sa.text(find), {"name": url.database}).all():
                with suppress(sa.exc.OperationalError):  # it has ended meanwhile
                    connection.execute(sa.text(end), {"id": id})

    def committed(self) -> int:
        """Returns the number of Spaces with a commit by the service."""
        return sum(bool(self.hub.commits(space)) for space in self.hub.spaces())


@contextmanager
def deployed(database: str, broker: str) -> Iterator[Deployment]:
    queue = f"assembler-test-{uuid.uuid4().hex[:12]}"
    url = BROKERS[broker]()
    with DATABASES[database]() as uri, StandInHub() as hub:
        settings = {
            "SQLALCHEMY_DATABASE_URI": uri,
            "BROKER_URL": url,
            "CELERY_QUEUE": queue,
            "SECRET_KEY": "secret-key-of-the-tests-0123456789",
            "JWT_SECRET_KEY": "jwt-secret-key-of-the-tests-0123456789",
            "ADMIN_PASSWORD": PASSWORD,
            "LEASE_SECONDS": "3",
            "RESEND_SECONDS": "1",
        }
        try:
            yield Deployment(hub, {**settings, **hub_settings(hub)})
        finally:
            forget_queue(url, queue)


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def running(request: pytest.FixtureRequest) -> Iterator[tuple[Deployment, Client]]:
    with deployed(*request.param) as deployment:
        deployment.flask("db", "upgrade")
        deployment.flask("create-admin")
        with deployment.api() as client:
            yield deployment, client


@pytest.fixture
def deployment(running: tuple[Deployment, Client]) -> Deployment:
    running[0].hub.reset()
    return running[0]


@pytest.fixture
def client(running: tuple[Deployment, Client]) -> Client:
    return running[1]


def names(test: str) -> list[str]:
    return [f"{test}-{number}-{('gradio', 'static')[number % 2]}" for number in range(MANY)]


def test_many_requests_with_every_message_sent_three_times(deployment: Deployment, client: Client) -> None:
    deployment.hub.settings.latency = 0.03
    with deployment.workers(2) as (one, two):
        ids = client.submit_all(names("thrice"))
        deployment.send(list(ids.values()))
        done = client.wait_all(ids)
        deployment.send(list(ids.values()))
        assert (one.stop(), two.stop()) == (0, 0)
    assert_published_once(deployment.hub, done)
    assert client.wait_all(ids) == done


def test_a_killed_worker_loses_no_request(deployment: Deployment, client: Client) -> None:
    deployment.hub.settings.latency = 0.1
    with deployment.workers(2) as (one, two):
        ids = client.submit_all(names("killed"))
        wait_until(lambda: deployment.committed() > 2, "some are published")
        one.kill()
        done = client.wait_all(ids)
        assert_published_once(deployment.hub, done)
        assert max(request["attempts"] for request in done.values()) > 1
        assert two.stop() == 0


def test_a_worker_suspended_past_its_lease_does_no_harm(deployment: Deployment, client: Client) -> None:
    deployment.hub.settings.latency = 0.1
    with deployment.workers(2) as (one, two):
        ids = client.submit_all(names("asleep"))
        wait_until(lambda: deployment.committed() > 2, "some are published")
        one.send(signal.SIGSTOP)
        done = client.wait_all(ids)
        one.send(signal.SIGCONT)
        assert (one.stop(), two.stop()) == (0, 0)
    assert_published_once(deployment.hub, done)
    assert client.wait_all(ids) == done


def test_lost_connections_to_the_database_lose_nothing(deployment: Deployment, client: Client) -> None:
    deployment.hub.settings.latency = 0.1
    with deployment.workers(2):
        ids = client.submit_all(names("cut"))
        for published in (1, 9):
            wait_until(lambda published=published: deployment.committed() >= published, "some are published")
            deployment.cut_connections()
        assert_published_once(deployment.hub, client.wait_all(ids))


def test_an_unreachable_broker_blocks_nothing(deployment: Deployment, client: Client) -> None:
    scheme = deployment.settings["BROKER_URL"].partition(":")[0]
    with deployment.api(BROKER_URL=f"{scheme}://127.0.0.1:{free_port()}//") as lonely, deployment.workers(1):
        ids = lonely.submit_all(["unsent-gradio"])
        assert_published_once(deployment.hub, client.wait_all(ids))


def test_a_hub_that_hangs_does_not_delay_the_stop(deployment: Deployment, client: Client) -> None:
    hang = Fault("hang", "POST", "/commit/", seconds=120)
    deployment.hub.faults.add(hang)
    with deployment.workers(1, DRAIN_SECONDS="1", HUB_TIMEOUT="60") as (one,):
        ids = client.submit_all(["hanging-gradio"])
        wait_until(lambda: hang.fired, "the Hub hangs")
        begun = time.monotonic()
        assert one.stop() == 0
        assert time.monotonic() - begun < 1 + SLACK_SECONDS
    with deployment.workers(1):
        assert_published_once(deployment.hub, client.wait_all(ids))


def test_a_worker_may_start_before_everything_else() -> None:
    with deployed(*PAIRS[0]) as deployment, deployment.workers(1), ExitStack() as later:
        deployment.flask("db", "upgrade")
        deployment.flask("create-admin")
        client = later.enter_context(deployment.api())
        # Two processes, and a Hub that rejects concurrent creations, like the real one.
        later.enter_context(deployment.workers(1))
        deployment.hub.settings.one_creation_at_a_time = True
        deployment.hub.settings.create_seconds = 0.05
        assert_published_once(deployment.hub, client.wait_all(client.submit_all(names("early")[:6])))
