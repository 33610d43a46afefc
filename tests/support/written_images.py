"""Images of random noise in files, each different from the others."""

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.folders import read_folder
from training.data.splits import Splits
from training.recipe.schema import DataRecipe

COLOUR, GREY = "RGB", "L"


def make_image(seed: str, mode: str = COLOUR, size: tuple[int, int] = (12, 10)) -> Image.Image:
    """Return noise of `size` = (width, height) that depends on the seed."""
    width, height = size
    bands = len(Image.new(mode, (1, 1)).getbands())
    shape = (height, width, bands) if bands > 1 else (height, width)
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    return Image.fromarray(rng.integers(0, 256, shape, np.uint8))


def write_image(
    path: Path, mode: str = COLOUR, size: tuple[int, int] = (12, 10), **options: object
) -> Path:
    """Write an image that depends on its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make_image("/".join(path.parts[-4:]), mode, size).save(path, **options)
    return path


def write_images(
    folder: Path,
    count: int = 20,
    mode: str = COLOUR,
    size: tuple[int, int] = (12, 10),
    suffix: str = ".png",
) -> Path:
    """Write `count` different images into a folder."""
    for number in range(count):
        write_image(folder / f"{number:03}{suffix}", mode, size)
    return folder


def read(source: Path | str, **recipe: object) -> Splits:
    """Read a data set as training does, with scratch files beside it."""
    settings = DataRecipe.model_validate({"dataset": str(source), **recipe})
    return read_folder(source, settings, 0, Path(source).parent / "scratch")
