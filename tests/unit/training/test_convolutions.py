"""The transposed convolution that trains faster is torch's own in all but time."""

import pytest
import torch
from torch import Tensor, nn

from training.convolutions import GreyConvTranspose2d

LAYERS = {
    "28 x 28": (8, (14, 14), (1, 1), (1, 1)),
    "7 x 7": (16, (4, 4), (1, 1), (0, 0)),
    "9 x 20": (8, (5, 10), (1, 1), (0, 1)),
    "no padding": (32, (3, 3), (0, 0), (0, 0)),
    "one pixel": (8, (1, 1), (1, 1), (0, 0)),
}
"""By the images that they give: channels, size of the maps, padding and output padding."""


def make_pair(name: str) -> tuple[GreyConvTranspose2d, nn.ConvTranspose2d, Tensor]:
    """Return the layer and torch's with the same weights, in training, and maps for them."""
    channels, size, padding, rest = LAYERS[name]
    torch.manual_seed(0)
    ours = GreyConvTranspose2d(channels, 1, 3, 2, padding, output_padding=rest)
    theirs = nn.ConvTranspose2d(channels, 1, 3, 2, padding, output_padding=rest)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs, torch.randn(6, channels, *size)


def derive(layer: nn.Module, maps: Tensor) -> list[Tensor]:
    """Return a layer's output, and the gradients by its input, weight and bias."""
    inputs = maps.clone().requires_grad_()
    output = layer(inputs)
    torch.manual_seed(1)
    wanted = [inputs, *layer.parameters()]
    return [output, *torch.autograd.grad(output, wanted, torch.randn(output.shape))]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_outputs_and_gradients_are_those_of_torch(name: str, layout: torch.memory_format) -> None:
    """In both layouts that a network may train in."""
    ours, theirs, maps = make_pair(name)
    maps = maps.contiguous(memory_format=layout)

    for own, other in zip(derive(ours, maps), derive(theirs, maps), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def test_training_takes_the_faster_way() -> None:
    """Or the class would be of no use."""
    layer, _, maps = make_pair("28 x 28")

    assert "Product" in layer(maps).grad_fn.name()


def test_all_else_is_torchs_own_to_the_bit() -> None:
    """Evaluation and export, a wanted size, and lower precision."""
    ours, theirs, maps = make_pair("28 x 28")

    assert torch.equal(ours.eval()(maps), theirs(maps))
    ours.train()
    assert torch.equal(ours(maps, [27, 28]), theirs(maps, [27, 28]))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(maps), theirs(maps))
