"""What is counted and measured, for Prometheus.

Counters and times are those of a process; where several share PROMETHEUS_MULTIPROC_DIR, they are added up. What stands
in the database is read when it is asked for, so it does not matter which process is asked.
"""

from __future__ import annotations

import hmac
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import sqlalchemy as sa
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from assembler_runner import __version__
from assembler_runner.database import READ_ONLY, database_now
from assembler_runner.models import QUEUED, RUNNING, Space, SpaceRequest
from assembler_runner.webhook_models import DEAD, PENDING, WebhookDelivery

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG = (0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800)

# A series more for each one, of moments that nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library is typed in part

HTTP = Histogram(
    "assembler_http_request_seconds",
    "Time to answer a call, by route.",
    ("method", "route", "status"),
    buckets=_SECONDS,
)
JOBS = Histogram(
    "assembler_job_seconds", "Time of one attempt at a request for a Space, by outcome.", ("outcome",), buckets=_LONG
)
HUB = Histogram(
    "assembler_hub_call_seconds", "Time to an answer of the Hub, by route.", ("method", "route", "status"),
    buckets=_SECONDS,
)  # fmt: skip
HUB_BUDGET = Gauge(
    "assembler_hub_rate_limit_remaining",
    "Calls that the Hub still allows, by account.",
    ("account",),
    multiprocess_mode="mostrecent",
)
DELIVERIES = Counter("assembler_webhook_attempts", "Attempts to deliver a webhook, by outcome.", ("outcome",))

_SPACE = re.compile(r"/spaces/[^/]+/[^/]+")
_HUB_ROUTES = re.compile(r"(/api/spaces/\{repo\}|/api/repos|/spaces/\{repo\}\.?[a-z]*|/api)(/[a-z][\w-]*)?")


def hub_route(path: str) -> str:
    """Returns the route of an address of the Hub: without names of Spaces, and with what follows its first part cut.

    Args:
        path: the path of the address.
    """
    found = _HUB_ROUTES.match(_SPACE.sub("/spaces/{repo}", path))
    return found[0] if found else "other"


@contextmanager
def attempt() -> Iterator[list[str]]:
    """Measures one attempt at a request for a Space; who uses it appends the outcome."""
    began, outcomes = time.monotonic(), list[str]()
    try:
        yield outcomes
    finally:
        JOBS.labels(outcomes[-1] if outcomes else "lost").observe(time.monotonic() - began)


class DatabaseMetrics(Collector):
    """Reads what stands in the database.

    Args:
        engine: the engine.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        """See the base class; where the database does not answer, only that is told."""
        up = GaugeMetricFamily("assembler_database_up", "Whether the database answers.", value=0)
        try:
            with self._engine.connect().execution_options(**{READ_ONLY: True}) as connection:
                found = list(_read(connection))
        except SQLAlchemyError:
            return [up]
        up.samples.clear()
        up.add_metric([], 1)
        return [up, *found]


def _read(connection: sa.Connection) -> Iterator[Metric]:
    def gauge(name: str, text: str, value: float) -> Metric:
        return GaugeMetricFamily(f"assembler_{name}", text, value=value)

    counts = dict(
        connection.execute(
            sa.select(SpaceRequest.status, sa.func.count())
            .where(SpaceRequest.status.in_((QUEUED, RUNNING)))
            .group_by(SpaceRequest.status)
        ).all()
    )
    yield gauge("queue_length", "Requests that wait.", counts.get(QUEUED, 0))
    yield gauge("running", "Requests that are being published.", counts.get(RUNNING, 0))
    oldest = connection.scalar(sa.select(sa.func.min(SpaceRequest.created_at)).where(SpaceRequest.status == QUEUED))
    now = connection.scalar(sa.select(database_now()))
    age = max(0.0, float(now or 0) - oldest.timestamp()) if oldest else 0.0
    yield gauge("queue_oldest_seconds", "Age of the request that waits longest; 0 if none does.", age)
    silent = sa.select(sa.func.count()).where(SpaceRequest.status == RUNNING, SpaceRequest.due_at < database_now())
    yield gauge("leases_lost", "Requests whose worker has gone silent.", connection.scalar(silent) or 0)
    due = sa.select(sa.func.count()).where(WebhookDelivery.status == PENDING, WebhookDelivery.due_at <= database_now())
    yield gauge("webhooks_due", "Deliveries of webhooks that should have been sent.", connection.scalar(due) or 0)
    dead = sa.select(sa.func.count()).where(WebhookDelivery.status == DEAD)
    yield gauge("webhooks_dead", "Deliveries of webhooks that were given up.", connection.scalar(dead) or 0)
    spaces = GaugeMetricFamily("assembler_spaces", "Spaces by state.", labels=["state"])
    for state, number in connection.execute(sa.select(Space.state, sa.func.count()).group_by(Space.state)):
        spaces.add_metric([state], number)
    yield spaces


class WorkerPage:
    """A WSGI application with the metrics of a worker, which has no API.

    Args:
        engine: the engine of the database.
        token: what opens the page; empty: it is open to whoever reaches the port.
    """

    def __init__(self, engine: sa.Engine, token: str) -> None:
        self._engine, self._wanted = engine, f"Bearer {token}" if token else ""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one call."""
        if self._wanted and not hmac.compare_digest(
            self._wanted.encode(), environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        ):
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Length", "0")])
            return [b""]
        body = render(self._engine)
        start_response("200 OK", [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(body)))])
        return [body]


def serve_worker(port: int, engine: sa.Engine, token: str) -> None:
    """Shows the metrics of this worker on a port, from a thread of its own.

    Args:
        port: the port.
        engine: the engine of the database.
        token: see :class:`WorkerPage`.
    Raises:
        OSError: the port cannot be listened on.
    """
    server = make_server("", port, WorkerPage(engine, token), _Server, _QuietHandler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps quiet: who reads numbers is no news."""


def render(engine: sa.Engine) -> bytes:
    """Returns everything in the text format of Prometheus.

    Args:
        engine: the engine of the database.
    """
    registry = CollectorRegistry()
    if os.environ.get(FOLDER):
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library is typed in part
        shown = generate_latest(registry)
    else:
        shown = generate_latest(REGISTRY)
    own = CollectorRegistry()
    info = Gauge("assembler_build_info", "Version of the service.", ("version",), registry=own)
    info.labels(__version__).set(1)
    own.register(DatabaseMetrics(engine))
    return shown + generate_latest(own)
