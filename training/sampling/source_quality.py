"""Sample quality of every source of a bundle, measured by the judge, and the default source."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from service.artifact.specs import DECODERS, is_copying
from training.data.splits import Splits
from training.errors import RunError
from training.randomness import make_rng
from training.sampling.filtered_gan import RunNetwork
from training.sampling.reference_images import Quality, ReferenceImages
from training.sampling.samplers import FittedSampler

_Name = TypeVar("_Name", str, float)


class SampleQuality(BaseModel):
    """The measurements of all sources of a run, as stored in quality.json; shares in percent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: dict[str, Quality]
    """`recognisable`, `classes`, `frechet`, `density`, `coverage`, `precision` and `recall` against
    the test images, `memorisation` and `near_copies` against the training images, all defined in
    `sampling.quality_metrics`. `validation_frechet`, `validation_memorisation`,
    `validation_near_copies`, `memorisation_limit` and `near_copies_limit` choose the default
    source: the same with validation images in place of test images, and the limits of the source's
    space."""
    bandwidths: dict[str, float] = {}
    """The chosen bandwidth of each kernel density, and the chosen spread of each flow."""
    floor: Quality
    """The same metrics, with the prefix `floor_`, of training images in place of samples: the
    values of an ideal sampler. Also `judge_accuracy` on the test images."""

    def covers(self, names: Iterable[str]) -> bool:
        """Return whether exactly the sources `names` are measured, with all current metrics."""
        is_current = all("near_copies_limit" in quality for quality in self.sources.values())
        return is_current and self.sources.keys() == set(names)


def measure_sources(
    reference: ReferenceImages,
    splits: Splits,
    samplers: Mapping[str, FittedSampler],
    run: RunNetwork,
    seed: int,
) -> SampleQuality:
    """Measure `reference.count` samples of each source.

    Args:
        reference: The real images.
        splits: The same images, for the floor.
        samplers: The sources by name.
        run: Decodes latents into images.
        seed: The recipe's seed; each source has its own random numbers.
    """
    sources = {}
    for name, sampler in tqdm(samplers.items(), desc="judging", unit="source"):
        rng = make_rng(seed, "judging", name)
        latents = sampler.source.draw(reference.count, rng, None, 1.0)
        (images,) = run(DECODERS[sampler.space], latents)
        sources[name] = reference.measure_samples(images, sampler.space)
    return SampleQuality(sources=sources, floor=reference.measure_floor(splits, seed))


def read_quality(path: Path) -> SampleQuality | None:
    """Return the stored measurements; None if the file does not exist.

    Raises:
        RunError: the file cannot be read.
    """
    if not path.exists():
        return None
    try:
        return SampleQuality.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RunError(f"{path} is damaged; delete it to measure the samples again") from error


def choose_source(sources: Mapping[_Name, Quality]) -> _Name:
    """Return the source, of one or more, with the lowest Frechet distance to the validation images.

    Sources that copy training images (`specs.is_copying`) are excluded. If all do, the one with
    the highest `validation_memorisation` is chosen. The choice ignores test images.
    """
    distances = {
        name: quality["validation_frechet"].value
        for name, quality in sources.items()
        if not is_copying(quality)
    }
    if distances:
        return min(distances, key=distances.__getitem__)
    ratios = {name: quality["validation_memorisation"].value for name, quality in sources.items()}
    return max(ratios, key=ratios.__getitem__)
