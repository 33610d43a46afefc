"""`latentd train`: overrides of the recipe, and the command in the provenance."""

from pathlib import Path

import pytest

from training.commands.train import describe_command, make_train_parser, resolve_recipe
from training.errors import RecipeError
from training.recipe.parsing import read_recipe
from training.recipe.schema import Recipe


def resolve(*words: str) -> Recipe:
    """Return the recipe of a command line."""
    return resolve_recipe(make_train_parser().parse_args(words))


def describe(*words: str) -> str:
    """Return the command in the provenance."""
    return describe_command(make_train_parser().parse_args(words))


def test_a_bare_name_is_a_packaged_recipe() -> None:
    """Without flags the packaged recipe is unchanged."""
    recipe = resolve("fashion-mnist")

    assert recipe.name == "fashion-mnist"
    assert (
        recipe.autoencoder.latent_size == read_recipe("fashion-mnist")["autoencoder"]["latent_size"]
    )


def test_flags_override_the_recipe() -> None:
    """Each flag overrides its key in every section."""
    recipe = resolve(
        "digits", "--name", "mine", "--epochs", "2", "--latent-size", "3", "--seed", "9"
    )

    networks = (recipe.autoencoder, recipe.denoiser, recipe.vae)
    assert (recipe.name, recipe.seed) == ("mine", 9)
    assert all(network is not None and network.latent_size == 3 for network in networks)
    assert all(
        network is not None and network.epochs == 2 for network in (*networks, recipe.classifier)
    )


def test_an_assignment_takes_precedence() -> None:
    """`--set` overrides the flag for the same key."""
    recipe = resolve("digits", "--epochs", "2", "--set", "vae.epochs=7", "--set", "vae.beta=0.5")

    assert recipe.vae is not None
    assert (recipe.vae.epochs, recipe.vae.beta) == (7, 0.5)
    assert recipe.autoencoder.epochs == 2


def test_a_flag_adds_no_network_to_the_recipe(tmp_path: Path) -> None:
    """`--epochs` applies to the networks of the recipe only."""
    path = tmp_path / "minimal.toml"
    path.write_text('name = "minimal"\n[data]\ndataset = "digits"\n[autoencoder]\n')

    assert resolve(str(path), "--epochs", "2", "--latent-size", "3").vae is None


def test_a_folder_alone_uses_the_default_recipe_and_names_the_bundle(tmp_path: Path) -> None:
    """The bundle's name derives from the folder's name, and its path becomes absolute."""
    recipe = resolve(
        "--dataset", str(tmp_path / "My Cats (2)"), "--image-size", "48x32", "--channels", "3"
    )

    assert recipe.name == "my-cats-2"
    assert recipe.data.dataset == str(tmp_path / "My Cats (2)")
    assert (recipe.data.height, recipe.data.width, recipe.data.channels) == (48, 32, 3)


def test_a_relative_folder_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run can be exported from another working directory."""
    monkeypatch.chdir(tmp_path)

    assert resolve("--dataset", "cats").data.dataset == str(tmp_path / "cats")


def test_a_data_set_with_a_recipe_uses_it() -> None:
    """`--dataset mnist` selects the recipe mnist."""
    assert resolve("--dataset", "mnist").vae == resolve("mnist").vae


def test_a_recipe_or_a_data_set_is_required() -> None:
    """The error names both options."""
    with pytest.raises(RecipeError, match="Expected a folder of images, or a recipe"):
        resolve()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My Photos 2024", "my-photos-2024"),
        ("Fr\u00fcchte", "fruchte"),
        ("___", "images-"),
        ("\u732b", "images-"),
        ("\u732b cats", "cats-"),
        ("x" * 90, "x" * 64),
    ],
)
def test_a_folder_gives_the_name(tmp_path: Path, folder: str, name: str) -> None:
    """A name that loses letters gets a number, so that two such folders differ."""
    recipe = resolve("--dataset", str(tmp_path / folder))

    assert recipe.name.startswith(name)
    assert (recipe.name == name) == (name[-1] != "-")


def test_two_names_without_latin_letters_differ(tmp_path: Path) -> None:
    """Cats and dogs in Chinese are two bundles."""
    names = {resolve("--dataset", str(tmp_path / folder)).name for folder in ("\u732b", "\u72d7")}

    assert len(names) == 2


def test_a_folder_can_be_the_first_argument(tmp_path: Path) -> None:
    """`latentd train FOLDER` uses the default recipe."""
    assert resolve(str(tmp_path)) == resolve("--dataset", str(tmp_path))


def test_an_archive_gives_its_name_without_the_suffix(tmp_path: Path) -> None:
    """As its unpacked folder does."""
    (tmp_path / "cats.tar.gz").touch()

    recipe = resolve(str(tmp_path / "cats.tar.gz"))

    assert recipe.name == "cats"
    assert recipe.data.dataset == str(tmp_path / "cats.tar.gz")


def test_a_data_set_of_the_hub_is_no_path() -> None:
    """Its name is kept as it is written."""
    recipe = resolve("hf:owner/Flowers")

    assert (recipe.name, recipe.data.dataset) == ("flowers", "hf:owner/Flowers")


def test_a_data_set_is_named_once(tmp_path: Path) -> None:
    """Two data sets are ambiguous."""
    with pytest.raises(RecipeError, match="Expected one data set"):
        resolve(str(tmp_path), "--dataset", str(tmp_path))


@pytest.mark.parametrize("size", ["48", "48x", "x48", "axb", "48*32"])
def test_a_size_is_height_by_width(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Other sizes are a usage error with exit status 2."""
    with pytest.raises(SystemExit) as caught:
        resolve("--dataset", "cats", "--image-size", size)

    assert caught.value.code == 2
    assert "expected HEIGHTxWIDTH" in capsys.readouterr().err


def test_the_command_in_the_provenance_has_no_paths() -> None:
    """It keeps all flags that affect the bundle, and omits folders of the machine."""
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


def test_folders_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag overrides its variable, which overrides the default."""
    monkeypatch.setenv("LATENTD_DATA", "/from/env")
    monkeypatch.setenv("LATENTD_MODELS_STORE", "/store")

    flags = make_train_parser().parse_args(["digits"])
    explicit = make_train_parser().parse_args(["digits", "--data-root", "/from/flag"])

    assert (flags.data_root, flags.store, flags.runs) == (
        Path("/from/env"),
        Path("/store"),
        Path("runs"),
    )
    assert explicit.data_root == Path("/from/flag")
