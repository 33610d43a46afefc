"""Imported graphs as PyTorch modules, so that sampling, evaluation and report need not differ."""

import math
from typing import cast

import numpy as np
import onnxruntime
import torch
from onnx import ModelProto
from torch import Tensor, nn

from training.networks.autoencoders import (
    Autoencoder,
    Decoder,
    Encoder,
    VariationalAutoencoder,
    VariationalEncoder,
)
from training.networks.classifiers import Classifier
from training.networks.gan import Generator


class OnnxNetwork(nn.Module):
    """A wrapped graph, run by ONNX Runtime in batches of a bounded size."""

    def __init__(self, model: ModelProto, max_batch: int) -> None:
        """Open a session."""
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._max_batch = max_batch
        # Callers find the device of a network by its parameters.
        self.device = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the graph's output, or a tuple of several."""
        array = np.ascontiguousarray(inputs.numpy())
        parts = [
            self._session.run(None, {self._input: array[start : start + self._max_batch]})
            for start in range(0, len(array), self._max_batch)
        ]
        outputs = [torch.from_numpy(np.concatenate(each)) for each in zip(*parts, strict=True)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


class ImportedAutoencoder(Autoencoder):
    """An autoencoder, or a denoiser, of two graphs."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        """Take the graphs in place of layers."""
        nn.Module.__init__(self)
        self.encoder = cast("Encoder", encoder)
        self.decoder = cast("Decoder", decoder)


class ImportedVae(VariationalAutoencoder):
    """A variational autoencoder of two graphs, with a Gaussian likelihood."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, size: int, error: float) -> None:
        """Take the graphs in place of layers.

        Args:
            encoder: Returns means and log-variances.
            decoder: Returns images.
            size: L.
            error: Mean squared error per pixel, which is the likelihood's variance.
        """
        nn.Module.__init__(self)
        self.encoder = cast("VariationalEncoder", encoder)
        self.decoder = cast("Decoder", decoder)
        self.size = size
        log_scale = 0.5 * math.log(max(error, 1e-12))
        self.log_scale = nn.Parameter(torch.tensor(log_scale), requires_grad=False)

    @property
    def latent_size(self) -> int:
        """L."""
        return self.size


class ImportedClassifier(Classifier):
    """A classifier of one graph."""

    def __init__(self, network: nn.Module) -> None:
        """Take the graph in place of layers."""
        nn.Module.__init__(self)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (N, K)."""
        probabilities: Tensor = self.network(images)
        return probabilities


class ImportedGenerator(Generator):
    """A generator of one graph, from noise to images."""

    def __init__(self, network: nn.Module, noise_size: int) -> None:
        """Take the graph in place of layers."""
        nn.Module.__init__(self)
        self.network = network
        self.noise_size = noise_size

    def forward(self, noise: Tensor) -> Tensor:
        """Return images (N, C, H, W)."""
        images: Tensor = self.network(noise)
        return images


class ImportedDenoiser(Autoencoder):
    """A denoiser of one graph, from images to images."""

    def __init__(self, network: nn.Module) -> None:
        """Take the graph in place of layers."""
        nn.Module.__init__(self)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the denoised images."""
        denoised: Tensor = self.network(images)
        return denoised
