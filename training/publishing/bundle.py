"""Publication of a trained run as a bundle: graphs, samplers, report and manifest."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.artifact import (
    SPACE_NETWORKS,
    Bundle,
    GraphFile,
    Manifest,
    NetworkSpec,
    Provenance,
    SamplerSpec,
    SpaceSpec,
    Store,
    TensorSpec,
    list_bundles,
    open_bundle,
    publish,
    stage,
    write_manifest,
)
from service.artifact.samplers import ClassKernelDensity, KernelDensity, StoredSampler
from service.artifact.specs import GraphFormat, NetworkName, SpaceName
from service.artifact.store import describe_content
from service.artifact.tensor_files import write_reference_errors
from training.anomaly.detectors import FittedDetectors
from training.data.splits import Splits
from training.evaluation.trained_run import TrainedRun
from training.files import explain_full_disk
from training.fitting.runs.run_folders import MAP_FILE
from training.publishing.batch_size import choose_max_batch
from training.publishing.examples import add_examples
from training.publishing.export import (
    BATCH_SIZES,
    SUFFIXES,
    ExportSource,
    export_graphs,
    list_detector_networks,
    list_flows,
    list_sources,
)
from training.recipe.schema import Recipe
from training.report.page import REPORT_FILE, draw_plots, make_page
from training.sampling.samplers import sampler_file
from training.sampling.source_quality import choose_source

_IDENTITY = {"dataset_digest", "images", "seed", "recipe", "epochs"}


@dataclass(frozen=True, slots=True)
class PublishedNetwork:
    """A network's graphs and its manifest entry."""

    spec: NetworkSpec
    files: dict[str, bytes]
    """The graphs that `spec` names."""
    latent_shape: tuple[int, ...] | None = None
    """For an encoder the shape of a latent before it was flattened; None: a vector."""


def publish_bundle(trained: TrainedRun, store: Store) -> Bundle:
    """Export every network, and publish the next version of the bundle atomically.

    Raises:
        ExportError: a graph differs from eager PyTorch.
        ArtifactError: the bundle would be invalid.
    """
    return publish_networks(trained, export_networks(trained), store)


def export_networks(
    trained: TrainedRun, names: Collection[NetworkName] | None = None
) -> dict[NetworkName, PublishedNetwork]:
    """Export the networks of a run with these names, or all, without those of its flows.

    Raises:
        ExportError: a graph differs from eager PyTorch.
    """
    sources = list_sources(trained.networks, _choose_probes(trained.splits))
    forms = trained.recipe.formats
    return {
        source.name: _export(source, forms)
        for source in sources
        if names is None or source.name in names
    }


def publish_networks(
    trained: TrainedRun, exported: dict[NetworkName, PublishedNetwork], store: Store
) -> Bundle:
    """Publish the next version of a bundle atomically.

    Args:
        trained: The run.
        exported: The graphs of its networks, without those of its flows and detectors.
        store: The models store.

    Raises:
        ArtifactError: the bundle would be invalid.
    """
    forms = trained.recipe.formats
    flows = list_flows(trained.samplers.values())
    exported = exported | {source.name: _export(source, forms) for source in flows}
    exported |= export_detector_networks(trained.detectors, trained.splits, trained.recipe)
    files: dict[str, bytes] = {}
    for network in exported.values():
        files |= network.files
    networks = {name: network.spec for name, network in exported.items()}
    spaces = _describe_spaces(trained, exported, files)
    samplers = _describe_samplers(trained, files)
    files |= trained.detectors.list_files()
    provenance = trained.describe_provenance()
    files[REPORT_FILE] = make_page(trained, provenance, draw_plots(trained))
    manifest = Manifest(
        image=trained.splits.image,
        classes=trained.splits.classes,
        networks=networks,
        spaces=spaces,
        samplers=samplers,
        default_source=_choose_default(trained),
        detectors=trained.detectors.specs,
        default_detector=trained.detectors.default,
        maps=_describe_maps(trained, files),
        report=REPORT_FILE,
        examples=add_examples(trained.splits, trained.recipe, files),
        metrics=trained.evaluation.metrics,
        provenance=provenance,
        files={name: describe_content(content) for name, content in files.items()},
    )
    with explain_full_disk(store), stage(store, trained.recipe.name) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        write_manifest(folder, manifest)
        return publish(folder, store, trained.recipe.name)


def export_detector_networks(
    detectors: FittedDetectors, splits: Splits, recipe: Recipe
) -> dict[NetworkName, PublishedNetwork]:
    """Export the networks that only detectors use."""
    sources = list_detector_networks(detectors.modules, _choose_probes(splits))
    return {source.name: _export(source, recipe.formats) for source in sources}


