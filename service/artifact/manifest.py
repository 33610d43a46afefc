"""The manifest of a bundle: networks, files, provenance and metrics.

The name and version of a bundle are its folder, `<store>/<name>/<version>/`. They are not in the
manifest, so a bundle can be copied to another store or renumbered without changes.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Literal, Self, TypeAlias

import jiter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import ArtifactError

SCHEMA_VERSION: Literal[2] = 2
"""The version that is written. Version 1 lacks the optional `shape`, `max_batch`, `codes` and
`examples`."""
MAX_MANIFEST_BYTES = 256 * 1024

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

_QUALITY_METRIC = "validation_frechet"
"""The distance by which samplers are compared; lower is better."""
MAX_NEAR_COPIES = 2.0
"""Percentage of `near_copies` from which a source counts as copying training images."""
_ENCODER_OUTPUTS: dict[SpaceName, int] = {"autoencoder": 1, "vae": 2}

FileName: TypeAlias = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_]*(\.[a-z0-9_]+)+$", max_length=64)
]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Level: TypeAlias = Annotated[int, Field(ge=0, le=65_535)]
Size: TypeAlias = Annotated[int, Field(ge=1, le=65_536)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ImageSpec(_Strict):
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


class TensorSpec(_Strict):
    """An input or output of a graph: float32; `shape` omits the leading batch dimension."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    shape: tuple[Size, ...]


class GraphFile(_Strict):
    """One stored form of a network."""

    file: FileName
    parity: Annotated[float, Field(ge=0)]
    """Largest absolute difference from the network in its own framework (eager PyTorch; for an
    imported network its original file) over test inputs and batch sizes."""


class NetworkSpec(_Strict):
    """A network: one input tensor, named outputs and the stored forms."""

    input: TensorSpec
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    formats: Annotated[dict[GraphFormat, GraphFile], Field(min_length=1)]
    max_batch: Annotated[int, Field(ge=1)] | None = None
    """Largest batch of one run, which bounds the memory of activations; 1 for a graph that takes
    single images only; None: the service's default."""


class SpaceSpec(_Strict):
    """A latent space; `SPACE_NETWORKS` names its encoder and decoder."""

    latent_size: Size
    shape: Annotated[tuple[Size, ...], Field(min_length=1)] | None = None
    """Shape of a latent before row-major flattening, such as (C, h, w); None: (L,)."""
    reference: FileName
    """Tensor `errors`: (N,) float32, ascending reconstruction MSE of each test image."""


class Metric(_Strict):
    """A measured value in `unit`, over `count` images of `split`."""

    value: float
    unit: str
    split: Literal["train", "validation", "test"]
    count: Annotated[int, Field(ge=1)]


class SamplerSpec(_Strict):
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


def is_copying(quality: Mapping[str, Metric]) -> bool:
    """Return whether the measured samples of a source are too near to training images.

    They are if their distance to the nearest training image (`validation_memorisation`) is under
    the source's `memorisation_limit`, or if more than `MAX_NEAR_COPIES` percent of them are nearer
    than 99 % of the validation images. A source without these metrics is not.
    """
    if "memorisation_limit" not in quality:
        return False
    return (
        quality["validation_memorisation"].value < quality["memorisation_limit"].value
        or quality["validation_near_copies"].value > MAX_NEAR_COPIES
    )


class Provenance(_Strict):
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


