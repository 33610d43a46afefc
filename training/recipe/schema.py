"""The recipe: everything that decides what a training gives, read from TOML with flags over it.

Where the images lie, the device and the folders to write to are no part of it: they change
nothing that is learned.
"""

import json
import tomllib
from collections.abc import Iterable
from importlib import resources
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import Field, ValidationError

from training.errors import RecipeError
from training.recipe.resources import list_packaged, read_packaged
from training.recipe.sections import DensityRecipe, SamplersRecipe, Section

Width: TypeAlias = Annotated[int, Field(ge=1, le=4096)]
LatentSize: TypeAlias = Annotated[int, Field(ge=1, le=1024)]
Side: TypeAlias = Annotated[int, Field(ge=4, le=1024)]
Fraction: TypeAlias = Annotated[float, Field(gt=0, le=0.5)]
Members: TypeAlias = dict[str, Any]
_RECIPES = resources.files("training.recipe") / "recipes"
_Kind = TypeVar("_Kind", bound=Section)


class DataRecipe(Section):
    """Which images, how they are split, and for a folder how files become pixels."""

    dataset: Annotated[str, Field(min_length=1)]
    """`fashion-mnist`, `mnist`, `digits`, or the path of a folder of images."""
    validation_fraction: Fraction = 0.1
    """Share of the training images held out to choose weights and hyper-parameters, (0, 0.5]."""
    test_fraction: Fraction = 0.15
    """Share of a folder's images held out for the test, (0, 0.5]; unused with a test split."""
    channels: Literal[1, 3] | None = None
    """Grey or colour; None: colour if any image of the folder is. Folders only, as all below."""
    height: Side | None = None
    """Pixels, 4 to 1024; None: the images' median, at most 64."""
    width: Side | None = None
    """Pixels, 4 to 1024; None: the images' median, at most 64."""
    resize: Literal["pad", "crop", "stretch"] = "pad"
    """What happens to images of another shape, as in the manifest's ImageSpec."""
    background: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = None
    """One value a channel in [0, 1] for padding and under transparency; None: zeros (black)."""


class FitRecipe(Section):
    """How one network is fitted."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 30
    """Most passes over the training images, 1 to 10,000."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 256
    """Images a step, 2 to 65,536."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.003
    """Highest step size, (0, 1]."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """`sgd` has a momentum of 0.9."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-5
    """`adamw`: decoupled decay, as a share of the step size; the others: weight of an L2 penalty
    as torch counts it (half its gradient's factor); 0 to 1."""
    l1: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight of the sum of the weights' absolute values in the loss, 0 to 1."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` computes layers at half precision where that is quicker; weights stay float32."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """Rises to `learning_rate` and falls to nearly 0 over all epochs, or stays."""
    patience: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Epochs without a better validation loss after which fitting stops, 1 to 10,000."""


class AutoencoderRecipe(FitRecipe):
    """An encoder and its mirror."""

    architecture: Literal["seed", "conv"] = "conv"
    """`seed`: the source reports' net; `conv`: its plan with other widths and BatchNorm."""
    channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=6)] | None = None
    """Channels after each halving of height and width; None: 8, 16, 32 for `seed` and 16, 32, 64
    for `conv`."""
    hidden: Width | Annotated[tuple[Width, ...], Field(min_length=1, max_length=4)] | None = None
    """Units of each layer between the convolutions and the latents, the first next to the
    convolutions; None: 64 for `seed` and 128 for `conv`."""
    latent_size: LatentSize = 16
    """Numbers in a code, 1 to 1024."""


class DenoiserRecipe(AutoencoderRecipe):
    """An autoencoder that sees noisy images and is asked for the clean ones."""

    noise_factors: Annotated[
        tuple[Annotated[float, Field(gt=0, le=2)], ...], Field(min_length=1)
    ] = (0.3,)
    """Standard deviations of the added noise (pixels are in [0, 1]); each image gets one by lot."""


class VaeRecipe(AutoencoderRecipe):
    """A variational autoencoder."""

    likelihood: Literal["bernoulli", "gaussian"] = "gaussian"
    """What a pixel is, given its mean; `gaussian` learns one scale for all pixels."""
    beta: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Weight of the KL divergence; 1 is the evidence lower bound."""


class AugmentedRecipe(FitRecipe):
    """A network that is fitted to images which are varied anew in each epoch."""

    shift: Annotated[int, Field(ge=0, le=64)] = 0
    """Most pixels by which an image is moved along each axis; zeros come in."""
    flip: bool = False
    """Whether half the images, by lot, are mirrored left to right."""


class ClassifierRecipe(AugmentedRecipe):
    """A multilayer perceptron on the encoder's codes."""

    fine_tune: bool = False
    """Whether a copy of the encoder is trained on; otherwise it stays frozen, and `shift` and
    `flip` are not used. The encoder that the bundle encodes with is never changed."""

    hidden: tuple[Width, ...] = (256, 256)
    """Units of each hidden layer; none at all is a linear classifier."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of hidden units dropped in training, [0, 1)."""


