"""The transposed convolution that trains faster is torch's own in all but time."""

import copy

import pytest
import torch
from torch import Tensor, nn

from training.networks.autoencoders import Autoencoder
from training.networks.convolutions import GreyConvTranspose2d
from training.recipe.schema import AutoencoderRecipe

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


def test_a_network_learns_the_same() -> None:
    """In the reports' net, laid out as it is trained, and where the weights are frozen."""
    images = torch.rand(4, 1, 28, 28)
    recipe = AutoencoderRecipe(architecture="seed", latent_size=4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours = Autoencoder((1, 28, 28), recipe).to(memory_format=torch.channels_last)
    theirs = copy.deepcopy(ours)
    theirs.decoder.convolutions[-1].__class__ = nn.ConvTranspose2d
    for network in (ours, theirs):
        network.decoder.convolutions[-1].weight.requires_grad_(requires_grad=False)
        nn.functional.mse_loss(network(images), images).backward()

    for (name, own), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (own.grad is None) == (other.grad is None), name
        if own.grad is not None:
            torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        GreyConvTranspose2d(8, 1, 3, 2, dilation=2),
        GreyConvTranspose2d(8, 2, 3, 2),
        GreyConvTranspose2d(8, 1, 3, 2, bias=False),
    ],
    ids=["dilation", "two channels", "no bias"],
)
def test_what_it_is_not_made_for_is_torchs(layer: GreyConvTranspose2d) -> None:
    """The class takes what torch's takes, and may not give something else for it."""
    theirs = copy.deepcopy(layer)
    theirs.__class__ = nn.ConvTranspose2d
    maps = torch.rand(2, 8, 5, 5)

    assert torch.equal(layer(maps), theirs(maps))
    assert torch.equal(layer(maps[0]), theirs(maps[0]))


def test_all_else_is_torchs_own_to_the_bit() -> None:
    """Evaluation and export, a wanted size, and lower precision."""
    ours, theirs, maps = make_pair("28 x 28")

    assert torch.equal(ours.eval()(maps), theirs(maps))
    ours.train()
    assert torch.equal(ours(maps, [27, 28]), theirs(maps, [27, 28]))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(maps), theirs(maps))
