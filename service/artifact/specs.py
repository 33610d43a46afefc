"""The parts of a manifest: images, networks, spaces, samplers, metrics and provenance."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

SpaceName: TypeAlias = Literal["autoencoder", "vae"]
SamplerSpace: TypeAlias = Literal["autoencoder", "vae", "gan"]
"""The space of a sampler's latents: a latent space, or the noise of a GAN's generator."""
NetworkName: TypeAlias = Literal[
    "encoder",
    "decoder",
    "denoiser",
    "classifier",
    "vae_encoder",
    "vae_decoder",
    "generator",
    "flow",
    "vae_flow",
    "patch_density",
    "segmenter",
]
GraphFormat: TypeAlias = Literal["onnx", "torchscript"]
"""The stored forms of a network. The backend of a form is the module `service.runtimes.<form>`."""

SPACE_NETWORKS: dict[SpaceName, tuple[NetworkName, NetworkName]] = {
    "autoencoder": ("encoder", "decoder"),
    "vae": ("vae_encoder", "vae_decoder"),
}
"""The encoder and the decoder of each latent space."""

DECODERS: dict[SamplerSpace, NetworkName] = {
    "autoencoder": "decoder",
    "vae": "vae_decoder",
    "gan": "generator",
}
"""The network that turns the latents of a sampler into images."""

FLOWS: dict[SpaceName, NetworkName] = {"autoencoder": "flow", "vae": "vae_flow"}
"""The network that turns noise into latents of each space: (N, L + K) to (N, L).

Its input is noise of N(0, I) beside a one-hot class, or the noise alone without classes (K = 0).
"""

ANOMALY_MAPS: frozenset[NetworkName] = frozenset({"patch_density", "segmenter"})
"""Networks from images (N, C, H, W) to anomaly maps (N, h, w)."""

DETECTOR_NETWORKS: dict[str, tuple[NetworkName, ...]] = {
    "reconstruction": ("encoder", "decoder"),
    "neighbours": (),
    "patches": ("patch_density",),
    "segmentation": ("segmenter",),
}
"""The networks that run for each kind of detector, in order; `combined` runs its members'."""

FileName: TypeAlias = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_]*(\.[a-z0-9_]+)+$", max_length=64)
]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Level: TypeAlias = Annotated[int, Field(ge=0, le=65_535)]
Size: TypeAlias = Annotated[int, Field(ge=1, le=65_536)]


class StrictModel(BaseModel):
    """Base of records that reject unknown members, conversions and infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ImageSpec(StrictModel):
    """The images of a bundle, float32 NCHW in [0, 1], and how image files are converted."""

    channels: Literal[1, 3]
    height: Size
    width: Size
    resize: Literal["pad", "crop", "stretch"] = "pad"
    """pad: fit inside, centred on the background; crop: fill and cut; stretch: ignore aspect."""
    background: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.0,)
    """One value per channel in [0, 1], for padding and behind transparent pixels."""
    levels: tuple[Level, Level] | None = None
    """The levels of 16-bit files that become black and white; None: 0 and 65,535."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, self.height, self.width)

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if len(self.background) != self.channels:
            raise ValueError(
                f"expected one background value per channel, {self.channels}, "
                f"got {len(self.background)}"
            )
        if self.levels is not None and self.levels[0] >= self.levels[1]:
            raise ValueError(f"expected levels in ascending order, got {self.levels}")
        return self


class TensorSpec(StrictModel):
    """An input or output of a graph: float32; `shape` omits the leading batch dimension."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    shape: tuple[Size, ...]


class GraphFile(StrictModel):
    """One stored form of a network."""

    file: FileName
    parity: Annotated[float, Field(ge=0)]
    """Largest absolute difference from the network in its own framework (eager PyTorch; for an
    imported network its original file) over test inputs and batch sizes."""


class NetworkSpec(StrictModel):
    """A network: one input tensor, named outputs and the stored forms."""

    input: TensorSpec
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    formats: Annotated[dict[GraphFormat, GraphFile], Field(min_length=1)]
    max_batch: Annotated[int, Field(ge=1)] | None = None
    """Largest batch of one run, which bounds the memory of activations; 1 for a graph that takes
    single images only; None: the service's default."""


class SpaceSpec(StrictModel):
    """A latent space; `SPACE_NETWORKS` names its encoder and decoder."""

    latent_size: Size
    shape: Annotated[tuple[Size, ...], Field(min_length=1)] | None = None
    """Shape of a latent before row-major flattening, such as (C, h, w); None: (L,)."""
    reference: FileName
    """Tensor `errors`: (N,) float32, ascending reconstruction MSE of each test image."""


class Metric(StrictModel):
    """A measured value in `unit`, over `count` images of `split`."""

    value: float
    unit: str
    split: Literal["train", "validation", "test"]
    count: Annotated[int, Field(ge=1)]


class SamplerSpec(StrictModel):
    """A sampler. `kind` selects the class that reads `file`."""

    kind: str
    space: SamplerSpace
    file: FileName | None = None
    codes: FileName | None = None
    """Another sampler's file that has the tensors `codes` and `labels`, if `file` lacks them."""
    class_conditional: bool = False
    quality: dict[str, Metric] = {}
    """Sample quality as measured by a separate judge network."""

    @property
    def networks(self) -> tuple[NetworkName, ...]:
        """The networks that run to sample images, in order."""
        decoder = DECODERS[self.space]
        if self.kind == "flow" and self.space != "gan":
            return (FLOWS[self.space], decoder)
        return ("generator", "encoder", decoder) if self.kind == "gan-filtered" else (decoder,)

    @model_validator(mode="after")
    def _check_flow(self) -> Self:
        if self.kind == "flow" and self.space == "gan":
            raise ValueError("a sampler of kind 'flow' needs a latent space, has the space 'gan'")
        return self


class DetectorSpec(StrictModel):
    """A detector of anomalies. `kind` selects the class that reads `file`."""

    kind: Literal["reconstruction", "neighbours", "patches", "segmentation", "combined"]
    file: FileName
    members: tuple[str, ...] = ()
    """The detectors that the kind `combined` takes the maximum of."""
    quality: dict[str, Metric] = {}
    """How well it separates normal images from defects, and what its threshold is worth."""

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        if (self.kind == "combined") != bool(self.members):
            raise ValueError(
                f"expected members for the kind 'combined' only, got {self.members} for "
                f"{self.kind!r}"
            )
        return self


def is_copying(quality: Mapping[str, Metric]) -> bool:
    """Return whether the measured samples of a source are too near to training images.

    They are if their distance to the nearest training image (`validation_memorisation`) is under
    the source's `memorisation_limit`, or if the percentage of them that is nearer than 99 % of the
    validation images (`validation_near_copies`) is over its `near_copies_limit`. A source without
    these metrics is not.
    """
    if "near_copies_limit" not in quality:
        return False
    return (
        quality["validation_memorisation"].value < quality["memorisation_limit"].value
        or quality["validation_near_copies"].value > quality["near_copies_limit"].value
    )


class Provenance(StrictModel):
    """How the bundle was made, in enough detail to make it again."""

    created: datetime
    command: str
    dataset: str
    dataset_digest: Sha256
    """SHA-256 of the training and test pixels and labels as they were used."""
    images: dict[str, int]
    """Number of images in each split."""
    seed: int
    recipe: dict[str, object]
    epochs: dict[str, int]
    """Epoch of the selected weights of each trained network."""
    libraries: dict[str, str]


class FileEntry(StrictModel):
    """Checksum and size that a file must have."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=1)]
