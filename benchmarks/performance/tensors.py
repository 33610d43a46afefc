"""Throughput of requests with many images, compared with ONNX Runtime alone."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime

from benchmarks.harness.contenders import make_latentd, measure_rate
from benchmarks.harness.dataset import find_bundle, read_images
from benchmarks.harness.http_load import Request
from benchmarks.harness.options import Options, find_cpus, pinned
from benchmarks.harness.records import Cell, Record
from benchmarks.harness.response_checks import fetch, open_session
from benchmarks.harness.rounds import Goal, alternate, compare, list_columns

IMAGES = 256
CONNECTIONS = 4
_NPY = "application/x-npy"
_MODEL = "fashion-mnist.encoder"
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Case:
    """A request to latentd, and the network that does the same work alone."""

    name: str
    request: Request
    read: Callable[[bytes], np.ndarray]
    network: str
    """`encoder` or `decoder`."""
    goal: Goal


def measure_network(
    session: onnxruntime.InferenceSession, inputs: np.ndarray, seconds: float
) -> float:
    """Return the rows of (N, ...) inputs per second that a network processes in this process."""
    feed = {session.get_inputs()[0].name: inputs}
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        session.run(None, feed)
        count += len(inputs)
    return count / (time.perf_counter() - start)


def make_npy_request(images: np.ndarray) -> Request:
    """Return a request to encode (N, C, H, W) images, with npy input and output."""
    stream = io.BytesIO()
    np.save(stream, images)
    headers = (("Accept", _NPY),)
    return Request("npy", "/v1/encode", stream.getvalue(), _NPY, headers=headers)


def make_binary_request(images: np.ndarray) -> Request:
    """Return a request of the binary tensor extension, with binary input and output."""
    head = {
        "inputs": [
            {
                "name": "images",
                "shape": list(images.shape),
                "datatype": "FP32",
                "parameters": {"binary_data_size": images.nbytes},
            }
        ],
        "outputs": [{"name": "latents", "parameters": {"binary_data": True}}],
    }
    packed = json.dumps(head).encode()
    return Request(
        "binary tensors",
        f"/v2/models/{_MODEL}/infer",
        packed + images.tobytes(),
        "application/octet-stream",
        headers=(("Inference-Header-Content-Length", str(len(packed))),),
    )


def make_sample_request() -> Request:
    """Return a request for samples as npy."""
    body = json.dumps({"count": IMAGES, "source": "kde"}).encode()
    return Request("sample", "/v1/sample", body, headers=(("Accept", _NPY),))


def read_npy(body: bytes) -> np.ndarray:
    """Return the array in a response."""
    array: np.ndarray = np.load(io.BytesIO(body))
    return array


def read_binary(body: bytes) -> np.ndarray:
    """Return the only tensor in a response; its bytes follow the JSON."""
    head, _ = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    (output,) = head["outputs"]
    content = body[-output["parameters"]["binary_data_size"] :]
    return np.frombuffer(content, np.float32).reshape(output["shape"])


def list_cases(pixels: np.ndarray) -> list[Case]:
    """Return the cases for images, (N, H, W) uint8."""
    uint8 = pixels[:, None]
    floats = uint8.astype(np.float32) / 255
    return [
        Case("encode, npy of uint8", make_npy_request(uint8), read_npy, "encoder", Goal(0.8)),
        Case("encode, npy of float32", make_npy_request(floats), read_npy, "encoder", Goal(0.8)),
        Case(
            *("infer, binary tensors", make_binary_request(floats)),
            *(read_binary, "encoder", Goal(0.75)),
        ),
        Case("sample from the KDE, npy", make_sample_request(), read_npy, "decoder", Goal(0.75)),
    ]


def check(case: Case, port: int, latents: np.ndarray) -> None:
    """Compare a response with the output of the network.

    Raises:
        RuntimeError: They differ.
    """
    array = case.read(fetch(port, case.request))
    if case.network == "decoder":
        if array.shape != (IMAGES, 1, 28, 28) or not 0 <= array.min() <= array.max() <= 1:
            raise RuntimeError(
                f"{case.name}: Expected {IMAGES} images in [0, 1], got shape {array.shape}."
            )
    elif array.shape != latents.shape or np.abs(array - latents).max() > _TOLERANCE:
        raise RuntimeError(f"{case.name}: The latents differ from those of ONNX Runtime.")


def measure(options: Options) -> Record:
    """Measure all cases and the networks alone in alternating rounds, on one CPU."""
    bundle, pixels = find_bundle(), read_images(IMAGES)
    cases = list_cases(pixels)
    server_cpu, wrk_cpu = find_cpus()
    networks = {name: open_session(bundle / f"{name}.onnx") for name in ("encoder", "decoder")}
    images = pixels[:, None].astype(np.float32) / 255
    (latents,) = networks["encoder"].run(None, {"images": images})
    inputs = {"encoder": images, "decoder": latents}

    def run_network(name: str) -> float:
        with pinned(server_cpu):
            measure_network(networks[name], inputs[name], options.warm_up_seconds)
            return measure_network(networks[name], inputs[name], options.seconds)

    def run_case(case: Case) -> float:
        with make_latentd(case.request, case.name).serve() as server:
            check(case, server.port, latents)
            return IMAGES * measure_rate(server.port, case.request, options, CONNECTIONS, wrk_cpu)

    rates = alternate(
        {name: lambda name=name: run_network(name) for name in networks}
        | {case.name: lambda case=case: run_case(case) for case in cases},
        options.rounds,
    )
    rows = [
        (case.name, case.network, *compare(rates[case.name], rates[case.network], case.goal))
        for case in cases
    ]
    return make_record(options, rows, make_latentd(cases[0].request, "").versions())


def make_record(options: Options, rows: list[tuple[Cell, ...]], versions: str) -> Record:
    """Return the record."""
    return Record(
        name="tensors",
        title=f"Tensors: {IMAGES} images per request",
        command="make bench ARGS=tensors",
        goal="latentd reaches at least the ratio `goal` of the throughput of ONNX Runtime in a "
        "separate process.",
        columns=("case", "network", *list_columns("latentd images/s", "ONNX Runtime images/s")),
        rows=rows,
        remark=(
            f"One worker with one thread; `wrk -t1 -c{CONNECTIONS}` on another CPU: several "
            "connections keep the inference thread busy while the server reads other bodies. ONNX "
            "Runtime runs the same graph on the same CPU with one thread, on arrays in memory. "
            "Latents are first compared with those of ONNX Runtime. Sampling also draws and checks "
            f"latents. {options.describe_rounds()} {versions}. {options.remark}"
        ).strip(),
    )
