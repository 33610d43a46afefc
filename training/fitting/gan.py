"""A generative adversarial network of dense layers: report 001's source of samples.

Goodfellow et al., Generative Adversarial Nets, 2014. Letters: N images of C x H x W pixels in
[0, 1]; Z numbers of noise. The weights that are kept are the generator's average over the steps,
as there is no validation loss to choose an epoch by (Yazici et al., The Unusual Effectiveness of
Averaging in GAN Training, 2019).
"""

import copy
import itertools
import math
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from training.errors import TrainingError
from training.fitting.checkpoints import explain_damage, read_state, write_history, write_state
from training.fitting.loop import (
    LOG_SECONDS,
    Examples,
    divide,
    learning_rate_at,
    lower_precision,
    set_learning_rate,
)
from training.networks.autoencoders import Shape
from training.randomness import make_generator, seeded_globally
from training.recipe.schema import GanRecipe

_BETAS = (0.5, 0.999)
_SLOPE = 0.2  # of LeakyReLU below 0, as in DCGAN
_DECAY = 0.999
_REAL = 0.9  # one-sided label smoothing: Salimans et al., Improved Techniques, 2016


class Generator(nn.Module):
    """Noise to images."""

    def __init__(self, image: Shape, recipe: GanRecipe) -> None:
        """Make the dense layers for images of shape (C, H, W)."""
        super().__init__()
        layers: list[nn.Module] = []
        sizes = (recipe.noise_size, *recipe.hidden)
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], math.prod(image)), nn.Tanh())
        self.image = image
        self.noise_size = recipe.noise_size

    def forward(self, noise: Tensor) -> Tensor:
        """Return the images of `noise`, in [0, 1]."""
        values: Tensor = self.layers(noise)  # (N, Z) -> (N, C*H*W), in [-1, 1]
        return ((values + 1) / 2).reshape(-1, *self.image)  # -> (N, C, H, W)


