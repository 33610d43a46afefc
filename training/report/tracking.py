"""Copies of a finished training in TensorBoard or MLflow (extra `tracking`)."""

import io
import json
import os
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.errors import RecipeError
from training.evaluation.trained_run import TrainedRun
from training.fitting.runs.checkpoints import HISTORY_FILE
from training.recipe.schema import NETWORKS
from training.report.page import draw_plots

_MODULES = {"tensorboard": "tensorboard", "mlflow": "mlflow"}
_PARAMETERS_FILE = "recipe.json"


def check_tracker(target: str) -> str:
    """Return a target, `tensorboard:FOLDER` or `mlflow:URI`, that `track` accepts.

    Raises:
        RecipeError: the tracker is unknown or not installed.
    """
    name, _, place = target.partition(":")
    if name not in _MODULES or not place:
        raise RecipeError(f"Expected --track tensorboard:FOLDER or mlflow:URI, got {target!r}")
    if find_spec(_MODULES[name]) is None:
        raise RecipeError(f"--track {name} needs {name}: pip install 'latentd[tracking]'")
    return target


def track(trained: TrainedRun, target: str) -> None:
    """Write the losses of each epoch, the test metrics, the recipe and the report's plots."""
    name, _, place = target.partition(":")
    if name == "tensorboard":
        _write_tensorboard(trained, Path(place) / trained.recipe.name)
    else:
        _write_mlflow(trained, place)


def _write_tensorboard(trained: TrainedRun, folder: Path) -> None:
    module: Any = import_module("torch.utils.tensorboard")  # without types
    with module.SummaryWriter(str(folder)) as writer:
        for key, value, epoch in _list_losses(trained):
            writer.add_scalar(key, value, epoch)
        for key, metric in trained.evaluation.metrics.items():
            writer.add_scalar(f"test/{key}", metric.value)
        writer.add_text("recipe", f"```\n{_write_recipe(trained)}\n```")
        for plot in draw_plots(trained):
            pixels = np.asarray(Image.open(io.BytesIO(plot.content)).convert("RGB"))
            writer.add_image(plot.name, pixels, dataformats="HWC")


def _write_mlflow(trained: TrainedRun, uri: str) -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
    import mlflow  # noqa: PLC0415 - an extra

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(trained.recipe.name)
    with mlflow.start_run(), tempfile.TemporaryDirectory() as folder:
        mlflow.log_param("seed", trained.recipe.seed)
        mlflow.log_param("dataset", trained.splits.dataset)
        for key, value, epoch in _list_losses(trained):
            mlflow.log_metric(key, value, step=epoch)
        for key, metric in trained.evaluation.metrics.items():
            mlflow.log_metric(f"test/{key}", metric.value)
        Path(folder, _PARAMETERS_FILE).write_text(_write_recipe(trained))
        for plot in draw_plots(trained):
            Path(folder, f"{plot.name}.png").write_bytes(plot.content)
        mlflow.log_artifacts(folder)


def _list_losses(trained: TrainedRun) -> Iterator[tuple[str, float, int]]:
    """Yield the name, the value and the epoch, from 1, of each number in the histories."""
    for name in NETWORKS:
        path = trained.run.folder / name / HISTORY_FILE
        if path.exists():
            for number, epoch in enumerate(json.loads(path.read_text())["epochs"], 1):
                for key, value in epoch.items():
                    yield f"{name}/{key}", value, number


def _write_recipe(trained: TrainedRun) -> str:
    return json.dumps(trained.describe_provenance().recipe, indent=2)
