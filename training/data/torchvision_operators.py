"""Makes `import torchvision` work where its compiled operators cannot be loaded.

The torchvision wheel on the package registry is compiled for CUDA. With a CPU build of torch its
library does not load, and the import fails with "operator torchvision::nms does not exist", because
torchvision's Python code registers a fake implementation of an undeclared operator. Declaring the
operators first, without an implementation, fixes the import. Data sets and transforms then work:
they call no compiled operator.
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
    """Declare torchvision's operators if its library cannot be loaded. Call before the import.

    Returns:
        The owner of the declarations, which the cache keeps alive; None if torchvision's own
        operators are available.
    """
    if _library_loads():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


def _library_loads() -> bool:
    """Load the compiled operators as torchvision does, so that its own attempt succeeds."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # the import itself reports the missing package
    for path in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(path)  # type: ignore[no-untyped-call]
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")
