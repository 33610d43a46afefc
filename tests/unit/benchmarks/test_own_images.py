"""The comparison of autoencoders for own images: its subjects and its page."""

from pathlib import Path

import numpy as np

from benchmarks.own_images import LINES, Row, describe
from benchmarks.own_images_subjects import SUBJECTS, run_latentd, run_pca
from training.data.datasets import read_data
from training.recipe.parsing import parse_recipe


def test_every_subject_states_its_lines_of_code() -> None:
    """The page has a row for each."""
    assert LINES.keys() == SUBJECTS.keys()


def test_the_page_describes_a_data_set(tmp_path: Path) -> None:
    """A section has the split, and a row for each subject."""
    recipe = parse_recipe({"name": "a", "data": {"dataset": "digits"}, "autoencoder": {}})
    splits = read_data(recipe, tmp_path, tmp_path)

    section = describe(splits, 16, [Row("PCA", 0.00812, 0.6761, 0.79, 3)])

    assert "## digits, 16 latents" in section
    assert "1,293 train, 144 validation, 360 test images of 1 x 8 x 8" in section
    assert "| PCA | 0.00812 | 0.676 | 0.8 | 3 | 4 |" in section


def test_latentd_is_at_least_as_good_as_pca_after_a_second() -> None:
    """Both subjects restore the same arrays; the size counts the exported graphs."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, (90, 1, 4, 4)).repeat(3, axis=2).repeat(3, axis=3)
    images = values.astype(np.float32)
    data = {"train": images[:60], "validation": images[60:75], "test": images[75:]}

    ours, size = run_latentd(data, 8, 1.0)
    theirs, _ = run_pca(data, 8, 1.0)

    errors = [np.square(restore(data["test"]) - data["test"]).mean() for restore in (ours, theirs)]
    assert errors[0] <= 1.05 * errors[1]
    assert size > 0
