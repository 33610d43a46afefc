"""What requests may say and what answers hold, for checking the first and documenting both.

An answer's model documents it; answers are packed straight from arrays, and a test checks that
they fit their model.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.artifact.manifest import SamplerSpace
from service.codecs.responses import Encoding

Space: TypeAlias = Annotated[
    Literal["autoencoder", "vae"], Field(description="The latent space: whose encoder or decoder.")
]
MAX_SEED = 2**64 - 1


def _spell_boolean(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[
        str | None,
        Field(description="`name` or `name@version`; the default model where it is left out."),
    ] = None


class _ImageParameters(_Parameters):
    invert: Annotated[
        Literal["false", "true", "auto"],
        BeforeValidator(_spell_boolean),
        WithJsonSchema({"enum": ["false", "true", "auto", False, True]}),
        Field(description="Turn dark-on-light into light-on-dark; `auto` looks at the border."),
    ] = "false"


class EncodeParameters(_ImageParameters):
    """What encode can be told."""

    space: Space = "autoencoder"


class DecodeParameters(_Parameters):
    """What decode can be told."""

    space: Space = "autoencoder"
    encoding: Encoding = "png"


class ReconstructParameters(_ImageParameters):
    """What reconstruct can be told."""

    space: Space = "autoencoder"
    encoding: Encoding = "png"


class DenoiseParameters(_ImageParameters):
    """What denoise can be told."""

    encoding: Encoding = "png"


class ClassifyParameters(_ImageParameters):
    """What classify can be told."""

    top_k: Annotated[int, Field(ge=1, description="How many classes `top` lists.")] = 1


class SampleParameters(_Parameters):
    """What sample can be told."""

    count: Annotated[int, Field(ge=1, description="How many images.")] = 1
    source: Annotated[
        str | None,
        Field(
            description="A sampler of the bundle. Where left out its default, or with `class` the "
            "best of those that know classes."
        ),
    ] = None
    seed: Annotated[
        int | None,
        Field(ge=0, le=MAX_SEED, description="The same seed gives the same latents everywhere."),
    ] = None
    class_: Annotated[
        int | Annotated[str, Field(min_length=1)] | None,
        Field(alias="class", description="Label or index, for class-conditional sources."),
    ] = None
    temperature: Annotated[
        float, Field(gt=0, le=100, allow_inf_nan=False, description="Factor on the spread.")
    ] = 1.0
    encoding: Encoding = "png"
    output: Annotated[
        Literal["images", "latents"], Field(description="What an .npy answer holds.")
    ] = "images"


class InterpolateParameters(_ImageParameters):
    """What interpolate can be told."""

    steps: Annotated[int, Field(ge=2, description="Images along the line, ends included.")] = 8
    space: Space = "autoencoder"
    encoding: Encoding = "png"


ImageOut: TypeAlias = Annotated[
    str | list[list[list[float]]],
    Field(description="A base64 PNG file, or C x H x W floats with `encoding=array`."),
]
Latents: TypeAlias = Annotated[list[list[float]], Field(description="N x L.")]


class Encoded(BaseModel):
    """Codes of images."""

    latents: Latents
    log_variances: Annotated[Latents | None, Field(description="N x L, for the VAE only.")] = None


class Images(BaseModel):
    """Images."""

    images: list[ImageOut]


class Reconstructed(Images):
    """Images through the encoder and back."""

    mse: Annotated[list[float], Field(description="Mean squared error a pixel, one an image.")]
    anomaly_percentile: Annotated[
        list[float],
        Field(description="Percent of the test set's images that come back at least as well."),
    ]


class ClassProbability(BaseModel):
    """A class and its probability."""

    label: str
    probability: Annotated[float, Field(ge=0, le=1)]


class Prediction(ClassProbability):
    """The likeliest class of an image, and the `top_k` likeliest."""

    index: int
    top: list[ClassProbability]


class Classified(BaseModel):
    """One prediction an image."""

    predictions: list[Prediction]


class Sampled(Images):
    """Generated images, and what makes them again."""

    latents: Latents
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    source: str
    space: SamplerSpace


class Interpolated(Images):
    """Images along a line in latent space."""

    latents: Latents


class ProblemError(BaseModel):
    """One wrong member: a JSON pointer to it, and what was wanted."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ProblemError] | None = None


class OipError(BaseModel):
    """An error in the Open Inference Protocol's own form."""

    error: str


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["alive"]


class RepositoryEntry(BaseModel):
    """A network of a bundle in the repository's index; a broken bundle stands under its name."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: Annotated[str, Field(description="What is wrong with it in the store; else empty.")]


class Readiness(BaseModel):
    """Whether requests should be sent here, and what is missing where they should not."""

    status: Literal["ready", "not ready", "draining"]
    missing: list[str]
    store: Annotated[
        Literal["ok", "degraded"],
        Field(description="degraded: it cannot be read or is empty; what is loaded serves on."),
    ]
