"""Compare serving on a CUDA device with serving on the CPU: called by `benchmarks/gpu.sh`."""

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np

from benchmarks.harness.records import Bound, Cell, Record, conclude
from service.artifact import list_bundles, open_bundle
from service.artifact.specs import GraphFormat
from service.inference.model import Model, load_model
from service.runtimes import Device, open_runtime
from service.runtimes.cpus import count_cpus

TOLERANCE = 1e-3
"""Largest accepted difference; values are of the order of 1."""
_BATCHES = (1, 64, 1024)
_SECONDS = 2.0


def measure(model: Model, images: np.ndarray) -> float:
    """Return the images per second of the encoder on a batch."""
    model.run("encoder", images)
    started, runs = time.perf_counter(), 0
    while time.perf_counter() - started < _SECONDS:
        model.run("encoder", images)
        runs += 1
    return runs * len(images) / (time.perf_counter() - started)


def compare(backend: GraphFormat, store: Path, threads: int) -> list[list[Cell]]:
    """Return a row for each batch size: speed on both devices and the largest difference."""
    name, versions = next(iter(list_bundles(store).items()))
    bundle = open_bundle(store, name, versions[0])
    devices: tuple[Device, Device] = ("cpu", "cuda")
    models = [load_model(bundle, open_runtime(backend, threads, device)) for device in devices]
    rng = np.random.default_rng(1)
    rows: list[list[Cell]] = []
    for size in _BATCHES:
        images = rng.random((size, *bundle.manifest.image.shape), dtype=np.float32)
        (on_cpu,), (on_cuda,) = (model.run("encoder", images) for model in models)
        difference = float(np.abs(on_cpu - on_cuda).max())
        speeds = [measure(model, images) for model in models]
        ratio = float(f"{speeds[1] / speeds[0]:.3g}")
        rows.append([backend, size, *map(round, speeds), ratio, float(f"{difference:.2g}")])
    return rows


def main() -> int:
    """Measure every installed backend, and write the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    flags = parser.parse_args()
    backends = ["onnx", *(["torchscript"] if find_spec("torch") else [])]
    rows = [
        row
        for backend in backends
        for row in compare(cast("GraphFormat", backend), flags.store, count_cpus())
    ]
    return conclude(make_record(rows), flags.output)


def make_record(rows: list[list[Cell]]) -> Record:
    """Return the record."""
    return Record(
        name="gpu",
        title="Serving on a CUDA device",
        command="benchmarks/gpu.sh",
        goal=f"The outputs on the device differ from those on the CPU by at most {TOLERANCE:g}.",
        columns=(
            *("backend", "images in a run", "CPU images/s", "CUDA images/s"),
            *("ratio", "largest difference"),
        ),
        rows=rows,
        bounds=[[Bound("largest difference", TOLERANCE)] for _ in rows],
        remark="The encoder of a bundle that was trained on the device, without HTTP.",
    )


if __name__ == "__main__":
    sys.exit(main())