def find_published(trained: TrainedRun, store: Store) -> Bundle | None:
    """Return the latest version in a local store that was published from the same run, or None."""
    if not isinstance(store, Path) or not store.is_dir():
        return None
    expected = _identify(trained.describe_provenance())
    name = trained.recipe.name
    versions = list_bundles(store).get(name, [])
    for version in versions:
        bundle = open_bundle(store, name, version)
        if _identify(bundle.manifest.provenance) == expected:
            return bundle
    return None


def _identify(provenance: Provenance) -> dict[str, object]:
    """Return the members that determine the weights; JSON, because a manifest has no tuples."""
    return provenance.model_dump(mode="json", include=_IDENTITY)


def _choose_probes(splits: Splits) -> Tensor:
    """Return test images to compare graphs on, (N, C, H, W) float32, repeated if there are few."""
    count = max(BATCH_SIZES)
    pixels = np.resize(splits.test.pixels[:count], (count, *splits.image.shape))
    return torch.from_numpy(pixels).float() / 255


def _export(source: ExportSource, forms: Sequence[GraphFormat]) -> PublishedNetwork:
    """Export a network."""
    formats, files = {}, {}
    for form, graph in export_graphs(source, forms).items():
        name = f"{source.name}.{SUFFIXES[form]}"
        files[name] = graph.content
        formats[form] = GraphFile(file=name, parity=graph.parity)
    outputs = source.run(source.inputs[:2])
    max_batch = choose_max_batch(onnx.load_from_string(files[f"{source.name}.onnx"]))
    spec = NetworkSpec(
        input=TensorSpec(name=source.input_name, shape=tuple(source.inputs.shape[1:])),
        outputs=tuple(
            TensorSpec(name=name, shape=output.shape[1:])
            for name, output in zip(source.output_names, outputs, strict=True)
        ),
        formats=formats,
        max_batch=max_batch,
    )
    return PublishedNetwork(spec, files)


def _describe_spaces(
    trained: TrainedRun,
    exported: dict[NetworkName, PublishedNetwork],
    files: dict[str, bytes],
) -> dict[SpaceName, SpaceSpec]:
    evaluation = trained.evaluation
    errors: dict[SpaceName, NDArray[np.float32] | None] = {
        "autoencoder": evaluation.autoencoder_errors,
        "vae": evaluation.vae_errors,
    }
    spaces: dict[SpaceName, SpaceSpec] = {}
    for space, values in errors.items():
        if values is None:
            continue
        file = f"{space}_errors.safetensors"
        files[file] = write_reference_errors(values)
        encoder = exported[SPACE_NETWORKS[space][0]]
        (latent_size,) = encoder.spec.outputs[0].shape
        spaces[space] = SpaceSpec(
            latent_size=latent_size, shape=encoder.latent_shape, reference=file
        )
    return spaces


def _describe_samplers(trained: TrainedRun, files: dict[str, bytes]) -> dict[str, SamplerSpec]:
    specs = {}
    for name, sampler in trained.samplers.items():
        file = None if sampler.content is None else sampler_file(name)
        codes = _find_codes(name, trained)
        if file is not None and sampler.content is not None:
            files[file] = sampler.content
        if file is not None and codes is not None and isinstance(sampler.source, StoredSampler):
            files[file] = sampler.source.to_bytes(omit=("codes", "labels"))
        specs[name] = SamplerSpec(
            kind=sampler.kind,
            space=sampler.space,
            file=file,
            codes=codes,
            class_conditional=sampler.class_conditional,
            quality=trained.quality.get(name, {}),
        )
    return specs


def _find_codes(name: str, trained: TrainedRun) -> str | None:
    """Return the file of the plain kernel density, if it has the latents of a sampler too."""
    sampler, plain = trained.samplers[name].source, trained.samplers.get("kde")
    density = None if plain is None else plain.source
    if not isinstance(sampler, ClassKernelDensity) or not isinstance(density, KernelDensity):
        return None
    same = np.array_equal(sampler.codes, density.codes) and density.labels is not None
    return sampler_file("kde") if same else None


def _choose_default(trained: TrainedRun) -> str | None:
    """Return the source with the best sample quality; without a judge `kde`, or the first."""
    if trained.quality:
        return choose_source(trained.quality)
    return "kde" if "kde" in trained.samplers else next(iter(trained.samplers), None)


def _describe_maps(trained: TrainedRun, files: dict[str, bytes]) -> dict[SpaceName, str]:
    names = {space: MAP_FILE.format(space=space) for space in trained.maps}
    files.update({names[space]: space_map.to_bytes() for space, space_map in trained.maps.items()})
    return names
