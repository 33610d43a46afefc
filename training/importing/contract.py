"""Networks of the contract, made from graphs, and compared with the originals on real images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto

from service.artifact import GraphFile, NetworkSpec, TensorSpec
from service.artifact.onnx_validation import validate_graph
from service.artifact.specs import NetworkName
from service.errors import ArtifactError
from training.errors import ModelImportError
from training.importing.forms.codes import CodeOutput, Variance
from training.importing.forms.formats import Floats, Layout, PixelScale
from training.importing.graphs.batches import TOLERANCE
from training.importing.graphs.files import NetworkFile
from training.importing.graphs.onnx_graph import Graph
from training.importing.graphs.torchscript import Conversion, script
from training.importing.graphs.wrapping import Wrapper
from training.importing.networks import OnnxNetwork
from training.publishing.batch_size import DEFAULT, choose_max_batch
from training.publishing.bundle import PublishedNetwork

_BATCHES = (1, 2, 33)


@dataclass(frozen=True, slots=True)
class ContractNetwork:
    """A wrapped network that has passed the comparison."""

    name: NetworkName
    model: ModelProto
    parity: float
    """Largest absolute difference from the original on real images."""
    max_batch: int | None
    latent_shape: tuple[int, ...] | None = None
    shares: NetworkName | None = None
    """Another network with the same graph, whose files this one uses."""
    torchscript: tuple[bytes, float] | None = None
    """A TorchScript file with its parity, if the original was one."""

    @property
    def stem(self) -> str:
        """The files' name. A VAE that also serves as the autoencoder has one decoder."""
        return self.shares or self.name

    def to_module(self) -> OnnxNetwork:
        """Return the network as a PyTorch module."""
        return OnnxNetwork(self.model, self.max_batch or DEFAULT)

    def publish(self) -> PublishedNetwork:
        """Return the network's files and manifest entry."""
        files = {f"{self.stem}.onnx": self.model.SerializeToString()}
        formats = {"onnx": GraphFile(file=f"{self.stem}.onnx", parity=self.parity)}
        if self.torchscript is not None:
            files[f"{self.stem}.pt"], parity = self.torchscript
            formats["torchscript"] = GraphFile(file=f"{self.stem}.pt", parity=parity)
        graph = self.model.graph
        source, *outputs = (_describe(value) for value in (*graph.input, *graph.output))
        spec = NetworkSpec.model_validate(
            {
                "input": source,
                "outputs": tuple(outputs),
                "formats": formats,
                "max_batch": self.max_batch,
            }
        )
        return PublishedNetwork(spec, files, self.latent_shape)


def wrap_encoder(graph: Graph, layout: Layout, scale: PixelScale, code: CodeOutput) -> ModelProto:
    """Return the graph of an encoder: `images` to `latents`."""
    wrapper = Wrapper()
    images = wrapper.images_in("images", layout, scale)
    (tensor,) = wrapper.network(graph, images, [code.name])
    latents = _select(wrapper, tensor, code)
    size = (int(np.prod(code.shape)),)
    return wrapper.finish(graph, ("images", layout.image), {"latents": (latents, size)})


def wrap_vae_encoder(
    graph: Graph,
    layout: Layout,
    scale: PixelScale,
    outputs: tuple[CodeOutput, CodeOutput],
    kind: Variance,
) -> ModelProto:
    """Return the graph of a VAE's encoder: `images` to `means` and `log_variances`."""
    wrapper, (mean, variance) = Wrapper(), outputs
    images = wrapper.images_in("images", layout, scale)
    tensors = wrapper.network(graph, images, [mean.name, variance.name])
    means = _select(wrapper, tensors[0], mean)
    values = _select(wrapper, tensors[1], variance)
    if kind in {"std", "variance"}:
        values = wrapper.add("Log", wrapper.compute("Max", values, 1e-12))
    if kind in {"std", "logstd"}:
        values = wrapper.compute("Mul", values, 2.0)
    size = (int(np.prod(mean.shape)),)
    found: dict[str, tuple[str, Sequence[int]]] = {
        "means": (means, size),
        "log_variances": (values, size),
    }
    return wrapper.finish(graph, ("images", layout.image), found)


def wrap_decoder(
    graph: Graph, shape: Sequence[int], layout: Layout, scale: PixelScale, output: str
) -> ModelProto:
    """Return the graph of a decoder: `latents` to `images`.

    Args:
        graph: The decoder.
        shape: The shape of a code in its input, without the batch.
        layout: The layout of its output.
        scale: The pixels of its output.
        output: The name of its output.
    """
    wrapper = Wrapper()
    (tensor,) = wrapper.network(graph, wrapper.reshape("latents", shape), [output])
    images = wrapper.images_out(tensor, layout, scale)
    size = (int(np.prod(shape)),)
    return wrapper.finish(graph, ("latents", size), {"images": (images, layout.image)})


