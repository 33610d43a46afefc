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
import torch._dynamo  # or the first optimiser would import it, for two seconds, while time is taken
from torch import Tensor, nn
from torch.nn import functional

from training.data.torchvision_operators import declare_missing_operators

declare_missing_operators()
import pytorch_lightning  # noqa: E402 - it imports torchvision
from pytorch_lightning.callbacks import ModelCheckpoint  # noqa: E402
from torch.utils.data import DataLoader, Subset  # noqa: E402
from torchvision import datasets, transforms  # noqa: E402


def make_net(latent_size: int) -> nn.Module:
    """Return the net that reports 000, 001 and 003 print, for 28 x 28 grey images."""
    encoder = [
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(32 * 3 * 3, 64), nn.ReLU(), nn.Linear(64, latent_size)),
    ]
    decoder = [
        *(nn.Linear(latent_size, 64), nn.ReLU(), nn.Linear(64, 32 * 3 * 3), nn.ReLU()),
        *(nn.Unflatten(1, (32, 3, 3)), nn.ConvTranspose2d(32, 16, 3, stride=2), nn.ReLU()),
        *(nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1), nn.ReLU()),
        *(nn.ConvTranspose2d(8, 1, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid()),
    ]
    return nn.Sequential(*encoder, *decoder)


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
    net = Net(make_net(spec["latent_size"]), spec["learning_rate"])
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
