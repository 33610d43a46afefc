"""The images of a data set, before any is decoded."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, Protocol, TypeAlias

from PIL import Image

Part: TypeAlias = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

MAX_FILE_BYTES = 512 * 1024 * 1024
"""A larger file is not an image, or needs more memory than there may be."""


class Container(Protocol):
    """Images that are read in one way. Threads call `read` at the same time."""

    @property
    def names(self) -> Sequence[str]:
        """The path of each image within the data set, with "/" between folders."""

    def read(self, index: int) -> bytes | Image.Image:
        """Return the content of an image's file, or the image if it is not in a file.

        Raises:
            OSError, ValueError and others of the libraries, for a damaged image.
        """


@dataclass(slots=True)
class Catalogue:
    """The images of a data set."""

    name: str
    """The data set's name; never a path."""
    containers: Sequence[Container]
    labels: list[str | None] | None = None
    """The class of each image, from a table or a library; None: folders are the classes."""
    classes: tuple[str, ...] | None = None
    """The order of the classes, if a library gives one."""
    parts: list[Part | None] | None = None
    """The split of each image, from a table or a library; None: folders may be splits."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Number of ignored files, by the reason."""
    notes: list[str] = field(default_factory=list)
    """Lines for the summary."""
    names: list[str] = field(init=False)
    """The path of each image within the data set."""
    _ends: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Join the names of the containers."""
        self.names = [name for container in self.containers for name in container.names]
        self._ends = list(accumulate(len(container.names) for container in self.containers))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def read(self, index: int) -> bytes | Image.Image:
        """Return the content of an image's file, or the image; raises as `Container.read`."""
        position = bisect_right(self._ends, index)
        container = self.containers[position]
        return container.read(index - self._ends[position] + len(container.names))
