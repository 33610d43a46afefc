"""What a section of a recipe is, and the sections on where generated latents come from."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Section(BaseModel):
    """Members that are checked strictly; an unknown one is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


SourceName: TypeAlias = Literal[
    "uniform-global",
    "uniform-per-dimension",
    "centroid",
    "kde",
    "class-kde",
    "pca-kde",
    "gmm",
    "vae-uniform-global",
    "vae-uniform-per-dimension",
    "vae-kde",
    "vae-gmm",
    "prior",
    "gan",
    "gan-filtered",
]


class SamplersRecipe(Section):
    """Where generated latents come from."""

    sources: tuple[SourceName, ...] | None = None
    """Which to make; None: all that the networks and the images allow."""
    components: Annotated[tuple[Annotated[int, Field(ge=1, le=1000)], ...], Field(min_length=1)] = (
        10,
        20,
        50,
        100,
    )
    """Sizes of the Gaussian mixture to try; validation codes choose one."""
    mixture_codes: Annotated[int, Field(ge=10, le=1_000_000)] = 20_000
    """Most training codes that a mixture is fitted to."""


class DensityRecipe(Section):
    """The kernel density estimates over the training images' codes."""

    bandwidths: tuple[float, float, int] = (-1.5, 0.5, 41)
    """log10 of the least and the largest bandwidth, in units of a dimension's standard
    deviation, and how many to try: numpy's logspace."""
    folds: Annotated[int, Field(ge=2, le=20)] | None = None
    """None: the bandwidth is the one under which validation images' codes are likeliest; 2 to 20:
    by cross-validation in so many parts, among the training images' codes (report 003)."""
    max_codes: Annotated[int, Field(ge=10, le=1_000_000)] = 10_000
    """Most codes to keep (they are in the bundle, 4 bytes a number)."""
    search_codes: Annotated[int, Field(ge=10, le=1_000_000)] = 2000
    """Most codes that a bandwidth is tried on; with `folds` the time grows with its square."""

    @field_validator("bandwidths")
    @classmethod
    def _grid_is_a_range(cls, grid: tuple[float, float, int]) -> tuple[float, float, int]:
        least, largest, count = grid
        if least > largest or not 1 <= count <= 1000:  # noqa: PLR2004 - the message says it
            raise ValueError("needs the least exponent, the largest, and a count of 1 to 1000")
        return grid
