"""Run folders: started, continued, refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from training.errors import RunError
from training.fitting.run_folders import Run, pin_images, read_run, start_run
from training.recipe.schema import Recipe, override, parse_recipe, read_recipe


def make_recipe(**changes: object) -> Recipe:
    """Return the digits recipe with changed keys of the autoencoder."""
    assignments = [(f"autoencoder.{key}", value) for key, value in changes.items()]
    return parse_recipe(override(read_recipe("digits"), assignments))


def make_run(folder: Path, **changes: object) -> Run:
    """Return a run that was not yet started."""
    return Run(folder, make_recipe(**changes), "latentd train digits", "data")


def test_a_run_is_read_as_it_was_started(tmp_path: Path) -> None:
    """Recipe, command and data root come back."""
    run = start_run(make_run(tmp_path / "digits"), fresh=False)

    assert read_run(tmp_path / "digits") == run


def test_the_same_recipe_goes_on(tmp_path: Path) -> None:
    """A second start keeps what is there, and the digest of its images."""
    folder = tmp_path / "digits"
    pin_images(start_run(make_run(folder), fresh=False), "a" * 64)
    (folder / "kept").touch()

    again = start_run(make_run(folder), fresh=False)

    assert again.digest == "a" * 64
    assert (folder / "kept").exists()


def test_another_recipe_is_refused_with_what_differs(tmp_path: Path) -> None:
    """The keys are named, and both ways on."""
    start_run(make_run(tmp_path / "digits"), fresh=False)

    with pytest.raises(RunError, match=r"autoencoder\.hidden.*--fresh.*--name"):
        start_run(make_run(tmp_path / "digits", hidden=5), fresh=False)


def test_fresh_starts_over(tmp_path: Path) -> None:
    """What the earlier run left is gone."""
    folder = tmp_path / "digits"
    start_run(make_run(folder), fresh=False)
    (folder / "left").touch()

    start_run(make_run(folder, hidden=5), fresh=True)

    assert not (folder / "left").exists()
    assert read_run(folder).recipe.autoencoder.hidden == 5


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    """`--runs` set to a folder of something else deletes nothing."""
    (tmp_path / "precious").touch()

    with pytest.raises(RunError, match="no run folder"):
        start_run(make_run(tmp_path), fresh=fresh)

    assert (tmp_path / "precious").exists()


def test_other_images_are_refused(tmp_path: Path) -> None:
    """A folder whose pictures changed does not go on under the old weights."""
    run = pin_images(start_run(make_run(tmp_path / "digits"), fresh=False), "a" * 64)

    assert pin_images(run, "a" * 64) == run
    with pytest.raises(RunError, match="other images"):
        pin_images(run, "b" * 64)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"recipe": {}}'])
def test_what_is_no_run_cannot_be_read(tmp_path: Path, content: str | None) -> None:
    """A missing or broken run.json is one clear error."""
    if content is not None:
        (tmp_path / "run.json").write_text(content)

    with pytest.raises(RunError, match=r"no run folder: its run\.json"):
        read_run(tmp_path)


def test_the_command_of_the_first_start_stays(tmp_path: Path) -> None:
    """A resume with other words for the same recipe does not rewrite the provenance."""
    run = start_run(make_run(tmp_path / "digits"), fresh=False)

    again = start_run(replace(run, command="latentd train digits --fresh"), fresh=False)

    assert again.command == "latentd train digits"
