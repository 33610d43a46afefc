"""Schema of a search: a recipe, the keys to optimise and their values, read from TOML."""

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from training.errors import RecipeError
from training.recipe.parsing import Members, override, parse_recipe, parse_section, read_recipe
from training.recipe.resources import list_resources, read_resource
from training.recipe.schema import Section

_SEARCHES = resources.files("training.search") / "searches"
_LOSS_KEYS = frozenset({"denoiser.noise_factors", "vae.likelihood", "vae.beta"})
_SEARCHABLE = {"classifier": ("autoencoder", "classifier")}


class Range(Section):
    """Numbers between two bounds; integers if both bounds are integers."""

    low: int | float
    high: int | float
    log: bool = False
    """Whether to sample on a logarithmic scale."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        if self.log and self.low <= 0:
            raise ValueError("low must be greater than 0 for a logarithmic range")
        return self

    @property
    def is_integer(self) -> bool:
        """Whether only integers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def bounds(self) -> tuple[object, ...]:
        """Return values to validate; if they are valid, all values are."""
        return self.low, self.high


class Choices(Section):
    """A list of values of any type."""

    choices: Annotated[tuple[Any, ...], Field(min_length=2)]

    @property
    def labels(self) -> dict[str | int | float, object]:
        """The choices by their representation in a study: lists as JSON text, others unchanged."""
        return {
            choice if isinstance(choice, str | int | float) else json.dumps(choice): choice
            for choice in self.choices
        }

    def bounds(self) -> tuple[object, ...]:
        """Return values to validate; if they are valid, all values are."""
        return self.choices


def _get_kind(members: object) -> str:
    is_list = isinstance(members, dict) and "choices" in members
    return "choices" if is_list or isinstance(members, Choices) else "range"


Dimension: TypeAlias = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(_get_kind),
]


class Search(Section):
    """A recipe, the search space over its keys, and the search settings."""

    base: str | None = None
    """A packaged recipe, or a .toml file; None: `recipe` is the whole recipe."""
    recipe: Annotated[Members, Field(default_factory=dict)]
    """Sections that override the base."""
    network: Literal["autoencoder", "denoiser", "vae", "classifier"] = "autoencoder"
    """The section whose network is trained; its validation loss is minimised."""
    space: Annotated[dict[str, Dimension], Field(min_length=1)]
    """The values to try for each dotted key; a number at the end of a key is a list index."""
    trials: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Total number of trials of the study, 1 to 100,000."""
    sampler: Literal["tpe", "random"] = "tpe"
    """`tpe`: Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011; `random`."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """Ends bad trials early; `hyperband`: Li et al., Hyperband, 2018."""
    folds: Annotated[int, Field(ge=1, le=20)] = 1
    """Folds of the cross-validation, 2 to 20; 1: the recipe's validation split."""

    def read(self, trial: Mapping[str, Any]) -> dict[str, object]:
        """Return the recipe values of a trial's parameters."""
        values: dict[str, object] = dict(trial)
        for key, dimension in self.space.items():
            if key in trial and isinstance(dimension, Choices):
                values[key] = dimension.labels[trial[key]]
        return values

    def fill(self, values: Mapping[str, object]) -> Members:
        """Return the recipe with `values` at their keys.

        Raises:
            RecipeError: the base does not exist, or a key is invalid.
        """
        members = read_recipe(self.base) if self.base else {}
        members = override(members, _flatten(self.recipe))
        for key, value in values.items():
            list_key, _, index = key.rpartition(".")
            if index.isdigit():
                values_list = _replace_item(members, list_key, index, value)
                members = override(members, [(list_key, values_list)])
            else:
                members = override(members, [(key, value)])
        return members


def read_search(source: str) -> Members:
    """Return the content of a packaged search (a bare name) or of a TOML file (a path).

    Raises:
        RecipeError: the file does not exist or contains invalid TOML.
    """
    return read_resource(_SEARCHES, source, "search")


def list_searches() -> list[str]:
    """Return the names of the packaged searches, sorted."""
    return list_resources(_SEARCHES)


def parse_search(members: Members) -> Search:
    """Validate a search, and its recipe with all values that it would try.

    Raises:
        RecipeError: one line that names the first invalid key.
    """
    search = parse_section(Search, members, "search")
    recipe = parse_recipe(search.fill({}))
    if getattr(recipe, search.network) is None:
        raise RecipeError(f"{search.network}: missing section in the recipe of the search")
    for key, dimension in search.space.items():
        _check_key(key, search)
        for value in dimension.bounds():
            parse_recipe(search.fill({key: value}))
    return search


def _check_key(key: str, search: Search) -> None:
    """Reject keys that change the loss function, or that have no effect on the network."""
    sections = _SEARCHABLE.get(search.network, (search.network,))
    if key.partition(".")[0] not in sections:
        raise RecipeError(
            f"{key}: expected a key of {' or '.join(sections)} for network = {search.network!r}"
        )
    if key in _LOSS_KEYS:
        raise RecipeError(f"{key} changes the loss function, so trials would be incomparable")


def _flatten(members: Members, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the dotted key and the value of each leaf."""
    for key, value in members.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _replace_item(members: Members, key: str, index: str, value: object) -> list[object]:
    """Return a copy of the list at `key` with one item replaced."""
    target: Any = members
    try:
        for section in key.split("."):
            target = target[section]
        items = list(target)
        items[int(index)] = value
    except (KeyError, TypeError, IndexError) as error:
        raise RecipeError(f"{key}.{index}: the recipe has no list item at this index") from error
    return items
