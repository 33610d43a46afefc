"""Textures and defects that are drawn, because no free data set of defects is at hand.

The defects share no code with those that training makes up.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Pixels = NDArray[np.uint8]
Masks = NDArray[np.bool_]

SIDE = 96
TEXTURES = ("tiles", "wood", "weave", "granite", "plaster", "part")
DEFECTS = ("crack", "stain", "scratch")
_COLOURS = {
    "tiles": (0.9, 0.85, 0.75),
    "wood": (0.9, 0.65, 0.4),
    "weave": (0.8, 0.8, 0.85),
    "granite": (0.8, 0.8, 0.8),
    "plaster": (0.95, 0.9, 0.9),
    "part": (0.7, 0.75, 0.9),
}


_JOINT = 2
_COVERED = 0.35


def draw(texture: str, count: int, seed: int, defect: str | None = None) -> tuple[Pixels, Masks]:
    """Return images (N, 3, 96, 96) of a texture, and the places of a defect (N, 96, 96)."""
    rng = np.random.default_rng(seed)
    images, masks = [], []
    for _ in range(count):
        image = _shade(texture, rng)[..., None] * _COLOURS[texture] * (1 + rng.normal(0, 0.04))
        mask = np.zeros((SIDE, SIDE), np.bool_)
        if defect is not None:
            image, mask = _spoil(image.clip(0, 1), defect, rng)
        images.append((255 * image.clip(0, 1)).round().astype(np.uint8).transpose(2, 0, 1))
        masks.append(mask)
    return np.stack(images), np.stack(masks)


def _shade(texture: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the grey levels of a texture (96, 96)."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    noise = rng.normal(size=(SIDE, SIDE))
    if texture == "tiles":
        top, left = rng.integers(0, 6, 2)
        joint = ((columns + left) % 32 < _JOINT) | ((rows + top) % 32 < _JOINT)
        body = 0.75 + gaussian_filter(noise, 6)
        return np.where(joint, 0.4, body) + rng.normal(0, 0.02, noise.shape)
    if texture == "wood":
        grain = 0.9 * gaussian_filter(noise, (12, 1)) + 0.75 * gaussian_filter(noise, (20, 3))
        return 0.55 + grain + rng.normal(0, 0.015, noise.shape)
    if texture == "weave":
        turn, shift = rng.normal(0, 0.03), rng.uniform(0, 8, 2)
        across = columns * np.cos(turn) + rows * np.sin(turn) + shift[0]
        down = rows * np.cos(turn) - columns * np.sin(turn) + shift[1]
        threads = np.sign(np.sin(np.pi * across / 4)) * np.sign(np.sin(np.pi * down / 4))
        return gaussian_filter(0.5 + 0.2 * threads, 0.7) + 0.03 * noise
    if texture == "granite":
        return 0.5 + 0.35 * gaussian_filter(noise, 1) + 0.5 * gaussian_filter(noise, 3)
    if texture == "plaster":
        return 0.7 + 1.5 * gaussian_filter(noise, 15) + rng.normal(0, 0.02, noise.shape)
    centre = SIDE / 2 + rng.normal(0, 2, 2)
    radius = np.hypot(rows - centre[0], columns - centre[1])
    angle = np.arctan2(rows - centre[0], columns - centre[1])
    body = np.where(radius < 0.36 * SIDE, 0.6 + 0.1 * np.cos(6 * angle) * radius / SIDE, 0.1)
    return gaussian_filter(np.where(radius < 0.1 * SIDE, 0.2, body), 0.8) + 0.02 * noise


def _spoil(
    image: NDArray[np.float64], defect: str, rng: np.random.Generator
) -> tuple[NDArray[np.float64], Masks]:
    """Return an image (96, 96, 3) with a defect, and the place."""
    if defect == "stain":
        rows, columns = np.mgrid[:SIDE, :SIDE]
        row, column = rng.uniform(0.25 * SIDE, 0.75 * SIDE, 2)
        inside = np.hypot(rows - row, (columns - column) * rng.uniform(0.6, 1.5)) < rng.uniform(
            4, 10
        )
        weights = gaussian_filter(inside.astype(float), 1)[..., None]
        colour = (image.mean((0, 1)) + rng.normal(0, 0.15, 3)).clip(0, 1)
        return image * (1 - weights) + weights * colour, inside
    line = np.zeros((SIDE, SIDE))
    place, angle = rng.uniform(0.25 * SIDE, 0.75 * SIDE, 2), rng.uniform(0, 2 * np.pi)
    bend = 0.25 if defect == "crack" else 0.0
    for _ in range(2 * rng.integers(25, 70)):
        angle += rng.normal(0, bend)
        place = place + 0.5 * np.array([np.sin(angle), np.cos(angle)])
        row, column = place.round().astype(int)
        if 0 <= row < SIDE and 0 <= column < SIDE:
            line[row, column] = 1
    weights = gaussian_filter(line, rng.choice([0.5, 0.8, 1.2]))
    weights /= max(weights.max(), 1e-9)
    mask = weights > _COVERED
    if defect == "crack":
        return image * (1 - rng.uniform(0.25, 0.6) * weights[..., None]), mask
    return image + rng.uniform(0.15, 0.4) * weights[..., None], mask
