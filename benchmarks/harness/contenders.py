"""Contenders: latentd and its peers, each with its request for the same image."""

import base64
import contextlib
import json
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.http_load import Request
from benchmarks.harness.options import Options, find_cpus
from benchmarks.harness.peer_environments import PEERS, ensure_environment, read_versions
from benchmarks.harness.response_checks import (
    ReadPrediction,
    check_prediction,
    fetch,
    to_urllib,
)
from benchmarks.harness.servers import Server, find_port, run_latentd, run_server
from benchmarks.harness.wrk import run_wrk

_NO_TELEMETRY = {
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    "ORT_DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that classifies images."""

    name: str
    payload: str
    """Format of the image in the request, in a few words."""
    request: Request
    read_prediction: ReadPrediction
    serve: Callable[[], AbstractContextManager[Server]]
    versions: Callable[[], str] = field(default=str)
    """Returns its packages with their versions."""

    def check(self, expected: Mapping[str, float]) -> bytes:
        """Start the server, verify its prediction, and return the response body.

        Raises:
            RuntimeError: The prediction is wrong.
        """
        with self.serve() as server:
            body = fetch(server.port, self.request)
        try:
            check_prediction(body, self.read_prediction, expected)
        except RuntimeError as error:
            raise RuntimeError(f"{self.name}: {error}") from error
        return body

    def measure(self, options: Options, connections: int = 64) -> float:
        """Start the server, warm it up, and return its responses per second.

        Raises:
            RuntimeError: A request failed.
        """
        with self.serve() as server:
            return measure_rate(server.port, self.request, options, connections, find_cpus()[1])


def measure_rate(
    port: int, request: Request, options: Options, connections: int, cpu: int | None
) -> float:
    """Warm a server up and return its responses per second; `cpu` is the one wrk runs on.

    Raises:
        RuntimeError: A request failed.
    """
    run_wrk(port, request, connections, options.warm_up_seconds, cpu)
    throughput = run_wrk(port, request, connections, options.seconds, cpu)
    if throughput.errors:
        raise RuntimeError(f"{request.path}: {throughput.errors} requests failed.")
    return throughput.rate


def make_latentd(request: Request, payload: str, cpus: Sequence[int] | None = None) -> Contender:
    """Return latentd with default settings: one worker per CPU, one thread per worker."""
    pinned = find_cpus()[:1] if cpus is None else tuple(cpus)
    flags = ["--threads", "1", "--workers", str(len(pinned))]
    return Contender(
        "latentd",
        payload,
        request,
        read_latentd,
        lambda: run_latentd(flags, cpus=pinned),
        lambda: read_versions(sys.executable, ("latentd", "onnxruntime", "uvicorn")),
    )


def read_latentd(response: Any) -> tuple[str, dict[str, float]]:  # noqa: ANN401 - any JSON
    """Return the label and the probabilities in a response of latentd."""
    (prediction,) = response["predictions"]
    return prediction["label"], {one["label"]: one["probability"] for one in prediction["top"]}


def make_list_reader(classes: Sequence[str]) -> ReadPrediction:
    """Return a reader of responses with a list of probabilities in the order of the classes."""
    return lambda response: (
        response["label"],
        dict(zip(classes, response["probabilities"], strict=True)),
    )


def make_tensor_reader(classes: Sequence[str]) -> ReadPrediction:
    """Return a reader of Open Inference Protocol responses."""

    def read(response: Any) -> tuple[str, dict[str, float]]:  # noqa: ANN401 - any JSON
        outputs = {output["name"]: output["data"] for output in response["outputs"]}
        return outputs["label"][0], dict(zip(classes, outputs["probabilities"], strict=True))

    return read


@dataclass(frozen=True, slots=True)
class Peer:
    """A server in `benchmarks/peers`."""

    folder: str
    """Its folder in `benchmarks/peers`."""
    options: Options
    bundle: Path
    request: Request
    """A request that succeeds when the server is ready."""
    command: Sequence[str]
    """A program of its environment, and arguments; {port} is replaced by the port."""
    packages: Sequence[str] = ()
    """Packages whose versions are reported."""
    variables: Mapping[str, str] = field(default_factory=dict)

    def find_programs(self) -> Path:
        """Return the `bin` folder of its environment; without pins, that of this process."""
        if (PEERS / self.folder / "requirements.txt").exists():
            return ensure_environment(self.folder, self.options.peers)
        return Path(sys.executable).parent

    @contextlib.contextmanager
    def serve(self) -> Iterator[Server]:
        """Run the server on the first CPU."""
        port = find_port()
        programs = self.find_programs()
        program, *arguments = [part.replace("{port}", str(port)) for part in self.command]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            variables = {
                **_NO_TELEMETRY,
                **{key: text.replace("{port}", str(port)) for key, text in self.variables.items()},
                "BENCHMARK_BUNDLE": str(self.bundle),
                "PYTHONPATH": str(PEERS / "common"),
                "RAY_TMPDIR": scratch,
                "TMPDIR": scratch,
            }
            with run_server(
                [str(programs / program), *arguments],
                port,
                to_urllib(port, self.request),
                cpus=find_cpus()[:1],
                variables=variables,
                folder=PEERS / self.folder,
            ) as (server, _):
                yield server

    def read_versions(self) -> str:
        """Return its packages with their versions."""
        return read_versions(self.find_programs() / "python", self.packages)

    def to_contender(self, name: str, payload: str, read: ReadPrediction) -> Contender:
        """Return the peer as a contender."""
        return Contender(name, payload, self.request, read, self.serve, self.read_versions)


def pack_multipart(name: str, content: bytes) -> tuple[bytes, str]:
    """Return a form with one file, and its content type."""
    boundary = uuid.UUID(int=0).hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="image.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def pack_base64(content: bytes) -> bytes:
    """Return JSON with an image file in base64, for LitServe and the plain FastAPI app."""
    return json.dumps({"image": base64.b64encode(content).decode()}).encode()


def pack_tensor(content: bytes) -> bytes:
    """Return an Open Inference Protocol request with an image file as a base64 BYTES tensor."""
    tensor = {
        "name": "image",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(content).decode()],
    }
    return json.dumps({"inputs": [tensor]}).encode()
