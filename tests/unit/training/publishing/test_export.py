"""Exported graphs: standard operators, dynamic batch, and the same outputs as PyTorch."""

import io
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from service.artifact.samplers import FlowNoise
from service.artifact.specs import SpaceName
from training.errors import ExportError
from training.fitting.network_set import NetworkSet
from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.networks.classifiers import Classifier, ClassifierHead
from training.networks.flow import Flow
from training.networks.gan import Generator
from training.publishing import export
from training.publishing.export import (
    BATCH_SIZES,
    IR_VERSION,
    OPSET,
    ExportSource,
    export_graphs,
    list_flows,
    list_sources,
    measure_parity,
)
from training.recipe.schema import (
    AutoencoderRecipe,
    ClassifierRecipe,
    FlowRecipe,
    GanRecipe,
    VaeRecipe,
)
from training.sampling.flows import FlowSampler
from training.sampling.samplers import FittedSampler

SHAPE = (3, 10, 12)
PLAIN = {"Clip", "Conv", "ConvTranspose", "Gemm", "Relu", "Reshape", "Sigmoid", "Softmax"}
PLAIN |= {"Add", "Div", "Tanh"}  # a GAN's last layer
PLAIN |= {"Concat", "Mul", "Slice"}  # a flow


@pytest.fixture(scope="module")
def sources() -> dict[str, ExportSource]:
    """Return all networks of a small untrained bundle with BatchNorm, ready for export."""
    recipe = {"channels": [4, 6], "hidden": 8, "latent_size": 3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        autoencoder = Autoencoder(SHAPE, AutoencoderRecipe.model_validate_json(_json(recipe)))
        vae = VariationalAutoencoder(SHAPE, VaeRecipe.model_validate_json(_json(recipe)))
        head = ClassifierHead(3, 4, ClassifierRecipe(hidden=(5,)))
        images = torch.rand(40, *SHAPE)
    for network in (autoencoder, vae):
        network.train()(images)  # changes the statistics of BatchNorm
        network.eval()
    classifier = Classifier(autoencoder.encoder, head).eval()
    gan = Generator(SHAPE, GanRecipe(noise_size=7, hidden=(9, 8))).eval()
    networks = NetworkSet(autoencoder, autoencoder, vae, classifier, {}, gan)
    exported = list_sources(networks, images) + list_flows([_make_flow(), _make_flow("vae")])
    return {source.name: source for source in exported}


def _make_flow(space: SpaceName = "autoencoder") -> FittedSampler:
    """Return an untrained flow of two steps, with three latents and four classes."""
    noise = FlowNoise(np.ones(3, np.float32), np.full(4, 0.25))
    flow = Flow(torch.arange(12.0).reshape(4, 3), 4, FlowRecipe(width=8, blocks=2, steps=2))
    return FittedSampler("flow", space, FlowSampler(noise, flow.eval()))


def _json(recipe: dict[str, object]) -> str:
    return str(recipe).replace("'", '"')


NAMES = ["encoder", "decoder", "denoiser", "classifier", "vae_encoder", "vae_decoder"]
NAMES += ["generator", "flow", "vae_flow"]


@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_exported(sources: dict[str, ExportSource], name: str) -> None:
    """Both formats agree with PyTorch, and the ONNX file has standard operators only."""
    graphs = export_graphs(sources[name])

    model = onnx.load_from_string(graphs["onnx"].content)
    assert all(graph.parity < 1e-5 for graph in graphs.values())
    assert {node.op_type for node in model.graph.node} <= PLAIN
    assert all(
        tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer
    )
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)
    assert [tensor.name for tensor in model.graph.input] == [sources[name].input_name]
    assert [tensor.name for tensor in model.graph.output] == list(sources[name].output_names)
    tensors = (*model.graph.input, *model.graph.output)
    assert {tensor.type.tensor_type.shape.dim[0].dim_param for tensor in tensors} == {"batch"}


def test_the_reports_network_is_exported_at_an_odd_size() -> None:
    """The other architecture and another shape also agree with PyTorch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Autoencoder((1, 9, 7), AutoencoderRecipe(architecture="seed", latent_size=2))
        source = ExportSource("denoiser", network.eval(), torch.rand(33, 1, 9, 7))

    graphs = export_graphs(source)

    assert all(graph.parity < 1e-5 for graph in graphs.values())


def test_tensor_names_are_descriptive(sources: dict[str, ExportSource]) -> None:
    """Users of the graphs depend on these names."""
    names = {name: (one.input_name, one.output_names) for name, one in sources.items()}

    assert names == {
        "encoder": ("images", ("latents",)),
        "decoder": ("latents", ("images",)),
        "denoiser": ("images", ("denoised",)),
        "classifier": ("images", ("probabilities",)),
        "vae_encoder": ("images", ("means", "log_variances")),
        "vae_decoder": ("latents", ("images",)),
        "generator": ("latents", ("images",)),
        "flow": ("noise", ("latents",)),
        "vae_flow": ("noise", ("latents",)),
    }


def test_a_graph_that_differs_is_an_error(
    sources: dict[str, ExportSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a difference above 1e-4 has the file and the difference."""
    original = export._export_onnx

    def shift(network: nn.Module, source: ExportSource) -> tuple[bytes, export.Runner]:
        content, run = original(network, source)
        return content, lambda inputs: [output + 2e-4 for output in run(inputs)]

    monkeypatch.setattr(export, "_export_onnx", shift)

    with pytest.raises(ExportError, match=r"encoder\.onnx differs from PyTorch by 0\.0002"):
        export_graphs(sources["encoder"])


def test_a_graph_that_returns_nan_is_an_error(
    sources: dict[str, ExportSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN counts as a difference."""
    original = export._export_torchscript

    def corrupt(network: nn.Module, source: ExportSource) -> tuple[bytes, export.Runner]:
        content, run = original(network, source)
        return content, lambda inputs: [output * np.float32("nan") for output in run(inputs)]

    monkeypatch.setattr(export, "_export_torchscript", corrupt)

    with pytest.raises(ExportError, match=r"encoder\.pt differs"):
        export_graphs(sources["encoder"])


def test_parity_is_the_maximum_over_all_batch_sizes(
    sources: dict[str, ExportSource],
) -> None:
    """A difference at a single batch size is detected."""
    source = sources["encoder"]
    sizes = []

    def run(inputs: np.ndarray) -> list[np.ndarray]:
        sizes.append(len(inputs))
        outputs = source.run(torch.from_numpy(inputs))
        if len(inputs) == 33:
            outputs[0][32, 0] += 0.5
        return outputs

    assert measure_parity(source, run) == pytest.approx(0.5)
    assert tuple(sizes) == BATCH_SIZES


def test_a_graph_with_a_fixed_batch_is_an_error(sources: dict[str, ExportSource]) -> None:
    """The error has both output shapes."""
    source = sources["encoder"]

    with pytest.raises(ExportError, match=r"expected output shape \(2, 3\), got \(1, 3\)"):
        measure_parity(source, lambda inputs: source.run(torch.from_numpy(inputs[:1])))


@pytest.mark.parametrize("name", NAMES)
def test_graphs_contain_no_local_paths(sources: dict[str, ExportSource], name: str) -> None:
    """Both formats are free of stack traces."""
    graphs = export_graphs(sources[name])

    with zipfile.ZipFile(io.BytesIO(graphs["torchscript"].content)) as archive:
        contents = [archive.read(entry) for entry in archive.namelist()]
    here = str(Path(torch.__file__).parents[1]).encode()
    assert contents
    assert not any(here in content for content in (graphs["onnx"].content, *contents))
