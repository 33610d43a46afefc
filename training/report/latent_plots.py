"""Plots of a run's latent spaces, for its report: maps, decoded grids, paths, interpolations.

N images of C x H x W pixels in [0, 1]; L latent dimensions; K classes.
"""

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from service.artifact.maps import LatentMap
from service.artifact.specs import SpaceName
from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.randomness import make_rng, seeded_globally
from training.report.context import CPU, Floats, Plot, ReportContext, make_plot, run_network
from training.report.plots.image_grids import draw_image_grid
from training.report.plots.latent_spaces import draw_manifold, draw_path, draw_scatters

_PLANE = 2
_GRID = 12
_STEPS = 11
_POINTS = 14
_PAIRS = 8
_SIGMAS = (0.0, 0.25, 0.5, 0.75, 1.0)
_DRAWS = 2
_MAX_CENTROIDS = 10
_TITLES: dict[SpaceName, str] = {"autoencoder": "autoencoder", "vae": "VAE"}
Pair: TypeAlias = tuple[Floats, Floats, str]
"""Two images and the label of the pair."""


@dataclass(frozen=True)
class Space:
    """A latent space with its map and its autoencoder."""

    name: SpaceName
    map: LatentMap
    network: Autoencoder | VariationalAutoencoder

    @property
    def title(self) -> str:
        """The name in titles."""
        return _TITLES[self.name]

    @property
    def is_plane(self) -> bool:
        """Whether the space has two dimensions."""
        return self.map.latent_size == _PLANE

    def decode(self, latents: Floats) -> Floats:
        """Return the images of latents (..., L), of shape (..., C, H, W)."""
        images = run_network(
            self.network.decoder, latents.reshape(-1, latents.shape[-1]).astype("f4")
        )
        return images.reshape(*latents.shape[:-1], *images.shape[1:])


def draw_spaces(context: ReportContext) -> list[Plot]:
    """Return the plots of each latent space."""
    maps, networks = context.trained.maps, context.trained.networks
    spaces = [Space(name, maps[name], network) for name, network in networks.spaces.items()]
    plots: list[Plot | None] = [_draw_map(context, space) for space in spaces]
    plots += [_draw_untrained(context, spaces[0])]
    plots += [_draw_manifold(space) for space in spaces]
    plots += itertools.chain.from_iterable(_draw_path(context, space) for space in spaces)
    plots += [_draw_interpolation(context, spaces), _draw_between(context, spaces[0])]
    plots += [_draw_centroids(context, spaces[0])]
    return [plot for plot in plots if plot is not None]


def _draw_map(context: ReportContext, space: Space) -> Plot:
    points = space.map
    title, projection = ("latents", points.codes) if space.is_plane else ("PCA", points.pca)
    panels = {title: (projection, points.labels), "t-SNE": (points.tsne, points.labels)}
    classes, colours = "", ""
    if context.classes is not None:
        classes = " The projections do not use the classes; the label of a class is at its median."
        colours = ", coloured by class"
    return make_plot(
        draw_scatters(panels, context.classes),
        f"map_{space.name}",
        f"Latent map of the {space.title}",
        f"Latents of {len(points.codes):,} training images, with {points.latent_size} dimensions, "
        f"projected to two dimensions. Each dot is an image.{classes}",
        f"Two scatter plots, {title} and t-SNE{colours}.",
    )


def _draw_untrained(context: ReportContext, space: Space) -> Plot | None:
    recipe = context.trained.recipe
    if not space.is_plane or context.trained.imported is not None:
        return None
    train = context.trained.splits.train
    images = train.take(np.arange(min(len(train), len(space.map.codes))))
    with seeded_globally(CPU, recipe.seed, "report", "untrained"):
        untrained = Autoencoder(images.pixels.shape[1:], recipe.autoencoder).eval()
    pixels = (images.pixels / 255).astype(np.float32)
    panels = {
        "untrained network": (run_network(untrained.encoder, pixels), images.labels),
        "trained network": (run_network(space.network.encoder, pixels), images.labels),
    }
    return make_plot(
        draw_scatters(panels, context.classes),
        "untrained",
        "Before and after training",
        "Latents of the same training images from the autoencoder with its random initial weights, "
        "and with its trained weights. Each panel has its own scale.",
        "Two scatter plots of latents, before and after training.",
    )


def _draw_manifold(space: Space) -> Plot | None:
    points = space.map.codes if space.is_plane else space.map.pca
    low, high = (np.quantile(points, share, axis=0) for share in (0.01, 0.99))
    if not (high > low).all():
        return None
    x, y = (np.linspace(low[axis], high[axis], _GRID) for axis in (0, 1))
    grid = np.stack(np.meshgrid(x, y[::-1]), axis=-1).astype(np.float32)  # (12, 12, 2)
    latents = grid if space.is_plane else space.map.mean + grid @ space.map.components
    plane, axis_name = ("the latent plane", "latent dimension")
    if not space.is_plane:
        plane, axis_name = "the plane of the first two principal components", "principal component"
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    figure = draw_manifold(
        space.decode(latents), extent, f"first {axis_name}", f"second {axis_name}"
    )
    return make_plot(
        figure,
        f"manifold_{space.name}",
        f"Decoded plane of the {space.title}",
        f"Decoded points of a grid over {plane}, from the 1st to the 99th percentile of the "
        "latents.",
        f"A grid of {_GRID} by {_GRID} decoded images that change smoothly into one another.",
    )


