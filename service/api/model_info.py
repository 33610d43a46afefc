"""Models of the responses that list and describe models."""

from typing import Annotated, Any, TypeAlias

from pydantic import Field

from service.api.schemas import Images, Latents, Schema
from service.artifact import ImageSpec, Metric, TensorSpec
from service.artifact.specs import SamplerSpace


class NetworkInfo(Schema):
    """A network of a bundle and its stored formats."""

    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    formats: dict[str, dict[str, Any]]


class SpaceInfo(Schema):
    """A latent space of a bundle."""

    latent_size: int
    shape: tuple[int, ...]
    """Shape of a latent in the network; the API takes and returns it flattened, in row-major order.
    """


class SourceInfo(Schema):
    """A sample source of a bundle."""

    name: str
    kind: str
    space: SamplerSpace
    class_conditional: bool
    quality: dict[str, Metric]
    """Metrics of its samples by an independent judge network; may be empty."""


class DetectorInfo(Schema):
    """A detector of anomalies of a bundle."""

    name: str
    kind: str
    members: list[str]
    """The detectors that the kind `combined` joins."""
    quality: dict[str, Metric]
    """How well it separates normal images from defects."""


class ModelInfo(Schema):
    """A model: a loaded bundle."""

    name: str
    version: int
    versions: list[int]
    """All loaded versions, highest first."""
    default: bool
    """Whether it is the default model."""
    digest: str
    """SHA-256 of the manifest, which contains those of all files."""
    backend: str
    device: str
    """`cpu` or `cuda`."""
    operations: list[str]
    image: ImageSpec
    classes: list[str] | None
    spaces: dict[str, SpaceInfo]
    networks: dict[str, NetworkInfo]
    sources: list[SourceInfo]
    default_source: str | None
    detectors: list[DetectorInfo]
    default_detector: str | None
    """The method of `detect`, or null."""
    maps: list[str]
    """Latent spaces with a map."""
    report: str | None
    """Path of the training report, or null."""
    examples: str | None
    """Path of a few test images, or null."""
    metrics: dict[str, Metric]
    provenance: dict[str, Any]


Points: TypeAlias = Annotated[
    list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(description="N x 2.")
]


class Projections(Schema):
    """Two projections of latents to the plane."""

    pca: Annotated[Points, Field(description="Projection on the first two principal components.")]
    tsne: Points


class PrincipalPlane(Schema):
    """Plane of the first two principal components: latent = mean + point @ components."""

    mean: list[float]
    """L numbers."""
    components: Annotated[list[list[float]], Field(min_length=2, max_length=2)]
    """2 x L, orthonormal; the second is zero if L is 1."""


class MapInfo(Schema):
    """Latents of training images and their projections to two dimensions."""

    space: str
    labels: list[int] | None
    """Class index of each latent; null without classes."""
    latents: Latents
    projections: Projections
    pca: PrincipalPlane


class ExampleList(Images):
    """A few test images of a bundle."""

    labels: list[int] | None
    """Class index of each image; null without classes."""


class ModelList(Schema):
    """The highest version of each model."""

    models: list[ModelInfo]
