"""Layer sizes and stacks shared by the networks, and batch normalisation folding.

N images of C x H x W pixels; `c h w` is the shape after the last convolution.

A BatchNorm always follows its layer directly within one `nn.Sequential`: `fold_batch_norms` relies
on that order.
"""

import copy
import itertools
import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils import fusion

from training.recipe.schema import AutoencoderRecipe

Shape: TypeAlias = tuple[int, int, int]
"""(C, H, W)."""

KERNEL = 3
STRIDE = 2
_CHANNELS = {"seed": (8, 16, 32), "conv": (16, 32, 64), "resize": (32, 64, 128)}
_HIDDEN: dict[str, tuple[int, ...]] = {"seed": (64,), "conv": (128,), "resize": ()}


@dataclass(frozen=True, slots=True)
class Plan:
    """Layer sizes of an encoder, and of the decoder that mirrors it."""

    shapes: tuple[Shape, ...]
    """(C, H, W) of the image and after each convolution."""
    paddings: tuple[tuple[int, int], ...]
    """Padding of each convolution, (vertical, horizontal)."""
    hidden: tuple[int, ...]
    """Units of each dense layer, in the encoder's order."""
    norm: bool
    """Whether layers have batch normalisation."""
    latent_size: int

    @property
    def flat(self) -> int:
        """Number of values after the last convolution, c * h * w."""
        return math.prod(self.shapes[-1])

    @property
    def features(self) -> int:
        """Number of values before the latents: the last dense layer's units, or `flat`."""
        return (self.flat, *self.hidden)[-1]


def plan_layers(image: Shape, recipe: AutoencoderRecipe) -> Plan:
    """Return the layer sizes for images of shape `image` = (C, H, W).

    `seed` is the network that source reports 000, 001 and 003 print. Its last convolution has no
    padding, except for images so small that none of their pixels would remain.
    """
    is_seed = recipe.architecture == "seed"
    channels = recipe.channels or _CHANNELS[recipe.architecture]
    shapes, paddings = [image], []
    for index, width in enumerate(channels):
        padding = 0 if is_seed and index == len(channels) - 1 else 1
        _, *sides = shapes[-1]
        vertical, horizontal = (_fit_padding(side, padding) for side in sides)
        paddings.append((vertical, horizontal))
        shapes.append((width, _convolved(sides[0], vertical), _convolved(sides[1], horizontal)))
    hidden = _HIDDEN[recipe.architecture] if recipe.hidden is None else recipe.hidden
    units = (hidden,) if isinstance(hidden, int) else hidden
    return Plan(tuple(shapes), tuple(paddings), units, not is_seed, recipe.latent_size)


def stack_dense(sizes: tuple[int, ...], *, norm: bool) -> list[nn.Module]:
    """Return dense layers with ReLU: (N, sizes[0]) -> (N, sizes[-1])."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), *([nn.BatchNorm1d(after)] if norm else []), nn.ReLU()]
    return layers


def mirror_convolution(plan: Plan, index: int) -> nn.ConvTranspose2d:
    """Return the transposed convolution from shape `index` of the plan to shape `index - 1`."""
    before, after, padding = plan.shapes[index], plan.shapes[index - 1], plan.paddings[index - 1]
    # Two input sizes give the same output size; the output padding selects the right one.
    vertical, horizontal = (
        target - ((size - 1) * STRIDE - 2 * pad + KERNEL)
        for size, target, pad in zip(before[1:], after[1:], padding, strict=True)
    )
    return nn.ConvTranspose2d(
        before[0], after[0], KERNEL, STRIDE, padding, output_padding=(vertical, horizontal)
    )


def find_device(module: nn.Module) -> torch.device:
    """Return the device of a module's weights and buffers; PCA has buffers only."""
    weights: Tensor = next(iter(module.state_dict().values()))
    return weights.device


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(weights.numel() for weights in module.parameters() if weights.requires_grad)


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Return a copy for inference: BatchNorm merged into the layer before it, no Dropout."""
    folded = copy.deepcopy(module).eval()
    for part in [part for part in folded.modules() if isinstance(part, nn.Sequential)]:
        merged: list[nn.Module] = []
        for layer in part:
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                merged[-1] = _merge(merged[-1], layer)
            elif not isinstance(layer, nn.Dropout):
                merged.append(layer)
        del part[:]
        part.extend(merged)
    return folded


def _merge(layer: nn.Module, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    if isinstance(layer, nn.Linear):
        return fusion.fuse_linear_bn_eval(layer, norm)
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return fusion.fuse_conv_bn_eval(
            layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d)
        )
    raise TypeError(f"Cannot merge a BatchNorm into {type(layer).__name__}")


def _fit_padding(size: int, padding: int) -> int:
    return padding if size + 2 * padding >= KERNEL else 1


def _convolved(size: int, padding: int) -> int:
    """Return the size after a stride-2 convolution."""
    return (size + 2 * padding - KERNEL) // STRIDE + 1
