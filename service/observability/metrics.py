"""What is counted and timed, in Prometheus' terms.

Labels come from routes, loaded models and latentd's own words, never from a client's text: no
stream of requests makes `/metrics` grow. A model's label is its bundle's name; versions stand in
`latentd_model_info` alone, or every reload would begin new series.

Whether the numbers lie in this process or in files that several share is settled when this module
is imported: by the environment variable `FOLDER_VARIABLE`.
"""

import contextlib
import os
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

OTHER_OPERATION = "other"
"""The operation of requests that no route of the API takes: unknown paths, static files."""

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder that several workers share; see `service.observability.exposition`."""
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, with the time of its birth
REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "latentd_requests_total",
    "Requests answered, by operation and HTTP status.",
    ["operation", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "latentd_request_seconds",
    "Seconds from a request's head to the last of its answer.",
    ["operation"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
IN_FLIGHT = Gauge(
    "latentd_in_flight",
    "Requests that are being answered, the scrape itself among them.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
QUEUE_WAITING = Gauge(
    "latentd_queue_waiting",
    "Pieces of work that wait for an inference thread.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
IMAGES = Counter(
    "latentd_images_total",
    "Images or latents worked on, by operation and model.",
    ["operation", "model"],
    registry=REGISTRY,
)
INFERENCE_SECONDS = Histogram(
    "latentd_inference_seconds",
    "Seconds that a network ran for one request, alone or together with others.",
    ["model", "network", "backend"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
MODEL_INFO = Gauge(
    "latentd_model_info",
    "1 for every model that is served.",
    ["model", "version", "backend", "digest"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
ERRORS = Counter(
    "latentd_errors_total",
    "Errors answered, by kind: the last word of the problem's type.",
    ["kind"],
    registry=REGISTRY,
)
RELOADS = Counter(
    "latentd_reloads_total",
    "Models loaded, or refused, while the service ran.",
    ["outcome"],
    registry=REGISTRY,
)
LOGS_DROPPED = Counter(
    "latentd_logs_dropped_total",
    "Log lines lost because standard error did not take them.",
    registry=REGISTRY,
)
for _outcome in ("loaded", "refused"):
    RELOADS.labels(_outcome)  # there from the start, at 0, so that an alert sees the first rise


@cache
def _requests(operation: str, status: int) -> Counter:
    return REQUESTS.labels(operation, status)


@cache
def _request_seconds(operation: str) -> Histogram:
    return REQUEST_SECONDS.labels(operation)


@cache
def _images(operation: str, model: str) -> Counter:
    return IMAGES.labels(operation, model)


@cache
def _inference_seconds(model: str, network: str, backend: str) -> Histogram:
    return INFERENCE_SECONDS.labels(model, network, backend)


def count_request(operation: str, status: int, seconds: float) -> None:
    """Count an answered request.

    Args:
        operation: The route's name, or `OTHER_OPERATION`.
        status: Of HTTP.
        seconds: How long it took.
    """
    _requests(operation, status).inc()
    _request_seconds(operation).observe(seconds)


def count_images(operation: str, model: str, count: int) -> None:
    """Count images or latents that an operation worked on with a bundle's networks."""
    _images(operation, model).inc(count)


def observe_inference(model: str, network: str, backend: str, seconds: float) -> None:
    """Note the duration of a network's run."""
    _inference_seconds(model, network, backend).observe(seconds)


def count_error(kind: str) -> None:
    """Count an error by its slug."""
    ERRORS.labels(kind).inc()


def add_model_info(model: str, version: int, backend: str, digest: str) -> None:
    """Tell that a model is served from now on."""
    MODEL_INFO.labels(model, version, backend, digest).set(1)


def remove_model_info(model: str, version: int, backend: str, digest: str) -> None:
    """Tell that a model is served no more."""
    if FOLDER_VARIABLE in os.environ:  # a shared file forgets nothing; zeros are left out when read
        MODEL_INFO.labels(model, version, backend, digest).set(0)
    else:
        with contextlib.suppress(KeyError):
            MODEL_INFO.remove(model, version, backend, digest)
