"""Recipes: parsing, validation and overrides."""

from pathlib import Path

import pytest

from training.errors import RecipeError
from training.recipe.parsing import (
    list_recipes,
    override,
    parse_assignment,
    parse_recipe,
    read_recipe,
)

MINIMAL = {"name": "x", "data": {"dataset": "digits"}, "autoencoder": {}}


@pytest.mark.parametrize("name", list_recipes())
def test_every_packaged_recipe_is_valid(name: str) -> None:
    """Each packaged recipe parses, with the name and data set that `default` leaves unset."""
    members = {"name": "x", "data": {"dataset": "folder"}, **read_recipe(name)}

    recipe = parse_recipe(members)

    assert recipe.autoencoder.epochs >= 1


def test_optional_networks_default_to_none() -> None:
    """Only the autoencoder's section is required."""
    recipe = parse_recipe(MINIMAL)

    assert (recipe.denoiser, recipe.vae, recipe.classifier) == (None, None, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("autoencoder.latent_sise", 4),
        ("autoencoder.latent_size", 0),
        ("autoencoder.latent_size", "4"),
        ("autoencoder.latent_size", 4.5),
        ("autoencoder.learning_rate", float("nan")),
        ("autoencoder.architecture", "resnet"),
        ("autoencoder.channels", []),
        ("denoiser.noise_factors", []),
        ("vae.likelihood", "laplace"),
        ("classifier.dropout", 1.0),
        ("density.bandwidths", [1, -1, 20]),
        ("data.validation_fraction", 0.9),
        ("data.root", "/data"),
        ("seed", -1),
        ("name", "Big Name"),
        ("nonsense", {}),
    ],
)
def test_an_invalid_key_or_value_is_named(key: str, value: object) -> None:
    """The message is one line that starts with the dotted key."""
    members = override(MINIMAL, [(key, value)])

    with pytest.raises(RecipeError) as caught:
        parse_recipe(members)

    assert str(caught.value).startswith(key)
    assert "\n" not in str(caught.value)


def test_a_missing_section_is_named() -> None:
    """The error of a recipe without an autoencoder names the section."""
    with pytest.raises(RecipeError, match=r"^autoencoder: field required$"):
        parse_recipe({"name": "x", "data": {"dataset": "digits"}})


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    """The error of a mistyped name lists the existing names."""
    with pytest.raises(RecipeError, match=r"Cannot read recipe 'fashion'.*fashion-mnist"):
        read_recipe("fashion")


def test_a_recipe_is_read_from_any_path(tmp_path: Path) -> None:
    """A path to a TOML file works in place of a packaged name."""
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n')

    assert read_recipe(str(path)) == {"name": "mine"}


def test_invalid_toml_is_rejected_with_its_position(tmp_path: Path) -> None:
    """The error contains the parser's line and column."""
    path = tmp_path / "bad.toml"
    path.write_text("name = \n")

    with pytest.raises(RecipeError, match="line 1"):
        read_recipe(str(path))


def test_overrides_change_a_copy() -> None:
    """A dotted key replaces or adds a value; the original stays unchanged."""
    members = {"autoencoder": {"epochs": 3, "hidden": 8}}

    changed = override(members, [("autoencoder.epochs", 5), ("vae.beta", 2.0)])

    assert changed == {"autoencoder": {"epochs": 5, "hidden": 8}, "vae": {"beta": 2.0}}
    assert members == {"autoencoder": {"epochs": 3, "hidden": 8}}


def test_an_override_through_a_value_is_rejected() -> None:
    """`name.first` cannot be set if `name` is a string."""
    with pytest.raises(RecipeError, match="name is a value, not a section"):
        override({"name": "x"}, [("name.first", 1)])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=0.001", 0.001),
        ("a.b=12", 12),
        ("a.b=[16, 32]", [16, 32]),
        ('a.b="conv"', "conv"),
        ("a.b=conv", "conv"),
        ("a.b=/some/where", "/some/where"),
    ],
)
def test_an_assigned_value_is_toml_or_a_bare_word(text: str, value: object) -> None:
    """Quotes around a plain word are optional."""
    assert parse_assignment(text) == ("a.b", value)


@pytest.mark.parametrize("text", ["epochs", "=3", ""])
def test_an_assignment_needs_a_key_and_an_equals_sign(text: str) -> None:
    """The error states the expected form."""
    with pytest.raises(RecipeError, match=r"expected SECTION\.KEY=VALUE"):
        parse_assignment(text)
