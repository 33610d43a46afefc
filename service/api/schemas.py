"""Models of parameters and responses: they validate parameters and document both.

Responses are encoded straight from arrays, without their models; a test checks that they match.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.artifact.specs import SamplerSpace
from service.codecs.responses import Encoding

Space: TypeAlias = Annotated[
    Literal["autoencoder", "vae"],
    Field(description="Latent space, which selects the encoder and the decoder."),
]
MAX_SEED = 2**64 - 1


def _spell_boolean(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


class Schema(BaseModel):
    """Base of the models; the docstring under a field is its description in OpenAPI."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Parameters(Schema):
    """Parameters of every operation; unknown ones are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    """`name` or `name@version`; omitted, the default model."""


class ImageParameters(Parameters):
    """Parameters of operations on images."""

    invert: Annotated[
        Literal["false", "true", "auto"],
        BeforeValidator(_spell_boolean),
        WithJsonSchema({"enum": ["false", "true", "auto", False, True]}),
    ] = "false"
    """Invert dark-on-light images; `auto` decides by the border pixels."""


class PreprocessParameters(ImageParameters):
    """Parameters of `preprocess`."""

    encoding: Encoding = "png"


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

    top_k: Annotated[int, Field(ge=1)] = 1
    """Number of classes in `top`."""


class SampleParameters(Parameters):
    """Parameters of `sample`."""

    count: Annotated[int, Field(ge=1)] = 1
    """Number of images."""
    source: str | None = None
    """Sample source; omitted, the default, or with `class` the best class-conditional one."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    """Random seed; the same seed gives the same latents on every machine."""
    class_: Annotated[int | Annotated[str, Field(min_length=1)] | None, Field(alias="class")] = None
    """Class label or index, for class-conditional sources."""
    temperature: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    """Factor on the spread of the source."""
    encoding: Encoding = "png"
    output: Literal["images", "latents"] = "images"
    """Content of a .npy response."""


class InterpolateParameters(ImageParameters):
    """Parameters of `interpolate`."""

    steps: Annotated[int, Field(ge=2)] = 8
    """Number of images along the line, both ends included."""
    space: Space = "autoencoder"
    encoding: Encoding = "png"


ImageOut: TypeAlias = Annotated[
    str | list[list[list[float]]],
    Field(description="A base64 PNG file, or C x H x W floats with `encoding=array`."),
]
Latents: TypeAlias = Annotated[list[list[float]], Field(description="N x L.")]


class Encoded(Schema):
    """Latents of images."""

    latents: Latents
    log_variances: Latents | None = None
    """N x L, for the VAE only."""


class Images(Schema):
    """Images."""

    images: list[ImageOut]


class Reconstructed(Images):
    """Images after the encoder and the decoder."""

    mse: list[float]
    """Mean squared error per pixel, for each image."""
    anomaly_percentile: list[float]
    """Percentage of the test set with at most this error, for each image."""


class ClassProbability(Schema):
    """A class and its probability."""

    label: str
    probability: Annotated[float, Field(ge=0, le=1)]


class Prediction(ClassProbability):
    """The most probable class of an image, and the `top_k` most probable."""

    index: int
    top: list[ClassProbability]


class Classified(Schema):
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


class ProblemError(Schema):
    """One invalid member: a JSON pointer to it, and the expected value."""

    pointer: str
    detail: str


class Problem(Schema):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ProblemError] | None = None


class OipError(Schema):
    """An error in the form of the Open Inference Protocol."""

    error: str


class Liveness(Schema):
    """The process responds."""

    status: Literal["alive"]


class RepositoryEntry(Schema):
    """A network of a bundle in the repository index; a broken bundle is listed by its name."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str
    """Why it is unavailable or degraded; otherwise empty."""


class Readiness(Schema):
    """Whether the service accepts requests, and the missing models if it does not."""

    status: Literal["ready", "not ready", "draining"]
    missing: list[str]
    store: Literal["ok", "degraded"]
    """degraded: unreadable or empty; loaded models stay available."""
