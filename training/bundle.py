"""A trained run as a bundle in a models store: graphs, density, figures and the manifest."""

import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from service.artifact import (
    Bundle,
    GraphFile,
    Manifest,
    NetworkSpec,
    Provenance,
    SamplerSpec,
    SpaceSpec,
    TensorSpec,
    publish,
    stage,
    write_manifest,
)
from service.artifact.latents import write_reference_errors
from service.artifact.manifest import SpaceName
from service.artifact.store import describe_content
from training.export import BATCH_SIZES, SUFFIXES, Source, export_graphs, list_sources
from training.images import Splits
from training.runs import DENSITY_FILE, MAP_FILE
from training.trained import Trained

_LIBRARIES = ("latentd", "torch", "torchvision", "onnx", "onnxscript", "numpy", "scikit-learn")


def publish_bundle(trained: Trained, store: Path) -> Bundle:
    """Export every network and publish the next version of the bundle, in one step.

    Raises:
        ExportError: a graph differs from eager PyTorch.
        ArtifactError: the bundle would not be valid.
    """
    files: dict[str, bytes] = {}
    networks = {
        source.name: _export(source, files)
        for source in list_sources(trained.networks, _choose_probes(trained.splits))
    }
    spaces = _describe_spaces(trained, files)
    samplers = _describe_samplers(trained, files)
    manifest = Manifest(
        image=trained.splits.image,
        classes=trained.splits.classes,
        networks=networks,
        spaces=spaces,
        samplers=samplers,
        default_source="kde",
        maps=_describe_maps(trained, files),
        metrics=trained.measures.metrics,
        provenance=_describe_provenance(trained),
        files={name: describe_content(content) for name, content in files.items()},
    )
    with stage(store, trained.recipe.name) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        write_manifest(folder, manifest)
        return publish(folder, store, trained.recipe.name)


def _choose_probes(splits: Splits) -> Tensor:
    """Return test images to compare graphs on, (N, C, H, W) float32; repeated if there are few."""
    count = max(BATCH_SIZES)
    pixels = np.resize(splits.test.pixels[:count], (count, *splits.image.shape))
    return torch.from_numpy(pixels).float() / 255


def _export(source: Source, files: dict[str, bytes]) -> NetworkSpec:
    """Export a network into `files` and describe it."""
    formats = {}
    for form, graph in export_graphs(source).items():
        name = f"{source.name}.{SUFFIXES[form]}"
        files[name] = graph.content
        formats[form] = GraphFile(file=name, parity=graph.parity)
    outputs = source.run(source.inputs[:2])
    return NetworkSpec(
        input=TensorSpec(name=source.input_name, shape=tuple(source.inputs.shape[1:])),
        outputs=tuple(
            TensorSpec(name=name, shape=output.shape[1:])
            for name, output in zip(source.output_names, outputs, strict=True)
        ),
        formats=formats,
    )


def _describe_spaces(trained: Trained, files: dict[str, bytes]) -> dict[SpaceName, SpaceSpec]:
    recipe, measures = trained.recipe, trained.measures
    files["autoencoder_errors.safetensors"] = write_reference_errors(measures.autoencoder_errors)
    spaces: dict[SpaceName, SpaceSpec] = {
        "autoencoder": SpaceSpec(
            latent_size=recipe.autoencoder.latent_size,
            reference="autoencoder_errors.safetensors",
        )
    }
    if recipe.vae is not None and measures.vae_errors is not None:
        files["vae_errors.safetensors"] = write_reference_errors(measures.vae_errors)
        spaces["vae"] = SpaceSpec(
            latent_size=recipe.vae.latent_size, reference="vae_errors.safetensors"
        )
    return spaces


def _describe_samplers(trained: Trained, files: dict[str, bytes]) -> dict[str, SamplerSpec]:
    files[DENSITY_FILE] = trained.density.to_bytes()
    has_classes = trained.density.labels is not None
    samplers = {
        "kde": SamplerSpec(
            kind="kde", space="autoencoder", file=DENSITY_FILE, class_conditional=has_classes
        )
    }
    if trained.networks.vae is not None:
        samplers["prior"] = SamplerSpec(kind="prior", space="vae")
    return samplers


def _describe_maps(trained: Trained, files: dict[str, bytes]) -> dict[SpaceName, str]:
    names = {space: MAP_FILE.format(space=space) for space in trained.maps}
    files.update({names[space]: found.to_bytes() for space, found in trained.maps.items()})
    return names


def _describe_provenance(trained: Trained) -> Provenance:
    recipe = trained.recipe.model_dump(mode="json", exclude_none=True)
    recipe["data"]["dataset"] = trained.splits.dataset  # a folder's path is nobody's business
    return Provenance(
        created=datetime.now(UTC).replace(microsecond=0),
        command=trained.run.command,
        dataset=trained.splits.dataset,
        dataset_digest=trained.splits.digest(),
        images=trained.splits.count(),
        seed=trained.recipe.seed,
        recipe=recipe,
        epochs=trained.networks.epochs,
        libraries={
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
        },
    )