def wrap_denoiser(
    graph: Graph, layouts: tuple[Layout, Layout], scales: tuple[PixelScale, PixelScale], output: str
) -> ModelProto:
    """Return the graph of a denoiser: `images` to `denoised`."""
    wrapper = Wrapper()
    images = wrapper.images_in("images", layouts[0], scales[0])
    (tensor,) = wrapper.network(graph, images, [output])
    denoised = wrapper.images_out(tensor, layouts[1], scales[1])
    image = layouts[0].image
    return wrapper.finish(graph, ("images", image), {"denoised": (denoised, image)})


def wrap_classifier(
    graph: Graph, layout: Layout, scale: PixelScale, output: str, classes: int, *, softmax: bool
) -> ModelProto:
    """Return the graph of a classifier: `images` to `probabilities`."""
    wrapper = Wrapper()
    images = wrapper.images_in("images", layout, scale)
    (scores,) = wrapper.network(graph, images, [output])
    if softmax:
        scores = wrapper.add("Softmax", scores, axis=1)
    return wrapper.finish(graph, ("images", layout.image), {"probabilities": (scores, (classes,))})


def complete(
    name: NetworkName,
    original: tuple[NetworkFile, Graph],
    model: ModelProto,
    inputs: Floats,
    *,
    reference: Callable[[Floats], list[Floats]],
    conversion: Conversion,
    latent_shape: tuple[int, ...] | None = None,
) -> ContractNetwork:
    """Check a wrapped graph, and compare it with its original.

    Args:
        name: The network in the manifest.
        original: The user's file, and its graph.
        model: The wrapped graph.
        inputs: (N, ...) images or latents of real images.
        reference: Computes the outputs with the original.
        conversion: The same wrapping for a TorchScript file.
        latent_shape: For an encoder the shape of a latent.

    Raises:
        ModelImportError: the service would not accept the graph, or it differs.
    """
    file, graph = original
    content = model.SerializeToString()
    try:
        onnx.checker.check_model(content)
        validate_graph(content)
    except (onnx.checker.ValidationError, ArtifactError) as error:
        raise ModelImportError(f"{graph.name}: {str(error).splitlines()[0]}") from error
    max_batch = graph.batch or choose_max_batch(model)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name

    def run(batch: Floats) -> list[Floats]:
        outputs: list[Floats] = session.run(None, {source: batch})
        return outputs

    parity = measure_parity(graph.name, inputs, run, reference, max_batch)
    torchscript = None
    if file.format == "torchscript":
        script_content, run_script = script(file, conversion, inputs)
        differs = measure_parity(file.name, inputs, run_script, reference, max_batch)
        torchscript = (script_content, differs)
    return ContractNetwork(name, model, parity, max_batch, latent_shape, torchscript=torchscript)


def measure_parity(
    name: str,
    inputs: Floats,
    run: Callable[[Floats], list[Floats]],
    reference: Callable[[Floats], list[Floats]],
    max_batch: int | None,
) -> float:
    """Return the largest absolute difference over several batch sizes.

    Raises:
        ModelImportError: it is too large, or NaN.
    """
    largest, allowed = 0.0, TOLERANCE
    for size in sorted({min(size, max_batch or size, len(inputs)) for size in _BATCHES}):
        for ours, theirs in zip(run(inputs[:size]), reference(inputs[:size]), strict=True):
            allowed = max(allowed, TOLERANCE * float(np.abs(theirs).max()))
            largest = float(np.maximum(largest, np.abs(ours - theirs.reshape(ours.shape)).max()))
    if not largest <= allowed:
        raise ModelImportError(
            f"{name}: the imported network differs from the original by {largest:.3g} on real "
            f"images; the limit is {allowed:.3g}. Export it in evaluation mode (model.eval())"
        )
    return largest


def _select(wrapper: Wrapper, tensor: str, code: CodeOutput) -> str:
    """Append the selection of a code's half, if it has one."""
    if code.half is not None:
        size = code.shape[code.axis - 1]
        indices = np.arange(code.half * size, (code.half + 1) * size, dtype=np.int64)
        tensor = wrapper.add("Gather", tensor, wrapper.constant(indices), axis=code.axis)
    return tensor


def _describe(value: onnx.ValueInfoProto) -> TensorSpec:
    sizes = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])
    return TensorSpec(name=value.name, shape=sizes)
