"""OpenTelemetry traces: off, and nothing of the SDK imported, unless a collector is named.

FastAPI itself makes the span of a request, with the caller's `traceparent` as its parent. Here is
where spans go, and the spans of networks' runs within a request's.
"""

import contextlib
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry import trace

from service.errors import MissingExtraError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_EXPORT_SECONDS = 5
_TRACER = trace.get_tracer("latentd")


def require_sdk() -> None:
    """Raise MissingExtraError, naming the extra, where the SDK is not installed."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: PLC0415 - an extra
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "otlp_endpoint needs the OpenTelemetry SDK: pip install 'latentd[otel]'"
        ) from error


def start_tracing(endpoint: str) -> "TracerProvider":
    """Return what sends spans, in batches and by a thread, to a collector; shut it down at last.

    Args:
        endpoint: Base URL of OTLP over HTTP, without `/v1/traces`.

    Raises:
        MissingExtraError: the SDK is not installed.
    """
    require_sdk()
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415 - an extra
    from opentelemetry.sdk import resources  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider, export  # noqa: PLC0415 - an extra

    ours = resources.Resource({"service.name": "latentd", "service.version": version("latentd")})
    told = resources.OTELResourceDetector().detect()  # OTEL_SERVICE_NAME and the like
    provider = TracerProvider(resource=ours.merge(told), shutdown_on_exit=False)
    url = endpoint.rstrip("/") + "/v1/traces"
    exporter = trace_exporter.OTLPSpanExporter(endpoint=url, timeout=_EXPORT_SECONDS)
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)  # where `_TRACER` finds it
    return provider


@contextlib.contextmanager
def trace_run(model: str, network: str, backend: str, images: int) -> Iterator[None]:
    """Make the span of a network's run; call it where `is_traced`.

    Args:
        model: `name@version`.
        network: Its name in the bundle.
        backend: What runs it.
        images: The batch's size.
    """
    attributes: dict[str, str | int] = {
        "latentd.model": model,
        "latentd.network": network,
        "latentd.backend": backend,
        "latentd.batch_size": images,
    }
    with _TRACER.start_as_current_span(f"run {network}", attributes=attributes):
        yield


def is_traced() -> bool:
    """Tell whether this runs within a request whose span is recorded."""
    return trace.get_current_span().is_recording()


def find_trace() -> str | None:
    """Return the id of the trace that this request belongs to, 32 hexadecimal digits."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
