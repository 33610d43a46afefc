"""Images a second where many come in one request, beside ONNX Runtime itself."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime
from loads import Request
from records import Record

from performance.answers import ask, open_session
from performance.contenders import load, make_latentd
from performance.options import Options, find_cpus, pinned
from performance.pictures import find_bundle, read_images
from performance.rounds import Goal, alternate, compare, list_columns

IMAGES = 256
CONNECTIONS = 4
_NPY = "application/x-npy"
_MODEL = "fashion-mnist.encoder"
_SEED = 1
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Way:
    """A way through latentd, and the bare network that does the same work."""

    name: str
    request: Request
    read: Callable[[bytes], np.ndarray]
    network: str
    """`encoder` or `decoder`."""
    goal: Goal


def measure_network(
    session: onnxruntime.InferenceSession, inputs: np.ndarray, seconds: float
) -> float:
    """Return how many rows of (N, ...) a second a network takes in this process."""
    feed = {session.get_inputs()[0].name: inputs}
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        session.run(None, feed)
        count += len(inputs)
    return count / (time.perf_counter() - start)


def send_npy(images: np.ndarray) -> Request:
    """Return the request that encodes (N, C, H, W) and wants its latents as an array, too."""
    stream = io.BytesIO()
    np.save(stream, images)
    headers = (("Accept", _NPY),)
    return Request("npy", "/v1/encode", stream.getvalue(), _NPY, headers=headers)


def send_binary(images: np.ndarray) -> Request:
    """Return the request of the binary tensor extension, its answer in bytes as well."""
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


def send_sample() -> Request:
    """Return the request for samples, as an array."""
    body = json.dumps({"count": IMAGES, "source": "kde"}).encode()
    return Request("sample", "/v1/sample", body, headers=(("Accept", _NPY),))


def read_npy(body: bytes) -> np.ndarray:
    """Return the array in an answer."""
    array: np.ndarray = np.load(io.BytesIO(body))
    return array


def read_binary(body: bytes) -> np.ndarray:
    """Return the only tensor in an answer: its bytes are the last."""
    head, _ = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    (output,) = head["outputs"]
    content = body[-output["parameters"]["binary_data_size"] :]
    return np.frombuffer(content, np.float32).reshape(output["shape"])


def list_ways(pixels: np.ndarray) -> list[Way]:
    """Return what is measured for images, (N, H, W) uint8."""
    whole = pixels[:, None]
    floats = whole.astype(np.float32) / 255
    return [
        Way("encode, npy of uint8", send_npy(whole), read_npy, "encoder", Goal(0.8)),
        Way("encode, npy of float32", send_npy(floats), read_npy, "encoder", Goal(0.8)),
        Way("infer, binary tensors", send_binary(floats), read_binary, "encoder", Goal(0.75)),
        Way("sample from the KDE, npy out", send_sample(), read_npy, "decoder", Goal(0.75)),
    ]


def check(way: Way, port: int, latents: np.ndarray) -> None:
    """Compare an answer with what the network gives.

    Raises:
        RuntimeError: it is another.
    """
    answer = way.read(ask(port, way.request))
    if way.network == "decoder":
        if answer.shape != (IMAGES, 1, 28, 28) or not 0 <= answer.min() <= answer.max() <= 1:
            raise RuntimeError(f"{way.name}: answered {answer.shape}, not so many images")
    elif answer.shape != latents.shape or np.abs(answer - latents).max() > _TOLERANCE:
        raise RuntimeError(f"{way.name}: the latents are wrong")


def measure(options: Options) -> Record:
    """Measure every way and the bare networks in turn, all on one CPU."""
    bundle, pixels = find_bundle(), read_images(IMAGES)
    ways = list_ways(pixels)
    cpu, sender = find_cpus()
    networks = {name: open_session(bundle / f"{name}.onnx") for name in ("encoder", "decoder")}
    images = pixels[:, None].astype(np.float32) / 255
    (latents,) = networks["encoder"].run(None, {"images": images})
    inputs = {"encoder": images, "decoder": latents}

    def run_network(name: str) -> float:
        with pinned(cpu):
            measure_network(networks[name], inputs[name], options.warm_seconds)
            return measure_network(networks[name], inputs[name], options.seconds)

    def run_way(way: Way) -> float:
        with make_latentd(way.request, way.name).serve() as server:
            check(way, server.port, latents)
            return IMAGES * load(server.port, way.request, options, CONNECTIONS, sender)

    figures = alternate(
        {name: lambda name=name: run_network(name) for name in networks}
        | {way.name: lambda way=way: run_way(way) for way in ways},
        options.rounds,
    )
    rows = [
        (one.name, one.network, *compare(figures[one.name], figures[one.network], one.goal))
        for one in ways
    ]
    return write(options, rows, make_latentd(ways[0].request, "").versions())


def write(options: Options, rows: list[tuple[str | int | float, ...]], versions: str) -> Record:
    """Return the record."""
    return Record(
        name="tensors",
        title=f"Tensors: {IMAGES} images a request",
        command="make bench ARGS=tensors",
        goal="latentd gives at least this share of the images a second that ONNX Runtime gives in "
        "a process of its own.",
        columns=("way", "network", *list_columns("latentd images/s", "ONNX Runtime images/s")),
        rows=rows,
        remark=(
            f"One worker with one thread; `wrk -t1 -c{CONNECTIONS}` on another CPU: a few "
            "connections keep the thread at work while others' bodies are read. ONNX Runtime runs "
            "the same graph on the same CPU, with one thread, on arrays that are there already. "
            "Latents are compared with its own first. Samples are drawn and checked besides being "
            f"decoded. {options.describe_rounds()} {versions}. {options.remark}"
        ).strip(),
    )
