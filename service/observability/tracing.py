"""OpenTelemetry traces: spans of requests and of network runs, exported with OTLP over HTTP.

Tracing is off until `start_tracing` is called. While it is off, each function here returns after
one check, and the OpenTelemetry SDK is not imported.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from http import HTTPMethod, HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode

from service.errors import MissingExtraError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_EXPORT_TIMEOUT_SECONDS = 5
_KNOWN_METHODS = frozenset({*HTTPMethod, "QUERY"})
_NO_SPAN = contextlib.nullcontext(trace.INVALID_SPAN)

_provider: "TracerProvider | None" = None
_tracer: trace.Tracer | None = None
"""None while tracing is off."""


def require_sdk() -> None:
    """Check that the OpenTelemetry SDK is installed.

    Raises:
        MissingExtraError: it is not; the text names the extra to install.
    """
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: PLC0415 - an extra
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "otlp_endpoint needs the OpenTelemetry SDK: pip install 'latentd[otel]'"
        ) from error


def start_tracing(endpoint: str) -> None:
    """Turn tracing on for this process: a thread exports spans in batches.

    `endpoint` is the base URL of an OTLP/HTTP collector, without `/v1/traces`.

    Raises:
        MissingExtraError: the SDK is not installed.
    """
    require_sdk()
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415 - an extra
    from opentelemetry.sdk import resources  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider, export  # noqa: PLC0415 - an extra

    defaults = resources.Resource(
        {"service.name": "latentd", "service.version": version("latentd")}
    )
    environment = resources.OTELResourceDetector().detect()  # OTEL_SERVICE_NAME and others
    provider = TracerProvider(resource=defaults.merge(environment), shutdown_on_exit=False)
    url = endpoint.rstrip("/") + "/v1/traces"
    exporter = trace_exporter.OTLPSpanExporter(endpoint=url, timeout=_EXPORT_TIMEOUT_SECONDS)
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    use_provider(provider)


def use_provider(provider: "TracerProvider | None") -> None:
    """Send spans to `provider`; None turns tracing off."""
    global _provider, _tracer  # noqa: PLW0603 - one per process, as OpenTelemetry's own provider
    _provider = provider
    _tracer = None if provider is None else provider.get_tracer("latentd", version("latentd"))


def stop_tracing() -> None:
    """Export the remaining spans and turn tracing off; does nothing if it is off."""
    provider = _provider
    use_provider(None)
    if provider is not None:
        provider.shutdown()


def start_request_span(scope: Mapping[str, Any]) -> AbstractContextManager[Span]:
    """Return a context manager in which the SERVER span of an HTTP request is current.

    The parent comes from the request's `traceparent` header (W3C Trace Context, or what
    `OTEL_PROPAGATORS` names). Names and attributes follow OpenTelemetry's semantic conventions
    for HTTP. Call `set_response` before the block ends.
    """
    if _tracer is None:
        return _NO_SPAN
    method = scope["method"]
    headers = _join_headers(scope["headers"])
    attributes: dict[str, str | int] = {
        "http.request.method": method if method in _KNOWN_METHODS else "_OTHER",
        "url.scheme": scope["scheme"],
        "url.path": scope["path"],
        "network.protocol.version": scope["http_version"],
        **_describe_server(headers.get("host"), scope["scheme"]),
    }
    if scope["query_string"]:
        attributes["url.query"] = scope["query_string"].decode("latin-1")
    if method not in _KNOWN_METHODS:
        attributes["http.request.method_original"] = method
    return _tracer.start_as_current_span(
        _span_method(scope),
        context=propagate.extract(headers),
        kind=SpanKind.SERVER,
        attributes=attributes,
        record_exception=False,  # the span must not hold an exception's text
        set_status_on_exception=False,
    )


def set_response(
    span: Span, scope: Mapping[str, Any], route: str | None, status: int | None
) -> None:
    """Name a request's span by its route and record the response.

    Args:
        span: From `start_request_span`.
        scope: The request's ASGI scope.
        route: Template of the route's path; None if no route matched.
        status: HTTP status; None if no response was sent, which is an error as 5xx is.
    """
    if not span.is_recording():
        return
    if route is not None:
        span.update_name(f"{_span_method(scope)} {route}")
        span.set_attribute("http.route", route)
    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_attribute("error.type", str(status or "incomplete_response"))
        span.set_status(StatusCode.ERROR)


def capture_context() -> Context | None:
    """Return the current trace context for `trace_run`; None if its span is not recorded."""
    if _tracer is None or not trace.get_current_span().is_recording():
        return None
    return context.get_current()


def trace_run(
    model: str,
    network: str,
    backend: str,
    images: int,
    contexts: Sequence[Context],
) -> AbstractContextManager[Span]:
    """Return a context manager in which the span of one network run is current.

    A run that serves several requests is a child of the first request and links to the others.
    A run without a recorded request gets no span. `contexts` has the recorded requests' results
    of `capture_context`.
    """
    if _tracer is None or not contexts:
        return _NO_SPAN
    return _tracer.start_as_current_span(
        f"run {network}",
        context=contexts[0],
        links=[Link(trace.get_current_span(other).get_span_context()) for other in contexts[1:]],
        attributes={
            "latentd.model": model,
            "latentd.network": network,
            "latentd.backend": backend,
            "latentd.batch_size": images,
        },
    )


def current_trace_id() -> str | None:
    """Return the current request's trace id, 32 hexadecimal digits; None without a trace."""
    if _tracer is None:
        return None
    span_context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(span_context.trace_id) if span_context.is_valid else None


def _span_method(scope: Mapping[str, Any]) -> str:
    return str(scope["method"]) if scope["method"] in _KNOWN_METHODS else "HTTP"


def _join_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers as text; repeated ones are joined, which makes two `traceparent` invalid."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _describe_server(host: str | None, scheme: str) -> dict[str, str | int]:
    """Return the host's name and port from the `Host` header, or nothing if it is malformed."""
    with contextlib.suppress(ValueError):
        url = urlsplit(f"//{host or ''}")
        if url.hostname:
            port = url.port or (443 if scheme == "https" else 80)
            return {"server.address": url.hostname, "server.port": port}
    return {}
