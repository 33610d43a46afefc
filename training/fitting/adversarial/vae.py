"""The training loop of a VAE with a sharp decoder.

The squared error gives blurred images. Here a difference of features (Larsen et al., Autoencoding
beyond Pixels, 2016) and a patch discriminator (Esser et al., Taming Transformers, 2021) are added
to it. The discriminator also sees decoded latents of N(0, I), so that the prior itself becomes a
good sample source. The bundle contains a moving average of the weights.

N images of C x H x W pixels in [0, 1]; L latent dimensions.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.fitting.adversarial.features import Features, fit_features
from training.fitting.adversarial.states import load_states, update_average, write_states
from training.fitting.examples import split_batches
from training.fitting.loop import check_finite, draw_order, measure_loss, open_progress_bar
from training.fitting.losses import augment_images, encode_randomly, variational_loss
from training.fitting.optimizers import autocast, update_learning_rate
from training.fitting.runs.checkpoints import Epoch
from training.fitting.tasks import FitContext
from training.networks.autoencoders import Decoder, VariationalAutoencoder
from training.networks.gan import PatchDiscriminator
from training.networks.resizing import ResizeDecoder
from training.randomness import make_generator
from training.recipe.schema import VaeRecipe

_BETAS = (0.5, 0.99)
_RAMP = 0.05  # share of the steps in which the discriminator's weight rises
_PRIOR_SHARE = 0.5  # decoded latents of N(0, I), per image of a batch
_SMALLEST = 1e-8


@dataclass(frozen=True, slots=True)
class _State:
    """The objects that an epoch changes."""

    network: VariationalAutoencoder
    average: VariationalAutoencoder
    discriminator: PatchDiscriminator
    optimizer: torch.optim.Optimizer
    opponent_optimizer: torch.optim.Optimizer
    history: list[Epoch] = field(default_factory=list)
    features: Features | None = None
    """None: no feature loss."""

    @property
    def stateful(self) -> "dict[str, nn.Module | torch.optim.Optimizer]":
        """The objects with a state dict, by name."""
        return {
            "network": self.network,
            "average": self.average,
            "discriminator": self.discriminator,
            "optimizer": self.optimizer,
            "opponent_optimizer": self.opponent_optimizer,
        }


class _Decoded(NamedTuple):
    """Decoded latents of a batch: of its images, then of N(0, I)."""

    images: Tensor
    """(N + M, C, H, W)."""
    divergence: Tensor
    """Mean KL(q(z | x) || N(0, I)) of the images, in nats."""


def fit_sharp_vae(
    network: VariationalAutoencoder, recipe: VaeRecipe, context: FitContext
) -> VariationalAutoencoder:
    """Train a VAE for all epochs, and return the average of its weights.

    Training resumes from the checkpoint in the run folder, which every epoch replaces. On the CPU
    an interrupted and resumed training gives bit-identical weights.

    Raises:
        RecipeError: the images are unlabelled, but the recipe has a feature loss.
        TrainingError: a loss is infinite or NaN.
        RunError: the checkpoint cannot be read.
    """
    folder = context.folder / "vae"
    state = _start(network, recipe, context)
    state.history.extend(load_states(folder, context.device, state.stateful, Epoch))
    done, count = len(state.history), len(context.training)
    if recipe.feature_weight and done < recipe.epochs:
        state = replace(state, features=fit_features(context))
    with open_progress_bar("vae", recipe, count, done, recipe.epochs) as bar:
        while len(state.history) < recipe.epochs:
            epoch = _run_epoch(state, recipe, context, bar.update)
            loss, number = epoch.validation_loss, len(state.history) + 1
            check_finite("vae", epoch.train_loss + loss, number)
            state.history.append(epoch)
            write_states(folder, state.stateful, state.history, finished=number == recipe.epochs)
            bar.set_postfix_str(f"epoch {number}, validation {loss:.5g}", refresh=False)
            if context.on_epoch is not None:
                context.on_epoch(number, loss)
    context.epochs["vae"] = recipe.epochs
    state.average.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return state.average.requires_grad_().eval()


def _start(network: VariationalAutoencoder, recipe: VaeRecipe, context: FitContext) -> _State:
    discriminator = context.seeded("discriminator", lambda: PatchDiscriminator(context.shape))
    for part in (network, discriminator):
        part.to(context.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _State(
        network,
        copy.deepcopy(network).requires_grad_(requires_grad=False).eval(),
        discriminator,
        _make_optimizer(network, recipe),
        _make_optimizer(discriminator, recipe),
    )


def _make_optimizer(network: nn.Module, recipe: VaeRecipe) -> torch.optim.Optimizer:
    weights = [weights for weights in network.parameters() if weights.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    return torch.optim.AdamW(weights, rate, _BETAS, weight_decay=decay, fused=True)


def _run_epoch(
    state: _State, recipe: VaeRecipe, context: FitContext, update_bar: Callable[[], object]
) -> Epoch:
    """Train for one epoch, and measure the validation loss of the average."""
    number, device, seed = len(state.history), context.device, context.recipe.seed
    generator = make_generator(device, seed, "vae", "epoch", number)
    order = draw_order(len(context.training), recipe.epoch_images, generator, device)
    batches = split_batches(order, recipe.batch_size)
    steps, optimizers = recipe.epochs * len(batches), (state.optimizer, state.opponent_optimizer)
    started, total, rate = time.perf_counter(), 0.0, 0.0
    for index, batch in enumerate(batches):
        step = number * len(batches) + index
        rate = update_learning_rate(optimizers, step, steps, recipe)
        images = augment_images(context.training.batch(batch)[0], recipe, generator)
        total += _run_step(state, recipe, images, generator, step / steps) * len(batch)
        update_average(state.average, state.network, step)
        update_bar()
    job = context.job("vae", recipe, variational_loss(recipe))
    loss = measure_loss(state.average, job, context.validation)
    seconds = round(time.perf_counter() - started, 2)
    return Epoch(total / len(order), loss, rate, seconds)


def _run_step(
    state: _State, recipe: VaeRecipe, images: Tensor, generator: torch.Generator, progress: float
) -> float:
    """Update the discriminator and the VAE.

    Returns:
        The negative evidence lower bound with the recipe's beta, in nats per image.
    """
    strength = _measure_strength(recipe, progress)
    decoded = _decode(state.network, recipe, images, generator, with_prior=strength > 0)
    outputs = decoded.images.detach().requires_grad_()
    error = functional.mse_loss(outputs[: len(images)], images)
    loss = _sum_errors(error, outputs[: len(images)], state.features, recipe, images)
    (gradient,) = torch.autograd.grad(loss, outputs)
    if strength > 0:
        gradient = gradient + strength * _oppose(state, recipe, images, outputs, gradient)
    state.optimizer.zero_grad(set_to_none=True)
    bound = recipe.beta * decoded.divergence
    torch.autograd.backward([decoded.images, bound], [gradient, torch.ones_like(bound)])
    state.optimizer.step()
    _set_scale(state.network, error.detach(), first=progress == 0)
    nats = images[0].numel() / 2 * (1 + math.log(2 * math.pi * max(error.item(), _SMALLEST)))
    return nats + bound.item()


def _measure_strength(recipe: VaeRecipe, progress: float) -> float:
    """Return the discriminator's weight after a share of the steps, which rises from 0."""
    ramp = (progress - recipe.discriminator_start) / _RAMP
    return recipe.discriminator_weight * min(max(ramp, 0.0), 1.0)


