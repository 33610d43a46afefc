"""latentd and its peers, each with the request it takes for one and the same picture."""

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

from loads import Request
from servers import Server, find_port, run_latentd, run_server

from performance.answers import Predict, ask, check_answer, prepare
from performance.environments import PEERS, ensure_environment, read_versions
from performance.options import Options, find_cpus
from performance.wrk import run_wrk

QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""Variables with which nobody reports to anybody."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that classifies."""

    name: str
    sends: str
    """How the picture is sent to it, in a few words."""
    request: Request
    predict: Predict
    serve: Callable[[], AbstractContextManager[Server]]
    versions: Callable[[], str] = field(default=str)
    """Names what it is made of."""

    def check(self, truth: Mapping[str, float]) -> bytes:
        """Serve once, see that the answer is right, and return it.

        Raises:
            RuntimeError: it is not.
        """
        with self.serve() as server:
            body = ask(server.port, self.request)
        try:
            check_answer(body, self.predict, truth)
        except RuntimeError as error:
            raise RuntimeError(f"{self.name}: {error}") from error
        return body

    def measure(self, options: Options, connections: int = 64) -> float:
        """Serve, warm up, and return the answers a second.

        Raises:
            RuntimeError: an answer was not good.
        """
        with self.serve() as server:
            return load(server.port, self.request, options, connections, find_cpus()[1])


def load(
    port: int, request: Request, options: Options, connections: int, sender: int | None
) -> float:
    """Warm a server up and return its answers a second; wrk runs on the CPU `sender`, or on any.

    Raises:
        RuntimeError: an answer was not good.
    """
    run_wrk(port, request, connections, options.warm_seconds, sender)
    seen = run_wrk(port, request, connections, options.seconds, sender)
    if seen.bad:
        raise RuntimeError(f"{request.path}: {seen.bad} answers were not good")
    return seen.rate


def make_latentd(request: Request, sends: str, cpus: Sequence[int] | None = None) -> Contender:
    """Return latentd as it comes, with one thread in each worker; a worker a CPU."""
    chosen = find_cpus()[:1] if cpus is None else tuple(cpus)
    flags = ["--threads", "1", "--workers", str(len(chosen))]
    return Contender(
        "latentd",
        sends,
        request,
        read_latentd,
        lambda: run_latentd(flags, cpus=chosen),
        lambda: read_versions(sys.executable, ("latentd", "onnxruntime", "uvicorn")),
    )


def read_latentd(answer: Any) -> tuple[str, dict[str, float]]:  # noqa: ANN401 - any JSON
    """Return the label and the probabilities in an answer of latentd to one picture."""
    (prediction,) = answer["predictions"]
    return prediction["label"], {one["label"]: one["probability"] for one in prediction["top"]}


def read_plain(classes: Sequence[str]) -> Predict:
    """Return what reads the answers of those who list the probabilities in order."""
    return lambda answer: (
        answer["label"],
        dict(zip(classes, answer["probabilities"], strict=True)),
    )


def read_tensors(classes: Sequence[str]) -> Predict:
    """Return what reads answers of the Open Inference Protocol."""

    def predict(answer: Any) -> tuple[str, dict[str, float]]:  # noqa: ANN401 - any JSON
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        return outputs["label"][0], dict(zip(classes, outputs["probabilities"], strict=True))

    return predict


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts a peer."""

    name: str
    """Its folder in `benchmarks/peers`."""
    options: Options
    bundle: Path
    request: Request
    """What it answers well once it is ready."""
    command: Sequence[str]
    """A program of its environment and its arguments; {port} is where it shall listen."""
    packages: Sequence[str] = ()
    """Whose versions are worth telling."""
    variables: Mapping[str, str] = field(default_factory=dict)

    def find_programs(self) -> Path:
        """Return the `bin` of its environment: its own if it has pins, else the benchmark's."""
        if (PEERS / self.name / "requirements.txt").exists():
            return ensure_environment(self.name, self.options.peers)
        return Path(sys.executable).parent

    @contextlib.contextmanager
    def serve(self) -> Iterator[Server]:
        """Serve on the first CPU."""
        port = find_port()
        programs = self.find_programs()
        program, *arguments = [part.replace("{port}", str(port)) for part in self.command]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            variables = {
                **QUIET,
                **{key: text.replace("{port}", str(port)) for key, text in self.variables.items()},
                "BENCHMARK_BUNDLE": str(self.bundle),
                "PYTHONPATH": str(PEERS / "common"),
                "RAY_TMPDIR": scratch,
                "TMPDIR": scratch,
            }
            with run_server(
                [str(programs / program), *arguments],
                port,
                prepare(port, self.request),
                cpus=find_cpus()[:1],
                variables=variables,
                folder=PEERS / self.name,
            ) as (server, _):
                yield server

    def read_versions(self) -> str:
        """Name what it is made of."""
        return read_versions(self.find_programs() / "python", self.packages)

    def contend(self, name: str, sends: str, predict: Predict) -> Contender:
        """Return the peer."""
        return Contender(name, sends, self.request, predict, self.serve, self.read_versions)


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
    """Return a picture in base64 in JSON, as LitServe and the plain application take it."""
    return json.dumps({"image": base64.b64encode(content).decode()}).encode()


def pack_tensor(content: bytes) -> bytes:
    """Return a picture as a BYTES tensor of the Open Inference Protocol, in base64."""
    tensor = {
        "name": "image",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(content).decode()],
    }
    return json.dumps({"inputs": [tensor]}).encode()
