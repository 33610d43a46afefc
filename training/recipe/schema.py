"""Schema of a recipe: every setting that affects the trained weights.

The data folder, the device and the output folders do not. They are flags of the commands.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from service.artifact.specs import GraphFormat

Width: TypeAlias = Annotated[int, Field(ge=1, le=4096)]
LatentSize: TypeAlias = Annotated[int, Field(ge=1, le=1024)]
Side: TypeAlias = Annotated[int, Field(ge=4, le=1024)]
Level: TypeAlias = Annotated[int, Field(ge=0, le=65_535)]
Fraction: TypeAlias = Annotated[float, Field(gt=0, le=0.5)]
SourceName: TypeAlias = Literal[
    "uniform-global",
    "uniform-per-dimension",
    "centroid",
    "kde",
    "class-kde",
    "pca-kde",
    "gmm",
    "flow",
    "vae-uniform-global",
    "vae-uniform-per-dimension",
    "vae-kde",
    "vae-gmm",
    "vae-flow",
    "prior",
    "gan",
    "gan-filtered",
]


_STEPS_A_MINUTE = 60  # 12 seconds of a core at 128 x 128 pixels


class Section(BaseModel):
    """Base class of sections: strict types, unknown keys rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataRecipe(Section):
    """The data set, its split, and the conversion of a folder's files into pixels."""

    dataset: Annotated[str, Field(min_length=1)]
    """`fashion-mnist`, `mnist`, `digits`, or the path of a folder of images."""
    validation_fraction: Fraction = 0.1
    """Share of the training images held out for early stopping and hyper-parameters, (0, 0.5]."""
    test_fraction: Fraction = 0.15
    """Share of a folder's images held out for testing, (0, 0.5]; unused if it has a test split."""
    channels: Literal[1, 3] | None = None
    """Grey or colour; None: colour if any image has colour. This and all below: folders only."""
    height: Side | None = None
    """Pixels, 4 to 1024; None: the median over the images, at most `max_side`."""
    width: Side | None = None
    """Pixels, 4 to 1024; None: the median over the images, at most `max_side`."""
    max_side: Side = 128
    """Largest inferred height and width, in pixels, 4 to 1024."""
    resize: Literal["pad", "crop", "stretch"] | None = None
    """How images of another aspect ratio are fitted, as in the manifest's ImageSpec; None: `pad`
    if the background continues the images, else `crop`."""
    background: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = None
    """One value per channel in [0, 1], for padding and behind transparency; None: the colour of
    the images' borders, and white (black if they are bright) behind transparent images."""
    levels: tuple[Level, Level] | None = None
    """Levels of 16-bit images that become black and white; None: the range that they use."""
    classes: bool = True
    """Whether folders or a table give classes."""
    min_per_class: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """Smallest accepted number of training images of a class."""
    examples: Annotated[int, Field(ge=0, le=100)] = 32
    """Test images that the bundle contains for the playground, at most 1 MiB. 0 for private data:
    then the report shows no images of the data either. Unlike those above, this holds for every
    data set."""


class FitRecipe(Section):
    """Hyper-parameters of one network's training."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 30
    """Maximum number of epochs, 1 to 10,000; the validation loss is measured after each."""
    epoch_images: Annotated[int, Field(ge=2)] | None = None
    """Images per epoch, drawn in repeated passes; None: all training images once."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 256
    """Images per step, 2 to 65,536."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.003
    """Maximum step size, (0, 1]."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """`sgd` uses a momentum of 0.9."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-5
    """`adamw`: decoupled weight decay, relative to the step size; others: L2 penalty as torch
    defines it (half its factor in the loss); 0 to 1."""
    l1: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Factor of the sum of absolute weights in the loss, 0 to 1."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16`: autocast, with weights in float32."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """`one-cycle`: the step size rises to `learning_rate`, then falls to almost 0."""
    patience: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Early stopping: epochs without a lower validation loss, 1 to 10,000."""


class AugmentedRecipe(FitRecipe):
    """A network trained on augmented images."""

    shift: Annotated[int, Field(ge=0, le=64)] = 0
    """Maximum random translation along each axis, in pixels; vacated pixels are 0, or repeat the
    border for an autoencoder and a classifier with `channels`."""
    flip: bool | Literal["auto"] = False
    """Whether to mirror each image horizontally with probability 0.5; `auto`: if the baseline
    restores and recognises mirrored validation images as well."""


class AutoencoderRecipe(AugmentedRecipe):
    """A convolutional encoder and the decoder that mirrors it."""

    architecture: Literal["seed", "conv", "resize", "residual"] = "conv"
    """`seed`: the network of the source reports; `conv`: wider, with batch normalisation;
    `resize`: a decoder without transposed convolutions, which leave a pattern in sharp images;
    `residual`: starts as PCA and learns what PCA leaves, for images of any size."""
    channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=6)] | None = None
    """Output channels of each stride-2 convolution; None: 8, 16, 32 for `seed`, 16, 32, 64 for
    `conv`, 32, 64, 128 for `resize`. `residual` uses one number, its channels at the first
    resolution; None: 32."""
    hidden: Width | Annotated[tuple[Width, ...], Field(max_length=4)] | None = None
    """Units of each dense layer between convolutions and latents, in the encoder's order; [] for
    none; None: 64 for `seed`, 128 for `conv`, none for `resize`. `residual` has none."""
    latent_size: LatentSize = 16
    """Dimensions of the latent space, 1 to 1024."""
    explained_variance: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the pixels' variance, (0, 1), that chooses the latent size: as many numbers as PCA
    needs for it, 8 to 512. None: `latent_size`."""


