"""The manifest: what a bundle holds, how it was made and what was measured.

The bundle's name and version are its folder, `<store>/<name>/<version>/`, and stand nowhere
in the manifest, so a bundle can be copied to another store or renumbered as it is.
"""

from datetime import datetime
from typing import Annotated, Literal, Self, TypeAlias

import jiter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import ArtifactError

SCHEMA_VERSION: Literal[1] = 1
MAX_MANIFEST_BYTES = 256 * 1024

SpaceName: TypeAlias = Literal["autoencoder", "vae"]
SamplerSpace: TypeAlias = Literal["autoencoder", "vae", "gan"]
"""Where a source's latents lie: a space, or the noise that a GAN's generator takes."""
NetworkName: TypeAlias = Literal[
    "encoder", "decoder", "denoiser", "classifier", "vae_encoder", "vae_decoder", "generator"
]
GraphFormat: TypeAlias = Literal["onnx", "torchscript"]

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
"""What makes images of a source's latents."""

_DISTANCE = "validation_frechet"

_ENCODER_OUTPUTS: dict[SpaceName, int] = {"autoencoder": 1, "vae": 2}

FileName: TypeAlias = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_]*(\.[a-z0-9_]+)+$", max_length=64)
]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size: TypeAlias = Annotated[int, Field(ge=1, le=65_536)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ImageSpec(_Strict):
    """The images a bundle works on: float32, NCHW, in [0, 1], and how files become them."""

    channels: Literal[1, 3]
    height: Size
    width: Size
    resize: Literal["pad", "crop", "stretch"] = "pad"
    """pad: fit inside and centre on the background; crop: fill and cut; stretch: ignore aspect."""
    background: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.0,)
    """One value a channel in [0, 1]: the padding, and what lies under transparency."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, self.height, self.width)

    @model_validator(mode="after")
    def _one_background_value_a_channel(self) -> Self:
        if len(self.background) != self.channels:
            raise ValueError("background needs one value a channel")
        return self


class TensorSpec(_Strict):
    """A graph's input or output: float32; `shape` leaves out the leading batch dimension."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    shape: tuple[Size, ...]


class GraphFile(_Strict):
    """One stored form of a network."""

    file: FileName
    parity: Annotated[float, Field(ge=0)]
    """Largest absolute difference from eager PyTorch over test inputs and batch sizes."""


class NetworkSpec(_Strict):
    """One network: one input tensor, named outputs, and its stored forms."""

    input: TensorSpec
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    formats: Annotated[dict[GraphFormat, GraphFile], Field(min_length=1)]


class SpaceSpec(_Strict):
    """A latent space, reached through its `SPACE_NETWORKS`."""

    latent_size: Size
    reference: FileName
    """Tensor `errors`: (N,) float32, ascending per-image reconstruction MSE of the test set."""


class Metric(_Strict):
    """A measured figure: `value` in `unit`, over `count` images of `split`."""

    value: float
    unit: str
    split: Literal["train", "validation", "test"]
    count: Annotated[int, Field(ge=1)]


class SamplerSpec(_Strict):
    """A source of latents. `kind` names the class that reads `file`."""

    kind: str
    space: SamplerSpace
    file: FileName | None = None
    class_conditional: bool = False
    quality: dict[str, Metric] = {}
    """How good its samples are, as an independent judge network measured it."""

    @property
    def networks(self) -> tuple[NetworkName, ...]:
        """What runs to draw images from it, in order."""
        decoder = DECODERS[self.space]
        return ("generator", "encoder", decoder) if self.kind == "gan-filtered" else (decoder,)


class Provenance(_Strict):
    """How the bundle was made: enough to make it again."""

    created: datetime
    command: str
    dataset: str
    dataset_digest: Sha256
    """sha256 over the training and test pixels and labels as they were used."""
    images: dict[str, int]
    """Images in each split."""
    seed: int
    recipe: dict[str, object]
    epochs: dict[str, int]
    """Epochs trained until the kept weights, for each trained network."""
    libraries: dict[str, str]


