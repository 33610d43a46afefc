"""The shipped bundles, each with a latent map: its own, or one of the codes that its KDE holds."""

import shutil
from pathlib import Path

from service.artifact import Bundle, write_manifest
from service.artifact.store import describe_content, open_bundle
from service.artifact.tensor_files import read_tensors
from training.evaluation.latent_maps import fit_latent_map
from training.recipe.schema import MapRecipe

SHIPPED = Path(__file__).parents[2] / "models_store"
_FILE = "autoencoder_map.safetensors"


def copy_with_maps(store: Path, points: int) -> None:
    """Copy the highest version of each shipped bundle into a store, adding the map it may lack.

    Args:
        store: An empty folder.
        points: Codes on a map that is added; t-SNE takes about a second for 400.
    """
    for home in SHIPPED.iterdir():
        version = max(int(folder.name) for folder in home.iterdir() if folder.name.isdecimal())
        target = store / home.name / "1"
        shutil.copytree(home / str(version), target)
        bundle = open_bundle(store, home.name, 1)
        if "autoencoder" not in bundle.manifest.maps:
            _add_map(bundle, target, points)


def _add_map(bundle: Bundle, folder: Path, points: int) -> None:
    file = bundle.manifest.samplers["kde"].file
    assert file is not None
    tensors = read_tensors(bundle.read(file), "codes", "labels")
    found = fit_latent_map(
        tensors["codes"], tensors["labels"], MapRecipe(points=points), seed=0
    ).to_bytes()
    (folder / _FILE).write_bytes(found)
    manifest = bundle.manifest.model_copy(
        update={
            "maps": {**bundle.manifest.maps, "autoencoder": _FILE},
            "files": {**bundle.manifest.files, _FILE: describe_content(found)},
        }
    )
    write_manifest(folder, manifest)
