"""Plots of a run's sample sources, for its report."""

import numpy as np

from service.artifact.maps import LatentMap
from service.artifact.specs import DECODERS, SpaceName
from training.randomness import make_rng
from training.report.context import Floats, Plot, ReportContext, make_plot, run_network
from training.report.plots.curves import draw_histograms
from training.report.plots.image_grids import draw_image_grid
from training.report.plots.latent_spaces import draw_scatters
from training.sampling.samplers import FittedSampler, make_network_runner

_COLUMNS = 13
_ROWS = 2
_COMPARED: dict[SpaceName, str] = {"autoencoder": "kde", "vae": "prior"}
"""The source of each space that is compared with the latents."""
_NAMES = {"kde": "the kernel density", "prior": "the prior"}


def draw_sources(context: ReportContext) -> list[Plot]:
    """Return the plots of the sample sources."""
    trained = context.trained
    plots = []
    for space, source in _COMPARED.items():
        if source in trained.samplers and space in trained.maps:
            plots += _compare(context, trained.maps[space], trained.samplers[source], source)
    if trained.samplers:
        plots.append(_draw_samples(context))
    if "gan" in trained.samplers:
        plots.append(_draw_filtered(context))
    return plots


def _draw(context: ReportContext, sampler: FittedSampler, count: int, purpose: str) -> Floats:
    rng = make_rng(context.trained.recipe.seed, "report", purpose)
    return sampler.source.draw(count, rng, None, 1.0)


def _compare(
    context: ReportContext, latent_map: LatentMap, sampler: FittedSampler, source: str
) -> list[Plot]:
    """Report 003: latents of training images compared with draws of a source."""
    draws = _draw(context, sampler, len(latent_map.codes), source)
    is_plane = latent_map.latent_size == len(latent_map.components)
    points = draws if is_plane else (draws - latent_map.mean) @ latent_map.components.T
    panels = {
        "latents of training images": (latent_map.codes if is_plane else latent_map.pca, None),
        f"draws from {_NAMES[source]}": (points.astype(np.float32), None),
    }
    plane = "the latent plane" if is_plane else "the first two principal components of the latents"
    return [
        make_plot(
            draw_scatters(panels, None, shared=True),
            f"draws_{source}",
            f"Latents and draws from {_NAMES[source]}",
            f"{len(draws):,} latents and as many draws, on {plane}, with the same scale.",
            "Two scatter plots, of latents and of draws; similar plots mean a good fit.",
        ),
        make_plot(
            draw_histograms(latent_map.codes, draws),
            f"histograms_{source}",
            f"Distribution of latents and of draws from {_NAMES[source]}",
            "Histograms of the same latents (filled) and draws (line) in each dimension.",
            "A histogram for each latent dimension; the line follows the filled bars if the source "
            "fits well.",
        ),
    ]


def _draw_samples(context: ReportContext) -> Plot:
    run = make_network_runner(context.trained.networks)
    rows, labels = [], []
    for name, sampler in context.trained.samplers.items():
        latents = _draw(context, sampler, _ROWS * _COLUMNS, f"samples of {name}")
        (images,) = run(DECODERS[sampler.space], latents)
        rows.append(images.reshape(_ROWS, _COLUMNS, *images.shape[1:]))
        labels += [name, *[""] * (_ROWS - 1)]
    return make_plot(
        draw_image_grid(np.concatenate(rows), labels),
        "samples",
        "Samples by source",
        "The first samples of each source, not selected.",
        f"Two rows of generated images for each of {', '.join(context.trained.samplers)}.",
    )


def _draw_filtered(context: ReportContext) -> Plot:
    """Report 001, figures 8 and 9."""
    run = make_network_runner(context.trained.networks)
    latents = _draw(context, context.trained.samplers["gan"], 2 * _COLUMNS, "gan")
    (images,) = run("generator", latents)
    filtered = run_network(context.trained.networks.autoencoder, images)
    pairs = np.stack([images, filtered]).reshape(2, 2, _COLUMNS, *images.shape[1:])
    return make_plot(
        draw_image_grid(
            pairs.transpose(1, 0, 2, 3, 4, 5).reshape(4, _COLUMNS, *images.shape[1:]),
            ["GAN", "filtered"] * 2,
        ),
        "gan",
        "GAN samples, raw and filtered",
        "Images from the GAN's generator, and below each its reconstruction by the autoencoder.",
        "Pairs of rows: generated images and their reconstructions by the autoencoder.",
    )
