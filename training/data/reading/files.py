"""Opening of single images, with bounds on their size."""

import os

from PIL import Image

from service.artifact.image_files import ALL_FORMATS, ImageFile, open_image
from training.data.reading.pixel_stores import count_memory

_MIN_SIDE = 4
_MEMORY_PART = 2
"""The share of the memory in which all threads decode is one divided by this."""


def open_item(content: bytes | Image.Image) -> ImageFile:
    """Open an image; nothing is decoded yet.

    Raises:
        LatentdError: the content is damaged or of an unsupported format.
        ValueError: the image is too small.
    """
    if isinstance(content, bytes):
        file = open_image(content, ALL_FORMATS)
    else:
        file = ImageFile(content.width, content.height, lambda: content)
    if min(file.width, file.height) < _MIN_SIDE:
        raise ValueError(f"only {file.width} x {file.height} pixels")
    return file


def decode_item(file: ImageFile, height: int, width: int) -> Image.Image:
    """Decode an image that will be converted to `height` x `width` pixels.

    Raises:
        ValueError: it does not fit into memory.
        Exception: Pillow's various errors for invalid pixels.
    """
    size = f"{file.width} x {file.height} pixels"
    file.reduce(height, width)
    if file.memory > count_memory() // (_MEMORY_PART * count_threads()):
        raise ValueError(f"{size} do not fit into memory")
    return file.decode_upright()


def describe_failure(error: Exception) -> str:
    """Return why an image is unreadable, as a few words."""
    text = str(error).split("\n")[0].strip().rstrip(".").removeprefix("The ")
    return text[:1].lower() + text[1:] if text else type(error).__name__


def count_threads() -> int:
    """Return the number of threads that decode: one for each available core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
