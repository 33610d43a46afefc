"""Variations of training images that leave their class as it is.

N images of C x H x W pixels in [0, 1].
"""

import torch
from torch import Tensor
from torch.nn import functional


def vary(images: Tensor, shift: int, generator: torch.Generator, *, flip: bool) -> Tensor:
    """Move each image by lot, and mirror half of them.

    Args:
        images: (N, C, H, W).
        shift: Most pixels along each axis; zeros come in.
        generator: Where all lots come from.
        flip: Whether half the images are mirrored left to right.

    Returns:
        (N, C, H, W).
    """
    moved = _move(images, shift, generator) if shift else images
    if not flip:
        return moved
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5  # noqa: PLR2004 - half
    return torch.where(mirrored, moved.flip(3), moved)


def _move(images: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    padded = functional.pad(images, (shift,) * 4)
    lots = torch.randint(
        2 * shift + 1, (count, 2), generator=generator, device=images.device
    )  # (N, 2), from the padded corner
    rows = lots[:, :1] + torch.arange(height, device=images.device)  # (N, H)
    columns = lots[:, 1:] + torch.arange(width, device=images.device)  # (N, W)
    which = torch.arange(count, device=images.device)[:, None, None]
    moved = padded[which, :, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return moved.permute(0, 3, 1, 2)
