"""The documentation agrees with the code, the bundles and the files that it refers to."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.draw_diagrams import DRAWN, SOURCES, sign
from docs.model_cards import CARDS, write_cards
from docs.tables import write_settings_table
from tests.support.source_texts import find_message
from training.recipe.parsing import parse_recipe
from training.report.tables import make_bundles_page, make_samplers_page
from training.search.space import parse_search

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def read_page(name: str) -> str:
    """Return the text of a page in docs/."""
    return (DOCS / name).read_text()


def test_bundle_metrics_match_the_store() -> None:
    """docs/bundles.md is the output of `latentd tables` for the included bundles."""
    assert read_page("bundles.md") == make_bundles_page(ROOT / "models_store")


def test_sample_source_table_matches_the_store() -> None:
    """docs/samplers.md is the output of `latentd tables` for the included bundles."""
    assert read_page("samplers.md") == make_samplers_page(ROOT / "models_store")


def test_model_cards_match_the_store() -> None:
    """docs/models/*.md is the output of docs/model_cards.py for the included bundles."""
    assert {path.name: path.read_text() for path in CARDS.glob("*.md")} == write_cards()


def test_every_setting_is_documented() -> None:
    """docs/settings.md has each setting with its variable, default and description."""
    assert write_settings_table() in read_page("settings.md")


def test_example_recipe_is_valid() -> None:
    """The recipe in docs/training.md parses unchanged."""
    example, _ = find_toml_blocks()

    recipe = parse_recipe(tomllib.loads(example))

    assert recipe.name == "my-shapes"
    assert recipe.vae is None


def test_example_search_is_valid() -> None:
    """The search in docs/training.md parses unchanged and has the documented defaults."""
    _, example = find_toml_blocks()

    search = parse_search(tomllib.loads(example))

    assert (search.sampler, search.pruner, search.folds) == ("tpe", "median", 1)
    assert "autoencoder.channels" in search.space


def find_toml_blocks() -> list[str]:
    """Return the TOML blocks of docs/training.md."""
    return re.findall(r"^```toml\n(.*?)^```", read_page("training.md"), re.MULTILINE | re.DOTALL)


def test_relative_links_resolve() -> None:
    """Every relative link in a Markdown file names an existing file."""
    pages = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    links = [
        (page, link)
        for page in pages
        if "node_modules" not in page.parts
        for link in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", page.read_text())
    ]

    assert links
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


def test_diagrams_are_drawn_from_their_sources() -> None:
    """Each SVG file carries the hash of its Mermaid source."""
    signed = {path.stem: sign(path.read_text()) for path in SOURCES.glob("*.mmd")}
    drawn = {path.stem: path.read_text().splitlines()[-1] for path in DRAWN.glob("*.svg")}

    assert drawn == signed


@pytest.mark.parametrize("package", ["service", "training"])
def test_diagrams_show_the_layers(package: str) -> None:
    """The diagram of a package has the layers of its import contract, in the same order."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (
        contract
        for contract in configuration["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers" and contract["containers"] == [package]
    )
    layers = [name for layer in contract["layers"] for name in re.findall(r"\w+", layer)]
    nodes = re.findall(r'\["(.*?)(?:<br/>.*?)?"\]', (SOURCES / f"{package}.mmd").read_text())

    assert [name for node in nodes for name in re.findall(r"\w+", node)] == layers


def test_architecture_names_every_package() -> None:
    """docs/architecture.md describes each package of the service."""
    packages = {path.parent.name for path in (ROOT / "service").glob("*/__init__.py")}

    documented = set(re.findall(r"`(\w+)/`", read_page("architecture.md")))

    assert packages <= documented


def test_every_decision_is_listed() -> None:
    """The index and the site's navigation list each decision."""
    names = {path.name for path in (DOCS / "decisions").glob("*.md")} - {"README.md"}

    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", read_page("decisions/README.md")))
    in_navigation = set(re.findall(r"- decisions/(.+\.md)", (ROOT / "mkdocs.yml").read_text()))

    assert listed == names
    assert in_navigation == names | {"README.md"}


def find_paths_in_contributing() -> Iterator[str]:
    """Yield each path in backticks in CONTRIBUTING.md that is in a folder of the repository."""
    for path in re.findall(r"`([\w./-]+)`", (ROOT / "CONTRIBUTING.md").read_text()):
        folder = path.partition("/")[0]
        if folder and folder != path and (ROOT / folder).is_dir():
            yield path


def test_contributing_names_existing_files() -> None:
    """CONTRIBUTING.md names files and folders that exist."""
    paths = list(find_paths_in_contributing())

    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


QUOTED = re.findall(r"^#+ `(.+)`$", read_page("troubleshooting.md"), re.MULTILINE)


@pytest.mark.parametrize("message", QUOTED)
def test_quoted_messages_exist(message: str) -> None:
    """docs/troubleshooting.md quotes messages of the source tree; `...` matches a value."""
    assert find_message(message, [ROOT / "service", ROOT / "training"])
