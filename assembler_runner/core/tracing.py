"""Traces with OpenTelemetry: from the API call through the broker message to the calls to the Hub.

Active only if the packages are installed (`pip install assembler-runner[tracing]`) and OTEL_EXPORTER_OTLP_ENDPOINT is
set; all other OpenTelemetry variables are supported. Otherwise OpenTelemetry is not imported.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
Kind = Literal["server", "producer", "consumer", "client"]

_tracers: list[Any] = []


def configure(environ: Mapping[str, str] = os.environ) -> None:
    """Configures tracing for this process if it is enabled; later calls do nothing."""
    if _tracers or not any(environ.get(name) for name in ENDPOINTS):
        return
    if not all(_is_installed(f"opentelemetry.{name}") for name in ("sdk", "exporter.otlp.proto.http")):
        log.warning("tracing is disabled: install assembler-runner[tracing]")
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # OTEL_SERVICE_NAME takes precedence over this name.
    provider = TracerProvider(resource=Resource.create({} if "OTEL_SERVICE_NAME" in environ else _NAME))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)


_NAME = {"service.name": "assembler"}


def use(provider: Any) -> None:
    """Sets the OpenTelemetry tracer provider; None disables tracing."""
    _tracers[:] = [] if provider is None else [provider.get_tracer("assembler_runner")]


def span(name: str, kind: Kind, carrier: Mapping[str, Any] | None = None) -> AbstractContextManager[Any]:
    """Returns a context manager for a span; a no-op if tracing is disabled.

    Args:
        name: name of the operation, of low cardinality.
        kind: the side of the call.
        carrier: headers sent by the other side, with the parent span; None: the current span is the parent.
    """
    return _span(name, kind, carrier) if _tracers else nullcontext()


@contextmanager
def _span(name: str, kind: Kind, carrier: Mapping[str, Any] | None) -> Iterator[Any]:
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    parent = None if carrier is None else extract(carrier)
    kinds = getattr(SpanKind, kind.upper())
    with _tracers[0].start_as_current_span(name, parent, kinds) as entered:
        yield entered


def headers() -> dict[str, str]:
    """Returns the headers that propagate the current span to another process."""
    if not _tracers:
        return {}
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier


def describe(entered: Any, name: str, **attributes: Any) -> None:
    """Sets the name and attributes that are known only at the end of a span; never pass a secret."""
    if entered is not None:
        entered.update_name(name)
        entered.set_attributes(attributes)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
