"""A models store with one bundle whose untrained classifier is fifty times the shipped one."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch

from service.artifact import publish, stage
from service.artifact.store import describe_content
from training.networks.autoencoders import Autoencoder
from training.networks.classifiers import Classifier, ClassifierHead
from training.publishing.export import SUFFIXES, ExportSource, export_graphs
from training.recipe.schema import AutoencoderRecipe, ClassifierRecipe

NAME = "large"
SEED = 1
_WIDTHS = AutoencoderRecipe(architecture="conv", channels=(176, 352, 704), hidden=480)
_HEAD = ClassifierRecipe(hidden=(896,))


def make_classifier(classes: int) -> Classifier:
    """Return the shipped classifier with seven times its widths and random weights."""
    torch.manual_seed(SEED)
    encoder = Autoencoder((1, 28, 28), _WIDTHS).encoder
    return Classifier(encoder, ClassifierHead(_WIDTHS.latent_size, classes, _HEAD)).eval()


def write_store(store: Path, shipped: Path, images: np.ndarray) -> Path:
    """Publish a copy of the shipped bundle with the large classifier; return its folder.

    Args:
        store: The models store.
        shipped: Folder of the shipped bundle.
        images: (N, 1, 28, 28) float32 in [0, 1], to compare the exported graph with PyTorch.
    """
    manifest = json.loads((shipped / "manifest.json").read_text())
    network = make_classifier(len(manifest["classes"]))
    graphs = export_graphs(ExportSource("classifier", network, torch.from_numpy(images)))
    with stage(store, NAME) as folder:
        shutil.copytree(shipped, folder, dirs_exist_ok=True)
        for form, graph in graphs.items():
            file = f"classifier.{SUFFIXES[form]}"
            (folder / file).write_bytes(graph.content)
            manifest["files"][file] = describe_content(graph.content).model_dump()
        (folder / "manifest.json").write_text(json.dumps(manifest))
        version = publish(folder, store, NAME).version
    return store / NAME / str(version)