def _decode(
    network: VariationalAutoencoder,
    recipe: VaeRecipe,
    images: Tensor,
    generator: torch.Generator,
    *,
    with_prior: bool,
) -> _Decoded:
    with autocast(recipe, images.device):
        latents, divergences = encode_randomly(network.encoder, images, generator)
        if with_prior:
            count = int(_PRIOR_SHARE * len(images))
            shape = (count, latents.shape[1])
            noise = torch.randn(shape, generator=generator, device=images.device)
            latents = torch.cat([latents, noise])
        logits = cast("Decoder | ResizeDecoder", network.decoder).logits(
            latents
        )  # (N + M, L) -> (N + M, C, H, W)
    return _Decoded(torch.sigmoid(logits.float()), divergences.mean())


def _sum_errors(
    error: Tensor, outputs: Tensor, features: Features | None, recipe: VaeRecipe, images: Tensor
) -> Tensor:
    """Return the negative log-likelihood of pixels and features, in nats per image.

    Both are Gaussian with the scale that is optimal for the batch (Rybkin et al., Simple and
    Effective VAE Training with Calibrated Decoders, 2021), up to a constant.
    """
    half = images[0].numel() / 2
    loss = half * error.clamp(min=_SMALLEST).log()
    if features is not None:
        with autocast(recipe, images.device):
            difference = features.compare(outputs, images)
        loss = loss + recipe.feature_weight * half * difference.clamp(min=_SMALLEST).log()
    return loss


def _oppose(
    state: _State, recipe: VaeRecipe, real: Tensor, outputs: Tensor, gradient: Tensor
) -> Tensor:
    """Update the discriminator, and return the gradient of the outputs that it gives.

    On reconstructions it is as long as their `gradient`: the adaptive weight of Esser et al., 2021,
    measured at the images instead of at the last layer. The loss is the hinge loss (Lim and Ye,
    Geometric GAN, 2017).
    """
    count = len(real)
    with autocast(recipe, real.device):
        scores = state.discriminator(torch.cat([real, outputs])).float()  # -> (N + N + M, 1, h, w)
    # The mean over each part: reconstructions and decoded noise have the same weight.
    parts = [scores[:count], scores[count : 2 * count], scores[2 * count :]]
    deceit = -(parts[1].mean() + parts[2].mean())
    (push,) = torch.autograd.grad(deceit, outputs, retain_graph=True)
    hinges = [functional.relu(1 + part).mean() for part in parts[1:]]
    loss = functional.relu(1 - parts[0]).mean() + torch.stack(hinges).mean()
    state.opponent_optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=list(state.discriminator.parameters()))  # type: ignore[no-untyped-call]
    state.opponent_optimizer.step()
    lengths = gradient[:count].norm(), push[:count].norm().clamp(min=_SMALLEST)
    opposing: Tensor = push * (lengths[0] / lengths[1])
    return opposing


@torch.no_grad()
def _set_scale(network: VariationalAutoencoder, error: Tensor, *, first: bool) -> None:
    """Let the pixel scale of the evidence lower bound follow the error."""
    scale = 0.5 * error.clamp(min=_SMALLEST).log()
    network.log_scale.copy_(scale if first else network.log_scale.lerp(scale, 0.01))
