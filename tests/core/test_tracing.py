"""One trace from the API call to the calls to the Hub."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from threading import Thread

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from assembler_runner.core import tracing
from assembler_runner.core.places import PROJECT
from assembler_runner.publishing.tasks import run_request, wakeups
from tests.conftest import Service
from tests.support.services import PASSWORD, Client, Process, wait_until


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)


def named(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_is_one_trace(
    hub_service: Service, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(wakeups, "send", lambda request_id: sent.append((request_id, tracing.headers())))
    hub_service.submit(name="traced")
    ((request_id, headers),) = sent
    with hub_service.app.app_context():
        run_request.apply([request_id], headers=headers, throw=True)
    found = named(spans)
    order = ["POST /spaces", "run_request", "publish", "POST /api/repos/create"]
    for parent, child in pairwise(order):
        assert found[child].parent is not None
        assert found[child].parent.span_id == found[parent].context.span_id, child
        assert found[child].context.trace_id == found[order[0]].context.trace_id
    attributes = dict(found["publish"].attributes or {})
    assert attributes == {"assembler.space_request_id": request_id, "assembler.outcome": "succeeded"}
    assert dict(found["POST /spaces"].attributes or {})["http.response.status_code"] == 202
    assert "hf_alice" not in str([span.to_json() for span in spans.get_finished_spans()])


def test_the_callers_trace_is_continued(service: Service, spans: InMemorySpanExporter) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    service.get("/spaces", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert format(named(spans)["GET /spaces"].context.trace_id, "032x") == trace


def test_opentelemetry_is_not_imported_unless_enabled() -> None:
    program = "import sys, assembler_runner.app; sys.exit('opentelemetry.sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PROJECT, env={"PYTHONPATH": str(PROJECT)})


@pytest.mark.slow
def test_traces_are_sent_to_the_configured_endpoint(tmp_path: object) -> None:
    posted: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.serve_forever, daemon=True).start()
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "ADMIN_PASSWORD": PASSWORD,
    }
    arguments = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(tmp_path))
    with Process(*arguments, **settings) as process:
        with Client(process.wait_for_line(r"Assembler is ready at (http://\S+)")[1]) as client:
            client.wait(client.submit("one-static"))
        for name in (b"POST /spaces", b"run_request", b"publish", b"assembler"):
            wait_until(lambda name=name: any(name in body for body in posted), f"{name!r} was sent")  # type: ignore[misc]
        assert process.stop() == 0
    server.shutdown()
    server.server_close()
