"""Seeds for every random choice, each a pure function of the recipe's seed and what it is for.

As no generator lives longer than one epoch, a resumed training draws the numbers that an
uninterrupted one would have drawn, with no generator state to store.
"""

import contextlib
import zlib
from collections.abc import Iterator

import numpy as np
import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed in [0, 2**63) for `purpose`, independent of those for other purposes.

    Uses numpy's SeedSequence, whose hash keeps nearby seeds apart.
    """
    keys = [key if isinstance(key, int) else zlib.crc32(key.encode()) for key in purpose]
    return int(np.random.SeedSequence([seed, *keys]).generate_state(1, np.uint64)[0] >> 1)


def make_generator(device: torch.device, seed: int, *purpose: str | int) -> torch.Generator:
    """Return a generator on `device` that is seeded for `purpose`."""
    return torch.Generator(device).manual_seed(derive_seed(seed, *purpose))


@contextlib.contextmanager
def seeded_globally(device: torch.device, seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed torch's global generators for `purpose`, and put back their state afterwards.

    Weight initialisation and dropout draw from the global generator; torch lets neither take
    another one.
    """
    # Of the accelerators torch forks cuda's generator only; mps' goes on from this seed.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, *purpose))
        yield
