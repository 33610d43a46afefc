"""Flags: what they change in a recipe, and the command that is remembered."""

from pathlib import Path

import pytest

from training.commands.flags import (
    describe_command,
    find_run,
    make_export_parser,
    make_train_parser,
    settle_recipe,
)
from training.errors import RecipeError, RunError
from training.recipe.schema import Recipe, read_recipe


def settle(*words: str) -> Recipe:
    """Return the recipe that a command line names."""
    return settle_recipe(make_train_parser().parse_args(words))


def describe(*words: str) -> str:
    """Return the command that a bundle remembers."""
    return describe_command(make_train_parser().parse_args(words))


def test_a_bare_name_is_a_packaged_recipe() -> None:
    """Without flags the recipe is as it is packaged."""
    recipe = settle("fashion-mnist")

    assert recipe.name == "fashion-mnist"
    assert (
        recipe.autoencoder.latent_size == read_recipe("fashion-mnist")["autoencoder"]["latent_size"]
    )


def test_flags_override_the_recipe() -> None:
    """Each flag reaches every section that has its key."""
    recipe = settle(
        "digits", "--name", "mine", "--epochs", "2", "--latent-size", "3", "--seed", "9"
    )

    networks = (recipe.autoencoder, recipe.denoiser, recipe.vae)
    assert (recipe.name, recipe.seed) == ("mine", 9)
    assert all(network is not None and network.latent_size == 3 for network in networks)
    assert all(
        network is not None and network.epochs == 2 for network in (*networks, recipe.classifier)
    )


def test_an_assignment_has_the_last_word() -> None:
    """`--set` wins over the flag for the same key."""
    recipe = settle("digits", "--epochs", "2", "--set", "vae.epochs=7", "--set", "vae.beta=0.5")

    assert recipe.vae is not None
    assert (recipe.vae.epochs, recipe.vae.beta) == (7, 0.5)
    assert recipe.autoencoder.epochs == 2


def test_a_flag_adds_no_network_that_the_recipe_leaves_out(tmp_path: Path) -> None:
    """`--epochs` for every network means every network there is."""
    path = tmp_path / "least.toml"
    path.write_text('name = "least"\n[data]\ndataset = "digits"\n[autoencoder]\n')

    assert settle(str(path), "--epochs", "2", "--latent-size", "3").vae is None


def test_a_folder_alone_uses_the_default_recipe_and_names_the_bundle(tmp_path: Path) -> None:
    """The name is made of the folder's, and its path is made absolute."""
    recipe = settle(
        "--dataset", str(tmp_path / "My Cats (2)"), "--image-size", "48x32", "--channels", "3"
    )

    assert recipe.name == "my-cats-2"
    assert recipe.data.dataset == str(tmp_path / "My Cats (2)")
    assert (recipe.data.height, recipe.data.width, recipe.data.channels) == (48, 32, 3)


def test_a_relative_folder_is_remembered_as_a_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run can be exported from another working folder."""
    monkeypatch.chdir(tmp_path)

    assert settle("--dataset", "cats").data.dataset == str(tmp_path / "cats")


def test_a_data_set_with_a_recipe_uses_it() -> None:
    """`--dataset mnist` is the recipe mnist."""
    assert settle("--dataset", "mnist").vae == settle("mnist").vae


def test_a_recipe_or_a_data_set_is_needed() -> None:
    """Neither is an error that says so."""
    with pytest.raises(RecipeError, match="give a recipe, or --dataset"):
        settle()


def test_a_folder_without_letters_needs_a_name(tmp_path: Path) -> None:
    """No name can be made of it."""
    with pytest.raises(RecipeError, match="give --name"):
        settle("--dataset", str(tmp_path / "___"))


@pytest.mark.parametrize("size", ["48", "48x", "x48", "axb", "48*32"])
def test_a_size_is_height_by_width(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is a usage error, exit status 2."""
    with pytest.raises(SystemExit) as caught:
        settle("--dataset", "cats", "--image-size", size)

    assert caught.value.code == 2
    assert "height first" in capsys.readouterr().err


def test_the_remembered_command_makes_the_same_bundle() -> None:
    """What decides the bundle stays; where it lies on this machine goes."""
    command = describe(
        "some/where/mine.toml",
        *("--dataset", "/home/me/my cats", "--epochs", "3", "--image-size", "48x32"),
        *("--set", "vae.beta=2", "--set", "data.dataset=/home/me/dogs", "--seed", "0"),
        *("--data-root", "/data", "--runs", "/r", "--store", "/s", "--device", "cpu", "--fresh"),
    )

    assert command == (
        "latentd train mine.toml --dataset 'my cats' --image-size 48x32 --epochs 3 --seed 0 "
        "--set vae.beta=2 --set data.dataset=dogs"
    )


def test_places_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag wins over its variable, which wins over the default."""
    monkeypatch.setenv("LATENTD_DATA", "/from/env")
    monkeypatch.setenv("LATENTD_MODELS_STORE", "/store")

    flags = make_train_parser().parse_args(["digits"])
    given = make_train_parser().parse_args(["digits", "--data-root", "/from/flag"])

    assert (flags.data_root, flags.store, flags.runs) == (
        Path("/from/env"),
        Path("/store"),
        Path("runs"),
    )
    assert given.data_root == Path("/from/flag")


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """By name and by path alike."""
    flags = make_export_parser().parse_args(["nothing", "--runs", str(tmp_path)])

    with pytest.raises(RunError, match="no run folder"):
        find_run(flags)
