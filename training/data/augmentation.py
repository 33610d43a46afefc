"""Augmentation that preserves an image's class.

N images of C x H x W pixels in [0, 1].
"""

import torch
from torch import Tensor
from torch.nn import functional


def augment(
    images: Tensor, shift: int, generator: torch.Generator, *, flip: bool, edge: bool = False
) -> Tensor:
    """Translate each image by a random offset, and mirror it with probability 0.5.

    Args:
        images: (N, C, H, W).
        shift: Maximum offset along each axis, in pixels.
        generator: Source of all randomness.
        flip: Whether to mirror horizontally.
        edge: Whether vacated pixels repeat the border; otherwise they are 0.

    Returns:
        (N, C, H, W).
    """
    mode = "replicate" if edge else "constant"
    shifted = _translate(images, shift, generator, mode) if shift else images
    if not flip:
        return shifted
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5  # noqa: PLR2004 - half
    return torch.where(mirrored, shifted.flip(3), shifted)


def _translate(images: Tensor, shift: int, generator: torch.Generator, mode: str) -> Tensor:
    count, _, height, width = images.shape
    padded = functional.pad(images, (shift,) * 4, mode=mode)
    offsets = torch.randint(
        2 * shift + 1, (count, 2), generator=generator, device=images.device
    )  # (N, 2), from the corner of the padded image
    rows = offsets[:, :1] + torch.arange(height, device=images.device)  # (N, H)
    columns = offsets[:, 1:] + torch.arange(width, device=images.device)  # (N, W)
    index = torch.arange(count, device=images.device)[:, None, None]
    shifted = padded[index, :, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return shifted.permute(0, 3, 1, 2)
