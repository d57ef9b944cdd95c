"""The metrics page: what processes have counted, and what the database holds, in the text format of Prometheus.

The database is read at each call, so every process gives the same numbers for it.
"""

from __future__ import annotations

import hmac
import os
import threading
from collections.abc import Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import sqlalchemy as sa
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from assembler_runner import __version__
from assembler_runner.core.database import READ_ONLY, database_now
from assembler_runner.spaces.models import QUEUED, RUNNING, Space, SpaceRequest
from assembler_runner.webhooks.models import DEAD, PENDING, WebhookDelivery

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


FOLDER = "PROMETHEUS_MULTIPROC_DIR"


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
