"""Export of trained networks to ONNX and TorchScript, which run without this project's code.

Inputs and outputs of every graph are float32 with a dynamic batch dimension; images are NCHW in
[0, 1]. Each graph is loaded and compared with eager PyTorch before it becomes part of a bundle.
"""

import contextlib
import io
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, get_args

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.artifact.specs import DECODERS, FLOWS, GraphFormat, NetworkName
from training.errors import ExportError
from training.fitting.network_set import NetworkSet
from training.networks.gan import Generator
from training.networks.layers import fold_batch_norms
from training.randomness import make_generator, make_rng
from training.sampling.flows import FlowSampler
from training.sampling.samplers import FittedSampler

Floats: TypeAlias = NDArray[np.float32]
Runner: TypeAlias = Callable[[Floats], list[Floats]]

OPSET: Final = 20
IR_VERSION: Final = 10  # supported by onnxruntime 1.18 and later
MAX_DIFFERENCE: Final = 1e-4
BATCH_SIZES: Final = (1, 2, 33)
SUFFIXES: Final[dict[GraphFormat, str]] = {"onnx": "onnx", "torchscript": "pt"}

_OUTPUTS: dict[NetworkName, tuple[str, ...]] = {
    "encoder": ("latents",),
    "decoder": ("images",),
    "denoiser": ("denoised",),  # ONNX forbids an output with the name of an input
    "classifier": ("probabilities",),
    "vae_encoder": ("means", "log_variances"),
    "vae_decoder": ("images",),
    "generator": ("images",),
    "flow": ("latents",),
    "vae_flow": ("latents",),
    "patch_density": ("anomaly_map",),
    "segmenter": ("anomaly_map",),
}
_TAKES_LATENTS = frozenset(DECODERS.values())


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A network to export, and real inputs to compare its graphs on."""

    name: NetworkName
    network: nn.Module
    """On the CPU, in evaluation mode."""
    inputs: Tensor
    """(N, ...); N is at least the largest of `BATCH_SIZES`."""

    @property
    def input_name(self) -> str:
        """`latents` for a decoder and a generator, `noise` for a flow, `images` for the others."""
        if self.name in FLOWS.values():
            return "noise"
        return "latents" if self.name in _TAKES_LATENTS else "images"

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the graph's outputs, in order."""
        return _OUTPUTS[self.name]

    @torch.no_grad()
    def run(self, inputs: Tensor) -> list[Floats]:
        """Return the outputs of eager PyTorch, one array each."""
        return [output.numpy() for output in _as_tuple(self.network(inputs))]


@dataclass(frozen=True, slots=True)
class Graph:
    """An exported network, and its difference from eager PyTorch."""

    content: bytes
    parity: float
    """Maximum absolute difference over `BATCH_SIZES`."""


def list_sources(networks: NetworkSet, images: Tensor) -> list[ExportSource]:
    """Move the networks of a bundle to the CPU, and return them with inputs.

    Args:
        networks: The trained networks.
        images: (N, C, H, W) float32 test images in [0, 1], on the CPU.
    """
    encoder, decoder = networks.autoencoder.cpu().encoder, networks.autoencoder.decoder
    sources = [
        ExportSource("encoder", encoder, images),
        ExportSource("decoder", decoder, _first_output(encoder, images)),
    ]
    if networks.denoiser is not None:
        sources.append(ExportSource("denoiser", networks.denoiser.cpu(), images))
    if networks.classifier is not None:
        sources.append(ExportSource("classifier", networks.classifier.cpu(), images))
    if networks.vae is not None:
        vae = networks.vae.cpu()
        sources.append(ExportSource("vae_encoder", vae.encoder, images))
        sources.append(ExportSource("vae_decoder", vae.decoder, _first_output(vae.encoder, images)))
    if networks.gan is not None:
        sources.append(
            ExportSource("generator", networks.gan.cpu(), _draw_noise(networks.gan, images))
        )
    return sources


def list_flows(samplers: Iterable[FittedSampler]) -> list[ExportSource]:
    """Move the flows of sample sources to the CPU, and return them with inputs."""
    sources = []
    for sampler in samplers:
        if isinstance(sampler.source, FlowSampler) and sampler.space != "gan":
            rng = make_rng(0, "export", "flow")
            noise = sampler.source.noise.draw(max(BATCH_SIZES), rng, None, 1.0)
            flow = sampler.source.flow.cpu()
            sources.append(ExportSource(FLOWS[sampler.space], flow, torch.from_numpy(noise)))
    return sources


def list_detector_networks(
    modules: Mapping[NetworkName, nn.Module], images: Tensor
) -> list[ExportSource]:
    """Return the networks that only detectors use, with test images as inputs."""
    return [ExportSource(name, module.cpu(), images) for name, module in modules.items()]


