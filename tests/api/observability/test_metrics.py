"""`/metrics` contains correct values and no labels that clients choose."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.settings import Settings
from tests.support.fakes import write_bundle
from tests.support.image_files import make_png, to_npy
from tests.support.metric_series import read_series, sum_series
from tests.support.servers import run_service, wait_until

CLASSIFY = {"operation": "classify", "model": "full"}


def classify(client: httpx.Client, **query: str) -> httpx.Response:
    """Send an image for classification."""
    headers = {"Content-Type": "image/png"}
    return client.post("/v1/classify", params=query, content=make_png(77), headers=headers)


def test_metrics_are_in_the_prometheus_text_format(client: httpx.Client) -> None:
    """The response is in Prometheus' text format, with a help line for each metric."""
    response = client.get("/metrics")

    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = set(re.findall(r"^# TYPE (\S+)", response.text, re.MULTILINE))
    assert names == set(re.findall(r"^# HELP (\S+) \S", response.text, re.MULTILINE))
    assert {name for name in names if not name.startswith("latentd_")} == set()


def test_concurrent_requests_are_counted_by_status(client: httpx.Client) -> None:
    """N concurrent requests are counted as N, by their status."""
    before = read_series(client)
    with ThreadPoolExecutor(4) as pool:
        statuses = [
            *pool.map(lambda _: classify(client).status_code, range(50)),
            *pool.map(lambda _: classify(client, top_k="0").status_code, range(20)),
        ]
    after = read_series(client)

    def increase(name: str, **labels: object) -> float:
        return sum_series(after, name, **labels) - sum_series(before, name, **labels)

    assert (statuses.count(200), statuses.count(422)) == (50, 20)
    assert increase("latentd_requests_total", operation="classify", status=200) == 50
    assert increase("latentd_requests_total", operation="classify", status=422) == 20
    assert increase("latentd_request_seconds_count", operation="classify") == 70
    assert increase("latentd_errors_total", kind="invalid") == 20
    assert increase("latentd_images_total", **CLASSIFY) == 50
    assert increase("latentd_inference_seconds_count", network="classifier", model="full") == 50


def test_images_of_a_batch_are_counted(client: httpx.Client) -> None:
    """Each image of a batch counts, in every protocol; rejected images do not count."""
    before = read_series(client)
    batch = np.zeros((3, 1, 8, 6), np.float32)
    client.post("/v1/encode", content=to_npy(batch), headers={"Content-Type": "application/x-npy"})
    client.post("/v1/sample", json={"count": 5})
    client.post("/v1/sample", json={"count": 301})
    tensor = {"name": "images", "datatype": "FP32", "shape": [3, 1, 8, 6], "data": batch.tolist()}
    client.post("/v2/models/full.encoder/infer", json={"inputs": [tensor]})
    after = read_series(client)

    increases = {
        operation: sum_series(after, "latentd_images_total", operation=operation)
        - sum_series(before, "latentd_images_total", operation=operation)
        for operation in ("encode", "sample", "infer")
    }
    assert increases == {"encode": 3, "sample": 5, "infer": 3}


def test_loaded_models_have_an_info_series(client: httpx.Client) -> None:
    """Every model has a series with its version, backend and digest."""
    series = read_series(client)

    for info in client.get("/v1/models").json()["models"]:
        for version in info["versions"]:
            labels = {"model": info["name"], "version": version, "backend": "onnx"}
            assert sum_series(series, "latentd_model_info", **labels) >= 1
        assert sum_series(series, "latentd_model_info", digest=info["digest"]) >= 1


def test_only_the_scrape_is_in_flight(client: httpx.Client) -> None:
    """After successful and failed requests only the scrape is in flight, and the queue is empty."""
    classify(client)
    classify(client, model="none")
    client.get("/nowhere")

    wait_until(lambda: read_series(client)["latentd_in_flight"] == 1)
    assert read_series(client)["latentd_queue_waiting"] == 0


def test_clients_cannot_create_series(client: httpx.Client) -> None:
    """Unknown names, paths, methods and ids create no series."""
    classify(client, model="first")
    client.get("/nowhere/0")
    client.get("/v1/models/first")
    client.get("/v2/models/first.encoder/versions/1")
    client.request("BREW", "/livez")
    before = read_series(client)

    for number in range(300):
        name = f"made-up-{number}"
        classify(client, model=name)
        client.get(f"/{name}")
        client.get(f"/v1/models/{name}")
        client.get(f"/v2/models/{name}.encoder/versions/{number}")
        client.request("BREW", "/livez", headers={"X-Request-ID": name})
    after = read_series(client)

    assert after.keys() == before.keys()
    assert not any("made-up" in row for row in after)
    labels = {"operation": "other", "status": 404}
    total = sum_series(after, "latentd_requests_total", **labels)
    assert total - sum_series(before, "latentd_requests_total", **labels) == 300


def test_access_entry_has_all_fields(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """An access log entry has all its fields, with the client's text escaped."""
    caplog.set_level(logging.INFO)
    sent = make_png(77)

    good = classify(client)
    client.get("/nowhere/%1b%0Ax")

    first, second = [r.fields for r in caplog.records if r.name == "service.access"]  # type: ignore[attr-defined]
    assert first.pop("duration_ms") > 0
    assert first == {
        "method": "POST",
        "path": "/v1/classify",
        "route": "/v1/classify",
        "status": 200,
        "request_id": good.headers["X-Request-ID"],
        "model": "full@2",
        "bytes_in": len(sent),
        "bytes_out": len(good.content),
    }
    assert (second["path"], second["route"]) == ("/nowhere/\\x1b\\nx", None)


def test_long_path_is_truncated_in_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A long path is truncated in the log."""
    caplog.set_level(logging.INFO)

    client.get("/" + "x" * 5000)

    (record,) = [r for r in caplog.records if r.name == "service.access"]
    assert len(record.getMessage()) < 400


def test_queue_gauge_rises_and_returns_to_zero(tmp_path: Path) -> None:
    """The gauge of queued work rises while threads are busy and returns to 0."""
    write_bundle(tmp_path, "full")
    settings = Settings(models_store=tmp_path, threads=1, max_samples=1024)
    with run_service(settings) as client, ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(client.post, "/v1/sample", json={"count": 1024}) for _ in range(8)]
        longest_queue = 0.0
        while not all(response.done() for response in sent):
            longest_queue = max(longest_queue, read_series(client)["latentd_queue_waiting"])

        assert [response.result().status_code for response in sent] == [200] * 8
        assert longest_queue >= 1
        assert read_series(client)["latentd_queue_waiting"] == 0
