"""Import of a classifier and a denoiser, and the names of the classes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.splits import LabelledImages, Labels, Splits
from training.errors import ModelImportError
from training.importing.contract import (
    ContractNetwork,
    complete,
    wrap_classifier,
    wrap_denoiser,
)
from training.importing.forms.choices import (
    choose_probabilities,
    measure_accuracy,
    measure_error,
    run_named,
)
from training.importing.forms.formats import Array, Floats, Layout, PixelScale, list_scales
from training.importing.forms.layouts import check_layout, choose_order
from training.importing.graphs.batches import make_dynamic
from training.importing.graphs.files import NetworkFile
from training.importing.graphs.onnx_graph import Graph
from training.importing.graphs.torchscript import (
    Conversion,
    images_in,
    images_out,
    probabilities_out,
)
from training.randomness import make_rng

_NOISE = 0.1


@dataclass(frozen=True, slots=True)
class HeadContext:
    """What the import of a classifier or a denoiser needs to know."""

    images: Floats
    """(N, C, H, W) real images in [0, 1]."""
    labels: Labels | None
    scales: list[PixelScale]
    """The pixels to try: one if the user has set them."""
    usual: PixelScale
    """The pixels of the encoder."""
    requested: str | None
    """The layout that the user has set."""
    report_progress: Callable[[str], None]


def open_head(file: NetworkFile, context: HeadContext) -> tuple[Graph, Layout]:
    """Return the graph of a network that takes images, with a dynamic batch if possible.

    Raises:
        ModelImportError: it does not take such images.
    """
    channels, height, width = context.images.shape[1:]
    image = (channels, height, width)
    if file.format == "torchscript":
        layout = Layout(file.find_order(image, context.requested, context.images), image)
        graph = file.to_graph(layout.to_network(context.images[:2]))
    else:
        graph = file.to_graph(None)
        order = choose_order(graph.name, graph.shape, context.requested)
        layout = check_layout(graph.name, graph.shape, order, image)
    return make_dynamic(graph, layout.to_network(context.images)), layout


def import_classifier(
    file: NetworkFile, context: HeadContext, classes: int | None
) -> tuple[ContractNetwork, int]:
    """Return a classifier of the contract, and its number of classes.

    Raises:
        ModelImportError: it has no output with a number per class.
    """
    graph, layout = open_head(file, context)

    def run(scale: PixelScale, images: Floats) -> dict[str, Array]:
        return run_named(graph, layout.to_network(scale.to_network(images)))

    name, softmax = choose_probabilities(graph.name, run(context.usual, context.images), classes)
    scale = _choose_scale(context, lambda each: run(each, context.images)[name])
    scores = run(scale, context.images)[name]
    kind = "logits, a softmax is added" if softmax else "probabilities"
    text = f"{graph.name}: {kind}; pixels {scale.name}"
    if context.labels is not None:
        accuracy = 100 * measure_accuracy(scores, context.labels)
        text += f"; {accuracy:.1f} % of {len(scores)} training images are right"
    context.report_progress(text)
    original = file.original(graph)
    index = graph.outputs.index(name)

    def reference(images: Floats) -> list[Floats]:
        found = original(layout.to_network(scale.to_network(images)))[index].astype(np.float32)
        return [_softmax(found) if softmax else found]

    count = scores.shape[1]
    model = wrap_classifier(graph, layout, scale, name, count, softmax=softmax)
    conversion = Conversion(images_in(layout, scale), probabilities_out(index, softmax=softmax))
    head = complete(
        "classifier",
        (file, graph),
        model,
        context.images,
        reference=reference,
        conversion=conversion,
    )
    return head, count


def import_denoiser(file: NetworkFile, context: HeadContext) -> ContractNetwork:
    """Return a denoiser of the contract: the pixels are those that denoise best.

    Raises:
        ModelImportError: it does not return images.
    """
    graph, source = open_head(file, context)
    rng = make_rng(0, "import", "noise")
    noise = rng.normal(0, _NOISE, context.images.shape).astype(np.float32)
    noisy = (context.images + noise).clip(0, 1)
    first = run_named(graph, source.to_network(noisy))
    name = next((key for key, tensor in first.items() if tensor[0].size == noisy[0].size), None)
    if name is None:
        raise ModelImportError(f"{graph.name}: expected an output of images, got {list(first)}")
    target = source if first[name].shape[1:] == source.shape else None
    if target is None:
        order = choose_order(graph.name, (None, *first[name].shape[1:]), context.requested)
        target = check_layout(graph.name, (None, *first[name].shape[1:]), order, source.image)
    pairs = [(one, other) for one in context.scales for other in list_scales(source.image[0])]

    def measure(pair: tuple[PixelScale, PixelScale]) -> float:
        found = run_named(graph, source.to_network(pair[0].to_network(noisy)))[name]
        return measure_error(context.images, pair[1].from_network(target.from_network(found)))

    errors = {pair: measure(pair) for pair in pairs}
    scales = min(errors, key=errors.__getitem__)
    context.report_progress(
        f"{graph.name}: pixels {scales[0].name} in, {scales[1].name} out; mean squared error "
        f"{errors[scales]:.4g} for noise of {_NOISE:g}, {measure_error(context.images, noisy):.4g} "
        "without it"
    )
    index, original = graph.outputs.index(name), file.original(graph)

    def reference(images: Floats) -> list[Floats]:
        found = original(source.to_network(scales[0].to_network(images)))[index]
        return [scales[1].from_network(target.from_network(found.astype(np.float32)))]

    model = wrap_denoiser(graph, (source, target), scales, name)
    conversion = Conversion(images_in(source, scales[0]), images_out(target, scales[1]))
    return complete(
        "denoiser", (file, graph), model, context.images, reference=reference, conversion=conversion
    )


def name_classes(splits: Splits, file: Path | None, count: int | None) -> Splits:
    """Return the images with the class names in the order of a classifier's outputs.

    Args:
        splits: The images; the classes of a folder are its sub-folders in alphabetical order.
        file: A text file with a name per line in the order of the outputs, or None.
        count: The classifier's number of classes, or None.

    Raises:
        ModelImportError: the names do not fit the images or the classifier.
    """
    found = splits.classes
    is_numbered = found is None or found == tuple(str(index) for index in range(len(found)))
    names = _read_names(file) if file is not None else found
    if names is None and count is not None:
        names = tuple(str(index) for index in range(count))
    if names is None:
        return splits
    if count is not None and is_numbered and file is None and len(names) < count:
        names = tuple(str(index) for index in range(count))
    if count is not None and len(names) != count:
        raise ModelImportError(
            f"The classifier has {count} classes, and there are {len(names)} names: give the "
            "names in the order of its outputs with --classes labels.txt, one per line"
        )
    if found is None:
        return replace(splits, classes=names)
    if is_numbered and len(found) <= len(names):
        return replace(splits, classes=names)
    if sorted(found) != sorted(names):
        raise ModelImportError(
            f"The class names differ: {', '.join(sorted(set(names) ^ set(found)))[:200]} are not "
            "in both the file of --classes and the folder"
        )
    index = np.array([names.index(name) for name in found])
    return replace(
        splits,
        classes=names,
        train=_relabel(splits.train, index),
        validation=_relabel(splits.validation, index),
        test=_relabel(splits.test, index),
    )


def _read_names(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelImportError(f"--classes {file}: cannot be read: {error}") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names or len(set(names)) != len(names):
        raise ModelImportError(f"--classes {file}: expected distinct names, one per line")
    return names


def _relabel(images: LabelledImages, index: NDArray[np.int64]) -> LabelledImages:
    return images if images.labels is None else LabelledImages(images.pixels, index[images.labels])


def _choose_scale(context: HeadContext, run: Callable[[PixelScale], Array]) -> PixelScale:
    """Return the pixels with the best accuracy; those of the encoder without labels."""
    labels = context.labels
    if labels is None or len(context.scales) == 1:
        return context.usual
    candidates = [context.usual, *(scale for scale in context.scales if scale != context.usual)]
    return max(candidates, key=lambda scale: measure_accuracy(run(scale), labels))


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities
