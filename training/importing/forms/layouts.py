"""The layout of a network's images, from the shape that its graph declares."""

import math

from training.errors import ModelImportError
from training.importing.forms.formats import Layout, Order, Shape
from training.importing.graphs.onnx_graph import Dimensions
from training.importing.images import WantedShape

CHANNELS = (1, 3)
_FLAT, _GREY, _COLOR = 2, 3, 4


def choose_order(name: str, shape: Dimensions, requested: str | None) -> Order:
    """Return the order of the dimensions of an image tensor.

    Args:
        name: The network, for messages.
        shape: The declared shape, with the batch dimension.
        requested: `nchw` or `nhwc` if the user has set it.

    Raises:
        ModelImportError: the shape is not one of an image, or fits both orders.
    """
    is_last = requested == "nhwc"
    if len(shape) == _FLAT:
        return "flat-nhwc" if is_last else "flat-nchw"
    if len(shape) == _GREY:
        return "nhw"
    if len(shape) != _COLOR:
        raise ModelImportError(
            f"{name}: expected an input of shape (N, C, H, W), (N, H, W, C), (N, H, W) or (N, D), "
            f"got {describe_dimensions(shape)}"
        )
    fits = {"nchw": shape[1] in CHANNELS, "nhwc": shape[3] in CHANNELS}
    orders: list[Order] = [order for order in ("nchw", "nhwc") if fits[order]]
    if requested is not None:
        orders = [order for order in ("nchw", "nhwc") if order == requested]
    if len(orders) != 1:
        problem = (
            "which channels are first or last is not clear" if orders else "no 1 or 3 channels"
        )
        raise ModelImportError(
            f"{name}: input of shape {describe_dimensions(shape)}: {problem}; set --layout to nchw "
            "or nhwc"
        )
    return orders[0]


def find_wanted_shape(shape: Dimensions, order: Order, size: tuple[int, int] | None) -> WantedShape:
    """Return what a declared shape says about the images.

    Args:
        shape: The declared shape, with the batch dimension.
        order: The order of its dimensions.
        size: (H, W) if the user has set it.

    A flat vector of a square number is a square grey image, of three times one a colour image.
    """
    sizes = shape[1:]
    if order.startswith("flat"):
        wanted = _guess_square(sizes[0])
    elif order == "nhw":
        wanted = WantedShape(1, *sizes)
    else:
        wanted = WantedShape(*sizes) if order == "nchw" else WantedShape(sizes[2], *sizes[:2])
    if size is None:
        return wanted
    channels = wanted.channels
    if order.startswith("flat") and sizes[0] is not None:
        channels = max(1, sizes[0] // math.prod(size))
    return WantedShape(channels, wanted.height or size[0], wanted.width or size[1])._replace(
        height=size[0], width=size[1]
    )


def check_layout(name: str, shape: Dimensions, order: Order, image: Shape) -> Layout:
    """Return the layout of images in a tensor of this shape.

    Raises:
        ModelImportError: the images do not fit the shape.
    """
    layout = Layout(order, image)
    fits = len(layout.shape) + 1 == len(shape) and all(
        size in {None, actual} for size, actual in zip(shape[1:], layout.shape, strict=True)
    )
    if not fits:
        raise ModelImportError(
            f"{name}: images of {'x'.join(map(str, image))} do not fit its shape "
            f"{describe_dimensions(shape)}; set --image-size or --layout"
        )
    return layout


def describe_dimensions(shape: Dimensions) -> str:
    """Return such as `(any, 3, 64, 64)`."""
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _guess_square(values: int | None) -> WantedShape:
    for channels in CHANNELS:
        side = math.isqrt((values or 0) // channels)
        if values and channels * side * side == values:
            return WantedShape(channels, side, side)
    return WantedShape()
