"""A convolution that trains faster on the CPU than torch's own."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight


class _Geometry(NamedTuple):
    """(vertical, horizontal) each."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


class GreyConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution to one channel: (N, C, h, w) -> (N, 1, H, W).

    The numbers are those of `nn.ConvTranspose2d`, but for rounding. oneDNN computes many channels
    side by side, so that a single one made this the slowest layer of the reports' net. A product of
    matrices, whose columns are then added up where they overlap, takes less than half as long.
    So it is done where a network is trained on the CPU in float32; all else is torch's.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002 - torch's name
        """Return what `nn.ConvTranspose2d` returns."""
        if output_size is not None or not self.training or not self._can_multiply(input):
            return super().forward(input, output_size)
        geometry = self._measure(input)
        grey: Tensor = _Product.apply(input, self.weight, self.bias, geometry)  # type: ignore[no-untyped-call]
        return grey

    def _can_multiply(self, maps: Tensor) -> bool:
        is_plain = maps.device.type == "cpu" and maps.dtype == torch.float32 and maps.dim() == 4  # noqa: PLR2004 - N, C, H, W
        is_grey = self.out_channels == 1 and self.dilation == (1, 1) and self.bias is not None
        return is_plain and is_grey and not torch.is_autocast_enabled("cpu")

    def _measure(self, maps: Tensor) -> _Geometry:
        kernel, stride, rest = self.kernel_size, self.stride, self.output_padding
        padding = (int(self.padding[0]), int(self.padding[1]))
        height, width = (
            (maps.shape[2 + axis] - 1) * stride[axis]
            - 2 * padding[axis]
            + kernel[axis]
            + rest[axis]
            for axis in range(2)
        )
        sides = [(pair[0], pair[1]) for pair in (kernel, stride, padding)]
        return _Geometry((height, width), *sides)


class _Product(torch.autograd.Function):
    """The way there as a product of matrices, the way back as torch does it."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own
        maps: Tensor,
        weight: Tensor,
        bias: Tensor,
        geometry: _Geometry,
    ) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.geometry = geometry
        size, kernel, stride, padding = geometry
        kernels = weight.flatten(1).t()  # (C, 1, k, k) -> (k*k, C)
        shares = kernels.expand(len(maps), -1, -1) @ maps.flatten(2)  # -> (N, k*k, h*w)
        grey = functional.fold(shares, size, kernel, padding=padding, stride=stride)
        return grey + bias.view(1, -1, 1, 1)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch's own
        gradient: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        maps, weight = ctx.saved_tensors
        stride, padding = ctx.geometry.stride, ctx.geometry.padding
        # One channel lies in memory the same way in either layout: say that the last is meant.
        gradient = gradient.reshape(*gradient.shape, 1).transpose(1, 4).squeeze(4)
        by_maps = functional.conv2d(gradient, weight, stride=stride, padding=padding)
        by_weight = conv2d_weight(  # type: ignore[no-untyped-call]
            gradient, weight.shape, maps, stride, padding
        )
        return by_maps, by_weight, gradient.sum(dim=(0, 2, 3)), None
