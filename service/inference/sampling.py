"""The samplers: where generated latents come from.

To add one: a class with `draw`, and a line in `_SAMPLERS`.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from service.artifact import Bundle, SamplerSpec
from service.artifact.latents import Floats, KernelDensity
from service.errors import ArtifactError


class Sampler(Protocol):
    """A source of latents. Called by `operations.sample`, from several threads at once."""

    def draw(
        self, count: int, generator: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """Draw latents; the same generator state gives the same latents on every machine.

        Args:
            count: How many, at least 1.
            generator: Where all randomness comes from.
            label: Class index to draw from; None for any, and where the source is not
                class-conditional.
            temperature: Factor on the source's spread, greater than 0; 1 is as fitted.

        Returns:
            (count, L) float32.
        """


class StandardNormal:
    """The VAE's prior N(0, I) (Kingma and Welling, Auto-Encoding Variational Bayes, 2014)."""

    def __init__(self, latent_size: int) -> None:
        """Keep the number of dimensions."""
        self._latent_size = latent_size

    def draw(
        self,
        count: int,
        generator: np.random.Generator,
        label: int | None,  # noqa: ARG002 - the prior knows no classes
        temperature: float,
    ) -> Floats:
        """See `Sampler.draw`."""
        noise = generator.standard_normal((count, self._latent_size))
        return (temperature * noise).astype(np.float32)


class KernelDensitySampler:
    """A Gaussian kernel density over codes, whole or of one class (report 003)."""

    def __init__(self, density: KernelDensity) -> None:
        """Group the codes by class."""
        self._density = density
        labels = density.labels
        self._rows = (
            {}
            if labels is None
            else {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
        )

    def draw(
        self, count: int, generator: np.random.Generator, label: int | None, temperature: float
    ) -> Floats:
        """See `Sampler.draw`."""
        density = self._density
        codes = density.codes if label is None else density.codes[self._rows[label]]
        centres = codes[generator.integers(len(codes), size=count)]
        spread = temperature * density.bandwidth * density.scale
        return (centres + spread * generator.standard_normal(centres.shape)).astype(np.float32)


def _load_kernel_density(bundle: Bundle, spec: SamplerSpec) -> Sampler:
    if spec.file is None:
        raise ArtifactError("a kde sampler needs a file")
    density = KernelDensity.from_bytes(bundle.read(spec.file))
    if density.codes.shape[1] != bundle.manifest.spaces[spec.space].latent_size:
        raise ArtifactError(f"{spec.file} holds codes of another latent size")
    present = set() if density.labels is None else set(density.labels.tolist())
    if spec.class_conditional and set(range(len(bundle.manifest.classes or ()))) - present:
        raise ArtifactError(f"{spec.file} lacks codes for some classes")
    return KernelDensitySampler(density)


def _load_standard_normal(bundle: Bundle, spec: SamplerSpec) -> Sampler:
    return StandardNormal(bundle.manifest.spaces[spec.space].latent_size)


_SAMPLERS: dict[str, Callable[[Bundle, SamplerSpec], Sampler]] = {
    "kde": _load_kernel_density,
    "prior": _load_standard_normal,
}


def load_sampler(bundle: Bundle, spec: SamplerSpec) -> Sampler:
    """Return the sampler that a manifest describes.

    Raises:
        ArtifactError: its kind is unknown, or its file is not what it should be.
    """
    load = _SAMPLERS.get(spec.kind)
    if load is None:
        raise ArtifactError(f"sampler kind {spec.kind!r} is unknown; known: {', '.join(_SAMPLERS)}")
    return load(bundle, spec)
