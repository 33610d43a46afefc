"""The training of a segmenter on made-up defects of normal images."""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.anomaly.made_up import add_defects
from training.data.splits import Pixels
from training.files import replace_bytes
from training.networks.segmenter import Segmenter
from training.randomness import make_rng, seeded_globally

_BATCH = 12
_CLEAN = 0.25
_LEVEL_SPREAD = 0.03
_DEFECT_WEIGHT = 3.0
_LEARNING_RATE = 4e-3
_WEIGHT_DECAY = 1e-2
_MAX_PIXELS = 256 * 256
_MIN_STEPS = 20


def fit_segmenter(pixels: Pixels, steps: int, seed: int, path: Path) -> Segmenter:
    """Train a segmenter, or load it if it is stored.

    Args:
        pixels: (N, C, H, W) uint8 normal images.
        steps: Optimizer steps of 12 images, fewer for images over 256 x 256 pixels.
        seed: The recipe's seed.
        path: The file of its weights.
    """
    channels, height, width = pixels.shape[1:]
    cpu = torch.device("cpu")
    with seeded_globally(cpu, seed, "segmenter"):
        network = Segmenter((channels, height, width))
    if path.exists():
        network.load_state_dict(torch.load(io.BytesIO(path.read_bytes()), weights_only=True))
        return network.eval()
    _set_levels(network, pixels)
    allowed = round(steps * min(1.0, _MAX_PIXELS / (height * width)))
    _train(network, pixels, max(allowed, min(steps, _MIN_STEPS)), seed)
    stream = io.BytesIO()
    torch.save(network.state_dict(), stream)
    replace_bytes(path, stream.getvalue())
    return network.eval()


def _set_levels(network: Segmenter, pixels: Pixels) -> None:
    sample = pixels[:256].astype(np.float32) / 255
    network.mean.copy_(torch.from_numpy(sample.mean(axis=(0, 2, 3)))[:, None, None])
    deviation = np.maximum(sample.std(axis=(0, 2, 3)), 1e-2)
    network.deviation.copy_(torch.from_numpy(deviation)[:, None, None])


def _train(network: Segmenter, pixels: Pixels, steps: int, seed: int) -> None:
    rng = make_rng(seed, "made-up defects")
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
    weight = torch.tensor(_DEFECT_WEIGHT)
    network.train()
    for _ in range(steps):
        images, masks = _draw_batch(pixels, network.block, rng)
        logits = network(images)
        loss = functional.binary_cross_entropy_with_logits(logits, masks, pos_weight=weight)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def _draw_batch(pixels: Pixels, block: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return images (B, C, H, W), three of four with defects, and the defects (B, h, w), 0 or 1."""
    images, masks = [], []
    for index, other in rng.integers(len(pixels), size=(_BATCH, 2)):
        level = 1 + rng.normal(0, _LEVEL_SPREAD)
        image = (pixels[index].astype(np.float32) * (level / 255)).clip(0, 1).astype(np.float32)
        mask = np.zeros(image.shape[1:], np.bool_)
        if rng.random() > _CLEAN:
            image, mask = add_defects(rng, image, pixels[other].astype(np.float32) / 255)
        images.append(image)
        masks.append(mask)
    defects = torch.from_numpy(np.stack(masks)).float()[:, None]
    reduced = functional.max_pool2d(defects, block, ceil_mode=True) if block > 1 else defects
    return torch.from_numpy(np.stack(images)), reduced[:, 0]