class DenoiserRecipe(AutoencoderRecipe):
    """A denoising autoencoder: reconstructs clean images from noisy ones."""

    noise_factors: Annotated[
        tuple[Annotated[float, Field(gt=0, le=2)], ...], Field(min_length=1)
    ] = (0.3,)
    """Standard deviations of the added noise, for pixels in [0, 1]; one is drawn per image."""


class VaeRecipe(AutoencoderRecipe):
    """A variational autoencoder."""

    likelihood: Literal["bernoulli", "gaussian"] = "gaussian"
    """Distribution of a pixel given its mean; `gaussian` learns one scale for all pixels."""
    beta: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Factor of the KL divergence in the loss; 1 gives the evidence lower bound."""
    feature_weight: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of differences in the features of a classifier, relative to the squared error of the
    pixels, 0 to 100; 0: none. It needs classes."""
    discriminator_weight: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of a patch discriminator, relative to both errors, 0 to 100; 0: none."""
    discriminator_start: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of the steps before the discriminator is switched on, [0, 1)."""

    @property
    def is_sharp(self) -> bool:
        """Whether more than the evidence lower bound is trained; `patience` is unused then."""
        return self.feature_weight > 0 or self.discriminator_weight > 0

    @model_validator(mode="after")
    def _check_likelihood(self) -> Self:
        if self.architecture == "residual" and self.likelihood != "gaussian":
            raise ValueError("the architecture residual requires likelihood gaussian")
        if self.is_sharp and (self.likelihood != "gaussian" or self.architecture == "residual"):
            raise ValueError(
                "feature_weight and discriminator_weight require likelihood gaussian and "
                f"architecture seed, conv or resize, got {self.likelihood} and {self.architecture}"
            )
        return self


class ClassifierRecipe(AugmentedRecipe):
    """A multilayer perceptron on the encoder's latents."""

    fine_tune: bool = False
    """Whether to train a copy of the encoder too; otherwise the encoder is frozen, and `shift`
    and `flip` are unused. The bundle's own encoder never changes."""
    channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=5)] | None = None
    """None: a head on the encoder's latents. Otherwise a convolutional network of its own, built
    as the judge, that starts at the baseline: logistic regression on principal components."""
    hidden: tuple[Width, ...] = (256, 256)
    """Units of each hidden layer; empty: a linear classifier. With `channels` one layer."""
    balanced: bool = False
    """Whether each class has the same weight in the loss, however many images it has."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout probability of hidden units, [0, 1)."""

    @model_validator(mode="after")
    def _check_layers(self) -> Self:
        if self.channels is not None and len(self.hidden) != 1:
            raise ValueError("a classifier with channels requires one hidden layer")
        return self


class GanRecipe(FitRecipe):
    """A generative adversarial network of dense layers, as in report 001.

    Adam trains it for all epochs: `l1` and `patience` are unused.
    """

    optimizer: Literal["adam"] = "adam"
    """Adam with beta1 = 0.5: Radford et al., DCGAN, 2016."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 300
    """Passes over the training images, 1 to 10,000."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Maximum step size of both networks, (0, 1]."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """L2 penalty, as for `adam` above; 0 to 1."""
    schedule: Literal["one-cycle", "constant"] = "constant"
    """As above; constant, because adversarial training does not converge to a minimum."""
    noise_size: LatentSize = 100
    """Dimensions of the generator's input, drawn from N(0, I)."""
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=6)] = (784, 784)
    """Units of the generator's hidden layers; the discriminator has the same in reverse."""


class FlowRecipe(FitRecipe):
    """A flow from noise to latents, for each latent space.

    It is trained twice: to follow the velocity from noise to latents (Lipman et al., Flow Matching
    for Generative Modeling, 2023), and to reach in a few steps the latents that it then reaches in
    many (Luhman and Luhman, Knowledge Distillation in Iterative Generative Models, 2021).
    """

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Passes over the training latents, 1 to 10,000."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 512
    """Latents per step, 2 to 65,536."""
    patience: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """As above, 1 to 10,000; the loss falls most in the last epochs of `one-cycle`."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.002
    """Maximum step size, (0, 1]."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """As above, 0 to 1."""
    width: Width = 128
    """Units of each layer."""
    blocks: Annotated[int, Field(ge=1, le=16)] = 3
    """Residual blocks of two layers, 1 to 16."""
    steps: Annotated[int, Field(ge=1, le=64)] = 2
    """Euler steps from noise to latents in the bundle, 1 to 64; the time of a sample is
    proportional."""
    guidance: Annotated[float, Field(ge=1, le=10)] = 1.5
    """Strength of classifier-free guidance (Ho and Salimans, 2022), 1 to 10; 1: none."""
    pairs: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Noise and latents that the steps are trained on."""
    distillation_epochs: Annotated[int, Field(ge=1, le=10_000)] = 30
    """Passes over these pairs, 1 to 10,000."""


