"""The reports' way to train: Lightning, a DataLoader, and ToTensor for every item.

usage: app.py SPEC, JSON with `root`, `threads`, `loaders`, `train`, `validation`, `batch_size`,
`learning_rate` and `latent_size`. Prints the seconds that `Trainer.fit` took for one epoch.
"""

import json
import logging
import sys
import time
import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import AutoencoderRecipe
from training.models import Autoencoder
from training.torchvision_operators import declare_missing_operators

declare_missing_operators()
import pytorch_lightning  # noqa: E402 - it imports torchvision
from pytorch_lightning.callbacks import ModelCheckpoint  # noqa: E402
from torch.utils.data import DataLoader, Subset  # noqa: E402
from torchvision import datasets, transforms  # noqa: E402


class Net(pytorch_lightning.LightningModule):
    """The reports' net and its steps."""

    def __init__(self, net: nn.Module, learning_rate: float) -> None:
        """Keep the net."""
        super().__init__()
        self.net = net
        self.learning_rate = learning_rate

    def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
        """Return a batch's loss."""
        loss = functional.mse_loss(self.net(batch[0]), batch[0])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], _index: int) -> None:
        """Log a batch's loss."""
        self.log("val_loss", functional.mse_loss(self.net(batch[0]), batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.net.parameters(), lr=self.learning_rate)


def train(spec: dict[str, int | float | str]) -> float:
    """Train for one epoch; return the seconds that it took."""
    torch.manual_seed(1)
    data = datasets.FashionMNIST(spec["root"], train=True, transform=transforms.ToTensor())
    first, last = spec["train"], spec["train"] + spec["validation"]
    parts = (Subset(data, range(first)), Subset(data, range(first, last)))
    loaders = [
        DataLoader(
            part, batch_size=spec["batch_size"], shuffle=shuffle, num_workers=spec["loaders"]
        )
        for part, shuffle in zip(parts, (True, False), strict=True)
    ]
    recipe = AutoencoderRecipe(architecture="seed", latent_size=spec["latent_size"])
    net = Net(Autoencoder((1, 28, 28), recipe), spec["learning_rate"])
    trainer = pytorch_lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[ModelCheckpoint(dirpath="checkpoints", monitor="val_loss")],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    start = time.perf_counter()
    trainer.fit(net, *loaders)
    return time.perf_counter() - start


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    print(train(given))
