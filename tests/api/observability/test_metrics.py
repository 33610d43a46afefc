"""What `/metrics` tells: numbers that are right, and names that no client makes."""

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
from tests.support.servers import run_service, wait_until

CLASSIFY = {"operation": "classify", "model": "full"}


def read(client: httpx.Client) -> dict[str, float]:
    """Return the value of every series."""
    text = client.get("/metrics").text
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    return {row.rpartition(" ")[0]: float(row.rpartition(" ")[2]) for row in rows}


def find(series: dict[str, float], name: str, **labels: object) -> float:
    """Return a series' value, 0 where it has none yet."""
    parts = {f'{label}="{value}"' for label, value in labels.items()}
    return sum(
        value
        for row, value in series.items()
        if row.partition("{")[0] == name and parts <= set(re.findall(r'\w+="[^"]*"', row))
    )


def classify(client: httpx.Client, **query: str) -> httpx.Response:
    """Send a picture to be classified."""
    headers = {"Content-Type": "image/png"}
    return client.post("/v1/classify", params=query, content=make_png(77), headers=headers)


def test_it_is_what_prometheus_reads(client: httpx.Client) -> None:
    """The answer is Prometheus' text format, with a line of help for each metric."""
    answer = client.get("/metrics")

    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = set(re.findall(r"^# TYPE (\S+)", answer.text, re.MULTILINE))
    assert names == set(re.findall(r"^# HELP (\S+) \S", answer.text, re.MULTILINE))
    assert {name for name in names if not name.startswith("latentd_")} == set()


def test_requests_are_counted_exactly(client: httpx.Client) -> None:
    """N requests from several connections at once are counted as N, each by its status."""
    before = read(client)
    with ThreadPoolExecutor(4) as pool:
        statuses = [
            *pool.map(lambda _: classify(client).status_code, range(50)),
            *pool.map(lambda _: classify(client, top_k="0").status_code, range(20)),
        ]
    after = read(client)

    def count(name: str, **labels: object) -> float:
        return find(after, name, **labels) - find(before, name, **labels)

    assert (statuses.count(200), statuses.count(422)) == (50, 20)
    assert count("latentd_requests_total", operation="classify", status=200) == 50
    assert count("latentd_requests_total", operation="classify", status=422) == 20
    assert count("latentd_request_seconds_count", operation="classify") == 70
    assert count("latentd_errors_total", kind="invalid") == 20
    assert count("latentd_images_total", **CLASSIFY) == 50
    assert count("latentd_inference_seconds_count", network="classifier", model="full") == 50


def test_images_are_counted_one_by_one(client: httpx.Client) -> None:
    """A batch counts with its size, over every protocol; what was refused does not."""
    before = read(client)
    batch = np.zeros((3, 1, 8, 6), np.float32)
    client.post("/v1/encode", content=to_npy(batch), headers={"Content-Type": "application/x-npy"})
    client.post("/v1/sample", json={"count": 5})
    client.post("/v1/sample", json={"count": 301})
    tensor = {"name": "images", "datatype": "FP32", "shape": [3, 1, 8, 6], "data": batch.tolist()}
    client.post("/v2/models/full.encoder/infer", json={"inputs": [tensor]})
    after = read(client)

    counted = {
        operation: find(after, "latentd_images_total", operation=operation)
        - find(before, "latentd_images_total", operation=operation)
        for operation in ("encode", "sample", "infer")
    }
    assert counted == {"encode": 3, "sample": 5, "infer": 3}


def test_served_models_are_told(client: httpx.Client) -> None:
    """Every model has a row with its version, backend and digest."""
    series = read(client)

    for info in client.get("/v1/models").json()["models"]:
        for version in info["versions"]:
            labels = {"model": info["name"], "version": version, "backend": "onnx"}
            assert find(series, "latentd_model_info", **labels) >= 1
        assert find(series, "latentd_model_info", digest=info["digest"]) >= 1


def test_nothing_is_in_flight_but_the_scrape(client: httpx.Client) -> None:
    """After requests of every fate only the one for the metrics is in hand, and none waits."""
    classify(client)
    classify(client, model="none")
    client.get("/nowhere")

    wait_until(lambda: read(client)["latentd_in_flight"] == 1)
    assert read(client)["latentd_queue_waiting"] == 0


def test_clients_make_no_series(client: httpx.Client) -> None:
    """Names, paths, methods and ids that clients make up leave no trace in the metrics."""
    classify(client, model="first")
    client.get("/nowhere/0")
    client.get("/v1/models/first")
    client.get("/v2/models/first.encoder/versions/1")
    client.request("BREW", "/livez")
    before = read(client)

    for number in range(300):
        name = f"made-up-{number}"
        classify(client, model=name)
        client.get(f"/{name}")
        client.get(f"/v1/models/{name}")
        client.get(f"/v2/models/{name}.encoder/versions/{number}")
        client.request("BREW", "/livez", headers={"X-Request-ID": name})
    after = read(client)

    assert after.keys() == before.keys()
    assert not any("made-up" in row for row in after)
    labels = {"operation": "other", "status": 404}
    count = find(after, "latentd_requests_total", **labels)
    assert count - find(before, "latentd_requests_total", **labels) == 300


def test_every_line_has_its_fields(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """A request's record holds what can be asked of a log, the client's text escaped."""
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


def test_a_long_path_is_cut(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """A client cannot fill the log with one request."""
    caplog.set_level(logging.INFO)

    client.get("/" + "x" * 5000)

    (record,) = [r for r in caplog.records if r.name == "service.access"]
    assert len(record.getMessage()) < 400


def test_a_queue_is_seen(tmp_path: Path) -> None:
    """Long work beyond the threads waits, and the gauge goes back to 0 when it is done."""
    write_bundle(tmp_path, "full")
    settings = Settings(models_store=tmp_path, threads=1, max_samples=1024)
    with run_service(settings) as client, ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(client.post, "/v1/sample", json={"count": 1024}) for _ in range(8)]
        seen = 0.0
        while not all(answer.done() for answer in sent):
            seen = max(seen, read(client)["latentd_queue_waiting"])

        assert [answer.result().status_code for answer in sent] == [200] * 8
        assert seen >= 1
        assert read(client)["latentd_queue_waiting"] == 0
