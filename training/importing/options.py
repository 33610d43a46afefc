"""What a user asks to import."""

from dataclasses import dataclass
from pathlib import Path

from training.importing.forms.codes import Variance
from training.importing.forms.formats import PixelScale


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The arguments of `latentd import`."""

    name: str
    """The bundle's name."""
    data: str
    """A folder of images, a .npy or .npz file, or a built-in data set."""
    data_root: Path
    command: str
    """The command line, for the provenance."""
    encoder: Path | None = None
    decoder: Path | None = None
    vae_encoder: Path | None = None
    vae_decoder: Path | None = None
    autoencoder: Path | None = None
    """One graph from images to images, which is cut at its code."""
    classifier: Path | None = None
    denoiser: Path | None = None
    classes: Path | None = None
    """A text file with a class name per line, in the order of the classifier's outputs."""
    pixels: PixelScale | None = None
    """The pixels that the networks take; None: found by running."""
    output_pixels: PixelScale | None = None
    """The pixels that they return; None: found by running."""
    layout: str | None = None
    """`nchw` or `nhwc`; None: from the declared shapes."""
    image_size: tuple[int, int] | None = None
    """(H, W) of images for networks that take any size."""
    variance: Variance | None = None
    """What the VAE encoder's second output measures; None: found by name or by running."""
    max_images: int | None = None
    """Images to use at most; None: as many as take a few minutes."""
    seed: int = 0
