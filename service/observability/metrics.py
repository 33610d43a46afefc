"""Prometheus metrics of the service.

Labels come from routes, loaded models and fixed words, never from a client's text, so no stream
of requests adds series without limit. The `model` label is the name of a bundle; versions are
labels of `latentd_model_info` only, or every reload would start new series.

Importing this module decides where the values are stored: in memory, or in files shared with
other processes if the environment variable `FOLDER_VARIABLE` is set.
"""

import contextlib
import os
from collections.abc import Iterable
from functools import cache, partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from service.observability.prometheus_internals import allocate_files

OTHER_OPERATION = "other"
"""Label of requests without an operation: unknown paths and static files."""

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The variable with the folder that workers share; see `service.observability.exposition`."""
MODEL_INFO_NAME = "latentd_model_info"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PERCENTILES = (5, 25, 50, 75, 95, 99, 100)

if FOLDER_VARIABLE in os.environ:
    allocate_files()  # before any metric creates one
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter, its creation time
REGISTRY = CollectorRegistry()
_Counter = partial(Counter, registry=REGISTRY)
_Gauge = partial(Gauge, registry=REGISTRY)
_Histogram = partial(Histogram, registry=REGISTRY)
REQUESTS = _Counter(
    "latentd_requests_total",
    "Requests served, by operation and HTTP status.",
    ["operation", "status"],
)
REQUEST_SECONDS = _Histogram(
    "latentd_request_seconds",
    "Seconds from the request line to the end of the response, by operation.",
    ["operation"],
    buckets=_SECONDS,
)
IN_FLIGHT = _Gauge(
    "latentd_in_flight", "Requests in progress, including the scrape.", multiprocess_mode="livesum"
)
QUEUE_WAITING = _Gauge(
    "latentd_queue_waiting",
    "Queued requests that wait for an inference thread.",
    multiprocess_mode="livesum",
)
IMAGES = _Counter(
    "latentd_images_total",
    "Images or latents processed, by operation and model.",
    ["operation", "model"],
)
INFERENCE_SECONDS = _Histogram(
    "latentd_inference_seconds",
    "Seconds of network runs, observed once per request of a batch.",
    ["model", "network", "backend"],
    buckets=_SECONDS,
)
ANOMALY_PERCENTILE = _Histogram(
    "latentd_anomaly_percentile",
    "Percentiles of detected images among held-out normal images; even without drift.",
    ["model"],
    buckets=_PERCENTILES,
)
MODEL_INFO = _Gauge(
    MODEL_INFO_NAME,
    "Loaded models; the value is 1.",
    ["model", "version", "backend", "device", "digest"],
    multiprocess_mode="livemax",
)
ERRORS = _Counter(
    "latentd_errors_total", "Error responses, by kind: the last part of the problem type.", ["kind"]
)
RELOADS = _Counter(
    "latentd_reloads_total", "Models loaded or rejected after the start, by outcome.", ["outcome"]
)
LOGS_DROPPED = _Counter(
    "latentd_logs_dropped_total",
    "Log lines dropped because they could not be written to standard error.",
)
for _outcome in ("loaded", "refused"):
    RELOADS.labels(_outcome)  # exported as 0 from the start, so that alerts see the first increase

# Looking up a labelled series takes a lock and a tuple of strings; these do it once.
_requests = cache(REQUESTS.labels)
_request_seconds = cache(REQUEST_SECONDS.labels)
_images = cache(IMAGES.labels)
_inference_seconds = cache(INFERENCE_SECONDS.labels)
_anomaly_percentile = cache(ANOMALY_PERCENTILE.labels)


def count_request(operation: str, status: int, seconds: float) -> None:
    """Count a request and observe its duration; `operation` is a route or `OTHER_OPERATION`."""
    _requests(operation, status).inc()
    _request_seconds(operation).observe(seconds)


def count_images(operation: str, model: str, count: int) -> None:
    """Count images or latents that an operation processed with the networks of a bundle."""
    _images(operation, model).inc(count)


def observe_inference(model: str, network: str, backend: str, seconds: float) -> None:
    """Observe the duration of a network run."""
    _inference_seconds(model, network, backend).observe(seconds)


def observe_percentiles(model: str, percentiles: Iterable[float]) -> None:
    """Observe the percentile of each image that a detector of a bundle measured."""
    for percentile in percentiles:
        _anomaly_percentile(model).observe(percentile)


def count_error(kind: str) -> None:
    """Count an error response by the slug of its problem type."""
    ERRORS.labels(kind).inc()


def add_model_info(model: str, version: int, backend: str, device: str, digest: str) -> None:
    """Export the series of a loaded model."""
    MODEL_INFO.labels(model, version, backend, device, digest).set(1)


def remove_model_info(model: str, version: int, backend: str, device: str, digest: str) -> None:
    """Stop exporting the series of a model."""
    if FOLDER_VARIABLE in os.environ:  # shared files keep every series; the exposition skips zeros
        MODEL_INFO.labels(model, version, backend, device, digest).set(0)
    else:
        with contextlib.suppress(KeyError):
            MODEL_INFO.remove(model, version, backend, device, digest)
