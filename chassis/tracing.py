"""OpenTelemetry traces that cross gRPC and event headers. Off, it costs a look at one variable and imports nothing.

Exported over OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set, else to the console (standard error, one line a span);
`OTEL_TRACES_EXPORTER=otlp|console` decides when set. The SDK reads the other `OTEL_*` names itself.
"""

import atexit
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

Kind = Literal["SERVER", "CLIENT", "PRODUCER", "CONSUMER", "INTERNAL"]

_tracer: "Tracer | None" = None


def start(service: str, exporter: str = "", endpoint: str = "") -> None:
    """Trace from now on, as `service`; what is still buffered is exported when the process ends."""
    global _tracer  # noqa: PLW0603 - one per process, as the process has one place to send them
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"provost-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(_exporter(exporter, endpoint)))
    atexit.register(provider.shutdown)
    _tracer = provider.get_tracer("provost")


def enabled() -> bool:
    return _tracer is not None


@contextmanager
def span(
    name: str, *, kind: Kind = "INTERNAL", traceparent: str = "", **attributes: str | int
) -> Iterator[None]:
    """Everything inside is a span, child of `traceparent` when given, else of the span around it."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    context = _extract(traceparent) if traceparent else None
    with _tracer.start_as_current_span(name, context=context, kind=SpanKind[kind], attributes=attributes):
        yield


def current_traceparent() -> str:
    """W3C `traceparent` of the current span, "" when there is none or tracing is off."""
    if _tracer is None:
        return ""
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _extract(traceparent: str) -> "Context":
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _exporter(exporter: str, endpoint: str) -> "SpanExporter":
    if exporter == "otlp" or (endpoint and not exporter):
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint or None)
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")
