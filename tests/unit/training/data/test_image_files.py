"""Training reads image files as the service reads them."""

from pathlib import Path

import numpy as np
from PIL import Image

from service.artifact.image_files import open_image
from service.codecs.image_batches import to_batch
from tests.support.caller_files import make_caller_files, make_half
from training.data.folders import read_folder
from training.recipe.schema import DataRecipe

SIZE = 24


def test_files_of_callers_have_the_pixels_of_the_service(tmp_path: Path) -> None:
    """Unusual encodings give the pixels of the service, and a half picture is skipped by name."""
    picture = draw_seven()
    folder = tmp_path / "set"
    folder.mkdir()
    files = make_caller_files(picture)
    for copy in ("a", "b"):
        for name, content in files.items():
            (folder / f"{copy}-{name}").write_bytes(content)
    (folder / "half.png").write_bytes(make_half(picture))

    recipe = DataRecipe.model_validate({"dataset": str(folder), "channels": 1})
    splits = read_folder(folder, recipe, 0, tmp_path / "scratch")

    pixels = np.concatenate([splits.train.pixels, splits.validation.pixels, splits.test.pixels])
    assert pixels.shape == (2 * len(files), 1, SIZE, SIZE)
    assert np.abs(pixels - np.asarray(picture).astype(int)).max() <= 25
    served = [to_batch([open_image(file)], splits.image, "false")[0] for file in files.values()]
    assert {image.tobytes() for image in pixels} == {
        np.rint(image * 255).astype(np.uint8).tobytes() for image in served
    }
    assert [note for note in splits.notes if "half.png" in note]


def draw_seven() -> Image.Image:
    """Return a grey 7 of levels that 4 bits hold, away from the border."""
    levels = np.zeros((SIZE, SIZE), np.uint8)
    levels[4:8, 5:19] = 255
    for row in range(8, 20):
        levels[row, 20 - row // 2 - 4 : 20 - row // 2] = 187
    return Image.fromarray(levels)
