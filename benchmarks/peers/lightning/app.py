"""Training as in the reports: Lightning, a DataLoader, and ToTensor for each item.

usage: app.py SPEC, which is JSON with `root`, `threads`, `loaders`, `train`, `validation`,
`batch_size`, `learning_rate` and `latent_size`. Prints JSON with the `seconds` that `Trainer.fit`
takes for one epoch, and the number of `parameters` of the network.
"""

import json
import logging
import sys
import time
import warnings
from typing import Any

import torch
import torch._dynamo  # the first optimiser imports it, which would add two seconds to the epoch
from network import make_network
from torch import Tensor, nn
from torch.nn import functional

from training.data.torchvision_operators import declare_missing_operators

declare_missing_operators()
import pytorch_lightning  # noqa: E402 - imports torchvision
from pytorch_lightning.callbacks import ModelCheckpoint  # noqa: E402
from torch.utils.data import DataLoader, Subset  # noqa: E402
from torchvision import datasets, transforms  # noqa: E402


class LightningAutoencoder(pytorch_lightning.LightningModule):
    """The network with its training and validation steps."""

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        """Store the network and the learning rate."""
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate

    def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
        """Return the loss of a batch."""
        loss = functional.mse_loss(self.network(batch[0]), batch[0])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], _index: int) -> None:
        """Log the loss of a batch."""
        self.log("val_loss", functional.mse_loss(self.network(batch[0]), batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)


def train(spec: dict[str, Any]) -> dict[str, float]:
    """Train for one epoch; return its `seconds` and the number of `parameters`."""
    torch.manual_seed(1)
    data = datasets.FashionMNIST(spec["root"], train=True, transform=transforms.ToTensor())
    first, last = spec["train"], spec["train"] + spec["validation"]
    splits = (Subset(data, range(first)), Subset(data, range(first, last)))
    loaders = [
        DataLoader(
            split, batch_size=spec["batch_size"], shuffle=shuffle, num_workers=spec["loaders"]
        )
        for split, shuffle in zip(splits, (True, False), strict=True)
    ]
    network = make_network(spec["latent_size"])
    trainer = pytorch_lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[ModelCheckpoint(dirpath="checkpoints", monitor="val_loss")],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    start = time.perf_counter()
    trainer.fit(LightningAutoencoder(network, spec["learning_rate"]), *loaders)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "parameters": sum(one.numel() for one in network.parameters())}


if __name__ == "__main__":
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec["threads"])
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    print(json.dumps(train(spec)))
