"""Publication of a trained run as a bundle: graphs, samplers, report and manifest."""

import numpy as np
import torch
from torch import Tensor

from service.artifact import (
    Bundle,
    GraphFile,
    Manifest,
    NetworkSpec,
    SamplerSpec,
    SpaceSpec,
    Store,
    TensorSpec,
    publish,
    stage,
    write_manifest,
)
from service.artifact.manifest import SpaceName
from service.artifact.store import describe_content
from service.artifact.tensor_files import write_reference_errors
from training.data.splits import Splits
from training.evaluation.trained_run import TrainedRun
from training.fitting.run_folders import MAP_FILE
from training.publishing.export import (
    BATCH_SIZES,
    SUFFIXES,
    ExportSource,
    export_graphs,
    list_flows,
    list_sources,
)
from training.report.page import REPORT_FILE, draw_plots, make_page
from training.sampling.samplers import sampler_file
from training.sampling.source_quality import choose_source


def publish_bundle(trained: TrainedRun, store: Store) -> Bundle:
    """Export every network, and publish the next version of the bundle atomically.

    Raises:
        ExportError: a graph differs from eager PyTorch.
        ArtifactError: the bundle would be invalid.
    """
    files: dict[str, bytes] = {}
    sources = list_sources(trained.networks, _choose_probes(trained.splits))
    sources += list_flows(trained.samplers.values())
    networks = {source.name: _export(source, files) for source in sources}
    spaces = _describe_spaces(trained, files)
    samplers = _describe_samplers(trained, files)
    provenance = trained.describe_provenance()
    files[REPORT_FILE] = make_page(trained, provenance, draw_plots(trained))
    manifest = Manifest(
        image=trained.splits.image,
        classes=trained.splits.classes,
        networks=networks,
        spaces=spaces,
        samplers=samplers,
        default_source=_choose_default(trained),
        maps=_describe_maps(trained, files),
        report=REPORT_FILE,
        metrics=trained.evaluation.metrics,
        provenance=provenance,
        files={name: describe_content(content) for name, content in files.items()},
    )
    with stage(store, trained.recipe.name) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        write_manifest(folder, manifest)
        return publish(folder, store, trained.recipe.name)


def _choose_probes(splits: Splits) -> Tensor:
    """Return test images to compare graphs on, (N, C, H, W) float32, repeated if there are few."""
    count = max(BATCH_SIZES)
    pixels = np.resize(splits.test.pixels[:count], (count, *splits.image.shape))
    return torch.from_numpy(pixels).float() / 255


def _export(source: ExportSource, files: dict[str, bytes]) -> NetworkSpec:
    """Export a network into `files`, and return its manifest entry."""
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


def _describe_spaces(trained: TrainedRun, files: dict[str, bytes]) -> dict[SpaceName, SpaceSpec]:
    recipe, evaluation = trained.recipe, trained.evaluation
    files["autoencoder_errors.safetensors"] = write_reference_errors(evaluation.autoencoder_errors)
    spaces: dict[SpaceName, SpaceSpec] = {
        "autoencoder": SpaceSpec(
            latent_size=recipe.autoencoder.latent_size,
            reference="autoencoder_errors.safetensors",
        )
    }
    if recipe.vae is not None and evaluation.vae_errors is not None:
        files["vae_errors.safetensors"] = write_reference_errors(evaluation.vae_errors)
        spaces["vae"] = SpaceSpec(
            latent_size=recipe.vae.latent_size, reference="vae_errors.safetensors"
        )
    return spaces


def _describe_samplers(trained: TrainedRun, files: dict[str, bytes]) -> dict[str, SamplerSpec]:
    specs = {}
    for name, sampler in trained.samplers.items():
        file = None if sampler.content is None else sampler_file(name)
        if file is not None and sampler.content is not None:
            files[file] = sampler.content
        specs[name] = SamplerSpec(
            kind=sampler.kind,
            space=sampler.space,
            file=file,
            class_conditional=sampler.class_conditional,
            quality=trained.quality.get(name, {}),
        )
    return specs


def _choose_default(trained: TrainedRun) -> str | None:
    """Return the source with the best sample quality; without a judge `kde`, or the first."""
    if trained.quality:
        return choose_source(trained.quality)
    return "kde" if "kde" in trained.samplers else next(iter(trained.samplers), None)


def _describe_maps(trained: TrainedRun, files: dict[str, bytes]) -> dict[SpaceName, str]:
    names = {space: MAP_FILE.format(space=space) for space in trained.maps}
    files.update({names[space]: space_map.to_bytes() for space, space_map in trained.maps.items()})
    return names
