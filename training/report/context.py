"""The trained run that a report describes, and the plots of the report."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data.splits import LabelledImages
from training.evaluation.trained_run import TrainedRun
from training.fitting.examples import Examples
from training.networks.layers import find_device
from training.report.plots.class_names import fit_class_names
from training.report.plots.style import write_png

Floats: TypeAlias = NDArray[np.float32]

CPU = torch.device("cpu")
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of the report."""

    name: str
    """The file name, without suffix."""
    title: str
    text: str
    """The caption: content and method."""
    alt: str
    """The text alternative for screen readers."""
    content: bytes
    """A PNG file."""


@dataclass(frozen=True)
class ReportContext:
    """A trained run, with the test images that several plots show."""

    trained: TrainedRun

    @cached_property
    def classes(self) -> tuple[str, ...] | None:
        """The class names as plots show them."""
        classes = self.trained.splits.classes
        return None if classes is None else fit_class_names(classes)

    @cached_property
    def shown(self) -> LabelledImages:
        """The first test image of each class, or the first test images without classes."""
        test = self.trained.splits.test
        if test.labels is None:
            return test.take(np.arange(min(_SHOWN, len(test))))
        _, first = np.unique(test.labels, return_index=True)
        return test.take(first[:_SHOWN])

    @cached_property
    def originals(self) -> Floats:
        """The pixels of `shown`, (N, C, H, W) in [0, 1]."""
        return (self.shown.pixels / 255).astype(np.float32)

    @property
    def shows_images(self) -> bool:
        """Whether the report may contain images of the data set; not for private data."""
        return self.trained.recipe.data.examples > 0

    def name_class(self, index: int) -> str:
        """Return the name of a class, or its index without class names."""
        return self.classes[index] if self.classes else str(index)


@torch.no_grad()
def run_network(network: Callable[[Tensor], Any], inputs: Floats) -> Floats:
    """Return the first output of a network, computed in batches, as a numpy array."""
    device = find_device(network) if isinstance(network, nn.Module) else CPU
    batches = Examples(torch.from_numpy(np.ascontiguousarray(inputs))).batches()
    outputs = [network(batch.to(device)) for batch, _ in batches]
    first = [output[0] if isinstance(output, tuple) else output for output in outputs]
    result: Floats = torch.cat(first).cpu().numpy()
    return result


def make_plot(figure: Figure, name: str, title: str, text: str, alt: str) -> Plot:
    """Return a matplotlib figure as a plot of the report."""
    return Plot(name, title, text, alt, write_png(figure))