class Discriminator(nn.Module):
    """Images to how real they look: the generator's mirror."""

    def __init__(self, image: Shape, recipe: GanRecipe) -> None:
        """Make the dense layers for images of shape (C, H, W)."""
        super().__init__()
        layers: list[nn.Module] = []
        sizes = (math.prod(image), *reversed(recipe.hidden))
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.LeakyReLU(_SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of being real."""
        logits: Tensor = self.layers(2 * images.flatten(1) - 1)  # (N, C, H, W) -> (N, 1)
        return logits


@dataclass(frozen=True, slots=True)
class GanEpoch:
    """What one pass over the training images gave: mean cross-entropies, in nats."""

    generator_loss: float
    discriminator_loss: float
    learning_rate: float
    """The last step's."""
    seconds: float


@dataclass(frozen=True, slots=True)
class _Game:
    """What an epoch changes."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    history: list[GanEpoch] = field(default_factory=list)

    @property
    def parts(self) -> "dict[str, nn.Module | torch.optim.Optimizer]":
        """Everything with a state, by name."""
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
    """Fit a GAN, from its checkpoint in `folder` if there is one; return the averaged generator.

    A checkpoint is written after each epoch. On the CPU a training that was killed and resumed
    gives the same bits as one that was not.

    Args:
        recipe: The networks and how they are fitted.
        training: Images (N, C, H, W).
        seed: The recipe's seed.
        folder: Where the checkpoint and the history go.
        device: Where to compute.

    Raises:
        TrainingError: a loss became infinite or NaN.
        RunError: the checkpoint cannot be read.
    """
    game = _start(recipe, training, seed, device)
    _resume(game, folder, device)
    with _open_bar(recipe, len(training), len(game.history)) as bar:
        while len(game.history) < recipe.epochs:
            epoch = _run_epoch(game, recipe, training, seed, bar)
            _check(epoch, len(game.history) + 1)
            game.history.append(epoch)
            _write(game, folder, finished=len(game.history) == recipe.epochs)
            bar.set_postfix_str(
                f"epoch {len(game.history)}, generator {epoch.generator_loss:.4g}, "
                f"discriminator {epoch.discriminator_loss:.4g}",
                refresh=False,
            )
    return game.average.eval()


def _start(recipe: GanRecipe, training: Examples, seed: int, device: torch.device) -> _Game:
    channels, height, width = training.inputs.shape[1:]
    with seeded_globally(device, seed, "gan", "weights"):
        generator = Generator((channels, height, width), recipe).to(device)
        discriminator = Discriminator((channels, height, width), recipe).to(device)
    return _Game(
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
    game: _Game, recipe: GanRecipe, training: Examples, seed: int, bar: "tqdm[Any]"
) -> GanEpoch:
    number, device = len(game.history), training.inputs.device
    lots = make_generator(device, seed, "gan", "epoch", number)
    order = torch.randperm(len(training), generator=lots, device=device)
    batches = divide(order, recipe.batch_size)
    totals, rate, started = torch.zeros(2, device=device), 0.0, time.perf_counter()
    for index, batch in enumerate(batches):
        step = number * len(batches) + index
        rate = learning_rate_at(step, recipe.epochs * len(batches), recipe)
        set_learning_rate(game.generator_optimizer, rate)
        set_learning_rate(game.discriminator_optimizer, rate)
        noise = torch.randn(len(batch), recipe.noise_size, generator=lots, device=device)
        losses = _take_step(game, recipe, training.take(batch)[0], noise)
        totals += losses * len(batch)
        _move_average(game, step)
        bar.update()
    generator_loss, discriminator_loss = (totals / len(training)).tolist()
    seconds = round(time.perf_counter() - started, 2)
    return GanEpoch(generator_loss, discriminator_loss, rate, seconds)


def _take_step(game: _Game, recipe: GanRecipe, real: Tensor, noise: Tensor) -> Tensor:
    """Improve the discriminator, then the generator; return the generator's and its loss, (2,)."""
    with lower_precision(recipe, real.device):
        made = game.generator(noise)  # (N, Z) -> (N, C, H, W)
        seen = torch.cat([real, made.detach()])  # -> (2N, C, H, W)
        logits = game.discriminator(seen).float()  # -> (2N, 1)
    wanted = torch.zeros_like(logits)
    wanted[: len(real)] = _REAL
    discriminator_loss = functional.binary_cross_entropy_with_logits(logits, wanted)
    _descend(discriminator_loss, game.discriminator, game.discriminator_optimizer)
    with lower_precision(recipe, real.device):
        logits = game.discriminator(made).float()  # -> (N, 1)
    # The form that does not saturate: Goodfellow et al. 2014, section 3.
    generator_loss = functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    _descend(generator_loss, game.generator, game.generator_optimizer)
    return torch.stack([generator_loss, discriminator_loss]).detach()


def _descend(loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Take one step along the gradient of `network`'s weights only."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=list(network.parameters()))  # type: ignore[no-untyped-call]
    optimizer.step()


@torch.no_grad()
def _move_average(game: _Game, step: int) -> None:
    """Move the average towards the generator, faster in the first steps, which say little."""
    decay = min(_DECAY, (1 + step) / (10 + step))
    pairs = zip(game.average.parameters(), game.generator.parameters(), strict=True)
    for average, weights in pairs:
        average.lerp_(weights, 1 - decay)


def _check(epoch: GanEpoch, number: int) -> None:
    if not math.isfinite(epoch.generator_loss + epoch.discriminator_loss):
        raise TrainingError(
            f"gan: the loss is no longer finite in epoch {number}; "
            "a lower gan.learning_rate may help"
        )


def _write(game: _Game, folder: Path, *, finished: bool) -> None:
    history = [asdict(epoch) for epoch in game.history]
    states = {name: part.state_dict() for name, part in game.parts.items()}
    write_state(folder, {**states, "history": history, "finished": finished})
    write_history(folder, len(history), history)


def _resume(game: _Game, folder: Path, device: torch.device) -> None:
    state = read_state(folder, device)
    if state is None:
        return
    try:
        for name, part in game.parts.items():
            part.load_state_dict(state[name])
        game.history.extend(GanEpoch(**epoch) for epoch in state["history"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise explain_damage(folder) from error


def _open_bar(recipe: GanRecipe, examples: int, done: int) -> "tqdm[Any]":
    steps = math.ceil(examples / recipe.batch_size)
    return tqdm(
        total=recipe.epochs * steps,
        initial=done * steps,
        disable=done >= recipe.epochs,
        desc="gan",
        unit="step",
        mininterval=0.2 if sys.stderr.isatty() else LOG_SECONDS,
    )
