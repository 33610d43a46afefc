"""Decoding of all images into one array, in memory or in a file, by several threads.

Pillow decodes and resizes without the interpreter's lock, so threads use all cores.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from service.artifact import ImageSpec
from service.artifact.pixels import to_pixels
from training.data.reading.files import count_threads, decode_item, describe_failure, open_item
from training.data.reading.pixel_stores import PixelStore
from training.data.sources.catalogue import Catalogue
from training.data.splits import Pixels

Indices: TypeAlias = NDArray[np.int64]

_CHUNK = 32
"""Images that a thread decodes at once."""
_MAX_PENDING = 4
"""Chunks per thread that wait for decoding or storing, which bounds the memory."""
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Decoded:
    """The readable images of a catalogue."""

    rows: Indices
    """(M,) index in the catalogue of each row of the store."""
    digests: NDArray[np.void]
    """(M,) hash of the pixels of each row."""
    failures: list[tuple[int, str]]
    """Index and reason of each unreadable image."""


def decode(
    catalogue: Catalogue, indices: Sequence[int], image: ImageSpec, store: PixelStore
) -> Decoded:
    """Decode images in order, and append them to the store."""
    rows: list[int] = []
    digests = bytearray()
    failures: list[tuple[int, str]] = []
    progress = tqdm(total=len(indices), desc="reading images", leave=False, disable=None)
    with progress, ThreadPoolExecutor(count_threads()) as pool:
        for index, result in _run(pool, catalogue, indices, image):
            progress.update()
            if isinstance(result, str):
                failures.append((index, result))
            else:
                rows.append(index)
                digests += hashlib.blake2b(result.data, digest_size=_DIGEST_BYTES).digest()
                store.append(result)
    kinds = np.frombuffer(bytes(digests), np.dtype((np.void, _DIGEST_BYTES)))
    return Decoded(np.array(rows, np.int64), kinds, failures)


def _run(
    pool: ThreadPoolExecutor, catalogue: Catalogue, indices: Sequence[int], image: ImageSpec
) -> Iterator[tuple[int, Pixels | str]]:
    """Yield the pixels of each image, or why it is unreadable, in the order of the indices."""
    remaining = iter(indices)
    pending: deque[Future[list[tuple[int, Pixels | str]]]] = deque()
    while True:
        while len(pending) < _MAX_PENDING * count_threads():
            chunk = list(islice(remaining, _CHUNK))
            if not chunk:
                break
            pending.append(pool.submit(_decode_chunk, catalogue, chunk, image))
        if not pending:
            return
        yield from pending.popleft().result()


def _decode_chunk(
    catalogue: Catalogue, indices: Sequence[int], image: ImageSpec
) -> list[tuple[int, Pixels | str]]:
    return [(index, _decode(catalogue, index, image)) for index in indices]


def _decode(catalogue: Catalogue, index: int, image: ImageSpec) -> Pixels | str:
    try:
        file = open_item(catalogue.read(index))
        return to_pixels(decode_item(file, image.height, image.width), image)
    except Exception as error:  # noqa: BLE001 - libraries raise any type for a damaged image
        return describe_failure(error)
