"""Run folders: created, resumed and rejected."""

from dataclasses import replace
from pathlib import Path

import pytest

from training.errors import RunError
from training.fitting.runs.run_folders import Run, pin_digest, read_run, start_run
from training.recipe.parsing import override, parse_recipe, read_recipe
from training.recipe.schema import FlowRecipe, Recipe, SamplersRecipe


def make_recipe(**changes: object) -> Recipe:
    """Return the digits recipe with changed keys of the autoencoder."""
    assignments = [(f"autoencoder.{key}", value) for key, value in changes.items()]
    return parse_recipe(override(read_recipe("digits"), assignments))


def make_run(folder: Path, **changes: object) -> Run:
    """Return a run that has not been started."""
    return Run(folder, make_recipe(**changes), "latentd train digits", "data")


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Recipe, command and data root are preserved."""
    run = start_run(make_run(tmp_path / "digits"), fresh=False)

    assert read_run(tmp_path / "digits") == run


def test_the_same_recipe_resumes(tmp_path: Path) -> None:
    """A second start keeps the files and the data set digest."""
    folder = tmp_path / "digits"
    pin_digest(start_run(make_run(folder), fresh=False), "a" * 64)
    (folder / "kept").touch()

    again = start_run(make_run(folder), fresh=False)

    assert again.digest == "a" * 64
    assert (folder / "kept").exists()


def test_another_recipe_is_rejected(tmp_path: Path) -> None:
    """The error names the different keys and both flags that help."""
    start_run(make_run(tmp_path / "digits"), fresh=False)

    with pytest.raises(RunError, match=r"autoencoder\.hidden.*--fresh.*--name"):
        start_run(make_run(tmp_path / "digits", hidden=5), fresh=False)


def test_fresh_starts_over(tmp_path: Path) -> None:
    """The files of the earlier run are deleted."""
    folder = tmp_path / "digits"
    start_run(make_run(folder), fresh=False)
    (folder / "left").touch()

    start_run(make_run(folder, hidden=5), fresh=True)

    assert not (folder / "left").exists()
    assert read_run(folder).recipe.autoencoder.hidden == 5


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_that_is_not_a_run_is_unchanged(tmp_path: Path, fresh: bool) -> None:
    """A wrong `--runs` deletes no files."""
    (tmp_path / "precious").touch()

    with pytest.raises(RunError, match="neither empty nor a run folder"):
        start_run(make_run(tmp_path), fresh=fresh)

    assert (tmp_path / "precious").exists()


def test_other_images_are_rejected(tmp_path: Path) -> None:
    """A run does not resume with a changed data set."""
    run = pin_digest(start_run(make_run(tmp_path / "digits"), fresh=False), "a" * 64)

    assert pin_digest(run, "a" * 64) == run
    with pytest.raises(RunError, match="other images"):
        pin_digest(run, "b" * 64)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"recipe": {}}'])
def test_a_damaged_run_file_is_rejected(tmp_path: Path, content: str | None) -> None:
    """A missing and a malformed run.json give the same error."""
    if content is not None:
        (tmp_path / "run.json").write_text(content)

    with pytest.raises(RunError, match=r"not a run folder: cannot read run\.json"):
        read_run(tmp_path)


def test_a_resumed_run_keeps_its_first_command(tmp_path: Path) -> None:
    """Another command line for the same recipe does not change the provenance."""
    run = start_run(make_run(tmp_path / "digits"), fresh=False)

    again = start_run(replace(run, command="latentd train digits --fresh"), fresh=False)

    assert again.command == "latentd train digits"


def test_further_networks_and_sources_extend_a_run(tmp_path: Path) -> None:
    """The files and the digest are kept; the recipe and the command are those of the extension."""
    run = make_run(tmp_path / "digits")
    bare = run.recipe.model_copy(update={"flow": None, "classifier": None})
    pin_digest(start_run(replace(run, recipe=bare), fresh=False), "a" * 64)
    (run.folder / "kept").touch()
    sources = SamplersRecipe(sources=("kde", "flow"))
    extended = run.recipe.model_copy(update={"samplers": sources, "flow": FlowRecipe()})

    resumed = start_run(replace(run, recipe=extended, command="latentd train more"), fresh=False)

    assert (resumed.digest, resumed.command) == ("a" * 64, "latentd train more")
    assert read_run(run.folder) == resumed
    assert (run.folder / "kept").exists()


def test_a_run_cannot_lose_a_network(tmp_path: Path) -> None:
    """The trained network would stay in the folder."""
    run = start_run(make_run(tmp_path / "digits"), fresh=False)
    smaller = run.recipe.model_copy(update={"vae": None})

    with pytest.raises(RunError, match=r"different: vae\)"):
        start_run(replace(run, recipe=smaller), fresh=False)
