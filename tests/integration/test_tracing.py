"""Spans of requests and network runs, exported to a collector if one is configured."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.servers import TLS
from tests.support.service_process import ROOT, start

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SPANS = ["POST /v1/classify", "POST /v1/sample", "run classifier", "run decoder"]


class Collector(BaseHTTPRequestHandler):
    """HTTP handler that receives spans like an OpenTelemetry collector."""

    spans: list[Any]

    def do_POST(self) -> None:
        """Store the spans of a request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding", "identity") == "identity":
            message = ExportTraceServiceRequest.FromString(body)
            for resource in message.resource_spans:
                for scope in resource.scope_spans:
                    self.spans.extend(scope.spans)
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Discard the log."""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    """The address of a collector and the spans that it received."""
    spans: list[Any] = []
    handler = type("StoringCollector", (Collector,), {"spans": spans})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", spans
        server.shutdown()
        thread.join()


def test_requests_and_network_runs_are_traced(
    collector: tuple[str, list[Any]], tmp_path: Path
) -> None:
    """A request is a span in the client's trace, and a network run a span in the request's."""
    endpoint, spans = collector
    path = tmp_path / "log"
    with path.open("wb") as file, start(file, "--otlp-endpoint", endpoint) as service:
        inline = service.classify(traceparent=f"00-{TRACE}-{PARENT}-01")
        unsampled = service.classify(traceparent=f"00-{TRACE[::-1]}-{PARENT}-00")
        sample = {
            "json": {"count": 200, "source": "kde"},
            "headers": {"traceparent": f"00-{TRACE}-{PARENT}-01"},
        }
        in_thread = httpx.post(f"{service.url}/v1/sample", verify=TLS, **sample)
        service.stop()

    assert (inline, unsampled, in_thread.status_code) == (200, 200, 200)
    span_by_name = {span.name: span for span in spans}
    assert sorted(span_by_name) == [
        "POST /v1/classify",
        "POST /v1/sample",
        "run classifier",
        "run decoder",
    ]
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    for operation, run in (("classify", "classifier"), ("sample", "decoder")):
        request, child = span_by_name[f"POST /v1/{operation}"], span_by_name[f"run {run}"]
        assert request.parent_span_id.hex() == PARENT
        assert child.parent_span_id == request.span_id
    attributes = {item.key: item.value for item in span_by_name["run decoder"].attributes}
    assert attributes["latentd.model"].string_value.startswith("mnist@")
    assert attributes["latentd.backend"].string_value == "onnx"
    assert attributes["latentd.batch_size"].int_value == 200
    assert f'"trace_id":"{TRACE}"' in path.read_text()


def test_unreachable_collector_delays_nothing(tmp_path: Path) -> None:
    """With an unreachable collector, requests succeed and the service shuts down in time."""
    with (tmp_path / "log").open("wb") as file:
        flags = ("--otlp-endpoint", "http://127.0.0.1:9")
        with start(file, *flags) as service:
            statuses = {service.classify() for _ in range(20)}
            service.stop()

    assert statuses == {200}


def test_sdk_is_not_imported_without_a_collector() -> None:
    """Without a collector the service does not import the OpenTelemetry SDK."""
    program = (
        "import sys; from service.app import create_app; from service.settings import Settings; "
        "create_app(Settings(models_store='models_store')); "
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT).returncode == 0


def test_missing_sdk_names_the_extra() -> None:
    """A collector without the SDK ends the command with 2 and the name of the extra."""
    program = (
        "import sys; sys.modules['opentelemetry.sdk'] = None; from service.__main__ import main; "
        "sys.exit(main(['serve', '--otlp-endpoint', 'http://127.0.0.1:4318']))"
    )

    completed = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT
    )

    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert "pip install 'latentd[otel]'" in line
