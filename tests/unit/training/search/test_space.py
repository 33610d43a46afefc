"""Searches: what is read, what is refused, and the recipes that they try."""

import pytest

from training.errors import RecipeError
from training.recipe.schema import override, parse_recipe, read_recipe
from training.search.space import Search, list_searches, parse_search, read_search

LEAST = {
    "recipe": {"name": "x", "data": {"dataset": "digits"}, "autoencoder": {"channels": [4, 8]}},
    "space": {},
}
RATE = "autoencoder.learning_rate"


def search(space: dict[str, object], **members: object) -> Search:
    """Return a search over a small recipe."""
    return parse_search({**LEAST, "space": space, **members})


@pytest.mark.parametrize("name", list_searches())
def test_every_packaged_search_is_valid(name: str) -> None:
    """Each one parses, and its recipe takes both ends of all ranges at once."""
    packaged = parse_search(read_search(name))

    for end in (0, -1):
        values = {key: dimension.list_ends()[end] for key, dimension in packaged.space.items()}
        assert parse_recipe(packaged.fill(values)).name == name


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "space: "),
        ({"autoencoder.learning_rat": {"low": 0.1, "high": 0.2}}, "autoencoder.learning_rat: no"),
        ({RATE: {"low": 0.1, "high": 2.0}}, f"{RATE}: "),
        ({RATE: {"low": 0.2, "high": 0.1}}, f"space.{RATE}.range: low must be under high"),
        ({RATE: {"low": 0.0, "high": 0.1, "log": True}}, "starts above 0"),
        ({RATE: {"low": 0.1}}, f"space.{RATE}.range.high: "),
        ({RATE: {"choices": [0.1]}}, f"space.{RATE}.choices.choices: "),
        ({RATE: 0.1}, f"space.{RATE}"),
        ({"autoencoder.optimizer": {"choices": ["adam", "rms"]}}, "autoencoder.optimizer: "),
        ({"autoencoder.channels.2": {"low": 4, "high": 8}}, "channels.2: the recipe has no such"),
        ({"autoencoder.hidden.0": {"low": 4, "high": 8}}, "hidden.0: the recipe has no such"),
        ({"seed": {"low": 1, "high": 9}}, "seed: a search over the autoencoder can try keys of"),
        ({"data.validation_fraction": {"low": 0.1, "high": 0.2}}, "can try keys of autoencoder"),
        ({"classifier.dropout": {"low": 0.1, "high": 0.2}}, "can try keys of autoencoder"),
    ],
)
def test_a_wrong_space_is_named_before_anything_is_fitted(
    space: dict[str, object], message: str
) -> None:
    """The line says which key is wrong."""
    with pytest.raises(RecipeError) as caught:
        search(space)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_changes_the_loss_is_refused() -> None:
    """A beta of 0 would always win."""
    with pytest.raises(RecipeError, match=r"vae\.beta changes the loss itself"):
        parse_search(
            {"base": "digits", "network": "vae", "space": {"vae.beta": {"low": 0.1, "high": 2.0}}}
        )


def test_a_network_that_the_recipe_leaves_out_is_refused() -> None:
    """There is nothing to fit."""
    with pytest.raises(RecipeError, match=r"^vae: the recipe has no such section"):
        search({"vae.l1": {"low": 0.1, "high": 0.2}}, network="vae")


def test_a_missing_search_names_those_there_are() -> None:
    """The newcomer learns what to type."""
    with pytest.raises(RecipeError, match=r"no search 'gone': give one of .*digits"):
        read_search("gone")


def test_sections_stand_over_the_base_and_values_over_both() -> None:
    """What neither names stays as the base has it."""
    over = parse_search(
        {
            "base": "digits",
            "recipe": {"autoencoder": {"epochs": 3, "hidden": 7}},
            "space": {"autoencoder.hidden": {"low": 8, "high": 16}},
        }
    )

    changes = [("autoencoder.epochs", 3), ("autoencoder.hidden", 9)]
    assert over.fill({"autoencoder.hidden": 9}) == override(read_recipe("digits"), changes)


def test_a_number_in_a_key_is_a_place_in_a_list() -> None:
    """Several places of one list are tried together."""
    space = {f"autoencoder.channels.{place}": {"low": 4, "high": 8} for place in (0, 1)}

    filled = search(space).fill({"autoencoder.channels.0": 5, "autoencoder.channels.1": 6})

    assert filled["autoencoder"]["channels"] == [5, 6]


def test_a_choice_may_be_a_list() -> None:
    """A study knows it by its text; the recipe gets the list."""
    over = search(
        {"autoencoder.channels": {"choices": [[4, 8], [8, 16]]}, RATE: {"choices": [0.1, 0.2]}}
    )

    assert over.read({"autoencoder.channels": "[8, 16]", RATE: 0.2}) == {
        "autoencoder.channels": [8, 16],
        RATE: 0.2,
    }
