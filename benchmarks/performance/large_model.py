"""Whether serving costs more where the model is larger."""

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from records import Cell, Record
from servers import run_latentd

from performance.answers import ask, check_answer, classify, open_session
from performance.classify import send_png
from performance.contenders import load, make_latentd, read_latentd
from performance.giant_bundle import SEED, write_store
from performance.options import Options, find_cpus, pinned
from performance.pictures import find_bundle, read_images, to_png
from performance.rounds import Goal, alternate, find_ratio
from performance.tensors import measure_network

CONNECTIONS = (1, 64)
_GOAL = Goal(1)
_PROBES = 64
COLUMNS = (
    *("model", "MB", "connections", "latentd images/s", "ONNX Runtime images/s", "share"),
    *("ms an image besides", "its share / the shipped one's", "goal", "met"),
)


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle, and its classifier in this process."""

    title: str
    bundle: Path
    session: onnxruntime.InferenceSession

    @property
    def size(self) -> int:
        """Bytes of the graph."""
        return (self.bundle / "classifier.onnx").stat().st_size

    def measure_alone(self, image: np.ndarray, options: Options) -> float:
        """Return the images a second, one at a time, (1, 1, H, W) float32, on the first CPU."""
        with pinned(find_cpus()[0]):
            measure_network(self.session, image, options.warm_seconds)
            return measure_network(self.session, image, options.seconds)

    def measure_served(self, pixels: np.ndarray, connections: int, options: Options) -> float:
        """Return the pictures of (H, W) uint8 that latentd answers a second."""
        request = send_png(to_png(pixels))
        cpu, sender = find_cpus()
        flags = ["--threads", "1", "--models-store", str(self.bundle.parents[1])]
        name = self.bundle.parent.name
        with run_latentd([*flags, "--default-model", name], cpu=cpu) as server:
            check_answer(ask(server.port, request), read_latentd, classify(self.bundle, pixels))
            return load(server.port, request, options, connections, sender)


def measure(options: Options) -> Record:
    """Measure the shipped bundle and the large one, alone and served, in turn."""
    pixels = read_images(_PROBES)
    images = pixels[:, None].astype(np.float32) / 255
    with tempfile.TemporaryDirectory() as folder:
        shipped = find_bundle()
        places = {"shipped": shipped, "large": write_store(Path(folder), shipped, images)}
        models = {
            title: Model(title, place, open_session(place / "classifier.onnx"))
            for title, place in places.items()
        }
        measures = {}
        for title, model in models.items():
            measures[title] = lambda model=model: model.measure_alone(images[:1], options)
            for count in CONNECTIONS:
                measures[f"{title} {count}"] = lambda model=model, count=count: (
                    model.measure_served(pixels[0], count, options)
                )
        figures = alternate(measures, options.rounds)
        rows = [to_row(models[title], count, figures) for title in models for count in CONNECTIONS]
        times = models["large"].size / models["shipped"].size
    return write(options, rows, times, make_latentd(send_png(b""), "").versions())


def to_row(
    model: Model, connections: int, figures: Mapping[str, Sequence[float]]
) -> tuple[Cell, ...]:
    """Return the row of a model; the large one's share is judged by the shipped one's."""
    served, alone = figures[f"{model.title} {connections}"], figures[model.title]
    shares = [a / b for a, b in zip(served, alone, strict=True)]
    base = zip(figures[f"shipped {connections}"], figures["shipped"], strict=True)
    extra = statistics.median(1000 / a - 1000 / b for a, b in zip(served, alone, strict=True))
    beside = find_ratio(shares, [a / b for a, b in base])
    return (
        model.title,
        round(model.size / 1e6, 1),
        connections,
        round(statistics.median(served)),
        round(statistics.median(alone)),
        float(f"{statistics.median(shares):.3g}"),
        round(extra, 2),
        float(f"{beside:.3g}"),
        *(("-", "-") if model.title == "shipped" else _GOAL.to_cells(beside)),
    )


def write(options: Options, rows: list[tuple[Cell, ...]], times: float, versions: str) -> Record:
    """Return the record."""
    return Record(
        name="giant",
        title="A model fifty times as large",
        seed=SEED,
        command="make bench ARGS=giant",
        goal="what serving costs grows no faster than the work: of ONNX Runtime's own images a "
        "second, latentd keeps at least as large a share with the large model as with the shipped.",
        columns=COLUMNS,
        rows=rows,
        remark=(
            f"Raw PNG files classified by the shipped classifier and by one of the same plan, "
            f"{times:.0f} times its bytes, with random weights; latentd's settings are the same. "
            "One worker with one thread on one CPU, wrk on another; ONNX Runtime runs one image at "
            "a time with one thread on the same CPU. Answers are compared with its own first. "
            "Besides: an image's time in latentd less that in ONNX Runtime. "
            f"{options.describe_rounds()} {versions}. {options.remark}"
        ).strip(),
    )
