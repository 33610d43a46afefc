"""The documents say what is so."""

import re
import tomllib
from pathlib import Path

from service.settings import Settings
from training.recipe.parsing import parse_recipe
from training.report.tables import make_bundles_page, make_samplers_page
from training.search.space import parse_search

ROOT = Path(__file__).parents[2]


def test_figures_are_those_of_the_store() -> None:
    """docs/bundles.md is what `latentd tables` writes for the bundles that are shipped."""
    written = (ROOT / "docs" / "bundles.md").read_text()

    assert written == make_bundles_page(ROOT / "models_store")


def test_the_table_of_sources_is_that_of_the_store() -> None:
    """docs/samplers.md is what `latentd tables` writes for the bundles that are shipped."""
    written = (ROOT / "docs" / "samplers.md").read_text()

    assert written == make_samplers_page(ROOT / "models_store")


def test_every_setting_is_documented() -> None:
    """docs/settings.md has each setting with its variable, default and description."""
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(LATENTD_\w+)` \| (.*) \|$", page, re.MULTILINE))

    expected = {
        f"LATENTD_{name.upper()}": f"`{'' if field.default is None else field.default}` | "
        f"{field.description}"
        for name, field in Settings.model_fields.items()
    }
    assert rows == expected


def test_the_recipe_in_the_training_page_is_one() -> None:
    """The example recipe is read as it stands."""
    page = (ROOT / "docs" / "training.md").read_text()
    example, _ = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)

    recipe = parse_recipe(tomllib.loads(example))

    assert recipe.name == "my-shapes"
    assert recipe.vae is None


def test_the_search_in_the_training_page_is_one() -> None:
    """The example search is read as it stands, and its defaults are what it says."""
    page = (ROOT / "docs" / "training.md").read_text()
    _, example = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)

    search = parse_search(tomllib.loads(example))

    assert (search.sampler, search.pruner, search.folds) == ("tpe", "median", 1)
    assert "autoencoder.channels" in search.space


def test_links_lead_somewhere() -> None:
    """Every relative link in the documents names a file that is there."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text())
    ]

    assert links
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
