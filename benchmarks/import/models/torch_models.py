"""Networks of plain PyTorch and Lightning: `... FOLDER torchscript|pt2|vanilla|fixed|...`."""

import sys
from pathlib import Path

import files
import torch
from nets import fit, make_decoder, make_encoder
from torch import nn

from latentd_client import export_torch
from training.data.torchvision_operators import declare_missing_operators

SIZE = 16


class VanillaEncoder(nn.Module):
    """As in AntixK's PyTorch-VAE: one trunk, and linear layers for mu and log_var."""

    def __init__(self):
        super().__init__()
        self.trunk = make_encoder(3, 64, 128)
        self.fc_mu, self.fc_var = nn.Linear(128, 32), nn.Linear(128, 32)

    def forward(self, images):
        """Return mu and log_var."""
        units = self.trunk(images)
        return self.fc_mu(units), self.fc_var(units)


class LargeDecoder(nn.Module):
    """A decoder of 200 MB: 50 million weights of a dense layer that adds a coarse image."""

    def __init__(self):
        super().__init__()
        self.patches = nn.ConvTranspose2d(16, 3, 8, 8)
        self.coarse = nn.Linear(16 * 32 * 32, 3 * 32 * 32)
        nn.init.normal_(self.coarse.weight, std=1e-5)

    def forward(self, codes):
        """Return images of 3 x 256 x 256."""
        coarse = self.coarse(codes.flatten(1)).unflatten(1, (3, 32, 32))
        return self.patches(codes) + nn.functional.interpolate(coarse, scale_factor=8)


def make_large():
    """Return images and networks of 256 x 256 pixels: the principal components of patches."""
    pixels = files.load_crops(120, 256)
    patches = nn.functional.unfold(torch.from_numpy(files.to_floats(pixels[:20])), 8, stride=8)
    rows = patches.transpose(1, 2).reshape(-1, 192)
    mean = rows.mean(dim=0)
    components = torch.linalg.svd((rows - mean)[::10], full_matrices=False)[2][:16]
    encoder, decoder = nn.Conv2d(3, 16, 8, 8), LargeDecoder()
    encoder.weight.data = components.reshape(16, 3, 8, 8).clone()
    encoder.bias.data = -components @ mean
    decoder.patches.weight.data = components.reshape(16, 3, 8, 8).clone()
    decoder.patches.bias.data = mean.reshape(3, -1).mean(dim=1)
    return pixels, None, encoder, decoder


def make_networks(kind):
    """Return images, labels, and both networks."""
    if kind == "large":
        return make_large()
    if kind == "vanilla":
        pixels = files.load_crops(600, 64)
        return pixels, None, VanillaEncoder(), make_decoder(3, 64, 32, nn.Tanh())
    pixels, labels = files.load_mnist()
    return pixels, labels, make_encoder(1, 28, SIZE), make_decoder(1, 28, SIZE, nn.Sigmoid())


def train_with_lightning(encoder, decoder, images):
    """Train in a LightningModule, as its users do."""
    declare_missing_operators()
    import pytorch_lightning as pl

    class Autoencoder(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def training_step(self, batch, _):
            return (self.decoder(self.encoder(batch[0])) - batch[0]).square().mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 2e-3)

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images), 64, shuffle=True)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    pl.Trainer(max_epochs=2, accelerator="cpu", **quiet).fit(Autoencoder(), loader)


def export(kind, networks, images, codes, folder):
    """Write the files, and return their suffix."""
    encoder, decoder = networks
    if kind == "torchscript":
        torch.jit.save(torch.jit.trace(encoder, images), folder / "encoder.pt")
        torch.jit.save(torch.jit.script(decoder), folder / "decoder.pt")
        return "pt"
    if kind == "pt2":
        batch = ({0: torch.export.Dim("batch")},)
        for name, network, example in (("encoder", encoder, images), ("decoder", decoder, codes)):
            program = torch.export.export(network, (example.clone(),), dynamic_shapes=batch)
            torch.export.save(program, folder / f"{name}.pt2")
        return "pt2"
    if kind == "fixed":
        for name, network, example in (("encoder", encoder, images), ("decoder", decoder, codes)):
            torch.onnx.export(network, (example[:1],), folder / f"{name}.onnx", dynamo=False)
        return "onnx"
    export_torch(encoder, decoder, images, folder)
    return "onnx"


def main(folder, kind):
    """Train, export and write the reference."""
    torch.manual_seed(0)
    pixels, labels, encoder, decoder = make_networks(kind)
    images = torch.from_numpy(files.to_floats(pixels))
    images = images * 2 - 1 if kind == "vanilla" else images
    if kind == "lightning":
        train_with_lightning(encoder, decoder, images)
    elif kind != "large":
        fit(
            (lambda batch: encoder(batch)[0]) if kind == "vanilla" else encoder,
            decoder,
            [*encoder.parameters(), *decoder.parameters()],
            images,
        )
    encoder.eval(), decoder.eval()
    with torch.no_grad():
        codes = encoder(images[: files.TESTED])
        codes = codes[0] if isinstance(codes, tuple) else codes
        decoded = decoder(codes)
        decoded = decoded / 2 + 0.5 if kind == "vanilla" else decoded
    suffix = export(kind, (encoder, decoder), images[:2], codes[:2], folder)
    encoder.eval(), decoder.eval()
    prefix = "vae-" if kind == "vanilla" else ""
    flags = [f"--{prefix}encoder", f"encoder.{suffix}", f"--{prefix}decoder", f"decoder.{suffix}"]
    files.write_files(
        folder, pixels, labels=labels, flags=flags, codes=codes, images=decoded.clamp(0, 1)
    )


main(Path(sys.argv[1]), sys.argv[2])
