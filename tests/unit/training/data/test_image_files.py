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
    """Unusual encodings give the pixels of the service, and a half image is skipped by name."""
    folder = tmp_path / "set"
    folder.mkdir()
    contents = []
    for top in range(4, 13):  # copies with equal pixels are left out, so several images are drawn
        for name, content in make_caller_files(draw_seven(top)).items():
            (folder / f"{top}-{name}").write_bytes(content)
            contents.append(content)
    (folder / "half.png").write_bytes(make_half(draw_seven(4)))

    recipe = DataRecipe.model_validate({"dataset": str(folder), "channels": 1})
    splits = read_folder(folder, recipe, 0, tmp_path / "scratch")

    served = [to_batch([open_image(file)], splits.image, "false")[0] for file in contents]
    parts = (splits.train, splits.validation, splits.test)
    assert splits.image.shape == (1, SIZE, SIZE)
    assert {image.tobytes() for part in parts for image in part.pixels} == {
        np.rint(image * 255).astype(np.uint8).tobytes() for image in served
    }
    assert [note for note in splits.notes if "half.png" in note]


def draw_seven(top: int) -> Image.Image:
    """Return a grey 7 of levels that 4 bits hold, away from the border."""
    levels = np.zeros((SIZE, SIZE), np.uint8)
    levels[top : top + 4, 5:19] = 255
    for row in range(top + 4, 20):
        levels[row, 20 - row // 2 - 4 : 20 - row // 2] = 187
    return Image.fromarray(levels)