def _draw_path(context: ReportContext, space: Space) -> list[Plot]:
    """Report 002, figures 4 to 7: a diagonal path for an autoencoder, a vertical one for a VAE."""
    if not space.is_plane:
        return []
    latents = space.map.codes
    low, middle, high = (np.quantile(latents, share, axis=0) for share in (0.04, 0.5, 0.96))
    is_diagonal = space.name == "autoencoder"
    start, end = (high, low) if is_diagonal else ([middle[0], low[1]], [middle[0], high[1]])
    points = np.linspace(start, end, _POINTS).astype(np.float32)
    direction = "from top right to bottom left" if is_diagonal else "from bottom to top"
    numbers = [str(index + 1) for index in range(_POINTS)]
    return [
        make_plot(
            draw_path(latents, space.map.labels, points, context.classes),
            f"path_{space.name}",
            f"Path across the {space.title}'s latent plane",
            f"{_POINTS} points {direction}, over the latents of {len(latents):,} training images.",
            "Scatter plot of latents, with numbered stars on a line.",
        ),
        make_plot(
            draw_image_grid(space.decode(points)[None], columns=numbers),
            f"path_images_{space.name}",
            f"Decoded path of the {space.title}",
            "The decoded images of the points with these numbers.",
            "A row of decoded images, numbered.",
        ),
    ]


def _draw_interpolation(context: ReportContext, spaces: list[Space]) -> Plot | None:
    if not context.shows_images:
        return None
    rows, labels = [], []
    for first, second, name in _choose_pairs(context):
        for space in spaces:
            start, end = run_network(space.network.encoder, np.stack([first, second]))
            line = space.decode(np.linspace(start, end, _STEPS - 2))
            rows.append(np.concatenate([first[None], line, second[None]]))
            labels.append(f"{name}\n{space.title}")
    if not rows:
        return None
    columns = ["original", *[""] * (_STEPS - 2), "original"]
    return make_plot(
        draw_image_grid(np.stack(rows), labels, columns),
        "interpolation",
        "Interpolation",
        "Two test images, and between them the decoded points of a straight line between their "
        "latents, both ends included.",
        "Rows of images that change from the first test image to the second.",
    )


def _choose_pairs(context: ReportContext) -> list[Pair]:
    """Return pairs of test images, of two classes if any; the ankle boot and sneaker first."""
    images, labels = context.originals, context.shown.labels
    count = len(images)
    pairs = [(a, b) for a, b in ((0, 1), (3, 8), (4, 9)) if b < count]
    classes = [context.name_class(label) for label in labels] if labels is not None else []
    if {"Ankle boot", "Sneaker"} <= set(classes):
        pairs = [(classes.index("Ankle boot"), classes.index("Sneaker")), *pairs[:2]]
    names = classes or [str(index + 1) for index in range(count)]
    return [(images[a], images[b], f"{names[a]} to {names[b]}") for a, b in pairs]


def _draw_between(context: ReportContext, space: Space) -> Plot | None:
    """Report 004: latents inside a cluster decode sharply, latents in between are mixtures."""
    if space.map.labels is None or context.classes is None:
        return None
    centroids = _find_centroids(space.map)
    pairs = sorted(
        itertools.combinations(centroids, 2),
        key=lambda pair: float(np.linalg.norm(centroids[pair[0]] - centroids[pair[1]])),
    )[:_PAIRS]
    if not pairs:
        return None
    inside = {label: _find_nearest(space.map, label, mean) for label, mean in centroids.items()}
    ends = np.array([[inside[first], inside[second]] for first, second in pairs])
    latents = np.stack([ends[:, 0], ends.mean(axis=1), ends[:, 1]])
    names = [
        f"{context.name_class(first)}\n{context.name_class(second)}" for first, second in pairs
    ]
    return make_plot(
        draw_image_grid(
            space.decode(latents),
            ("inside the first", "between", "inside the second"),
            notes=names,
        ),
        "between",
        "Inside clusters and between them",
        "Pairs of classes with the nearest centroids. Rows: the latent nearest to the first "
        "centroid, the midpoint, and the latent nearest to the second centroid, decoded by the "
        "autoencoder.",
        "Three rows of decoded images: inside a class, between two, inside the other.",
    )


def _find_centroids(latent_map: LatentMap) -> dict[int, Floats]:
    labels = np.zeros(0, np.int64) if latent_map.labels is None else latent_map.labels
    return {
        int(label): latent_map.codes[labels == label].mean(axis=0) for label in np.unique(labels)
    }


def _find_nearest(latent_map: LatentMap, label: int, centroid: Floats) -> Floats:
    members: Floats = latent_map.codes[latent_map.labels == label]
    nearest: Floats = members[np.linalg.norm(members - centroid, axis=1).argmin()]
    return nearest


def _draw_centroids(context: ReportContext, space: Space) -> Plot | None:
    """Report 002, figure 3."""
    centroids = dict(itertools.islice(_find_centroids(space.map).items(), _MAX_CENTROIDS))
    if not centroids or context.classes is None:
        return None
    rng = make_rng(context.trained.recipe.seed, "report", "centroid")
    scale = space.map.codes.std(axis=0)
    sigmas = np.repeat(_SIGMAS, _DRAWS)
    noise = rng.standard_normal((len(centroids), len(sigmas), space.map.latent_size))
    latents = np.stack([*centroids.values()])[:, None] + sigmas[:, None] * scale * noise
    columns = [""] * len(sigmas)
    columns[::_DRAWS] = [f"sigma {sigma:g}" for sigma in _SIGMAS]
    return make_plot(
        draw_image_grid(
            space.decode(latents), [context.name_class(label) for label in centroids], columns
        ),
        "centroids",
        "Samples around class centroids",
        "Two draws for each standard deviation around each class centroid, in units of the "
        "standard deviation of all latents per dimension; decoded by the autoencoder.",
        "A row of images for each class, with variation that increases from left to right.",
    )
