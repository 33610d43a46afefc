"""An encoder and a decoder as the user has them: how they work together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.errors import ModelImportError
from training.importing.forms.choices import (
    Candidate,
    choose_candidate,
    rank_candidates,
    run_named,
)
from training.importing.forms.codes import (
    CodeOutput,
    Variance,
    drop_random,
    list_codes,
)
from training.importing.forms.formats import UNIT, Array, Floats, Layout, PixelScale, list_scales
from training.importing.forms.layouts import choose_order
from training.importing.graphs.batches import make_dynamic
from training.importing.graphs.files import NetworkFile
from training.importing.graphs.onnx_graph import Graph
from training.importing.graphs.torchscript import Conversion, codes_out, images_in
from training.importing.options import ImportOptions

_MAX_LATENT_SIZE = 65_536


@dataclass(frozen=True)
class OpenPair:
    """An encoder and a decoder, and images to try them on."""

    files: tuple[NetworkFile, NetworkFile]
    encoder: Graph
    decoder: Graph
    source: Layout
    """The layout of the encoder's input."""
    images: Floats
    """(N, C, H, W) real images in [0, 1]."""

    def run_encoder(self, scale: PixelScale = UNIT) -> dict[str, Array]:
        """Return the encoder's outputs for the images with pixels in this range."""
        return run_named(self.encoder, self.source.to_network(scale.to_network(self.images)))

    def run_decoder(self, codes: Floats, shape: tuple[int, ...]) -> Array:
        """Return the decoder's output for codes, in its input's shape."""
        return self.decoder.run(codes.reshape(len(codes), *shape))[0]


@dataclass(frozen=True)
class Pair(OpenPair):
    """An encoder and a decoder with what was found out about them."""

    target: Layout
    """The layout of the decoder's output."""
    codes: list[CodeOutput]
    """The encoder's outputs that fit the decoder."""
    choice: Candidate

    @property
    def code_shape(self) -> tuple[int, ...]:
        """The shape of a code in the decoder's input, without the batch."""
        return shape_codes(self.decoder, self.choice.code)

    @property
    def latent_shape(self) -> tuple[int, ...] | None:
        """The shape of a code before it is flattened; None for a vector."""
        shape = self.choice.code.shape
        return shape if len(shape) > 1 else None

    def encode(self, images: Floats) -> dict[str, Array]:
        """Return the original encoder's outputs for images in [0, 1]."""
        inputs = self.source.to_network(self.choice.source.to_network(images))
        run = self.files[0].original(self.encoder)
        return dict(zip(self.encoder.outputs, run(inputs), strict=False))

    def decode(self, latents: Floats) -> Floats:
        """Return the original decoder's images for flat latents."""
        codes = latents.reshape(len(latents), *self.code_shape)
        run = self.files[1].original(self.decoder)
        decoded = self.target.from_network(run(codes)[0].astype(np.float32))
        return self.choice.target.from_network(decoded)

    def convert_codes(self, codes: list[CodeOutput], kind: Variance = "logvar") -> Conversion:
        """Return the conversions of images for the encoder, and of its outputs into codes."""
        return Conversion(
            images_in(self.source, self.choice.source), codes_out(self.encoder.outputs, codes, kind)
        )

    def latents(self, images: Floats) -> Floats:
        """Return flat latents of images in [0, 1]."""
        return self.choice.code.select(self.encode(images)).reshape(len(images), -1)


def open_pair(
    files: tuple[NetworkFile, NetworkFile],
    graphs: tuple[Graph, Graph | None],
    source: Layout,
    images: Floats,
    *,
    options: ImportOptions,
    report_progress: Callable[[str], None],
) -> Pair:
    """Find out how an encoder and a decoder work together, by running them on real images.

    Raises:
        ModelImportError: they do not fit each other or the images, or a flag must decide.
    """
    encoder = graphs[0]
    first = run_named(encoder, source.to_network(images))
    decoder = graphs[1] or _open_decoder(files[1], first)
    codes = list_codes(encoder, first, decoder.shape)
    code = codes[0].select(first)
    decoder = make_dynamic(decoder, code.reshape(len(code), *shape_codes(decoder, codes[0])))
    opened = OpenPair(files, encoder, decoder, source, images)
    pair = _choose(
        opened, drop_random(codes, first, opened.run_encoder()), options, report_progress
    )
    _check_codes(pair)
    return pair


