"""diffusers' AutoencoderTiny and AutoencoderKL with random weights: `... FOLDER tiny|kl`."""

import sys
from pathlib import Path

import files
import torch
from torch import nn

from training.data.torchvision_operators import declare_missing_operators

declare_missing_operators()
from diffusers import AutoencoderKL, AutoencoderTiny  # noqa: E402 - it imports torchvision

from latentd_client import export_torch  # noqa: E402


class Encoder(nn.Module):
    """The encoder; for AutoencoderKL its moments: mean and log-variance, along the channels."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        """Return the latents, or the moments."""
        if isinstance(self.model, AutoencoderTiny):
            return self.model.encode(images).latents
        return self.model.quant_conv(self.model.encoder(images))


class Decoder(nn.Module):
    """The decoder."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, latents):
        """Return images in [-1, 1]."""
        return self.model.decode(latents).sample


def main(folder, kind):
    """Export and write the reference."""
    torch.manual_seed(0)
    side = 64
    if kind == "tiny":
        model = AutoencoderTiny(
            encoder_block_out_channels=(16, 16, 16),
            decoder_block_out_channels=(16, 16, 16),
            num_encoder_blocks=(1, 1, 1),
            num_decoder_blocks=(1, 1, 1),
        )
    else:
        model = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(32, 64, 64),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=8,
            sample_size=side,
        )
    model.eval()
    pixels = files.load_crops(200, side)
    images = torch.from_numpy(files.to_floats(pixels[: files.TESTED])) * 2 - 1
    encoder, decoder = Encoder(model).eval(), Decoder(model).eval()
    with torch.no_grad():
        codes = encoder(images)
        if kind != "tiny":
            codes = codes.chunk(2, dim=1)[0]
        decoded = (decoder(codes) / 2 + 0.5).clamp(0, 1)
    export(folder, encoder, decoder, images[:2], codes[:2])
    prefix = "" if kind == "tiny" else "vae-"
    flags = [f"--{prefix}encoder", "encoder.onnx", f"--{prefix}decoder", "decoder.onnx"]
    flags += ["--pixels=-1..1", "--output-pixels=-1..1"]
    files.write_files(folder, pixels, labels=None, flags=flags, codes=codes, images=decoded)


def export(folder, encoder, decoder, images, codes):
    """Write both files. The moments are not what the decoder takes, so the helper does not fit."""
    if codes.shape == encoder(images).shape:
        export_torch(encoder, decoder, images, folder)
        return
    for name, network, example in (("encoder", encoder, images), ("decoder", decoder, codes)):
        torch.onnx.export(
            network,
            (example,),
            folder / f"{name}.onnx",
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


main(Path(sys.argv[1]), sys.argv[2])
