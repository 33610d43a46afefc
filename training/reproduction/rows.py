"""The rows to reproduce, read from rows.toml: reported values, goals and recipes."""

import tomllib
from collections.abc import Iterable
from importlib import resources
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from training.errors import RecipeError
from training.recipe.parsing import override, parse_recipe, read_recipe
from training.recipe.schema import NETWORKS, Recipe
from training.search.space import Search, parse_search, read_search

Side: TypeAlias = Literal["same_net", "best"]
SIDES: tuple[Side, Side] = ("same_net", "best")
"""`same_net`: the report's layers and latent size. `best`: the best network that is small enough to
serve."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Target(_Strict):
    """A recipe to train for a row, and the goal for its metric."""

    recipe: str
    """A packaged recipe."""
    name: str | None = None
    """The run's name if the recipe is changed as below; None: the recipe's name."""
    latent_size: int | None = None
    """Replaces the autoencoder's latent size."""
    networks: tuple[str, ...] | None = None
    """The network sections to keep; None: all."""
    goal: float | None = None

    @property
    def run_name(self) -> str:
        """The name of the run folder."""
        return self.name or self.recipe

    def resolve(self) -> Recipe:
        """Return the changed recipe.

        Raises:
            RecipeError: the recipe does not exist, or a change is invalid.
        """
        changes: list[tuple[str, object]] = [("name", self.run_name)]
        if self.latent_size is not None:
            changes.append(("autoencoder.latent_size", self.latent_size))
        members = override(read_recipe(self.recipe), changes)
        dropped = () if self.networks is None else set(NETWORKS) - set(self.networks)
        return parse_recipe({key: value for key, value in members.items() if key not in dropped})

    @property
    def command(self) -> str:
        """The `latentd train` command line of the same run."""
        words = ["latentd", "train", self.recipe]
        words += ["--name", self.name] if self.name else []
        size = self.latent_size
        words += ["--set", f"autoencoder.latent_size={size}"] if size is not None else []
        return " ".join(words)


class Study(_Strict):
    """A search whose plots belong to a row."""

    search: str
    """A packaged search."""
    trials: int
    epochs: int
    """Epochs of each trial."""

    def resolve(self) -> Search:
        """Return the search with its trials and epochs.

        Raises:
            RecipeError: the search does not exist, or a value is invalid.
        """
        members = read_search(self.search)
        network = members.get("network", "autoencoder")
        changes = [("trials", self.trials), (f"recipe.{network}.epochs", self.epochs)]
        return parse_search(override(members, changes))


class Part(_Strict):
    """One metric of a report."""

    system: str
    metric: str | None = None
    """A metric of `latentd evaluate`, or `source.NAME.METRIC` of sample quality; None: plots
    only."""
    report: float | None = None
    """The reported value, in the metric's unit."""
    same_net: Target | None = None
    best: Target | None = None

    @property
    def needs_samples(self) -> bool:
        """Whether the metric is one of sample quality."""
        return self.metric is not None and self.metric.startswith("source.")

    def targets(self) -> dict[Side, Target]:
        """Return the existing targets by side."""
        both: dict[Side, Target | None] = {"same_net": self.same_net, "best": self.best}
        return {side: target for side, target in both.items() if target is not None}


class Row(Part):
    """One system of a report: its main metric, further metrics, and plots."""

    id: Annotated[str, Field(pattern=r"^[A-E][1-6][ab]?$")]
    source: Annotated[str, Field(pattern=r"^00[0-4]$")]
    """The report."""
    dataset: str
    plots: tuple[str, ...] = ()
    """Names of plots in the report of the `same_net` run, or of the study."""
    study: Study | None = None
    part: tuple[Part, ...] = ()

    def parts(self) -> tuple[Part, ...]:
        """Return the row itself and its further metrics."""
        return (self, *self.part)


class _Rows(_Strict):
    row: tuple[Row, ...]


def read_rows() -> tuple[Row, ...]:
    """Return every row, in the order of the reports."""
    text = resources.files("training.reproduction").joinpath("rows.toml").read_text("utf-8")
    return _Rows.model_validate(tomllib.loads(text)).row


def choose_rows(rows: Iterable[Row], ids: Iterable[str]) -> list[Row]:
    """Return the rows with these ids, or all if `ids` is empty. `A2` selects `A2a` and `A2b`.

    Raises:
        RecipeError: an id does not exist.
    """
    rows, names = list(rows), [name.lower() for name in ids]
    for name in names:
        if not any(_matches(row, name) for row in rows):
            known = ", ".join(row.id for row in rows)
            raise RecipeError(f"Unknown row {name!r}: expected any of {known}")
    return [row for row in rows if not names or any(_matches(row, name) for name in names)]


def _matches(row: Row, name: str) -> bool:
    return name in {row.id.lower(), row.id.lower().rstrip("ab")}
