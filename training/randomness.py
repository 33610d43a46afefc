"""Seeds for every random choice, each a pure function of the recipe's seed and a purpose.

No generator outlives an epoch. A resumed training therefore draws the same numbers as an
uninterrupted one, and checkpoints store no generator state.
"""

import contextlib
import zlib
from collections.abc import Iterator

import numpy as np
import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed in [0, 2**63) for `purpose`, independent of the seeds for other purposes.

    numpy's SeedSequence hashes its input, so adjacent seeds give unrelated results.
    """
    keys = [key if isinstance(key, int) else zlib.crc32(key.encode()) for key in purpose]
    return int(np.random.SeedSequence([seed, *keys]).generate_state(1, np.uint64)[0] >> 1)


def derive_seed32(seed: int, *purpose: str | int) -> int:
    """Return a derived seed in [0, 2**32), the range that scikit-learn and Optuna accept."""
    return derive_seed(seed, *purpose) % 2**32


def make_rng(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a numpy generator seeded for `purpose`."""
    return np.random.default_rng(derive_seed(seed, *purpose))


def make_generator(device: torch.device, seed: int, *purpose: str | int) -> torch.Generator:
    """Return a torch generator on `device`, seeded for `purpose`."""
    return torch.Generator(device).manual_seed(derive_seed(seed, *purpose))


@contextlib.contextmanager
def seeded_globally(device: torch.device, seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed torch's global generators for `purpose`, and restore their state on exit.

    Weight initialisation and dropout accept no generator: they draw from the global one.
    """
    # fork_rng saves the state of CUDA generators only; the one of mps keeps this seed on exit.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, *purpose))
        yield
