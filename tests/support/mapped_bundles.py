"""The shipped bundles, each with a latent map: its own, or a map of the KDE's latent codes."""

import shutil
from pathlib import Path

from service.artifact import Bundle, write_manifest
from service.artifact.examples import Examples
from service.artifact.manifest import SCHEMA_VERSION
from service.artifact.store import describe_content, open_bundle
from service.artifact.tensor_files import read_tensors
from training.evaluation.latent_maps import fit_latent_map
from training.recipe.schema import MapRecipe

SHIPPED = Path(__file__).parents[2] / "models_store"
_EXAMPLES_FILE = "examples.safetensors"
_MAP_FILE = "autoencoder_map.safetensors"


def copy_with_maps(store: Path, points: int) -> None:
    """Copy the highest version of each shipped bundle into a store and add a missing map.

    Args:
        store: An empty folder.
        points: Number of latent codes on an added map; t-SNE takes about a second for 400.
    """
    for versions in SHIPPED.iterdir():
        version = max(int(folder.name) for folder in versions.iterdir() if folder.name.isdecimal())
        target = store / versions.name / "1"
        shutil.copytree(versions / str(version), target)
        bundle = open_bundle(store, versions.name, 1)
        if "autoencoder" not in bundle.manifest.maps:
            _add_map(bundle, target, points)


def add_examples(store: Path, name: str, examples: Examples) -> None:
    """Add test images to a bundle of version 1."""
    bundle, folder = open_bundle(store, name, 1), store / name / "1"
    content = examples.to_bytes()
    (folder / _EXAMPLES_FILE).write_bytes(content)
    update = {
        "schema_version": SCHEMA_VERSION,
        "examples": _EXAMPLES_FILE,
        "files": {**bundle.manifest.files, _EXAMPLES_FILE: describe_content(content)},
    }
    write_manifest(folder, bundle.manifest.model_copy(update=update))


def remove_examples(store: Path, name: str) -> None:
    """Remove the test images from a bundle of version 1."""
    bundle, folder = open_bundle(store, name, 1), store / name / "1"
    files = {file: entry for file, entry in bundle.manifest.files.items() if file != _EXAMPLES_FILE}
    (folder / _EXAMPLES_FILE).unlink()
    write_manifest(folder, bundle.manifest.model_copy(update={"examples": None, "files": files}))


def _add_map(bundle: Bundle, folder: Path, points: int) -> None:
    file = bundle.manifest.samplers["kde"].file
    assert file is not None
    tensors = read_tensors(bundle.read(file), "codes", "labels")
    content = fit_latent_map(
        tensors["codes"], tensors["labels"], MapRecipe(points=points), seed=0
    ).to_bytes()
    (folder / _MAP_FILE).write_bytes(content)
    manifest = bundle.manifest.model_copy(
        update={
            "maps": {**bundle.manifest.maps, "autoencoder": _MAP_FILE},
            "files": {**bundle.manifest.files, _MAP_FILE: describe_content(content)},
        }
    )
    write_manifest(folder, manifest)
