"""Made-up defects of normal images, with the places that they changed.

Zavrtanik et al., DRAEM, 2021; Li et al., CutPaste, 2021. Images are float32 C x H x W in [0, 1],
masks are H x W.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

Floats: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Defect: TypeAlias = tuple[Floats, Mask]
Shape: TypeAlias = tuple[int, int]

_VISIBLE = 0.03
"""Smallest change of a pixel that counts as a defect."""
_COVERED = 0.3


def add_crack(rng: np.random.Generator, image: Floats, _other: Floats) -> Defect:
    """Darken or brighten a thin, wandering or straight line: a crack, a scratch, a scar."""
    line = _draw_line(rng, image.shape[1:])
    return _blend(image, _change_level(rng, image), line * rng.uniform(0.6, 1))


def add_stain(rng: np.random.Generator, image: Floats, _other: Floats) -> Defect:
    """Give an area another level or colour."""
    area, target = _draw_area(rng, image.shape[1:]), _change_level(rng, image)
    if _toss(rng):
        means = image.mean(axis=(1, 2), keepdims=True)
        target = (means + rng.normal(0, 0.3, means.shape)).clip(0, 1) + np.zeros_like(image)
    return _blend(image, target, area * rng.uniform(0.5, 1))


def paste_patch(rng: np.random.Generator, image: Floats, other: Floats) -> Defect:
    """Paste an area of another image, turned or from another place."""
    turned = np.rot90(other, 2, (1, 2)) if _toss(rng) else other[:, :, ::-1]
    if image.shape[1] == image.shape[2] and _toss(rng):
        turned = np.rot90(turned, 1, (1, 2))
    shift = [int(rng.integers(side)) for side in image.shape[1:]]
    return _blend(image, np.roll(turned, shift, (1, 2)), _draw_area(rng, image.shape[1:]))


def blur_area(rng: np.random.Generator, image: Floats, _other: Floats) -> Defect:
    """Blur an area, or cover it with noise."""
    if _toss(rng):
        target = gaussian_filter(image, (0, 2, 2))
    else:
        target = (image + rng.normal(0, 0.25, image.shape)).clip(0, 1)
    return _blend(image, target, _draw_area(rng, image.shape[1:]))


def add_noise(rng: np.random.Generator, image: Floats, _other: Floats) -> Defect:
    """Add noise to the whole image."""
    noisy = image + rng.normal(0, rng.uniform(0.1, 0.4), image.shape)
    return _replace(image, noisy)


def swap_blocks(rng: np.random.Generator, image: Floats, _other: Floats) -> Defect:
    """Move the halves of an image to other places."""
    halves = [max(1, side // 2) for side in image.shape[1:]]
    axis = int(rng.integers(1, 3))
    return _replace(image, np.roll(image, halves[axis - 1], axis))


def turn_image(rng: np.random.Generator, image: Floats, _other: Floats) -> Defect:
    """Turn an image upside down, or by 90 degrees if it is square."""
    is_square = image.shape[1] == image.shape[2]
    return _replace(image, np.rot90(image, int(rng.integers(1, 4)) if is_square else 2, (1, 2)))


def mix_images(rng: np.random.Generator, image: Floats, other: Floats) -> Defect:
    """Join the halves of two images, or lay one over the other."""
    if _toss(rng):
        return _replace(image, np.maximum(image, other[:, ::-1]))
    mixed, half = image.copy(), image.shape[2] // 2
    mixed[:, :, :half] = np.rot90(other, 2, (1, 2))[:, :, :half]
    return _replace(image, mixed)


def draw_foreign(rng: np.random.Generator, image: Floats, _other: Floats) -> Defect:
    """Draw another subject: lines and areas on an even background."""
    level = rng.choice([image.min(), image.max(), rng.random()])
    canvas = np.full(image.shape, level)
    for _ in range(int(rng.integers(1, 5))):
        draw = _draw_line if _toss(rng) else _draw_area
        colour = rng.random((len(image), 1, 1))
        canvas += draw(rng, image.shape[1:]) * (colour - canvas)
    return _replace(image, canvas)


LOCAL: dict[str, Callable[[np.random.Generator, Floats, Floats], Defect]] = {
    "crack": add_crack,
    "stain": add_stain,
    "patch": paste_patch,
    "blur": blur_area,
}
"""Defects of some places: (random numbers, image, another image) to (image, mask)."""
GLOBAL: dict[str, Callable[[np.random.Generator, Floats, Floats], Defect]] = {
    "noise": add_noise,
    "swap": swap_blocks,
    "turn": turn_image,
    "mix": mix_images,
    "foreign": draw_foreign,
}
"""Changes of the whole image."""


def add_defects(rng: np.random.Generator, image: Floats, other: Floats) -> Defect:
    """Add one to three local defects; cracks and patches are the most frequent."""
    changed, mask = image, np.zeros(image.shape[1:], np.bool_)
    for _ in range(int(rng.integers(1, 4))):
        name = rng.choice(["crack", "stain", "patch", "blur"], p=[0.45, 0.2, 0.25, 0.1])
        changed, places = LOCAL[str(name)](rng, changed, other)
        mask |= places
    return changed, mask


def _toss(rng: np.random.Generator, probability: float = 0.5) -> bool:
    return bool(rng.random() < probability)


def _draw_line(rng: np.random.Generator, shape: Shape) -> Floats:
    """Return the weights (H, W) of a random walk with a soft edge."""
    height, width = shape
    steps = max(4, int(rng.uniform(0.15, 0.8) * max(shape) * 2))
    bends = rng.normal(0, rng.choice([0.02, 0.1, 0.3]), steps)
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(bends)
    rows = rng.uniform(0.05, 0.95) * height + np.cumsum(np.sin(angles)) / 2
    columns = rng.uniform(0.05, 0.95) * width + np.cumsum(np.cos(angles)) / 2
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    line = np.zeros(shape, np.float32)
    line[rows[inside].astype(int), columns[inside].astype(int)] = 1
    soft = gaussian_filter(line, rng.choice([0.4, 0.7, 1.1, 1.8]))
    weights: Floats = soft / max(float(soft.max()), 1e-6)
    return weights


def _draw_area(rng: np.random.Generator, shape: Shape) -> Floats:
    """Return the weights (H, W) of an ellipse, a box or a cloud with a soft edge."""
    height, width = shape
    kind = rng.integers(3)
    if kind == 0:
        cloud = gaussian_filter(rng.normal(size=shape), rng.uniform(0.03, 0.12) * max(shape))
        area = cloud > np.quantile(cloud, rng.uniform(0.9, 0.99))
    else:
        rows, columns = np.mgrid[:height, :width]
        across, down = columns - rng.uniform(0, width), rows - rng.uniform(0, height)
        angle = rng.uniform(0, np.pi)
        first = across * np.cos(angle) + down * np.sin(angle)
        second = down * np.cos(angle) - across * np.sin(angle)
        sides = np.exp(rng.uniform(np.log(0.03), np.log(0.2), 2)) * max(shape)
        first, second = first / sides[0], second / sides[1]
        area = np.maximum(abs(first), abs(second)) < 1 if kind == 1 else np.hypot(first, second) < 1
    weights: Floats = gaussian_filter(area.astype(np.float32), rng.choice([0.3, 0.8, 1.5]))
    return weights


def _change_level(rng: np.random.Generator, image: Floats) -> Floats:
    """Return a darker or a brighter image."""
    if _toss(rng, 0.6):
        darker: Floats = image * (1 - rng.uniform(0.15, 0.8))
        return darker
    brighter: Floats = image + rng.uniform(0.15, 0.6) * (1 - image)
    return brighter


def _blend(image: Floats, target: Floats, weights: Floats) -> Defect:
    changed = (image + weights * (target - image)).clip(0, 1).astype(np.float32)
    visible = np.abs(changed - image).max(axis=0) > _VISIBLE
    return changed, (weights > _COVERED) & visible


def _replace(image: Floats, changed: NDArray[np.floating]) -> Defect:
    pixels = np.ascontiguousarray(changed.clip(0, 1), np.float32)
    return pixels, np.ones(image.shape[1:], np.bool_)