def export_graphs(
    source: ExportSource, formats: Sequence[GraphFormat] = get_args(GraphFormat)
) -> dict[GraphFormat, Graph]:
    """Export a network in `formats`, and compare each graph with eager PyTorch.

    Raises:
        ExportError: a graph cannot be exported, or differs by more than `MAX_DIFFERENCE`.
    """
    folded = fold_batch_norms(source.network)
    graphs: dict[GraphFormat, Graph] = {}
    for form in formats:
        export = _export_onnx if form == "onnx" else _export_torchscript
        content, run = export(folded, source)
        parity = measure_parity(source, run)
        if not parity <= MAX_DIFFERENCE:
            raise ExportError(
                f"{source.name}.{SUFFIXES[form]} differs from PyTorch by {parity:.3g}; "
                f"the limit is {MAX_DIFFERENCE:g}"
            )
        graphs[form] = Graph(content, parity)
    return graphs


def measure_parity(source: ExportSource, run: Runner) -> float:
    """Return the maximum absolute difference between `run` and eager PyTorch; NaN propagates."""
    differences = []
    for size in BATCH_SIZES:
        inputs = source.inputs[:size]
        for ours, theirs in zip(source.run(inputs), run(inputs.numpy()), strict=True):
            if ours.shape != theirs.shape:
                raise ExportError(
                    f"{source.name}: expected output shape {ours.shape}, got {theirs.shape}"
                )
            differences.append(np.abs(ours - theirs).max())
    return float(np.max(differences))


def _export_onnx(network: nn.Module, source: ExportSource) -> tuple[bytes, Runner]:
    """Export through torch.export, as one file that includes the weights."""
    try:
        with quiet_exporter():
            program = torch.onnx.export(
                network,
                (source.inputs[:2],),  # torch.export specialises a batch of one to a constant
                input_names=[source.input_name],
                output_names=list(source.output_names),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f"{source.name}: {str(error).splitlines()[0]}") from error
    if program is None:
        raise ExportError(f"{source.name}: the ONNX exporter returned None")
    model: Any = program.model_proto
    model.ir_version = IR_VERSION
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(inputs: Floats) -> list[Floats]:
        outputs: list[Floats] = session.run(list(source.output_names), {source.input_name: inputs})
        return outputs

    return content, run


def _strip(model: Any) -> None:  # noqa: ANN401 - the generated classes of onnx are untyped
    """Remove the exporter's stack traces, which contain paths of this machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]


def _export_torchscript(network: nn.Module, source: ExportSource) -> tuple[bytes, Runner]:
    """Trace and freeze a network: the weights become constants of the graph."""
    content = freeze(network, source.inputs[:2])
    return content, load_frozen(content)


def freeze(network: nn.Module, example: Tensor) -> bytes:
    """Return a traced network as a TorchScript file; its weights are constants of the graph."""
    with _deprecated_torchscript(), torch.no_grad():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, example, check_trace=False
        )
        frozen = torch.jit.freeze(traced)
        buffer = io.BytesIO()
        torch.jit.save(frozen, buffer)
    return _strip_archive(buffer.getvalue())


def load_frozen(content: bytes) -> Runner:
    """Load a TorchScript file, and return the function that runs it."""
    with _deprecated_torchscript():
        loaded = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]

    def run(inputs: Floats) -> list[Floats]:
        with torch.no_grad():
            return [output.numpy() for output in _as_tuple(loaded(torch.from_numpy(inputs)))]

    return run


def _strip_archive(content: bytes) -> bytes:
    """Remove TorchScript's stack traces, which contain paths of this machine."""
    stripped = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as original,
        zipfile.ZipFile(stripped, "w", zipfile.ZIP_STORED) as archive,
    ):
        for entry in original.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                archive.writestr(entry, original.read(entry))
    return stripped.getvalue()


@contextlib.contextmanager
def _deprecated_torchscript() -> Iterator[None]:
    """Ignore the warning of torch 2.11 and later that torch.export replaces TorchScript."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit", DeprecationWarning)
        yield


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Suppress the progress messages of the ONNX exporter; its exceptions are sufficient."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", r".*LeafSpec", FutureWarning
            )  # raised by its own code
            yield
    finally:
        logger.setLevel(level)


@torch.no_grad()
def _first_output(encoder: nn.Module, images: Tensor) -> Tensor:
    return _as_tuple(encoder(images))[0]


def _draw_noise(generator: Generator, images: Tensor) -> Tensor:
    """Return one fixed row of noise per image."""
    rng = make_generator(torch.device("cpu"), 0, "export", "noise")
    return torch.randn(len(images), generator.noise_size, generator=rng)


def _as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)
