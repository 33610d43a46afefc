"""Pictures of a trained run's sample sources, for its report."""

import numpy as np

from service.artifact.manifest import DECODERS, SpaceName
from service.artifact.maps import LatentMap
from training.randomness import derive_seed
from training.report.networks import Floats, Picture, Studio, run, take
from training.report.plots import draw_histograms, draw_mosaic, draw_scatters
from training.sampling.samplers import FittedSampler, give_runner

_COLUMNS = 13
_ROWS = 2
_FIRST: dict[SpaceName, str] = {"autoencoder": "kde", "vae": "prior"}
"""The source of each space that is compared with its codes."""
_NAMES = {"kde": "the kernel density", "prior": "the prior"}


def draw_sources(studio: Studio) -> list[Picture]:
    """Return what there is to see of the sources of samples."""
    trained = studio.trained
    drawn = []
    for space, source in _FIRST.items():
        if source in trained.samplers and space in trained.maps:
            found, sampler = trained.maps[space], trained.samplers[source]
            drawn += _compare(studio, found, sampler, source)
    if trained.samplers:
        drawn.append(_draw_samples(studio))
    if "gan" in trained.samplers:
        drawn.append(_draw_filtered(studio))
    return drawn


def _draw(studio: Studio, sampler: FittedSampler, count: int, purpose: str) -> Floats:
    seed = derive_seed(studio.trained.recipe.seed, "report", purpose)
    return sampler.source.draw(count, np.random.default_rng(seed), None, 1.0)


def _compare(
    studio: Studio, found: LatentMap, sampler: FittedSampler, source: str
) -> list[Picture]:
    """Report 003: the histogram of codes beside that of draws."""
    draws = _draw(studio, sampler, len(found.codes), source)
    is_plane = found.latent_size == len(found.components)
    places = draws if is_plane else (draws - found.mean) @ found.components.T
    panels = {
        "codes of training images": (found.codes if is_plane else found.pca, None),
        f"draws from {_NAMES[source]}": (places.astype(np.float32), None),
    }
    plane = "their own plane" if is_plane else "the codes' first two principal components"
    return [
        take(
            draw_scatters(panels, None, shared=True),
            f"draws_{source}",
            f"Codes beside draws from {_NAMES[source]}",
            f"{len(draws):,} codes and as many draws, on {plane}, on one scale.",
            "Two scatter plots, of codes and of draws, that should look alike.",
        ),
        take(
            draw_histograms(found.codes, draws),
            f"histograms_{source}",
            f"Spread of codes and of draws from {_NAMES[source]}",
            "How the same codes (filled) and draws (line) are spread in each dimension.",
            "A histogram for each dimension of the code; the line follows the filled bars where "
            "the source fits.",
        ),
    ]


def _draw_samples(studio: Studio) -> Picture:
    give = give_runner(studio.trained.networks)
    rows, labels = [], []
    for name, sampler in studio.trained.samplers.items():
        latents = _draw(studio, sampler, _ROWS * _COLUMNS, f"samples of {name}")
        (images,) = give(DECODERS[sampler.space], latents)
        rows.append(images.reshape(_ROWS, _COLUMNS, *images.shape[1:]))
        labels += [name, *[""] * (_ROWS - 1)]
    return take(
        draw_mosaic(np.concatenate(rows), labels),
        "samples",
        "Samples by source",
        "The first draws of each source, none picked out.",
        f"Two rows of generated images for each of {', '.join(studio.trained.samplers)}.",
    )


def _draw_filtered(studio: Studio) -> Picture:
    """Report 001, figures 8 and 9."""
    give = give_runner(studio.trained.networks)
    latents = _draw(studio, studio.trained.samplers["gan"], 2 * _COLUMNS, "gan")
    (images,) = give("generator", latents)
    filtered = run(studio.trained.networks.autoencoder, images)
    whole = np.stack([images, filtered]).reshape(2, 2, _COLUMNS, *images.shape[1:])
    return take(
        draw_mosaic(
            whole.transpose(1, 0, 2, 3, 4, 5).reshape(4, _COLUMNS, *images.shape[1:]),
            ["GAN", "filtered"] * 2,
        ),
        "gan",
        "GAN samples, and the same filtered",
        "Images from the GAN's generator, and below each what the autoencoder makes of it.",
        "Pairs of rows: generated images and the same passed through the autoencoder.",
    )
