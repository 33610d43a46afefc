"""`--from`: networks of a finished run continue with more images; nothing is lost."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from training.errors import RunError
from training.fitting.runs.checkpoints import Epoch, Progress, write_checkpoint
from training.fitting.runs.continuation import START_FILE, continue_run, load_start
from training.fitting.runs.run_folders import Run, read_run, start_run
from training.recipe.parsing import parse_recipe
from training.recipe.schema import Recipe


def make_recipe(dataset: str, size: int) -> Recipe:
    """Return a recipe of one network."""
    return parse_recipe(
        {"name": "cats", "data": {"dataset": dataset}, "autoencoder": {"latent_size": size}}
    )


def finish(folder: Path, *, finished: bool = True) -> Run:
    """Write a run whose autoencoder is a linear layer with weights of 1."""
    run = start_run(Run(folder, make_recipe("old", 7), "latentd train old", "data"), fresh=False)
    network = nn.Linear(2, 1)
    nn.init.ones_(network.weight)
    progress = Progress([Epoch(1, 1, 1, 1)], 1, network.state_dict(), finished)
    write_checkpoint(folder / "autoencoder", progress, network.state_dict(), {})
    return run


def test_a_run_continues_with_the_layers_and_weights_of_another(tmp_path: Path) -> None:
    """The latent size and the weights are those of the origin, the images are new."""
    finish(tmp_path / "old")
    requested = Run(tmp_path / "new", make_recipe("new", 16), "latentd train new", "data")

    run = continue_run(requested, tmp_path / "old")

    network = nn.Linear(2, 1)
    assert (run.recipe.data.dataset, run.recipe.autoencoder.latent_size) == ("new", 7)
    assert load_start(network, run.folder / "autoencoder")
    assert network.weight.tolist() == [[1, 1]]


def test_the_same_name_keeps_the_finished_run(tmp_path: Path) -> None:
    """Pictures added to a folder: the earlier run is renamed, not deleted."""
    finish(tmp_path / "cats")
    requested = Run(tmp_path / "cats", make_recipe("more", 16), "latentd train more", "data")

    run = continue_run(requested, tmp_path / "cats")

    assert read_run(tmp_path / "cats.1").recipe.data.dataset == "old"
    assert read_run(run.folder).recipe.data.dataset == "more"
    assert (run.folder / "autoencoder" / START_FILE).exists()


def test_an_interrupted_continuation_resumes(tmp_path: Path) -> None:
    """The repeated command archives nothing and keeps the run."""
    finish(tmp_path / "cats")
    requested = Run(tmp_path / "cats", make_recipe("more", 16), "latentd train more", "data")
    first = continue_run(requested, tmp_path / "cats")

    again = continue_run(requested, tmp_path / "cats")

    assert replace(again, data_root="") == replace(first, data_root="")
    assert not (tmp_path / "cats.2").exists()


def test_an_unfinished_origin_is_an_error(tmp_path: Path) -> None:
    """The error names the command that completes it."""
    finish(tmp_path / "old", finished=False)
    requested = Run(tmp_path / "new", make_recipe("new", 16), "latentd train new", "data")

    with pytest.raises(RunError, match=r"unfinished; complete it with `latentd train old`"):
        continue_run(requested, tmp_path / "old")


def test_weights_of_another_shape_are_not_loaded(tmp_path: Path) -> None:
    """A classifier of other classes starts anew."""
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / START_FILE)

    assert not load_start(nn.Linear(2, 3), tmp_path)
    assert not load_start(nn.Linear(2, 3), tmp_path / "missing")
