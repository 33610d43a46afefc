"""Opening of single pictures."""

import io
import os
from dataclasses import dataclass

from PIL import Image, ImageOps

from service.artifact.exif import apply_orientation, parse_orientation


@dataclass(slots=True)
class _Opened:
    width: int
    height: int
    image: Image.Image

    def decode(self, height: int, width: int) -> Image.Image:
        self.image.draft(None, (2 * width, 2 * height))
        self.image.load()
        exif = self.image.info.get("exif")
        return ImageOps.exif_transpose(self.image)


def open_picture(content: bytes | Image.Image) -> _Opened:
    image = content if isinstance(content, Image.Image) else Image.open(io.BytesIO(content))
    w, h = image.size
    if image.getexif().get(0x112, 1) >= 5:
        w, h = h, w
    return _Opened(w, h, image)


def describe_failure(error: Exception) -> str:
    """Return why a picture is unreadable, as a few words."""
    text = str(error).split("\n")[0].strip().rstrip(".")
    return text[:1].lower() + text[1:] if text else type(error).__name__


def count_threads() -> int:
    """Return the number of threads that decode."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
