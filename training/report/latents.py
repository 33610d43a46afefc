"""Pictures of a trained run's latent spaces, for its report: where codes lie, what lies between.

N images of C x H x W pixels in [0, 1]; L numbers in a code; K classes.
"""

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from torch import nn

from service.artifact.manifest import SpaceName
from service.artifact.maps import LatentMap
from training.networks.autoencoders import Autoencoder
from training.randomness import derive_seed, seeded_globally
from training.report.networks import CPU, Floats, Picture, Studio, run, take
from training.report.plots import draw_manifold, draw_mosaic, draw_path, draw_scatters

_PLANE = 2
_GRID = 12
_STEPS = 11
_POINTS = 14
_PAIRS = 8
_SIGMAS = (0.0, 0.25, 0.5, 0.75, 1.0)
_DRAWS = 2
_NAMES: dict[SpaceName, str] = {"autoencoder": "autoencoder", "vae": "VAE"}
Ends: TypeAlias = tuple[Floats, Floats]


@dataclass(frozen=True)
class Space:
    """A latent space with its map and its networks."""

    name: SpaceName
    found: LatentMap
    encoder: nn.Module
    decoder: nn.Module

    @property
    def title(self) -> str:
        """What it is called."""
        return _NAMES[self.name]


def list_spaces(studio: Studio) -> list[Space]:
    """Return the latent spaces of a run."""
    networks, maps = studio.trained.networks, studio.trained.maps
    own = networks.autoencoder
    spaces = [Space("autoencoder", maps["autoencoder"], own.encoder, own.decoder)]
    if networks.vae is not None:
        spaces.append(Space("vae", maps["vae"], networks.vae.encoder, networks.vae.decoder))
    return spaces


def draw_spaces(studio: Studio) -> list[Picture]:
    """Return what there is to see of each latent space."""
    spaces = list_spaces(studio)
    drawn: list[Picture | None] = [_draw_map(studio, space) for space in spaces]
    drawn += [_draw_untrained(studio, spaces[0])]
    drawn += [_draw_manifold(space) for space in spaces]
    drawn += itertools.chain.from_iterable(_draw_path(studio, space) for space in spaces)
    drawn += [_draw_lines(studio, spaces), _draw_between(studio, spaces[0])]
    drawn += [_draw_centroids(studio, spaces[0])]
    return [picture for picture in drawn if picture is not None]


def _draw_map(studio: Studio, space: Space) -> Picture:
    found = space.found
    is_plane = found.latent_size == _PLANE
    first = ("the codes themselves", found.codes) if is_plane else ("PCA", found.pca)
    panels = {first[0]: (first[1], found.labels), "t-SNE": (found.tsne, found.labels)}
    return take(
        draw_scatters(panels, studio.classes),
        f"map_{space.name}",
        f"Latent map of the {space.title}",
        f"{len(found.codes):,} training images as codes of {found.latent_size} numbers, in two "
        "dimensions: every dot is an image. Neither projection saw the classes; a name stands at "
        "its class's median.",
        f"Two scatter plots, {first[0]} and t-SNE, coloured by class.",
    )


def _draw_untrained(studio: Studio, space: Space) -> Picture | None:
    recipe = studio.trained.recipe
    if space.found.latent_size != _PLANE:
        return None
    train = studio.trained.splits.train
    images = train.take(np.arange(min(len(train), len(space.found.codes))))
    with seeded_globally(CPU, recipe.seed, "report", "untrained"):
        untrained = Autoencoder(images.pixels.shape[1:], recipe.autoencoder).eval()
    pixels = (images.pixels / 255).astype(np.float32)
    panels = {
        "untrained network": (run(untrained.encoder, pixels), images.labels),
        "trained network": (run(space.encoder, pixels), images.labels),
    }
    return take(
        draw_scatters(panels, studio.classes),
        "untrained",
        "Before and after training",
        "The codes of the same training images from the autoencoder's net with its first, random "
        "weights, and with the trained ones. Each panel has its own scale.",
        "Two scatter plots: without training the classes lie on each other, with it they part.",
    )


def _draw_manifold(space: Space) -> Picture | None:
    found = space.found
    is_plane = found.latent_size == _PLANE
    places = found.codes if is_plane else found.pca
    low, high = (np.quantile(places, share, axis=0) for share in (0.01, 0.99))
    if not (high > low).all():
        return None
    across, up = (np.linspace(low[axis], high[axis], _GRID) for axis in (0, 1))
    grid = np.stack(np.meshgrid(across, up[::-1]), axis=-1).reshape(-1, 2).astype(np.float32)
    codes = grid if is_plane else found.mean + grid @ found.components
    images = run(space.decoder, codes)
    of = "the code's plane" if is_plane else "the plane of the first two principal components"
    names = ("number of the code",) if is_plane else ("principal component",)
    figure = draw_manifold(
        images.reshape(_GRID, _GRID, *images.shape[1:]),
        (float(low[0]), float(high[0]), float(low[1]), float(high[1])),
        f"first {names[0]}",
        f"second {names[0]}",
    )
    return take(
        figure,
        f"manifold_{space.name}",
        f"What the {space.title} makes of a plane",
        f"Points of a grid over {of}, from the 1st to the 99th percentile of the codes, decoded.",
        f"A grid of {_GRID} by {_GRID} decoded images that change smoothly into one another.",
    )


