"""pythae's VAE and RAE, trained by its own trainer: `python pythae_models.py FOLDER vae|rae`."""

import sys
from pathlib import Path

import files
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import RAE_L2, VAE, RAE_L2_Config, VAEConfig
from pythae.models.nn.benchmarks.mnist import (
    Decoder_Conv_AE_MNIST,
    Encoder_Conv_AE_MNIST,
    Encoder_Conv_VAE_MNIST,
)
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn

from latentd_client import export_torch

SIZE = 16


class Codes(nn.Module):
    """An encoder of pythae, which returns a dictionary, with plain outputs."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        """Return the embedding, and the log-covariance of a VAE."""
        output = self.network(images)
        if "log_covariance" in output:
            return output["embedding"], output["log_covariance"]
        return output["embedding"]


class Images(nn.Module):
    """A decoder of pythae with a plain output."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, codes):
        """Return the reconstruction."""
        return self.network(codes)["reconstruction"]


def main(folder, kind):
    """Train, export and write the reference."""
    torch.manual_seed(0)
    pixels, labels = files.load_mnist()
    images = torch.from_numpy(files.to_floats(pixels))
    shape = {"input_dim": (1, 28, 28), "latent_dim": SIZE}
    if kind == "vae":
        config = VAEConfig(**shape)
        model = VAE(config, Encoder_Conv_VAE_MNIST(config), Decoder_Conv_AE_MNIST(config))
    else:
        config = RAE_L2_Config(**shape)
        model = RAE_L2(config, Encoder_Conv_AE_MNIST(config), Decoder_Conv_AE_MNIST(config))
    training = BaseTrainerConfig(
        output_dir=str(folder / "run"),
        num_epochs=10,
        per_device_train_batch_size=64,
        learning_rate=1e-3,
        no_cuda=True,
    )
    dataset = BaseDataset(images, torch.from_numpy(labels))
    BaseTrainer(model, train_dataset=dataset, training_config=training).train()
    encoder, decoder = Codes(model.eval().encoder).eval(), Images(model.decoder).eval()
    export_torch(encoder, decoder, images[:2], folder)
    with torch.no_grad():
        output = encoder(images[: files.TESTED])
        codes = output[0] if kind == "vae" else output
        decoded = decoder(codes)
    prefix = "vae-" if kind == "vae" else ""
    flags = [f"--{prefix}encoder", "encoder.onnx", f"--{prefix}decoder", "decoder.onnx"]
    files.write_files(folder, pixels, labels=labels, flags=flags, codes=codes, images=decoded)


main(Path(sys.argv[1]), sys.argv[2])
