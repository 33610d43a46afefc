"""Models of parameters and responses: they validate parameters and document both.

Responses are encoded straight from arrays, without their models; a test checks that they match.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.artifact.manifest import SamplerSpace
from service.codecs.responses import Encoding

Space: TypeAlias = Annotated[
    Literal["autoencoder", "vae"],
    Field(description="Latent space, which selects the encoder and the decoder."),
]
MAX_SEED = 2**64 - 1


def _spell_boolean(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


class Parameters(BaseModel):
    """Parameters of every operation; unknown ones are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[
        str | None,
        Field(description="`name` or `name@version`; omitted, the default model."),
    ] = None


class ImageParameters(Parameters):
    """Parameters of operations on images."""

    invert: Annotated[
        Literal["false", "true", "auto"],
        BeforeValidator(_spell_boolean),
        WithJsonSchema({"enum": ["false", "true", "auto", False, True]}),
        Field(description="Invert dark-on-light images; `auto` decides by the border pixels."),
    ] = "false"


class EncodeParameters(ImageParameters):
    """Parameters of `encode`."""

    space: Space = "autoencoder"


class DecodeParameters(Parameters):
    """Parameters of `decode`."""

    space: Space = "autoencoder"
    encoding: Encoding = "png"


class ReconstructParameters(ImageParameters):
    """Parameters of `reconstruct`."""

    space: Space = "autoencoder"
    encoding: Encoding = "png"


class DenoiseParameters(ImageParameters):
    """Parameters of `denoise`."""

    encoding: Encoding = "png"


class ClassifyParameters(ImageParameters):
    """Parameters of `classify`."""

    top_k: Annotated[int, Field(ge=1, description="Number of classes in `top`.")] = 1


class SampleParameters(Parameters):
    """Parameters of `sample`."""

    count: Annotated[int, Field(ge=1, description="Number of images.")] = 1
    source: Annotated[
        str | None,
        Field(
            description="Sample source of the model. Omitted, the default source, or with `class` "
            "the best class-conditional one."
        ),
    ] = None
    seed: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_SEED,
            description="Random seed; the same seed gives the same latents on every machine.",
        ),
    ] = None
    class_: Annotated[
        int | Annotated[str, Field(min_length=1)] | None,
        Field(alias="class", description="Class label or index, for class-conditional sources."),
    ] = None
    temperature: Annotated[
        float,
        Field(gt=0, le=100, allow_inf_nan=False, description="Factor on the spread of the source."),
    ] = 1.0
    encoding: Encoding = "png"
    output: Annotated[
        Literal["images", "latents"], Field(description="Content of a .npy response.")
    ] = "images"


class InterpolateParameters(ImageParameters):
    """Parameters of `interpolate`."""

    steps: Annotated[
        int, Field(ge=2, description="Number of images along the line, both ends included.")
    ] = 8
    space: Space = "autoencoder"
    encoding: Encoding = "png"


ImageOut: TypeAlias = Annotated[
    str | list[list[list[float]]],
    Field(description="A base64 PNG file, or C x H x W floats with `encoding=array`."),
]
Latents: TypeAlias = Annotated[list[list[float]], Field(description="N x L.")]


class Encoded(BaseModel):
    """Latents of images."""

    latents: Latents
    log_variances: Annotated[Latents | None, Field(description="N x L, for the VAE only.")] = None


class Images(BaseModel):
    """Images."""

    images: list[ImageOut]


class Reconstructed(Images):
    """Images after the encoder and the decoder."""

    mse: Annotated[list[float], Field(description="Mean squared error per pixel, for each image.")]
    anomaly_percentile: Annotated[
        list[float],
        Field(description="Percentage of the test set with at most this error, for each image."),
    ]


class ClassProbability(BaseModel):
    """A class and its probability."""

    label: str
    probability: Annotated[float, Field(ge=0, le=1)]


class Prediction(ClassProbability):
    """The most probable class of an image, and the `top_k` most probable."""

    index: int
    top: list[ClassProbability]


class Classified(BaseModel):
    """One prediction for each image."""

    predictions: list[Prediction]


class Sampled(Images):
    """Generated images, and the seed that reproduces them."""

    latents: Latents
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    source: str
    space: SamplerSpace


class Interpolated(Images):
    """Images along a line in latent space."""

    latents: Latents


class ProblemError(BaseModel):
    """One invalid member: a JSON pointer to it, and the expected value."""

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
    """An error in the form of the Open Inference Protocol."""

    error: str


class Liveness(BaseModel):
    """The process responds."""

    status: Literal["alive"]


class RepositoryEntry(BaseModel):
    """A network of a bundle in the repository index; a broken bundle is listed by its name."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: Annotated[str, Field(description="Why it is unavailable or degraded; otherwise empty.")]


class Readiness(BaseModel):
    """Whether the service accepts requests, and the missing models if it does not."""

    status: Literal["ready", "not ready", "draining"]
    missing: list[str]
    store: Annotated[
        Literal["ok", "degraded"],
        Field(description="degraded: unreadable or empty; loaded models stay available."),
    ]
