"""Lets `import torchvision` work where its compiled operators do not load.

The registry's torchvision wheel is built for CUDA. Beside a CPU build of torch its library does
not load, and the import then fails with "operator torchvision::nms does not exist", as its Python
parts register a fake of an operator that was never declared. Declared first, with no
implementation, they import, and the data sets and transforms work: they use no compiled operator.
"""

import importlib.util
from functools import cache
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def declare_missing_operators() -> torch.library.Library | None:
    """Declare torchvision's operators if its own library cannot; call before importing it.

    Returns:
        What holds the declarations, which vanish with it (the cache keeps it); None where
        torchvision brings its own.
    """
    if _library_loads():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


def _library_loads() -> bool:
    """Load the compiled operators as torchvision does, so that its own attempt finds them."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return True  # the import itself will say what is missing
    for path in Path(found.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(path)  # type: ignore[no-untyped-call]
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")
