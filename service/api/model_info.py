"""What the list of models and a model's own page answer, for documenting both."""

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, Field

from service.api.schemas import Latents
from service.artifact import ImageSpec, Metric
from service.artifact.manifest import SamplerSpace


class TensorInfo(BaseModel):
    """A graph's tensor; `shape` leaves out the batch dimension."""

    name: str
    shape: list[int]


class NetworkInfo(BaseModel):
    """One network of a bundle and its stored forms."""

    input: TensorInfo
    outputs: list[TensorInfo]
    formats: dict[str, dict[str, Any]]


class SourceInfo(BaseModel):
    """A sampler of a bundle."""

    name: str
    kind: str
    space: SamplerSpace
    class_conditional: bool
    quality: Annotated[
        dict[str, Metric],
        Field(description="Of its samples, as an independent network judged them; may be empty."),
    ]


class ModelInfo(BaseModel):
    """A bundle that is served."""

    name: str
    version: int
    versions: Annotated[list[int], Field(description="All that are served, highest first.")]
    default: Annotated[bool, Field(description="Whether it answers when no model is named.")]
    digest: Annotated[str, Field(description="sha256 of the manifest, which pins every file.")]
    backend: str
    operations: list[str]
    image: ImageSpec
    classes: list[str] | None
    spaces: dict[str, dict[str, int]]
    networks: dict[str, NetworkInfo]
    sources: list[SourceInfo]
    default_source: str | None
    maps: Annotated[list[str], Field(description="Spaces that have a map.")]
    report: Annotated[
        str | None, Field(description="Path of the page with what was measured, or null.")
    ]
    metrics: dict[str, Metric]
    provenance: dict[str, Any]


Points: TypeAlias = Annotated[
    list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(description="N x 2.")
]


class Projections(BaseModel):
    """Where codes lie on two pictures of their space."""

    pca: Annotated[Points, Field(description="On the plane of the first two components.")]
    tsne: Points


class PrincipalPlane(BaseModel):
    """The plane of the first two principal components: a code is mean + place @ components."""

    mean: Annotated[list[float], Field(description="L numbers.")]
    components: Annotated[
        list[list[float]],
        Field(
            min_length=2,
            max_length=2,
            description="2 x L, orthonormal; the second is zeros where L is 1.",
        ),
    ]


class MapInfo(BaseModel):
    """Codes of training images and their projections to two dimensions."""

    space: str
    labels: Annotated[
        list[int] | None, Field(description="Each code's class index; null without classes.")
    ]
    latents: Latents
    projections: Projections
    pca: PrincipalPlane


class ModelList(BaseModel):
    """The highest version of each bundle."""

    models: list[ModelInfo]