class FileEntry(_Strict):
    """Checksum and size that a file must have."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=1)]


class Manifest(_Strict):
    """A bundle; `files` lists every file that the other members name."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    image: ImageSpec
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    networks: dict[NetworkName, NetworkSpec]
    spaces: dict[SpaceName, SpaceSpec]
    samplers: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")], SamplerSpec]
    default_source: str | None = None
    maps: dict[SpaceName, FileName] = {}
    """The latent map of each space that has one."""
    report: FileName | None = None
    """A self-contained HTML page of metrics and images."""
    examples: FileName | None = None
    """A few test images, for the playground."""
    metrics: dict[str, Metric] = {}
    provenance: Provenance
    files: dict[FileName, FileEntry]

    def find_default_source(self, *, class_conditional: bool) -> str | None:
        """Return the default sample source, or None if the bundle has no sample source.

        Without `default_source` the first source in the manifest's order is the default.

        Args:
            class_conditional: Whether the request selects a class. Then the result is a
                class-conditional source, if the bundle has one: the default source, else the
                source with the lowest `validation_frechet` that does not copy training images,
                else the first.
        """
        default = self.default_source or next(iter(self.samplers), None)
        conditional = [name for name, spec in self.samplers.items() if spec.class_conditional]
        if not class_conditional or not conditional or default in conditional:
            return default
        qualities = {
            name: self.samplers[name].quality.get(_QUALITY_METRIC)
            for name in conditional
            if not is_copying(self.samplers[name].quality)
        }
        distances = {name: metric.value for name, metric in qualities.items() if metric}
        return min(distances, key=distances.__getitem__, default=conditional[0])

    def latent_size(self, space: SamplerSpace) -> int:
        """Return the number of values in a latent that the decoder of `space` takes."""
        return self.networks[DECODERS[space]].input.shape[0]

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        problems = [
            *self._space_problems(),
            *self._network_problems(),
            *self._flow_problems(),
            *self._sampler_problems(),
            *(f"{file} is not in files" for file in self._named_files() if file not in self.files),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _named_files(self) -> Iterator[str]:
        yield from (space.reference for space in self.spaces.values())
        for network in self.networks.values():
            yield from (graph.file for graph in network.formats.values())
        for sampler in self.samplers.values():
            yield from (file for file in (sampler.file, sampler.codes) if file is not None)
        yield from self.maps.values()
        yield from (file for file in (self.report, self.examples) if file is not None)

    def _space_problems(self) -> Iterator[str]:
        if "autoencoder" not in self.spaces:
            yield "space 'autoencoder' is missing"
        for name in self.maps.keys() - self.spaces.keys():
            yield f"map of space {name!r}, which is missing"
        for name, pair in SPACE_NETWORKS.items():
            if name not in self.spaces:
                if self.networks.keys() & set(pair):
                    yield f"networks of space {name!r}, which is missing"
                continue
            encoder, decoder = (self.networks.get(network) for network in pair)
            if encoder is None or decoder is None:
                yield f"space {name!r} needs the networks {' and '.join(pair)}"
                continue
            shapes = [*(output.shape for output in encoder.outputs), decoder.input.shape]
            size = self.spaces[name].latent_size
            shape = self.spaces[name].shape or (size,)
            if math.prod(shape) != size:
                yield f"space {name!r}: latents of shape {shape} have another size than {size}"
            if shapes != [(size,)] * (_ENCODER_OUTPUTS[name] + 1):
                yield f"space {name!r}: networks have latents {shapes}, latent_size is {size}"

    def _network_problems(self) -> Iterator[str]:
        for name, network in self.networks.items():
            takes_latents = name in DECODERS.values()
            if takes_latents and len(network.input.shape) != 1:
                yield f"{name} needs an input of shape (L,), has {network.input.shape}"
            takes_images = not takes_latents and name not in FLOWS.values()
            if takes_images and network.input.shape != self.image.shape:
                yield f"{name} needs an input of shape {self.image.shape}"
            if (takes_latents or name == "denoiser") and (
                network.outputs[0].shape != self.image.shape
            ):
                yield f"{name} needs an output of shape {self.image.shape}"
        classifier = self.networks.get("classifier")
        classes = len(self.classes or ())
        if classifier and classifier.outputs[0].shape != (classes,):
            yield f"classifier has output {classifier.outputs[0].shape} for {classes} classes"

    def _flow_problems(self) -> Iterator[str]:
        classes = len(self.classes or ())
        for space, name in FLOWS.items():
            if name not in self.networks:
                continue
            if space not in self.spaces:
                yield f"{name} of space {space!r}, which is missing"
                continue
            network, size = self.networks[name], self.spaces[space].latent_size
            shapes = (network.input.shape, network.outputs[0].shape)
            if shapes != ((size + classes,), (size,)):
                yield (
                    f"{name} needs an input of shape ({size + classes},), for {size} latents and "
                    f"{classes} classes, and an output of shape ({size},), has {shapes}"
                )

    def _sampler_problems(self) -> Iterator[str]:
        for name, sampler in self.samplers.items():
            for network in sampler.networks:
                if network not in self.networks:
                    yield f"sampler {name!r} needs the {network}, which is missing"
        if self.default_source is not None and self.default_source not in self.samplers:
            yield f"default_source {self.default_source!r} is not a sampler"


def parse_manifest(content: bytes) -> Manifest:
    """Parse a manifest.json strictly: unknown, duplicate and ill-typed members are rejected.

    Raises:
        ArtifactError: the content is not a valid manifest of this schema version.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise ArtifactError(f"the manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        members = jiter.from_json(content, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        raise ArtifactError(f"the manifest is not valid JSON: {error}") from error
    version = members.get("schema_version") if isinstance(members, dict) else None
    if version not in (1, SCHEMA_VERSION):
        raise ArtifactError(
            f"the manifest has schema_version {version!r}; expected 1 or {SCHEMA_VERSION}"
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ArtifactError(f"the manifest is invalid: {place}: {first['msg']}") from error