class FileEntry(_Strict):
    """What a file must be before it is used."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=1)]


class Manifest(_Strict):
    """A whole bundle; every file name in it stands in `files`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    image: ImageSpec
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    networks: dict[NetworkName, NetworkSpec]
    spaces: dict[SpaceName, SpaceSpec]
    samplers: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")], SamplerSpec]
    default_source: str | None = None
    maps: dict[SpaceName, FileName] = {}
    """The 2-D map of each space that has one."""
    report: FileName | None = None
    """A self-contained HTML page with what was measured, and pictures."""
    metrics: dict[str, Metric] = {}
    provenance: Provenance
    files: dict[FileName, FileEntry]

    def find_default_source(self, *, class_conditional: bool) -> str | None:
        """Return the name of the sample source for requests that name none; None without one.

        Args:
            class_conditional: Whether the request names a class. If the default source has no
                classes, use the class-conditional source of the best quality, else the first.
        """
        default = self.samplers.get(self.default_source or "")
        if not class_conditional or (default is not None and default.class_conditional):
            return self.default_source
        able = {name: spec for name, spec in self.samplers.items() if spec.class_conditional}
        judged = {name: spec.quality.get(_DISTANCE) for name, spec in able.items()}
        distances = {name: found.value for name, found in judged.items() if found is not None}
        best = min(distances, key=lambda name: distances[name], default=None)
        return best or next(iter(able), self.default_source)

    def latent_size(self, space: SamplerSpace) -> int:
        """Return how many numbers a latent has where the bundle can decode it."""
        return self.networks[DECODERS[space]].input.shape[0]

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        problems = [
            *self._space_problems(),
            *self._network_problems(),
            *self._sampler_problems(),
            *self._extra_problems(),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _space_problems(self) -> list[str]:
        problems = [] if "autoencoder" in self.spaces else ["the space 'autoencoder' is missing"]
        problems += [
            f"there are networks of the space {name}, which is missing"
            for name, networks in SPACE_NETWORKS.items()
            if name not in self.spaces and self.networks.keys() & set(networks)
        ]
        for name, space in self.spaces.items():
            encoder, decoder = (self.networks.get(network) for network in SPACE_NETWORKS[name])
            if encoder is None or decoder is None:
                problems.append(f"space {name} lacks its encoder or decoder")
            elif [
                *(output.shape for output in encoder.outputs),
                decoder.input.shape,
            ] != [(space.latent_size,)] * (_ENCODER_OUTPUTS[name] + 1):
                problems.append(f"space {name}: latent_size and its networks disagree")
            if space.reference not in self.files:
                problems.append(f"{space.reference} is not among the files")
        return problems

    def _network_problems(self) -> list[str]:
        problems = []
        for name, network in self.networks.items():
            missing = {graph.file for graph in network.formats.values()} - self.files.keys()
            problems += [f"{file} is not among the files" for file in sorted(missing)]
            takes_latents = name in DECODERS.values()
            if not takes_latents and network.input.shape != self.image.shape:
                problems.append(f"{name} does not take {self.image.shape} images")
            if takes_latents and len(network.input.shape) != 1:
                problems.append(f"{name} does not take rows of numbers")
            if (takes_latents or name == "denoiser") and (
                network.outputs[0].shape != self.image.shape
            ):
                problems.append(f"{name} does not give {self.image.shape} images")
        classifier = self.networks.get("classifier")
        if classifier and classifier.outputs[0].shape != (len(self.classes or ()),):
            problems.append("the classifier's outputs and the class labels disagree")
        return problems

    def _sampler_problems(self) -> list[str]:
        problems = []
        for name, sampler in self.samplers.items():
            problems += [
                f"sampler {name} needs the {network}, which is missing"
                for network in sampler.networks
                if network not in self.networks
            ]
            if sampler.file is not None and sampler.file not in self.files:
                problems.append(f"{sampler.file} is not among the files")
        if self.default_source is not None and self.default_source not in self.samplers:
            problems.append(f"default_source {self.default_source!r} is not a sampler")
        return problems

    def _extra_problems(self) -> list[str]:
        problems = [
            f"there is a map of the space {name}, which is missing"
            for name in self.maps
            if name not in self.spaces
        ]
        extras = [*self.maps.values(), *([self.report] if self.report else [])]
        problems += [f"{file} is not among the files" for file in extras if file not in self.files]
        return problems


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest.json; unknown, duplicate and ill-typed members are refused.

    Raises:
        ArtifactError: with what is wrong, for anything but a valid manifest of this schema.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise ArtifactError(f"the manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        members = jiter.from_json(content, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        raise ArtifactError(f"the manifest is no valid JSON: {error}") from error
    version = members.get("schema_version") if isinstance(members, dict) else None
    if version != SCHEMA_VERSION:
        raise ArtifactError(
            f"the manifest has schema_version {version!r}; this latentd reads {SCHEMA_VERSION}"
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ArtifactError(f"the manifest is invalid: {place}: {first['msg']}") from error
