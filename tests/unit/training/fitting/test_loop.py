"""The training loop: resuming, reproducibility, early stopping, schedules and errors."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.errors import TrainingError
from training.fitting.examples import Examples, choose_device
from training.fitting.loop import FitJob, fit, measure_loss
from training.fitting.losses import denoising_loss
from training.fitting.optimizers import learning_rate_at
from training.fitting.runs.checkpoints import read_checkpoint
from training.recipe.schema import DenoiserRecipe, FitRecipe

CPU = torch.device("cpu")


def make_examples(count: int, seed: int) -> Examples:
    """Return `count` random images of 1 x 4 x 4."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return Examples(pixels)


TRAINING, VALIDATION = make_examples(53, 1), make_examples(11, 2)


def make_network() -> nn.Module:
    """Return a small network with BatchNorm and dropout, with fixed initial weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(16, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(8, 16),
            nn.Unflatten(1, (1, 4, 4)),
        )


def make_job(folder: Path, loss: object = None, **recipe: object) -> FitJob:
    """Return a job with a noisy loss, so that every kind of randomness is used."""
    settings = FitRecipe.model_validate(
        {"epochs": 5, "batch_size": 16, "learning_rate": 0.01, **recipe}
    )
    return FitJob("test", settings, loss or denoising_loss(DenoiserRecipe()), 7, folder, CPU)


class Interrupt:
    """A loss that raises KeyboardInterrupt after a number of calls."""

    def __init__(self, calls: int) -> None:
        """Count down from `calls`."""
        self.remaining = calls

    def __call__(self, *arguments: object) -> Tensor:
        """Return the denoising loss or interrupt."""
        self.remaining -= 1
        if self.remaining < 0:
            raise KeyboardInterrupt
        return denoising_loss(DenoiserRecipe())(*arguments)


@pytest.mark.parametrize("calls", [0, 3, 11, 17])
def test_a_resumed_training_is_bit_identical_to_an_uninterrupted_one(
    tmp_path: Path, calls: int
) -> None:
    """Interrupted before the first step, within an epoch or between two, the weights are equal."""
    whole = make_network()
    progress = fit(whole, make_job(tmp_path / "whole"), TRAINING, VALIDATION)

    with pytest.raises(KeyboardInterrupt):
        fit(make_network(), make_job(tmp_path / "cut", Interrupt(calls)), TRAINING, VALIDATION)
    torch.rand(3)  # use of the global generator in between has no effect
    resumed = make_network()
    again = fit(resumed, make_job(tmp_path / "cut"), TRAINING, VALIDATION)

    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name
    losses = [[epoch.validation_loss for epoch in run.history] for run in (progress, again)]
    assert losses[0] == losses[1]


def test_the_weights_depend_on_the_seed(tmp_path: Path) -> None:
    """The same seed gives the same weights; another seed changes them."""
    networks = [make_network() for _ in range(3)]
    for index, (network, seed) in enumerate(zip(networks, (7, 7, 8), strict=True)):
        job = make_job(tmp_path / str(index))
        fit(
            network,
            FitJob(job.name, job.recipe, job.loss, seed, job.folder, CPU),
            TRAINING,
            VALIDATION,
        )

    first, same, other = (network[1].weight for network in networks)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_training_restores_the_global_generator(tmp_path: Path) -> None:
    """Dropout draws from torch's global generator; its state is restored afterwards."""
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)

    fit(make_network(), make_job(tmp_path), TRAINING, VALIDATION)

    assert torch.equal(torch.rand(2), expected)


def test_the_epoch_callback_receives_losses_and_can_stop_the_training(tmp_path: Path) -> None:
    """A search prunes a trial by raising from the callback."""
    reported = []

    def on_epoch(epoch: int, loss: float) -> None:
        reported.append((epoch, loss))
        if epoch == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(make_network(), replace(make_job(tmp_path), on_epoch=on_epoch), TRAINING, VALIDATION)

    checkpoint = read_checkpoint(tmp_path, CPU)
    assert checkpoint is not None
    assert reported == [
        (n, e.validation_loss) for n, e in enumerate(checkpoint[0].history, start=1)
    ]