class GanRecipe(FitRecipe):
    """A generative adversarial network of dense layers, as in report 001.

    Adam fits it to the last epoch: `l1` and `patience` are not used.
    """

    optimizer: Literal["adam"] = "adam"
    """Its first moment decays by 0.5 a step: Radford et al., DCGAN, 2016."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 300
    """Passes over the training images, 1 to 10,000."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Highest step size of both networks, (0, 1]."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight of an L2 penalty, as for `adam` above; 0 to 1."""
    schedule: Literal["one-cycle", "constant"] = "constant"
    """As above; the networks chase each other, so that there is no end to come to rest at."""
    noise_size: LatentSize = 100
    """Numbers in the generator's input, drawn from N(0, I)."""
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=6)] = (784, 784)
    """Units of the generator's hidden layers; the discriminator has the same, reversed."""


class JudgeRecipe(AugmentedRecipe):
    """The independent classifier that judges samples; never part of a bundle."""

    channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=5)] = (32, 64, 128)
    """Channels before each halving of height and width."""
    hidden: Width = 128
    """Units of the layer whose values are the features that samples are compared in."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the features dropped in training, [0, 1)."""


class MapRecipe(Section):
    """The 2-D maps of a latent space."""

    points: Annotated[int, Field(ge=10, le=20_000)] = 2500
    """Most training images on a map."""
    perplexity: Annotated[float, Field(gt=1, le=500)] = 30.0
    """t-SNE's number of effective neighbours."""


class Recipe(Section):
    """All of a bundle's training; a section that is left out is a network that is not made."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    """The bundle's name: up to 64 of a-z, 0-9, '.', '_' and '-'."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Decides the split, the first weights, the order of images and all noise."""
    data: DataRecipe
    autoencoder: AutoencoderRecipe
    denoiser: DenoiserRecipe | None = None
    vae: VaeRecipe | None = None
    classifier: ClassifierRecipe | None = None
    gan: GanRecipe | None = None
    judge: JudgeRecipe | None = None
    """Left out: samples are not judged, and `kde` is the bundle's default source."""
    density: DensityRecipe = DensityRecipe()
    samplers: SamplersRecipe = SamplersRecipe()
    map: MapRecipe = MapRecipe()


FITTED = ("autoencoder", "denoiser", "vae", "classifier", "gan", "judge")
"""The sections that are networks, in the order in which they are fitted."""


def read_recipe(source: str) -> Members:
    """Return the members of a packaged recipe (a bare name) or of a TOML file (a path).

    Raises:
        RecipeError: there is no such recipe, or it is no TOML.
    """
    return read_packaged(_RECIPES, source, "recipe")


def list_recipes() -> list[str]:
    """Return the packaged recipes' names, in order."""
    return list_packaged(_RECIPES)


def override(members: Members, assignments: Iterable[tuple[str, object]]) -> Members:
    """Return `members` with each dotted key set to its value; the original stays as it is.

    Raises:
        RecipeError: a key leads through something that is no section.
    """
    changed: Members = json.loads(json.dumps(members, default=str))
    for key, value in assignments:
        *sections, last = key.split(".")
        place = changed
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise RecipeError(f"{key}: {section} is no section of a recipe")
        place[last] = value
    return changed


def parse_assignment(text: str) -> tuple[str, object]:
    """Split `section.key=value`, with the value in TOML; a bare word is a string.

    Raises:
        RecipeError: there is no key, or no equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {text}: write it as section.key=value")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def parse_recipe(members: Members) -> Recipe:
    """Check the members of a recipe.

    Raises:
        RecipeError: one line that names the first wrong key.
    """
    return parse_section(Recipe, members, "recipe")


def parse_section(kind: type[_Kind], members: Members, name: str) -> _Kind:
    """Check the members of a section, or of a file called a `name`.

    Raises:
        RecipeError: one line that names the first wrong key.
    """
    try:
        # Through JSON, as strict pydantic takes JSON's arrays for tuples but not Python's lists.
        return kind.model_validate_json(json.dumps(members, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or name
        if first["type"] == "extra_forbidden":
            raise RecipeError(f"{key}: no such key in a {name}") from error
        given = "" if first["type"] == "missing" else f", not {first['input']!r:.80}"
        message = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{key}: {message[:1].lower()}{message[1:]}{given}") from error
