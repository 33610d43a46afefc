"""Observability of the real command: metrics of all workers, logs and the dashboard."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.observability import metrics
from tests.support.servers import TLS, wait_until
from tests.support.service_process import ROOT, Service, find_workers, start

PAGE = (ROOT / "docs" / "observability.md").read_text()
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana.json").read_text())
REQUESTS = 60


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log file of `workers`."""
    return tmp_path_factory.mktemp("log") / "log"


@pytest.fixture(scope="module")
def workers(log: Path) -> Iterator[Service]:
    """A service with two worker processes."""
    with log.open("wb") as file, start(file, "--workers", "2") as service:
        yield service


def test_metrics_sum_over_workers(workers: Service) -> None:
    """Both workers report the sum of the requests to both."""
    with ThreadPoolExecutor(8) as pool:
        statuses = [*pool.map(workers.classify, range(REQUESTS))]
    scrapes = [workers.read_metrics() for _ in range(6)]

    name = 'latentd_requests_total{operation="classify",status="200"}'
    assert statuses == [200] * REQUESTS
    assert {scrape[name] for scrape in scrapes} == {REQUESTS}
    images = 'latentd_images_total{model="mnist",operation="classify"}'
    assert scrapes[0][images] == REQUESTS
    runs = [
        value
        for row, value in scrapes[0].items()
        if row.startswith("latentd_inference_seconds_count") and "classifier" in row
    ]
    assert runs == [REQUESTS]


def test_metrics_survive_a_killed_worker(workers: Service) -> None:
    """After a worker is killed with SIGKILL, its counts remain and new requests succeed."""
    name = 'latentd_requests_total{operation="classify",status="200"}'
    before = workers.read_metrics()[name]
    killed = find_workers(workers)[0]

    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in find_workers(workers), timeout=20)
    wait_until(lambda: len(find_workers(workers)) == 2, timeout=20)
    wait_until(workers.is_ready, timeout=20)
    statuses = [workers.classify() for _ in range(10)]
    after = workers.read_metrics()

    assert statuses == [200] * 10
    assert after[name] == before + 10
    assert after["latentd_in_flight"] == 1


def test_dashboard_queries_existing_metrics(workers: Service) -> None:
    """Every metric and label in the dashboard's queries exists in `/metrics`."""
    workers.get("/nowhere")
    text = workers.get("/metrics").text
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    queries += [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"][1:]]

    queried = {name for query in queries for name in re.findall(r"latentd_\w+", query)}
    exported = set(re.findall(r"^(latentd_\w+)[{ ]", text, re.MULTILINE))
    labels = {label for query in queries for label in re.findall(r"by \(([^)]+)\)", query)}
    exported_labels = set(re.findall(r'[{,](\w+)="', text))
    assert len(queried) >= 10
    assert queried <= exported
    assert {label for group in labels for label in group.split(", ")} <= exported_labels


def test_dashboard_is_valid() -> None:
    """The dashboard has a title, and panels with ids, positions, queries and a data source."""
    panels = DASHBOARD["panels"]

    assert DASHBOARD["title"] == "latentd"
    assert DASHBOARD["schemaVersion"] >= 36
    assert len({panel["id"] for panel in panels}) == len(panels) >= 8
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(panels))) <= variables
    positions = [panel["gridPos"] for panel in panels]
    assert all(position["x"] + position["w"] <= 24 for position in positions)
    assert len({(position["x"], position["y"]) for position in positions}) == len(panels)
    for panel in panels:
        assert panel["type"] in {"timeseries", "table"}
        assert [target["refId"] for target in panel["targets"]] == [*"ABCDEF"][
            : len(panel["targets"])
        ]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_every_metric_is_documented() -> None:
    """docs/observability.md lists each metric with its type, labels and help."""
    documented = re.findall(
        r"^\| `(latentd_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE
    )
    collectors = [value for value in vars(metrics).values() if hasattr(value, "_labelnames")]
    expected = {
        (
            metric._name + ("_total" if metric._type == "counter" else ""),
            metric._type,
            ", ".join(f"`{label}`" for label in metric._labelnames),
            metric._documentation,
        )
        for metric in collectors
    }

    assert set(documented) == expected


def test_every_log_line_is_json_with_documented_fields(workers: Service, log: Path) -> None:
    """Every log line of the parent, the workers and uvicorn is JSON with documented fields."""
    workers.classify()
    records = [json.loads(line) for line in log.read_text().splitlines()]

    documented = set(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ", PAGE, re.MULTILINE))
    names = {name for group in documented for name in re.findall(r"\w+", group)}
    access = [record for record in records if record["logger"] == "service.access"]
    assert {"uvicorn.error", "service.access"} <= {record["logger"] for record in records}
    assert all({"time", "level", "logger", "message"} <= record.keys() for record in records)
    assert {name for record in records for name in record} <= names
    assert any(str(record.get("model")).startswith("mnist@") for record in access)


def test_shutdown_removes_the_metrics_folder(tmp_path: Path) -> None:
    """Shutdown removes the folder with the shared metrics and writes the last log lines."""
    path = tmp_path / "log"
    with path.open("wb") as file, start(file, "--workers", "2", "--log-format", "text") as service:
        variables = Path(f"/proc/{find_workers(service)[0]}/environ").read_bytes().split(b"\0")
        (folder,) = [v.partition(b"=")[2] for v in variables if v.startswith(b"PROMETHEUS_MULTI")]
        assert Path(os.fsdecode(folder)).is_dir()
        service.stop()

    assert not Path(os.fsdecode(folder)).exists()
    assert "Stopping parent process" in path.read_text().splitlines()[-1]


def test_blocked_log_does_not_block_requests() -> None:
    """With a log pipe that is not read, requests succeed and the service shuts down."""
    reader, writer = os.pipe()
    try:
        with start(writer) as service, httpx.Client(base_url=service.url, verify=TLS) as client:
            statuses = {client.get("/livez").status_code for _ in range(600)}
            seconds = time.monotonic()
            statuses |= {client.get("/livez").status_code for _ in range(100)}
            seconds = time.monotonic() - seconds
            service.stop()
    finally:
        os.close(reader)
        os.close(writer)

    assert statuses == {200}
    assert seconds < 5