class JudgeRecipe(AugmentedRecipe):
    """The independent classifier that evaluates samples; never part of a bundle."""

    channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=5)] = (32, 64, 128)
    """Channels of each stage; pooling halves height and width after each."""
    hidden: Width = 128
    """Units of the last hidden layer: the features that sample metrics compare."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Dropout probability of the features, [0, 1)."""


class SamplersRecipe(Section):
    """The sample sources."""

    sources: tuple[SourceName, ...] | None = None
    """Sources to fit; None: all that the networks and the images allow."""
    components: Annotated[tuple[Annotated[int, Field(ge=1, le=1000)], ...], Field(min_length=1)] = (
        10,
        20,
        50,
        100,
    )
    """Candidate numbers of mixture components; the validation likelihood chooses one."""
    mixture_codes: Annotated[int, Field(ge=10, le=1_000_000)] = 20_000
    """Maximum number of training latents that a mixture is fitted to."""


class DensityRecipe(Section):
    """The kernel density estimates over training latents."""

    bandwidths: tuple[float, float, int] = (-1.5, 0.5, 41)
    """Bandwidth grid as arguments of numpy's logspace: log10 of the first and last bandwidth, in
    units of each dimension's standard deviation, and their number."""
    folds: Annotated[int, Field(ge=2, le=20)] | None = None
    """None: the bandwidth maximises the likelihood of validation latents; 2 to 20: cross-validation
    with that many folds over training latents (report 003)."""
    max_codes: Annotated[int, Field(ge=10, le=1_000_000)] = 10_000
    """Maximum number of latents kept in the bundle (4 bytes per number)."""
    search_codes: Annotated[int, Field(ge=10, le=1_000_000)] = 2000
    """Maximum number of latents that bandwidths are scored on; with `folds` the time grows
    quadratically."""

    @field_validator("bandwidths")
    @classmethod
    def _check_grid(cls, grid: tuple[float, float, int]) -> tuple[float, float, int]:
        first, last, count = grid
        if first > last or not 1 <= count <= 1000:  # noqa: PLR2004 - the message explains it
            raise ValueError("expected [FIRST, LAST, COUNT] with FIRST <= LAST and COUNT 1 to 1000")
        return grid


class MapRecipe(Section):
    """The 2-D maps of a latent space."""

    points: Annotated[int, Field(ge=10, le=20_000)] = 2500
    """Maximum number of training images on a map."""
    perplexity: Annotated[float, Field(gt=1, le=500)] = 30.0
    """t-SNE's effective number of neighbours."""


class DetectionRecipe(Section):
    """The detectors of anomalies."""

    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 300
    """Optimizer steps of the network that marks made-up defects, 12 images each; fewer for images
    over 256 x 256 pixels, and at most 60 for each of the recipe's `minutes`."""

    def limit_steps(self, minutes: float | None) -> int:
        """Return the steps of a training that may take some minutes, or any time."""
        if minutes is None:
            return self.steps
        return max(1, min(self.steps, round(_STEPS_A_MINUTE * minutes)))


class Recipe(Section):
    """A bundle's whole training. A network is trained only if its section is present."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    """The bundle's name: up to 64 of a-z, 0-9, '.', '_' and '-'."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Determines the split, the initial weights, the order of images and all noise."""
    minutes: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Time for training the networks, which measured step times turn into epochs; None: each
    network's own `epochs`."""
    formats: Annotated[tuple[GraphFormat, ...], Field(min_length=1)] = ("onnx", "torchscript")
    """Stored forms of each network."""
    data: DataRecipe
    autoencoder: AutoencoderRecipe
    denoiser: DenoiserRecipe | None = None
    vae: VaeRecipe | None = None
    classifier: ClassifierRecipe | None = None
    gan: GanRecipe | None = None
    flow: FlowRecipe | None = None
    judge: JudgeRecipe | None = None
    """None: samples are not evaluated, and `kde` is the bundle's default source."""
    density: DensityRecipe = DensityRecipe()
    samplers: SamplersRecipe = SamplersRecipe()
    map: MapRecipe = MapRecipe()
    detection: DetectionRecipe = DetectionRecipe()

    @model_validator(mode="after")
    def _check_time(self) -> Self:
        if self.minutes is not None and self.vae is not None and self.vae.is_sharp:
            raise ValueError(
                "vae.feature_weight and vae.discriminator_weight require epochs, got minutes; "
                "remove minutes"
            )
        return self


NETWORKS = ("autoencoder", "denoiser", "vae", "classifier", "gan", "flow", "judge")
"""The sections that describe networks, in the order of training."""
