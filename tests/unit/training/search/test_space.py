"""Searches: parsing, validation and the recipes of trials."""

import pytest

from training.errors import RecipeError
from training.recipe.parsing import override, parse_recipe, read_recipe
from training.search.space import Search, list_searches, parse_search, read_search

MINIMAL = {
    "recipe": {"name": "x", "data": {"dataset": "digits"}, "autoencoder": {"channels": [4, 8]}},
    "space": {},
}
RATE = "autoencoder.learning_rate"


def search(space: dict[str, object], **members: object) -> Search:
    """Return a search of a small recipe."""
    return parse_search({**MINIMAL, "space": space, **members})


@pytest.mark.parametrize("name", list_searches())
def test_every_packaged_search_is_valid(name: str) -> None:
    """Each one parses, and its recipe is valid with both bounds of all ranges."""
    packaged = parse_search(read_search(name))

    for end in (0, -1):
        values = {key: dimension.bounds()[end] for key, dimension in packaged.space.items()}
        assert parse_recipe(packaged.fill(values)).name == name


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "space: "),
        (
            {"autoencoder.learning_rat": {"low": 0.1, "high": 0.2}},
            "learning_rat: unknown key",
        ),
        ({RATE: {"low": 0.1, "high": 2.0}}, f"{RATE}: "),
        ({RATE: {"low": 0.2, "high": 0.1}}, f"space.{RATE}.range: low must be less than high"),
        ({RATE: {"low": 0.0, "high": 0.1, "log": True}}, "low must be greater than 0"),
        ({RATE: {"low": 0.1}}, f"space.{RATE}.range.high: "),
        ({RATE: {"choices": [0.1]}}, f"space.{RATE}.choices.choices: "),
        ({RATE: 0.1}, f"space.{RATE}"),
        ({"autoencoder.optimizer": {"choices": ["adam", "rms"]}}, "autoencoder.optimizer: "),
        (
            {"autoencoder.channels.2": {"low": 4, "high": 8}},
            "channels.2: the recipe has no list",
        ),
        ({"autoencoder.hidden.0": {"low": 4, "high": 8}}, "hidden.0: the recipe has no list item"),
        ({"seed": {"low": 1, "high": 9}}, "seed: expected a key of autoencoder"),
        ({"data.validation_fraction": {"low": 0.1, "high": 0.2}}, "expected a key of autoencoder"),
        ({"classifier.dropout": {"low": 0.1, "high": 0.2}}, "expected a key of autoencoder"),
    ],
)
def test_an_invalid_space_is_rejected(space: dict[str, object], message: str) -> None:
    """The error is one line that names the key."""
    with pytest.raises(RecipeError) as caught:
        search(space)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_changes_the_loss_is_rejected() -> None:
    """The lowest beta would always be the best."""
    with pytest.raises(RecipeError, match=r"vae\.beta changes the loss function"):
        parse_search(
            {"base": "digits", "network": "vae", "space": {"vae.beta": {"low": 0.1, "high": 2.0}}}
        )


def test_a_network_without_a_section_is_rejected() -> None:
    """The error names the missing section."""
    with pytest.raises(RecipeError, match=r"^vae: missing section"):
        search({"vae.l1": {"low": 0.1, "high": 0.2}}, network="vae")


def test_the_error_for_an_unknown_search_lists_all() -> None:
    """It contains the names of the packaged searches."""
    with pytest.raises(RecipeError, match=r"Cannot read search 'missing': .*digits"):
        read_search("missing")


def test_sections_override_the_base_and_values_override_both() -> None:
    """Other keys keep the values of the base."""
    over = parse_search(
        {
            "base": "digits",
            "recipe": {"autoencoder": {"epochs": 3, "hidden": 7}},
            "space": {"autoencoder.hidden": {"low": 8, "high": 16}},
        }
    )

    changes = [("autoencoder.epochs", 3), ("autoencoder.hidden", 9)]
    assert over.fill({"autoencoder.hidden": 9}) == override(read_recipe("digits"), changes)


def test_a_number_in_a_key_is_a_list_index() -> None:
    """A trial can set several items of one list."""
    space = {f"autoencoder.channels.{index}": {"low": 4, "high": 8} for index in (0, 1)}

    filled = search(space).fill({"autoencoder.channels.0": 5, "autoencoder.channels.1": 6})

    assert filled["autoencoder"]["channels"] == [5, 6]


def test_a_choice_can_be_a_list() -> None:
    """A study stores its JSON text; the recipe receives the list."""
    over = search(
        {"autoencoder.channels": {"choices": [[4, 8], [8, 16]]}, RATE: {"choices": [0.1, 0.2]}}
    )

    assert over.read({"autoencoder.channels": "[8, 16]", RATE: 0.2}) == {
        "autoencoder.channels": [8, 16],
        RATE: 0.2,
    }
