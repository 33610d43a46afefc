"""Serving overhead of a large model, compared with the shipped one."""

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.harness.contenders import make_latentd, measure_rate, read_latentd
from benchmarks.harness.dataset import find_bundle, read_images, to_png
from benchmarks.harness.options import Options, find_cpus, pinned
from benchmarks.harness.records import Cell, Record
from benchmarks.harness.response_checks import check_prediction, classify, fetch, open_session
from benchmarks.harness.rounds import Goal, alternate, find_ratio, judge
from benchmarks.harness.servers import run_latentd
from benchmarks.performance.classify import make_request
from benchmarks.performance.large_bundle import SEED, write_store
from benchmarks.performance.tensors import measure_network

CONNECTIONS = (1, 64)
_GOAL = Goal(1)
_EXAMPLES = 64
COLUMNS = (
    *("model", "MB", "connections", "latentd images/s", "ONNX Runtime images/s", "share"),
    *("overhead ms per image", "share / share of the shipped model", "goal", "met"),
)


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle, and a session of its classifier in this process."""

    title: str
    bundle: Path
    session: onnxruntime.InferenceSession

    @property
    def size(self) -> int:
        """Size of the ONNX graph in bytes."""
        return (self.bundle / "classifier.onnx").stat().st_size

    def measure_alone(self, image: np.ndarray, options: Options) -> float:
        """Return the images per second of ONNX Runtime, one (1, 1, H, W) float32 at a time."""
        with pinned(find_cpus()[0]):
            measure_network(self.session, image, options.warm_up_seconds)
            return measure_network(self.session, image, options.seconds)

    def measure_served(self, pixels: np.ndarray, connections: int, options: Options) -> float:
        """Return the requests per second of latentd for an image, (H, W) uint8."""
        request = make_request(to_png(pixels))
        server_cpu, wrk_cpu = find_cpus()
        flags = ["--threads", "1", "--models-store", str(self.bundle.parents[1])]
        name = self.bundle.parent.name
        with run_latentd([*flags, "--default-model", name], cpu=server_cpu) as server:
            body = fetch(server.port, request)
            check_prediction(body, read_latentd, classify(self.bundle, pixels))
            return measure_rate(server.port, request, options, connections, wrk_cpu)


def measure(options: Options) -> Record:
    """Measure both models, alone and served, in alternating rounds."""
    pixels = read_images(_EXAMPLES)
    images = pixels[:, None].astype(np.float32) / 255
    with tempfile.TemporaryDirectory() as folder:
        shipped = find_bundle()
        bundles = {"shipped": shipped, "large": write_store(Path(folder), shipped, images)}
        models = {
            title: Model(title, bundle, open_session(bundle / "classifier.onnx"))
            for title, bundle in bundles.items()
        }
        measures = {}
        for title, model in models.items():
            measures[title] = lambda model=model: model.measure_alone(images[:1], options)
            for count in CONNECTIONS:
                measures[f"{title} {count}"] = lambda model=model, count=count: (
                    model.measure_served(pixels[0], count, options)
                )
        rates = alternate(measures, options.rounds)
        rows = [to_row(models[title], count, rates) for title in models for count in CONNECTIONS]
        factor = models["large"].size / models["shipped"].size
    return make_record(options, rows, factor, make_latentd(make_request(b""), "").versions())


def to_row(
    model: Model, connections: int, rates: Mapping[str, Sequence[float]]
) -> tuple[Cell, ...]:
    """Return the row of a model; the goal compares its share with that of the shipped model."""
    served, alone = rates[f"{model.title} {connections}"], rates[model.title]
    shares = [a / b for a, b in zip(served, alone, strict=True)]
    shipped = zip(rates[f"shipped {connections}"], rates["shipped"], strict=True)
    overhead = statistics.median(1000 / a - 1000 / b for a, b in zip(served, alone, strict=True))
    ratio = find_ratio(shares, [a / b for a, b in shipped])
    return (
        model.title,
        round(model.size / 1e6, 1),
        connections,
        round(statistics.median(served)),
        round(statistics.median(alone)),
        float(f"{statistics.median(shares):.3g}"),
        round(overhead, 2),
        float(f"{ratio:.3g}"),
        *judge(None if model.title == "shipped" else _GOAL, ratio),
    )


def make_record(
    options: Options, rows: list[tuple[Cell, ...]], factor: float, versions: str
) -> Record:
    """Return the record; `factor` is the ratio of the models' sizes."""
    return Record(
        name="large_model",
        title="A model fifty times as large",
        seed=SEED,
        command="make bench ARGS=large_model",
        goal="The overhead of serving grows no faster than the work: latentd's share of the "
        "throughput of ONNX Runtime is at least as high for the large model as for the shipped "
        "one.",
        columns=COLUMNS,
        rows=rows,
        remark=(
            "Raw PNG files, classified by the shipped classifier and by one of the same "
            f"architecture with {factor:.0f} times its bytes and random weights; latentd's "
            "settings are the same. One worker with one thread runs on one CPU, wrk on another; "
            "ONNX Runtime runs one image at a time with one thread on the server's CPU. "
            "Predictions are first compared with those of ONNX Runtime. The overhead is the time "
            "per image in latentd minus the time in ONNX Runtime; batching makes it negative. "
            f"{options.describe_rounds()} {versions}. {options.remark}"
        ).strip(),
    )
