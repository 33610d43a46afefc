"""The networks and images of an import: read, tried and wrapped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from service.artifact import SPACE_NETWORKS
from service.artifact.specs import NetworkName, SpaceName
from training.data.splits import LabelledImages, Splits
from training.errors import ModelImportError
from training.importing.contract import ContractNetwork
from training.importing.forms.formats import Floats, Layout, list_scales
from training.importing.forms.layouts import check_layout, choose_order, find_wanted_shape
from training.importing.graphs.batches import make_dynamic
from training.importing.graphs.cutting import cut_autoencoder
from training.importing.graphs.files import NetworkFile, open_file
from training.importing.graphs.onnx_graph import Graph
from training.importing.heads import (
    HeadContext,
    import_classifier,
    import_denoiser,
    name_classes,
)
from training.importing.images import ImageSource, WantedShape, limit_images
from training.importing.options import ImportOptions
from training.importing.pairs import Pair, open_pair
from training.importing.spaces import (
    import_autoencoder,
    import_decoder,
    import_vae_encoder,
)
from training.recipe.schema import Recipe

_CPU = torch.device("cpu")
_MIN_PROBES, _PROBES = 8, 64
_PROBE_BYTES = 16 * 1024 * 1024
_CODE_BYTES = 256 * 1024 * 1024
_STAGE_SECONDS = 60.0
_MIN_TRAIN, _MIN_TEST, _MIN_SWEPT = 200, 50, 8
ROLES = (
    "encoder",
    "decoder",
    "autoencoder",
    "vae_encoder",
    "vae_decoder",
    "classifier",
    "denoiser",
)


@dataclass(frozen=True)
class Imported:
    """The networks of an import and the images that they were tried on."""

    options: ImportOptions
    files: list[NetworkFile]
    pairs: dict[SpaceName, Pair]
    networks: dict[NetworkName, ContractNetwork]
    splits: Splits

    def describe(self, recipe: Recipe) -> dict[str, object]:
        """Return the entry for the provenance."""
        members = recipe.model_dump(mode="json", exclude_none=True)
        choice = next(iter(self.pairs.values())).choice
        return {
            "imported": {
                file.role: {"file": file.name, "format": file.format, "sha256": file.sha256}
                for file in self.files
            },
            "pixels": choice.source.name,
            "output_pixels": choice.target.name,
            "layout": next(iter(self.pairs.values())).source.order,
            "reconstruction_mse_of_the_choice": choice.error,
            "data": {**members["data"], "dataset": self.splits.dataset},
            **{section: members[section] for section in ("density", "samplers", "map")},
        }


def read_networks(
    options: ImportOptions, recipe: Recipe, scratch: Path, report_progress: Callable[[str], None]
) -> Imported:
    """Read all networks and the images, and wrap the networks.

    Raises:
        ModelImportError: a network cannot be imported.
        DataError: the images cannot be used.
    """
    files = _open_files(options)
    source = ImageSource(options.data, options.data_root, recipe, scratch / "pixels")
    splits, pairs = _open_pairs(files, source, options, report_progress)
    splits = name_classes(splits, options.classes, None)
    networks = _import_pairs(pairs, options, report_progress)
    probes = limit_images(splits.train, _count_probes(splits), options.seed, "probes")
    context = HeadContext(
        to_floats(probes),
        probes.labels,
        [options.pixels] if options.pixels else list_scales(splits.image.channels),
        next(iter(pairs.values())).choice.source,
        options.layout,
        report_progress,
    )
    if "classifier" in files:
        networks["classifier"], count = import_classifier(files["classifier"], context, None)
        splits = name_classes(splits, options.classes, count)
    if "denoiser" in files:
        networks["denoiser"] = import_denoiser(files["denoiser"], context)
    return Imported(options, [*files.values()], pairs, networks, splits)


def _open_files(options: ImportOptions) -> dict[str, NetworkFile]:
    paths = {role: getattr(options, role) for role in ROLES}
    for pair in (("encoder", "decoder"), ("vae_encoder", "vae_decoder")):
        if (paths[pair[0]] is None) != (paths[pair[1]] is None):
            flags = " and ".join(f"--{role.replace('_', '-')}" for role in pair)
            raise ModelImportError(f"Expected both {flags}, or neither")
    if paths["autoencoder"] is not None and paths["encoder"] is not None:
        raise ModelImportError("Expected --autoencoder, or --encoder and --decoder, got all three")
    if all(paths[role] is None for role in ("autoencoder", "encoder", "vae_encoder")):
        raise ModelImportError(
            "Expected --encoder and --decoder, --vae-encoder and --vae-decoder, or --autoencoder"
        )
    return {role: open_file(role, path) for role, path in paths.items() if path is not None}


def _open_pairs(
    files: dict[str, NetworkFile],
    source: ImageSource,
    options: ImportOptions,
    report_progress: Callable[[str], None],
) -> tuple[Splits, dict[SpaceName, Pair]]:
    """Read the images that the first network takes, and open every pair."""
    splits: Splits | None = None
    pairs: dict[SpaceName, Pair] = {}
    names: dict[SpaceName, tuple[str, str]] = {
        "autoencoder": ("autoencoder", "autoencoder")
        if "autoencoder" in files
        else SPACE_NETWORKS["autoencoder"],
        "vae": SPACE_NETWORKS["vae"],
    }
    for space, (first, second) in names.items():
        if first not in files:
            continue
        graph, layout, splits = _open_encoder(
            files[first], source, options, splits, report_progress
        )
        probes = limit_images(splits.train, _count_probes(splits), options.seed, "probes")
        images = to_floats(probes)
        if first == second:
            graph, decoder = cut_autoencoder(graph, layout.to_network(images))
            report_progress(f"{graph.name}: cut at {decoder.input.name!r}")
        else:
            decoder = None
        graph = make_dynamic(graph, layout.to_network(images))
        opened = (files[first], files[second])
        pairs[space] = open_pair(
            opened,
            (graph, decoder),
            layout,
            images,
            options=options,
            report_progress=report_progress,
        )
    if splits is None:
        raise TypeError("no encoder")
    return splits, pairs


def _open_encoder(
    file: NetworkFile,
    source: ImageSource,
    options: ImportOptions,
    splits: Splits | None,
    report_progress: Callable[[str], None],
) -> tuple[Graph, Layout, Splits]:
    """Return the graph of a network that takes images, its layout, and the images."""
    graph = None if file.format == "torchscript" else file.to_graph(None)
    wanted = WantedShape(None, *(options.image_size or (None, None)))
    if graph is not None:
        order = choose_order(graph.name, graph.shape, options.layout)
        wanted = find_wanted_shape(graph.shape, order, options.image_size)
    if splits is None:
        splits = source.read(wanted)
        for note in splits.notes:
            report_progress(note)
        counts = ", ".join(f"{count} {name}" for name, count in splits.count().items())
        shape = "x".join(str(size) for size in splits.image.shape)
        report_progress(f"{splits.dataset}: {counts} images of {shape}")
    image = splits.image.shape
    if graph is not None:
        return graph, check_layout(graph.name, graph.shape, order, image), splits
    images = to_floats(splits.train.take(np.arange(2)))
    layout = Layout(file.find_order(image, options.layout, images), image)
    return file.to_graph(layout.to_network(images)), layout, splits


def _import_pairs(
    pairs: dict[SpaceName, Pair],
    options: ImportOptions,
    report_progress: Callable[[str], None],
) -> dict[NetworkName, ContractNetwork]:
    """Return the networks of the spaces. A VAE alone serves as the autoencoder too: its mean."""
    plain = pairs.get("autoencoder") or pairs["vae"]
    encoder, decoder = import_autoencoder(plain)
    networks: dict[NetworkName, ContractNetwork] = {"encoder": encoder, "decoder": decoder}
    if "vae" in pairs:
        networks["vae_encoder"] = import_vae_encoder(
            pairs["vae"], options.variance, report_progress
        )
        if plain is pairs["vae"]:  # the same file, which the service loads once
            networks["vae_decoder"] = replace(decoder, name="vae_decoder", shares="decoder")
        else:
            networks["vae_decoder"] = import_decoder(pairs["vae"], "vae_decoder")
    return networks


def _count_probes(splits: Splits) -> int:
    size = 4 * int(np.prod(splits.image.shape))
    return max(_MIN_PROBES, min(_PROBES, _PROBE_BYTES // size))


def to_floats(images: LabelledImages) -> Floats:
    """Return the pixels as float32 in [0, 1]."""
    return images.pixels.astype(np.float32) / np.float32(255)
