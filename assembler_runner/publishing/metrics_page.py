"""The metrics page: counters of the processes and numbers from the database, in the text format of Prometheus.

The database is read at each call, so every process reports the same numbers for it.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from assembler_runner import __version__
from assembler_runner.core.database import READ_ONLY, database_now
from assembler_runner.core.metrics import all_processes
from assembler_runner.core.paging import long_rows, total_of
from assembler_runner.spaces.models import QUEUED, RUNNING, Space, SpaceRequest
from assembler_runner.targets.local.apps_table import LocalApp
from assembler_runner.webhooks.models import DEAD, PENDING, WebhookDelivery

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class DatabaseMetrics(Collector):
    """Collects metrics from the database.

    Args:
        engine: the engine.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        """See the base class; if the database does not respond, yields only assembler_database_up with the value 0."""
        up = GaugeMetricFamily("assembler_database_up", "Whether the database responds.", value=0)
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

    def total(model: Any, *conditions: sa.ColumnElement[bool]) -> int:
        return total_of(session, sa.select(model.id).where(*conditions))

    session = Session(connection)
    yield gauge("queue_length", "Queued requests.", total(SpaceRequest, SpaceRequest.status == QUEUED))
    yield gauge("running", "Requests that are being published.", total(SpaceRequest, SpaceRequest.status == RUNNING))
    oldest = connection.scalar(sa.select(sa.func.min(SpaceRequest.created_at)).where(SpaceRequest.status == QUEUED))
    now = connection.scalar(sa.select(database_now()))
    age = max(0.0, float(now or 0) - oldest.timestamp()) if oldest else 0.0
    yield gauge("queue_oldest_seconds", "Age of the oldest queued request; 0 without one.", age)
    expired = total(SpaceRequest, SpaceRequest.status == RUNNING, SpaceRequest.due_at < database_now())
    yield gauge("leases_lost", "Running requests whose lease has expired.", expired)
    due = total(WebhookDelivery, WebhookDelivery.status == PENDING, WebhookDelivery.due_at <= database_now())
    yield gauge("webhooks_due", "Webhook deliveries that are due.", due)
    dead = total(WebhookDelivery, WebhookDelivery.status == DEAD)
    yield gauge("webhooks_dead", "Webhook deliveries that failed permanently.", dead)
    yield _by(session, Space.state, "assembler_spaces", "Spaces by state.")
    yield _by(session, LocalApp.stage, "assembler_apps", "Apps of this machine by stage.")


def _by(session: Session, column: Any, name: str, text: str) -> Metric:
    """Counts the rows of a table by a column; large numbers may be a minute old, as totals of lists."""
    found = GaugeMetricFamily(name, text, labels=[column.key])
    counted = sa.select(column, sa.func.count()).group_by(column)
    for value, number in long_rows(session, sa.select(column), counted):
        found.add_metric([value], number)
    return found


class WorkerPage:
    """A WSGI application with the metrics page of a worker, which has no API.

    Args:
        engine: the engine of the database.
        token: the bearer token that a call must send; empty to allow calls without one.
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
    """Serves the metrics of this worker on a port, in a separate thread.

    Args:
        port: the port.
        engine: the engine of the database.
        token: see :class:`WorkerPage`.
    Raises:
        OSError: the port is not available.
    """
    server = make_server("", port, WorkerPage(engine, token), _Server, _QuietHandler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: scrapes are frequent and not interesting."""


def render(engine: sa.Engine, *more: Collector) -> bytes:
    """Returns all metrics in the text format of Prometheus.

    Args:
        engine: the engine of the database.
        more: what else is collected.
    """
    shown = generate_latest(all_processes())
    own = CollectorRegistry()
    info = Gauge("assembler_build_info", "Version of the service.", ("version",), registry=own)
    info.labels(__version__).set(1)
    for collector in (DatabaseMetrics(engine), *more):
        own.register(collector)
    return shown + generate_latest(own)
