"""Models of the responses that list and describe models."""

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, Field

from service.api.schemas import Latents
from service.artifact import ImageSpec, Metric
from service.artifact.manifest import SamplerSpace


class TensorInfo(BaseModel):
    """A tensor of a network; `shape` omits the batch dimension."""

    name: str
    shape: list[int]


class NetworkInfo(BaseModel):
    """A network of a bundle and its stored formats."""

    input: TensorInfo
    outputs: list[TensorInfo]
    formats: dict[str, dict[str, Any]]


class SourceInfo(BaseModel):
    """A sample source of a bundle."""

    name: str
    kind: str
    space: SamplerSpace
    class_conditional: bool
    quality: Annotated[
        dict[str, Metric],
        Field(description="Metrics of its samples by an independent judge network; may be empty."),
    ]


class ModelInfo(BaseModel):
    """A model: a loaded bundle."""

    name: str
    version: int
    versions: Annotated[list[int], Field(description="All loaded versions, highest first.")]
    default: Annotated[bool, Field(description="Whether it is the default model.")]
    digest: Annotated[
        str, Field(description="SHA-256 of the manifest, which contains those of all files.")
    ]
    backend: str
    operations: list[str]
    image: ImageSpec
    classes: list[str] | None
    spaces: dict[str, dict[str, int]]
    networks: dict[str, NetworkInfo]
    sources: list[SourceInfo]
    default_source: str | None
    maps: Annotated[list[str], Field(description="Latent spaces with a map.")]
    report: Annotated[str | None, Field(description="Path of the training report, or null.")]
    metrics: dict[str, Metric]
    provenance: dict[str, Any]


Points: TypeAlias = Annotated[
    list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(description="N x 2.")
]


class Projections(BaseModel):
    """Two projections of latents to the plane."""

    pca: Annotated[Points, Field(description="Projection on the first two principal components.")]
    tsne: Points


class PrincipalPlane(BaseModel):
    """Plane of the first two principal components: latent = mean + point @ components."""

    mean: Annotated[list[float], Field(description="L numbers.")]
    components: Annotated[
        list[list[float]],
        Field(
            min_length=2,
            max_length=2,
            description="2 x L, orthonormal; the second is zero if L is 1.",
        ),
    ]


class MapInfo(BaseModel):
    """Latents of training images and their projections to two dimensions."""

    space: str
    labels: Annotated[
        list[int] | None, Field(description="Class index of each latent; null without classes.")
    ]
    latents: Latents
    projections: Projections
    pca: PrincipalPlane


class ModelList(BaseModel):
    """The highest version of each model."""

    models: list[ModelInfo]