def _draw_path(studio: Studio, space: Space) -> list[Picture]:
    """Report 002, figures 4 to 7: down the diagonal of an autoencoder's plane, up a VAE's."""
    found = space.found
    if found.latent_size != _PLANE:
        return []
    low, middle, high = (np.quantile(found.codes, share, axis=0) for share in (0.04, 0.5, 0.96))
    is_diagonal = space.name == "autoencoder"
    start, end = (high, low) if is_diagonal else ([middle[0], low[1]], [middle[0], high[1]])
    points = np.linspace(start, end, _POINTS).astype(np.float32)
    images = run(space.decoder, points)
    way = "from the upper right to the lower left" if is_diagonal else "from below to above"
    numbers = [str(index + 1) for index in range(_POINTS)]
    return [
        take(
            draw_path(found.codes, found.labels, points, studio.classes),
            f"path_{space.name}",
            f"A path across the {space.title}'s plane",
            f"{_POINTS} points {way} over the codes of {len(found.codes):,} training images.",
            "Scatter plot of codes coloured by class with numbered stars on a line.",
        ),
        take(
            draw_mosaic(images[None], columns=numbers),
            f"path_images_{space.name}",
            f"Decoded along the {space.title}'s path",
            "What the decoder makes of the points with these numbers.",
            "A row of decoded images, numbered.",
        ),
    ]


def _draw_lines(studio: Studio, spaces: list[Space]) -> Picture | None:
    rows, labels = [], []
    for first, second, name in _choose_ends(studio):
        for space in spaces:
            start, end = run(space.encoder, np.stack([first, second]))
            line = run(space.decoder, np.linspace(start, end, _STEPS - 2).astype(np.float32))
            rows.append(np.concatenate([first[None], line, second[None]]))
            labels.append(f"{name}\n{space.title}")
    if not rows:
        return None
    columns = ["original", *[""] * (_STEPS - 2), "original"]
    return take(
        draw_mosaic(np.stack(rows), labels, columns),
        "interpolation",
        "Interpolation",
        "Two test images at the ends; between them the decoded codes of a straight line between "
        "theirs, ends included.",
        "Rows of images that change from the first test image to the second.",
    )


def _choose_ends(studio: Studio) -> list[tuple[Floats, Floats, str]]:
    """Return pairs of test images of two classes, boots and sneakers first if there are any."""
    images, labels = studio.originals, studio.shown.labels
    count = len(images)
    pairs = [(a, b) for a, b in ((0, 1), (3, 8), (4, 9)) if b < count]
    names = [studio.name_class(label) for label in labels] if labels is not None else []
    if {"Ankle boot", "Sneaker"} <= set(names):
        pairs = [(names.index("Ankle boot"), names.index("Sneaker")), *pairs[:2]]
    told = names or [str(index + 1) for index in range(count)]
    return [(images[a], images[b], f"{told[a]} to {told[b]}") for a, b in pairs]


def _draw_between(studio: Studio, space: Space) -> Picture | None:
    """Report 004: a point inside a cluster is clear, one between two is a mixture."""
    found = space.found
    if found.labels is None or studio.classes is None:
        return None
    centres = _find_centres(found)
    pairs = sorted(
        itertools.combinations(centres, 2),
        key=lambda pair: float(np.linalg.norm(centres[pair[0]] - centres[pair[1]])),
    )[:_PAIRS]
    if not pairs:
        return None
    inside = {label: _nearest(found, label, centre) for label, centre in centres.items()}
    ends = np.array([[inside[first], inside[second]] for first, second in pairs])
    codes = np.stack([ends[:, 0], ends.mean(axis=1), ends[:, 1]])
    images = run(space.decoder, codes.reshape(-1, codes.shape[-1]).astype(np.float32))
    names = [f"{studio.name_class(first)}\n{studio.name_class(second)}" for first, second in pairs]
    return take(
        draw_mosaic(
            images.reshape(*codes.shape[:2], *images.shape[1:]),
            ("inside the first", "between", "inside the second"),
            notes=names,
        ),
        "between",
        "Inside clusters and between them",
        "For the classes whose mean codes are nearest to each other: the code nearest to the mean "
        "of the first, the point half way, and the code nearest to the mean of the second, "
        "decoded by the autoencoder.",
        "Three rows of decoded images: inside a class, between two, inside the other.",
    )


def _find_centres(found: LatentMap) -> dict[int, Floats]:
    labels = np.zeros(0, np.int64) if found.labels is None else found.labels
    return {int(label): found.codes[labels == label].mean(axis=0) for label in np.unique(labels)}


def _nearest(found: LatentMap, label: int, centre: Floats) -> Floats:
    own: Floats = found.codes[found.labels == label]
    nearest: Floats = own[np.linalg.norm(own - centre, axis=1).argmin()]
    return nearest


def _draw_centroids(studio: Studio, space: Space) -> Picture | None:
    """Report 002, figure 3."""
    centres = dict(itertools.islice(_find_centres(space.found).items(), 10))
    if not centres or studio.classes is None:
        return None
    generator = np.random.default_rng(derive_seed(studio.trained.recipe.seed, "report", "centroid"))
    spread = space.found.codes.std(axis=0)
    sigmas = np.repeat(_SIGMAS, _DRAWS)
    noise = generator.standard_normal((len(centres), len(sigmas), space.found.latent_size))
    codes = np.stack([*centres.values()])[:, None] + sigmas[:, None] * spread * noise
    images = run(space.decoder, codes.reshape(-1, codes.shape[-1]).astype(np.float32))
    columns = [""] * len(sigmas)
    columns[::_DRAWS] = [f"sigma {sigma:g}" for sigma in _SIGMAS]
    return take(
        draw_mosaic(
            images.reshape(*codes.shape[:2], *images.shape[1:]),
            [studio.name_class(label) for label in centres],
            columns,
        ),
        "centroids",
        "Around the centre of each class",
        "Draws about each class's mean code with a growing standard deviation, two each, in "
        "units of the standard deviation of all codes in each dimension; decoded by the "
        "autoencoder.",
        "A row of images for each class, which grow less like it from left to right.",
    )
