"""The boundaries of the package: imports from the service, and the content of the wheel."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from setuptools import find_namespace_packages

ROOT = Path(__file__).parents[3]
ALLOWED = ("service.artifact", "service.errors")


def list_service_imports(path: Path) -> Iterator[str]:
    """Yield the modules of the service that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            is_root = node.module == "service"
            names = [f"service.{a.name}" for a in node.names] if is_root else [node.module or ""]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "service")


def test_training_imports_only_the_artifact_contract_and_its_errors() -> None:
    """Every other module of the service is forbidden, including future ones."""
    imports = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / "training").rglob("*.py")
        for name in list_service_imports(path)
    }

    assert imports
    assert [entry for entry in imports if not (entry[1] + ".").startswith(_prefixes())] == []


def test_the_wheel_contains_resources_and_no_reproduction() -> None:
    """Recipes and searches are packaged; `latentd reproduce` is part of a checkout only."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]

    packages = find_namespace_packages(str(ROOT), **settings["packages"]["find"])

    assert {"training", "training.recipe.recipes", "training.search.searches"} <= set(packages)
    assert [name for name in packages if "reproduction" in name] == []
    assert {"*.toml", "*.html", "*.css"} <= set(settings["package-data"]["*"])


def _prefixes() -> tuple[str, ...]:
    return tuple(f"{module}." for module in ALLOWED)
