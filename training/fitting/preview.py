"""Images written while a network trains: originals, reconstructions and samples as one PNG file."""

import io
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from training.files import replace_bytes
from training.fitting.examples import Examples
from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.networks.layers import find_device
from training.randomness import make_generator

PREVIEW_FILE = "preview.png"
_COLUMNS = 12
_MIN_HEIGHT = 48  # pixels of a row: smaller images are enlarged


@torch.no_grad()
def write_preview(path: Path, network: nn.Module, images: Examples) -> None:
    """Replace a PNG file: a row of originals, one of reconstructions and, for a VAE, of samples.

    Networks that make no images write nothing.

    Args:
        path: The file.
        network: The network in its present state; left in evaluation mode.
        images: Images, of which twelve are shown.
    """
    if not isinstance(network, Autoencoder | VariationalAutoencoder):
        return
    chosen = torch.linspace(0, len(images) - 1, min(_COLUMNS, len(images))).long()
    originals, _ = images.batch(chosen.to(images.inputs.device))
    rows = [originals, network.eval()(originals)]
    if isinstance(network, VariationalAutoencoder):
        device, size = find_device(network), network.encoder.latent_size
        generator = make_generator(device, 0, "preview")
        latents = torch.randn(len(chosen), size, generator=generator, device=device)
        rows.append(network.decoder(latents))
    replace_bytes(path, _to_png(torch.stack(rows)))


def _to_png(rows: Tensor) -> bytes:
    """Return images (rows, N, C, H, W) in [0, 1] as the PNG file of a grid."""
    count, columns, channels, height, width = rows.shape
    grid = rows.permute(0, 3, 1, 4, 2).reshape(count * height, columns * width, channels)
    pixels = (255 * grid.clamp(0, 1)).round().byte().expand(-1, -1, 3).cpu().numpy()
    image, scale = Image.fromarray(pixels), -(-_MIN_HEIGHT // height)
    stream = io.BytesIO()
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(
        stream, "PNG"
    )
    return stream.getvalue()