def test_a_finished_network_is_not_trained_again(tmp_path: Path) -> None:
    """A second fit loads the best weights and never calls the loss."""
    first, second = make_network(), make_network()
    fit(first, make_job(tmp_path), TRAINING, VALIDATION)

    progress = fit(second, make_job(tmp_path, Interrupt(0)), TRAINING, VALIDATION)

    assert progress.finished
    assert torch.equal(first[1].weight, second[1].weight)


class Scripted(nn.Module):
    """One weight with a predefined validation loss for each epoch."""

    def __init__(self, losses: list[float]) -> None:
        """Store the losses; the weight counts epochs."""
        super().__init__()
        self.epoch = nn.Parameter(torch.zeros(()))
        self.losses = losses

    def loss(
        self, _network: nn.Module, _inputs: Tensor, _labels: object, _generator: object
    ) -> Tensor:
        """Count an epoch in training; return the predefined loss in evaluation."""
        if self.training:
            self.epoch.data += 1
            return self.epoch * 0
        return torch.tensor(self.losses[int(self.epoch) - 1])


def test_early_stopping_keeps_the_best_weights(tmp_path: Path) -> None:
    """Training ends after three epochs without a lower loss and restores the best weights."""
    network = Scripted([5.0, 3.0, 4.0, 3.0, 3.5, 1.0])
    job = make_job(
        tmp_path,
        network.loss,
        epochs=6,
        patience=3,
        batch_size=64,
        weight_decay=0.0,
    )

    progress = fit(network, job, TRAINING, VALIDATION)

    assert progress.best_epoch == 2
    assert len(progress.history) == 5
    assert int(network.epoch) == 2


def test_a_nan_loss_stops_the_training(tmp_path: Path) -> None:
    """The error names the network and the key to change."""
    network = Scripted([float("nan")])

    with pytest.raises(
        TrainingError, match=r"test: the loss is nan in epoch 1; reduce test\.learning_rate"
    ):
        fit(network, make_job(tmp_path, network.loss, batch_size=64), TRAINING, VALIDATION)

    assert read_checkpoint(tmp_path, CPU) is None


def test_an_out_of_memory_error_names_the_key_to_change(tmp_path: Path) -> None:
    """The error states the batch size and its key."""

    def exhaust(*_: object) -> Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(TrainingError, match=r"batch of 16 .*reduce test\.batch_size"):
        fit(make_network(), make_job(tmp_path, exhaust), TRAINING, VALIDATION)


def test_no_batch_has_a_single_image(tmp_path: Path) -> None:
    """17 images with a batch size of 16 form batches of 9 and 8: BatchNorm needs two images."""
    progress = fit(make_network(), make_job(tmp_path, epochs=1), make_examples(17, 3), VALIDATION)

    assert progress.finished


def test_validation_noise_is_constant(tmp_path: Path) -> None:
    """Two measurements of the same weights are equal."""
    network, job = make_network(), make_job(tmp_path)

    assert measure_loss(network, job, VALIDATION) == measure_loss(network, job, VALIDATION)


def test_one_cycle_rises_to_its_maximum_and_falls_to_almost_zero() -> None:
    """The maximum is after 30 % of the steps."""
    recipe = FitRecipe(learning_rate=0.01)

    rates = [learning_rate_at(step, 100, recipe) for step in range(100)]

    assert rates[0] == pytest.approx(0.01 / 25)
    assert max(rates) == rates[30] == pytest.approx(0.01)
    assert rates[99] < 0.01 / 500
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)


def test_a_constant_schedule_is_constant() -> None:
    """Every step has the recipe's step size."""
    recipe = FitRecipe(learning_rate=0.01, schedule="constant")

    assert {learning_rate_at(step, 10, recipe) for step in range(10)} == {0.01}


def test_a_batch_of_pixels_is_scaled_to_floats() -> None:
    """255 becomes 1.0; float inputs are unchanged."""
    pixels, _ = Examples(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)).batch(
        torch.tensor([0])
    )
    latents, _ = Examples(torch.tensor([[3.5]])).batch(torch.tensor([0]))

    assert pixels.flatten().tolist() == pytest.approx([0, 0.2, 1])
    assert latents.tolist() == [[3.5]]


def test_an_unavailable_device_is_rejected() -> None:
    """The error for an unknown name is one line."""
    with pytest.raises(TrainingError, match=r"^--device toaster is unavailable: [^\n]*$"):
        choose_device("toaster")
