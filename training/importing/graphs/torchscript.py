"""TorchScript files that follow the contract, from modules that do not."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from training.errors import ModelImportError
from training.importing.forms.codes import CodeOutput, Variance
from training.importing.forms.formats import Floats, Layout, PixelScale
from training.importing.graphs.files import NetworkFile, flatten_outputs
from training.publishing.export import freeze, load_frozen

Before: TypeAlias = Callable[[Tensor], Tensor]
After: TypeAlias = Callable[[list[Tensor]], tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What happens before and after a module."""

    before: Before
    after: After


class _Wrapped(nn.Module):
    """A module between its conversions; tracing records all three."""

    def __init__(self, module: nn.Module, conversion: Conversion) -> None:
        super().__init__()
        self.module = module
        self._conversion = conversion

    def forward(self, inputs: Tensor) -> Any:  # noqa: ANN401 - one tensor or several
        outputs = self._conversion.after(
            flatten_outputs(self.module(self._conversion.before(inputs)))
        )
        return outputs[0] if len(outputs) == 1 else outputs


def script(
    file: NetworkFile, conversion: Conversion, inputs: Floats
) -> tuple[bytes, Callable[[Floats], list[Floats]]]:
    """Return a module of the contract as a TorchScript file, and the function that runs it.

    Raises:
        ModelImportError: it cannot be traced.
    """
    example = torch.from_numpy(inputs[:2])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of constants in the trace: parity is measured instead
            content = freeze(_Wrapped(file.module, conversion).eval(), example)
    except Exception as error:  # torch raises any type
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise ModelImportError(f"{file.name}: it cannot be traced: {reason}") from error
    return content, load_frozen(content)


def images_in(layout: Layout, scale: PixelScale) -> Before:
    """Return the conversion of images into a network's form."""
    mean, deviation = (torch.tensor(v).reshape(-1, 1, 1) for v in (scale.mean, scale.deviation))

    def convert(images: Tensor) -> Tensor:
        values = images if scale.is_identity else (images - mean) / deviation
        ordered = values.permute(0, 2, 3, 1) if layout.is_channels_last else values
        return ordered.reshape(-1, *layout.shape)

    return convert


def images_out(layout: Layout, scale: PixelScale) -> After:
    """Return the conversion of a network's images into pixels in [0, 1]."""
    mean, deviation = (torch.tensor(v).reshape(-1, 1, 1) for v in (scale.mean, scale.deviation))
    channels, height, width = layout.image

    def convert(outputs: list[Tensor]) -> tuple[Tensor, ...]:
        tensor = outputs[0]
        if layout.is_channels_last:
            tensor = tensor.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
        images = tensor.reshape(-1, *layout.image) * deviation + mean
        return (images.clamp(0, 1),)

    return convert


def codes_out(names: list[str], codes: list[CodeOutput], kind: Variance = "logvar") -> After:
    """Return the selection of an encoder's code, or of its mean and log-variance."""

    def convert(outputs: list[Tensor]) -> tuple[Tensor, ...]:
        found = dict(zip(names, outputs, strict=False))
        selected = []
        for code in codes:
            tensor = found[code.name]
            if code.half is not None:
                tensor = tensor.chunk(2, code.axis)[code.half]
            selected.append(tensor.flatten(1))
        if len(selected) > 1 and kind in {"std", "variance"}:
            selected[1] = selected[1].clamp(min=1e-12).log()
        if len(selected) > 1 and kind in {"std", "logstd"}:
            selected[1] = 2 * selected[1]
        return tuple(selected)

    return convert


def probabilities_out(index: int, *, softmax: bool) -> After:
    """Return the selection of a classifier's output."""
    return lambda outputs: (outputs[index].softmax(dim=1) if softmax else outputs[index],)
