"""Copies of a training in TensorBoard and MLflow."""

import importlib
from pathlib import Path

import pytest

from tests.support.requirements import require_module
from training.commands.train import train
from training.errors import RecipeError
from training.report import tracking
from training.report.tracking import check_tracker


def finish(digits_run: Path, target: str) -> int:
    """Run the command of the finished training again, which only copies."""
    workspace = digits_run.parents[1]
    folders = ["--runs", str(workspace / "runs"), "--store", str(workspace / "models_store")]
    flags = ["--epochs", "3", "--device", "cpu", "--set", "density.search_codes=200"]
    return train(["digits", *folders, *flags, "--no-publish", "--track", target])


def test_tensorboard_has_losses_metrics_and_images(digits_run: Path, tmp_path: Path) -> None:
    """Each network has a loss for each epoch; the plots of the report are images."""
    require_module("tensorboard")
    assert finish(digits_run, f"tensorboard:{tmp_path}") == 0
    accumulator = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(tmp_path / "digits")).Reload()
    tags = events.Tags()
    assert [event.step for event in events.Scalars("autoencoder/validation_loss")] == [1, 2, 3]
    assert any(tag.startswith("test/") for tag in tags["scalars"])
    assert {"losses", "samples"} <= set(tags["images"])


@pytest.mark.filterwarnings("ignore")  # MLflow's own code uses what SQLAlchemy deprecates
def test_mlflow_has_losses_metrics_and_plots(digits_run: Path, tmp_path: Path) -> None:
    """The run of the experiment has the metrics, and the recipe and plots as artifacts."""
    require_module("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert finish(digits_run, f"mlflow:{uri}") == 0
    client = importlib.import_module("mlflow").MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    losses = client.get_metric_history(run.info.run_id, "autoencoder/validation_loss")
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert [loss.step for loss in losses] == [1, 2, 3]
    assert {"recipe.json", "samples.png"} <= names


@pytest.mark.parametrize("target", ["tensorboard", "tensorboard:", "wandb:x", ""])
def test_an_unknown_tracker_is_rejected(target: str) -> None:
    """The error names the accepted forms and the value."""
    with pytest.raises(RecipeError, match=r"tensorboard:FOLDER or mlflow:URI, got"):
        check_tracker(target)


def test_a_missing_tracker_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training does not start without the tracker's package."""
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    with pytest.raises(RecipeError, match=r"pip install 'latentd\[tracking\]'"):
        check_tracker("mlflow:sqlite:///x.db")
