"""The training loop of the generative adversarial network of report 001.

Goodfellow et al., Generative Adversarial Nets, 2014. N images of C x H x W pixels in [0, 1]; Z
noise dimensions. A GAN lacks a validation loss to choose an epoch by. The bundle therefore contains
a moving average of the generator's weights (`states.update_average`).
"""

import copy
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from training.fitting.adversarial.states import load_states, update_average, write_states
from training.fitting.examples import Examples, split_batches
from training.fitting.loop import check_finite, open_progress_bar
from training.fitting.optimizers import autocast, update_learning_rate
from training.networks.gan import Discriminator, Generator
from training.randomness import make_generator, seeded_globally
from training.recipe.schema import GanRecipe

_BETAS = (0.5, 0.999)
_REAL = 0.9  # one-sided label smoothing: Salimans et al., Improved Techniques, 2016


@dataclass(frozen=True, slots=True)
class GanEpoch:
    """Mean cross-entropies of one pass over the training images, in nats."""

    generator_loss: float
    discriminator_loss: float
    learning_rate: float
    """Of the last step."""
    seconds: float


@dataclass(frozen=True, slots=True)
class _State:
    """The objects that an epoch changes."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    history: list[GanEpoch] = field(default_factory=list)

    @property
    def stateful(self) -> "dict[str, nn.Module | torch.optim.Optimizer]":
        """The objects with a state dict, by name."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def fit_gan(
    recipe: GanRecipe, training: Examples, seed: int, folder: Path, device: torch.device
) -> Generator:
    """Train a GAN and return its averaged generator.

    Training resumes from the checkpoint in `folder`, which every epoch replaces. On the CPU an
    interrupted and resumed training gives bit-identical weights.

    Args:
        recipe: The networks and their hyper-parameters.
        training: Images (N, C, H, W).
        seed: The recipe's seed.
        folder: Folder of the checkpoint and the history.
        device: Device of the networks.

    Raises:
        TrainingError: a loss is infinite or NaN.
        RunError: the checkpoint cannot be read.
    """
    state = _start(recipe, training, seed, device)
    state.history.extend(load_states(folder, device, state.stateful, GanEpoch))
    done = len(state.history)
    with open_progress_bar("gan", recipe, len(training), done, recipe.epochs) as bar:
        while len(state.history) < recipe.epochs:
            epoch = _run_epoch(state, recipe, training, seed, bar)
            loss = epoch.generator_loss + epoch.discriminator_loss
            check_finite("gan", loss, len(state.history) + 1)
            state.history.append(epoch)
            finished = len(state.history) == recipe.epochs
            write_states(folder, state.stateful, state.history, finished=finished)
            bar.set_postfix_str(
                f"epoch {len(state.history)}, generator {epoch.generator_loss:.4g}, "
                f"discriminator {epoch.discriminator_loss:.4g}",
                refresh=False,
            )
    return state.average.eval()


def _start(recipe: GanRecipe, training: Examples, seed: int, device: torch.device) -> _State:
    channels, height, width = training.inputs.shape[1:]
    with seeded_globally(device, seed, "gan", "weights"):
        generator = Generator((channels, height, width), recipe).to(device)
        discriminator = Discriminator((channels, height, width), recipe).to(device)
    return _State(
        generator,
        discriminator,
        copy.deepcopy(generator).requires_grad_(requires_grad=False),
        _make_optimizer(generator, recipe),
        _make_optimizer(discriminator, recipe),
    )


def _make_optimizer(network: nn.Module, recipe: GanRecipe) -> torch.optim.Optimizer:
    rate, decay = recipe.learning_rate, recipe.weight_decay
    return torch.optim.Adam(network.parameters(), rate, _BETAS, weight_decay=decay, fused=True)


def _run_epoch(
    state: _State, recipe: GanRecipe, training: Examples, seed: int, bar: "tqdm[Any]"
) -> GanEpoch:
    number, device = len(state.history), training.inputs.device
    rng = make_generator(device, seed, "gan", "epoch", number)
    order = torch.randperm(len(training), generator=rng, device=device)
    batches = split_batches(order, recipe.batch_size)
    optimizers = (state.generator_optimizer, state.discriminator_optimizer)
    totals, rate, started = torch.zeros(2, device=device), 0.0, time.perf_counter()
    for index, batch in enumerate(batches):
        step = number * len(batches) + index
        rate = update_learning_rate(optimizers, step, recipe.epochs * len(batches), recipe)
        noise = torch.randn(len(batch), recipe.noise_size, generator=rng, device=device)
        losses = _run_step(state, recipe, training.batch(batch)[0], noise)
        totals += losses * len(batch)
        update_average(state.average, state.generator, step)
        bar.update()
    generator_loss, discriminator_loss = (totals / len(training)).tolist()
    seconds = round(time.perf_counter() - started, 2)
    return GanEpoch(generator_loss, discriminator_loss, rate, seconds)


def _run_step(state: _State, recipe: GanRecipe, real: Tensor, noise: Tensor) -> Tensor:
    """Update the discriminator, then the generator.

    Returns:
        (2,), the losses of the generator and of the discriminator.
    """
    with autocast(recipe, real.device):
        fake = state.generator(noise)  # (N, Z) -> (N, C, H, W)
        both = torch.cat([real, fake.detach()])  # -> (2N, C, H, W)
        logits = state.discriminator(both).float()  # -> (2N, 1)
    targets = torch.zeros_like(logits)
    targets[: len(real)] = _REAL
    discriminator_loss = functional.binary_cross_entropy_with_logits(logits, targets)
    _descend(discriminator_loss, state.discriminator, state.discriminator_optimizer)
    with autocast(recipe, real.device):
        logits = state.discriminator(fake).float()  # -> (N, 1)
    # The non-saturating loss: Goodfellow et al. 2014, section 3.
    generator_loss = functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    _descend(generator_loss, state.generator, state.generator_optimizer)
    return torch.stack([generator_loss, discriminator_loss]).detach()


def _descend(loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Run one optimiser step on the weights of `network` only."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=list(network.parameters()))  # type: ignore[no-untyped-call]
    optimizer.step()