def shape_codes(decoder: Graph, code: CodeOutput) -> tuple[int, ...]:
    """Return the shape of a code in a decoder's input, without the batch."""
    sizes = decoder.shape[1:]
    if len(sizes) == len(code.shape):
        return code.shape
    return tuple(size or 1 for size in sizes)


def _choose(
    opened: OpenPair,
    codes: list[CodeOutput],
    options: ImportOptions,
    report_progress: Callable[[str], None],
) -> Pair:
    shape, channels = shape_codes(opened.decoder, codes[0]), opened.source.image[0]
    decoded = opened.run_decoder(codes[0].select(opened.run_encoder()), shape)
    target = _find_target(opened.decoder, decoded, opened.source, options)
    ranked = rank_candidates(
        opened.images,
        opened.run_encoder,
        lambda found: opened.run_decoder(found, shape),
        target,
        codes=[code for code in codes if code.half != 1],  # the first half is the mean
        sources=[options.pixels] if options.pixels else list_scales(channels),
        targets=[options.output_pixels] if options.output_pixels else list_scales(channels),
    )
    choice, reason = choose_candidate(ranked, opened.images, is_set=options.pixels is not None)
    report_progress(f"{opened.encoder.name} and {opened.decoder.name}: {reason}")
    parts = (opened.files, opened.encoder, opened.decoder, opened.source, opened.images)
    return Pair(*parts, target, codes, choice)


def _find_target(decoder: Graph, decoded: Array, source: Layout, options: ImportOptions) -> Layout:
    """Return the layout of a decoder's output.

    Raises:
        ModelImportError: it has another number of values than the images.
    """
    name = f"{decoder.name} (output)"
    order = source.order
    if decoded.shape[1:] != source.shape:
        order = choose_order(name, (None, *decoded.shape[1:]), options.layout)
    layout = Layout(order, source.image)
    if layout.shape != decoded.shape[1:]:
        raise ModelImportError(
            f"{name}: expected images of shape {source.shape}, like the encoder's, got "
            f"{decoded.shape[1:]}"
        )
    return layout


def _open_decoder(file: NetworkFile, outputs: dict[str, Array]) -> Graph:
    """Return a decoder's graph; a TorchScript file needs one of the encoder's outputs for that."""
    if file.format != "torchscript":
        return file.to_graph(None)
    return file.to_graph(_guess_code(file, [*outputs.values()])[:2])


def _guess_code(file: NetworkFile, outputs: list[Array]) -> Array:
    """Return an encoder's output, or half of one, that a TorchScript decoder takes.

    Raises:
        ModelImportError: it takes none.
    """
    candidates = [
        tensor.astype(np.float32)
        for tensor in outputs
        if tensor.ndim > 1 and tensor.dtype.kind == "f"
    ]
    halves = [
        np.split(tensor, 2, axis)[0]
        for tensor in candidates
        for axis in dict.fromkeys((1, tensor.ndim - 1))
        if tensor.shape[axis] % 2 == 0
    ]
    message = "the encoder has no output of floats"
    for code in (*candidates, *halves):
        try:
            file.run(code)
        except ModelImportError as error:
            message = str(error)
        else:
            return code
    raise ModelImportError(f"The encoder and the decoder do not fit: {message}")


def _check_codes(pair: Pair) -> None:
    """Reject codes that are not finite, too large or the same for all images."""
    latents = pair.latents(pair.images)
    name, size = pair.encoder.name, latents.shape[1]
    if size > _MAX_LATENT_SIZE:
        raise ModelImportError(
            f"{name}: codes have {size:,} values; the limit is {_MAX_LATENT_SIZE:,}"
        )
    if not np.isfinite(latents).all():
        raise ModelImportError(f"{name}: the code of a real image has NaN or infinity")
    if not latents.std(axis=0).max() > 0:
        raise ModelImportError(
            f"{name}: the code is the same for all {len(latents)} images that were tried: check "
            "that the file contains the trained weights, and --pixels"
        )
