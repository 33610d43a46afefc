"""A backend without weights, and bundles for it: the whole service runs in milliseconds.

The outputs are easy to predict. Each latent coordinate of an image is the image's mean. A latent
code or noise decodes to an image filled with its first coordinate. The class of an image is its
mean on a scale of K.
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from service.artifact import (
    Bundle,
    DetectorSpec,
    GraphFile,
    ImageSpec,
    Manifest,
    Metric,
    NetworkSpec,
    Provenance,
    SamplerSpec,
    SpaceSpec,
    TensorSpec,
    publish,
    stage,
    write_manifest,
)
from service.artifact.detectors import (
    Calibration,
    NeighbourDetector,
    ReconstructionDetector,
    SegmentationDetector,
)
from service.artifact.detectors.neighbours import reduce_images
from service.artifact.examples import Examples
from service.artifact.maps import LatentMap
from service.artifact.samplers import FlowNoise, KernelDensity
from service.artifact.specs import GraphFormat
from service.artifact.store import describe_content
from service.artifact.tensor_files import write_reference_errors
from service.errors import ArtifactError
from service.runtimes import Device, DeviceChoice, Floats, Network

LATENT_SIZE = 4
MAP_SHAPE = (4, 3)
NORMAL_SCORES = np.linspace(0, 0.5, 99, dtype=np.float32)
"""The mean of an image is its score by `segmentation`, and an image under 0.5 is normal."""
NOISE_SIZE = 3
CLASSES = ("dark", "grey", "light")
IMAGE = ImageSpec(channels=1, height=8, width=6, background=(0.0,))
REPORT = b"<!DOCTYPE html><title>A fake report</title>"
REFERENCE_ERRORS = np.array([0.0, 0.01, 0.04, 0.25], dtype=np.float32)


class FakeNetwork:
    """Network whose outputs follow from the name of its graph."""

    def __init__(self, graph: str, spec: NetworkSpec) -> None:
        """Store the graph's name and the tensor shapes."""
        self._graph = graph
        self._spec = spec

    def run(self, batch: Floats) -> list[Floats]:
        """See `service.runtimes.base.Network.run`."""
        if batch.shape[1:] != self._spec.input.shape or batch.dtype != np.float32:
            raise AssertionError(f"Unexpected input for {self._graph}: {batch.dtype} {batch.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            means = batch.reshape(len(batch), -1).mean(axis=1)
            return [
                self._fill(means, batch, output.name, output.shape) for output in self._spec.outputs
            ]

    def _fill(self, means: Floats, batch: Floats, output: str, shape: tuple[int, ...]) -> Floats:
        if output == "log_variances":
            return np.full((len(batch), *shape), -2, dtype=np.float32)
        if output == "probabilities":
            distance = np.abs(means[:, None] - np.linspace(0, 1, shape[0], dtype=np.float32))
            return np.exp(-20 * distance) / np.exp(-20 * distance).sum(axis=1, keepdims=True)
        if self._graph.endswith(("decoder", "generator")):
            value = batch[:, 0] + 0 * (batch**2).sum(axis=1)  # inf * 0 = NaN, as in a real network
        else:
            value = means
        return np.broadcast_to(
            np.clip(value, 0, 1).reshape(-1, *[1] * len(shape)), (len(batch), *shape)
        ).astype(np.float32)


class FakeRuntime:
    """Runtime for graphs that contain only the name of their network."""

    def __init__(self, graph_format: GraphFormat = "onnx") -> None:
        """Declare the format of a real backend."""
        self.format: GraphFormat = graph_format
        self.device: Device = "cpu"
        self.platform = "onnxruntime_onnx"

    def load(self, graph: bytes, spec: NetworkSpec) -> Network:
        """See `service.runtimes.base.Runtime.load`."""
        if graph.startswith(b"broken"):
            raise ArtifactError("The fake graph is broken.")
        return FakeNetwork(graph.decode(), spec)


def open_fake_backend(backend: GraphFormat, threads: int, device: DeviceChoice) -> FakeRuntime:
    """Replace `service.runtimes.open_runtime`."""
    assert threads >= 1
    assert device in {"auto", "cpu"}
    return FakeRuntime(backend)


def write_bundle(
    store: Path,
    name: str,
    *,
    image: ImageSpec = IMAGE,
    without: frozenset[str] = frozenset(),
    flow: FlowNoise | None = None,
) -> Bundle:
    """Publish a fake bundle without the parts in `without`.

    Parts are network names, `vae`, `gan`, `classes`, `detectors`, and `extras` (the maps and the
    report).

    Args:
        store: The models store.
        name: The bundle's name.
        image: The images.
        without: Parts to omit.
        flow: The input of a flow in the autoencoder's space, which then is a source.
    """
    files = _make_files(image)
    networks = {
        network: spec
        for network, spec in _make_networks(image).items()
        if network not in without and not ("vae" in without and network.startswith("vae"))
    }
    if "gan" in without:
        networks.pop("generator")
    samplers = {
        "kde": SamplerSpec(
            kind="kde",
            space="autoencoder",
            file="kde.safetensors",
            class_conditional="classes" not in without,
            quality={
                "recognisable": Metric(value=92.0, unit="percent", split="validation", count=100)
            },
        )
    }
    if flow is not None:
        files |= {"flow.onnx": b"flow", "flow.pt": b"flow", "flow.safetensors": flow.to_bytes()}
        networks["flow"] = _make_flow(0 if "classes" in without else len(CLASSES))
        samplers["flow"] = SamplerSpec(
            kind="flow",
            space="autoencoder",
            file="flow.safetensors",
            class_conditional="classes" not in without,
        )
    spaces = {"autoencoder": SpaceSpec(latent_size=LATENT_SIZE, reference="errors.safetensors")}
    if "vae" not in without:
        samplers["prior"] = SamplerSpec(kind="prior", space="vae")
        spaces["vae"] = SpaceSpec(latent_size=LATENT_SIZE, reference="errors.safetensors")
    if "gan" not in without:
        samplers["gan"] = SamplerSpec(kind="prior", space="gan")
        samplers["gan-filtered"] = SamplerSpec(kind="gan-filtered", space="autoencoder")
    if "classes" in without:
        networks.pop("classifier", None)
    detectors = {} if "detectors" in without else _make_detectors()
    if not detectors:
        networks.pop("segmenter")
    maps = {} if "extras" in without else dict.fromkeys(spaces, "map.safetensors")
    manifest = Manifest(
        image=image,
        classes=None if "classes" in without else CLASSES,
        networks=networks,
        spaces=spaces,
        samplers=samplers,
        default_source="kde",
        detectors=detectors,
        default_detector="combined" if detectors else None,
        maps=maps,
        report="report.html" if maps else None,
        examples="examples.safetensors" if maps else None,
        metrics={"reconstruction_mse": Metric(value=0.01, unit="mse", split="test", count=4)},
        provenance=_make_provenance(),
        files={file: describe_content(content) for file, content in files.items()},
    )
    with stage(store, name) as folder:
        for file, content in files.items():
            (folder / file).write_bytes(content)
        write_manifest(folder, manifest)
        return publish(folder, store, name)


def _make_networks(image: ImageSpec) -> dict[str, NetworkSpec]:
    images = TensorSpec(name="images", shape=image.shape)
    latents = TensorSpec(name="latents", shape=(LATENT_SIZE,))
    noise = TensorSpec(name="latents", shape=(NOISE_SIZE,))
    means = TensorSpec(name="means", shape=(LATENT_SIZE,))
    log_variances = TensorSpec(name="log_variances", shape=(LATENT_SIZE,))
    probabilities = TensorSpec(name="probabilities", shape=(len(CLASSES),))
    tensors = {
        "encoder": (images, (latents,)),
        "decoder": (latents, (images,)),
        "denoiser": (images, (images,)),
        "classifier": (images, (probabilities,)),
        "vae_encoder": (images, (means, log_variances)),
        "vae_decoder": (latents, (images,)),
        "generator": (noise, (images,)),
        "segmenter": (images, (TensorSpec(name="anomaly_map", shape=MAP_SHAPE),)),
    }
    return {network: _make_network(network, *specs) for network, specs in tensors.items()}


def _make_flow(classes: int) -> NetworkSpec:
    noise = TensorSpec(name="noise", shape=(LATENT_SIZE + classes,))
    return _make_network("flow", noise, (TensorSpec(name="latents", shape=(LATENT_SIZE,)),))


def _make_network(
    name: str, input_spec: TensorSpec, outputs: tuple[TensorSpec, ...]
) -> NetworkSpec:
    return NetworkSpec(
        input=input_spec,
        outputs=outputs,
        formats={
            "onnx": GraphFile(file=f"{name}.onnx", parity=0.0),
            "torchscript": GraphFile(file=f"{name}.pt", parity=0.0),
        },
    )


def _make_files(image: ImageSpec) -> dict[str, bytes]:
    graphs = {
        f"{network}.{suffix}": network.encode()
        for network in _make_networks(image)
        for suffix in ("onnx", "pt")
    }
    levels = np.linspace(0, 1, len(CLASSES), dtype=np.float32)
    density = KernelDensity(
        codes=np.repeat(levels[:, None], LATENT_SIZE, axis=1),
        scale=np.ones(LATENT_SIZE, dtype=np.float32),
        bandwidth=0.001,
        labels=np.arange(len(CLASSES)),
    )
    return {
        **graphs,
        **_make_detector_files(image),
        "kde.safetensors": density.to_bytes(),
        "errors.safetensors": write_reference_errors(REFERENCE_ERRORS),
        "map.safetensors": make_map().to_bytes(),
        "report.html": REPORT,
        "examples.safetensors": make_examples(image).to_bytes(),
    }


def _make_detectors() -> dict[str, DetectorSpec]:
    singles = {
        kind: DetectorSpec(kind=kind, file=f"{kind}.safetensors")
        for kind in ("segmentation", "neighbours", "reconstruction")
    }
    members = ("segmentation", "reconstruction")
    combined = DetectorSpec(
        kind="combined",
        file="combined.safetensors",
        members=members,
        quality={"validation_auroc": Metric(value=0.9, unit="", split="validation", count=9)},
    )
    return {**singles, "combined": combined}


def _make_detector_files(image: ImageSpec) -> dict[str, bytes]:
    calibration = Calibration(NORMAL_SCORES, centre=0.0, scale=1.0)
    black = reduce_images(np.zeros((1, *image.shape), np.float32)).astype(np.uint8)
    zeros = np.zeros((image.height, image.width), np.float32)
    detectors = {
        "segmentation": SegmentationDetector(calibration),
        "neighbours": NeighbourDetector(calibration, black),
        "reconstruction": ReconstructionDetector(calibration, zeros, zeros + 1),
        "combined": calibration,
    }
    return {f"{name}.safetensors": each.to_bytes() for name, each in detectors.items()}


def make_examples(image: ImageSpec) -> Examples:
    """Return an image of each class, filled with its level."""
    levels = np.array([0, 128, 255], np.uint8)[:, None, None, None]
    images = np.ascontiguousarray(np.broadcast_to(levels, (3, *image.shape)))
    return Examples(images, np.arange(3))


def make_map() -> LatentMap:
    """Return a map of three latent codes with distinct coordinates."""
    codes = np.arange(3 * LATENT_SIZE, dtype=np.float32).reshape(3, LATENT_SIZE) / 3
    return LatentMap(
        codes=codes,
        pca=codes[:, :2],
        tsne=codes[:, 2:],
        mean=np.full(LATENT_SIZE, 1 / 3, np.float32),
        components=np.eye(2, LATENT_SIZE, dtype=np.float32),
        labels=np.arange(3),
    )


def _make_provenance() -> Provenance:
    return Provenance(
        created=datetime(2026, 1, 1, tzinfo=UTC),
        command="none: a fake bundle",
        dataset="none",
        dataset_digest="0" * 64,
        images={"train": 3, "validation": 1, "test": 4},
        seed=0,
        recipe={},
        epochs={},
        libraries={},
    )
