"""Spans of requests and of network runs, recorded with the SDK's in-memory exporter."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode

from service.observability import tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
RUN = ("mnist@1", "classifier", "onnx", 4)


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Turn tracing on and return the exporter that keeps the ended spans."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use_provider(provider)
    yield exporter
    tracing.stop_tracing()


def make_scope(**changes: object) -> dict[str, Any]:
    """Return the ASGI scope of `POST /v1/classify?model=mnist`."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/classify",
        "query_string": b"model=mnist",
        "scheme": "http",
        "http_version": "1.1",
        "headers": [(b"host", b"latentd.example:8000")],
    }
    return {**scope, **changes}


def record_request(
    exporter: InMemorySpanExporter,
    *,
    route: str | None = "/v1/classify",
    status: int | None = 200,
    **changes: object,
) -> ReadableSpan:
    """Return the span of one request."""
    scope = make_scope(**changes)
    with tracing.start_request_span(scope) as span:
        tracing.set_response(span, scope, route, status)
    (ended,) = exporter.get_finished_spans()
    return ended


def capture_all(count: int) -> list[Context]:
    """Return the contexts of requests, each with its own span."""
    contexts = []
    for _ in range(count):
        with tracing.start_request_span(make_scope()):
            contexts.append(tracing.capture_context())
    return [context for context in contexts if context is not None]


def test_request_span_follows_the_http_conventions(exporter: InMemorySpanExporter) -> None:
    """The span has kind SERVER, its method and route as name, and the conventional attributes."""
    span = record_request(exporter)

    assert (span.name, span.kind) == ("POST /v1/classify", SpanKind.SERVER)
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/classify",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/v1/classify",
        "url.query": "model=mnist",
        "server.address": "latentd.example",
        "server.port": 8000,
        "network.protocol.version": "1.1",
    }


def test_request_span_continues_the_trace(exporter: InMemorySpanExporter) -> None:
    """The span named in `traceparent` is the parent."""
    headers = [(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())]

    span = record_request(exporter, headers=headers)

    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert f"{span.parent.trace_id:032x}" == TRACE


@pytest.mark.parametrize(
    "values", [[b"nonsense"], [f"00-{TRACE}-{PARENT}-01".encode()] * 2], ids=["bad", "repeated"]
)
def test_invalid_traceparent_starts_a_new_trace(
    exporter: InMemorySpanExporter, values: list[bytes]
) -> None:
    """A malformed or repeated `traceparent` is ignored."""
    span = record_request(exporter, headers=[(b"traceparent", value) for value in values])

    assert span.parent is None


def test_unsampled_trace_is_not_recorded(exporter: InMemorySpanExporter) -> None:
    """An unsampled request is not exported, but the log still gets its trace id."""
    headers = [(b"traceparent", f"00-{TRACE}-{PARENT}-00".encode())]

    with tracing.start_request_span(make_scope(headers=headers)) as span:
        tracing.set_response(span, make_scope(), "/v1/classify", 200)
        assert tracing.current_trace_id() == TRACE
        assert tracing.capture_context() is None

    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (422, StatusCode.UNSET, None),
        (500, StatusCode.ERROR, "500"),
        (503, StatusCode.ERROR, "503"),
        (None, StatusCode.ERROR, "incomplete_response"),
    ],
)
def test_server_errors_set_the_error_status(
    exporter: InMemorySpanExporter, status: int | None, code: StatusCode, error: str | None
) -> None:
    """5xx and a missing response are errors of the span; 4xx is not."""
    span = record_request(exporter, status=status)

    attributes = span.attributes or {}
    assert span.status.status_code is code
    assert attributes.get("http.response.status_code") == status
    assert attributes.get("error.type") == error


def test_exception_is_not_recorded(exporter: InMemorySpanExporter) -> None:
    """The text of an exception does not reach the collector."""
    with pytest.raises(ValueError, match="secret"), tracing.start_request_span(make_scope()):
        raise ValueError("secret")

    (span,) = exporter.get_finished_spans()
    assert span.events == ()
    assert span.status.description is None


def test_without_a_route_the_method_is_the_name(exporter: InMemorySpanExporter) -> None:
    """A path that matches no route does not become a span name."""
    span = record_request(exporter, route=None, status=404, path="/no/such/path")

    assert span.name == "POST"
    assert "http.route" not in (span.attributes or {})


def test_unknown_method_is_other(exporter: InMemorySpanExporter) -> None:
    """Methods outside the standards share one span name and one attribute value."""
    span = record_request(exporter, method="DANCE", route=None, status=405)

    attributes = span.attributes or {}
    assert span.name == "HTTP"
    assert attributes["http.request.method"] == "_OTHER"
    assert attributes["http.request.method_original"] == "DANCE"


@pytest.mark.parametrize(
    ("host", "server"),
    [
        (b"[::1]:8000", ("::1", 8000)),
        (b"latentd.example", ("latentd.example", 80)),
        (b"latentd.example:port", (None, None)),
        (b"[::1", (None, None)),
        (b"", (None, None)),
    ],
)
def test_malformed_host_is_left_out(
    exporter: InMemorySpanExporter, host: bytes, server: tuple[str | None, int | None]
) -> None:
    """The server's address comes from the `Host` header if that is valid."""
    attributes = record_request(exporter, headers=[(b"host", host)]).attributes or {}

    assert (attributes.get("server.address"), attributes.get("server.port")) == server


def test_run_is_a_child_of_its_request(exporter: InMemorySpanExporter) -> None:
    """A network's run names the model, the network, the backend and the batch size."""
    with tracing.trace_run(*RUN, capture_all(1)):
        pass

    request, run = exporter.get_finished_spans()
    assert run.name == "run classifier"
    assert run.parent is not None
    assert run.parent.span_id == request.context.span_id
    assert dict(run.attributes or {}) == {
        "latentd.model": "mnist@1",
        "latentd.network": "classifier",
        "latentd.backend": "onnx",
        "latentd.batch_size": 4,
    }


def test_batched_run_links_the_other_requests(exporter: InMemorySpanExporter) -> None:
    """A run for several requests is the first one's child and links to the others."""
    with tracing.trace_run(*RUN, capture_all(3)):
        pass

    first, second, third, run = exporter.get_finished_spans()
    assert run.parent is not None
    assert run.parent.span_id == first.context.span_id
    assert [link.context.span_id for link in run.links] == [
        second.context.span_id,
        third.context.span_id,
    ]


def test_run_without_a_recorded_request_has_no_span(exporter: InMemorySpanExporter) -> None:
    """Warm-up runs and runs of unsampled requests are not traced."""
    with tracing.trace_run(*RUN, []):
        pass

    assert exporter.get_finished_spans() == ()


def test_nothing_is_traced_while_tracing_is_off() -> None:
    """Without a provider every function returns at once, and no span is current."""
    with tracing.start_request_span({}) as request, tracing.trace_run(*RUN, [Context()]) as run:
        tracing.set_response(request, {}, None, 500)
        assert tracing.capture_context() is None
        assert tracing.current_trace_id() is None

    assert (request, run) == (INVALID_SPAN, INVALID_SPAN)


def test_tracing_imports_no_sdk() -> None:
    """Importing the module does not import the SDK."""
    program = (
        "import sys, service.observability.tracing; "
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
