"""Export of PyTorch networks to the files that `latentd import` takes."""

import importlib.util
from pathlib import Path
from typing import Any


def export_torch(encoder: Any, decoder: Any, example: Any, folder: str | Path) -> list[Path]:  # noqa: ANN401 - torch is imported only here
    """Write `encoder.onnx` and `decoder.onnx` for `latentd import`.

    Needs torch and onnx; onnxscript if it is installed.

    Args:
        encoder: A module from a batch of images to codes. Of several outputs, such as mean and
            log-variance, the decoder takes the first.
        decoder: A module from codes to images.
        example: A tensor of two or more images as the encoder takes them.
        folder: The output folder; created if it is missing.

    Returns:
        The paths of both files.

    Raises:
        ModuleNotFoundError: torch or onnx is not installed.
    """
    import torch  # noqa: PLC0415 - the client needs it for nothing else

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        outputs = encoder.eval()(example)
    code = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
    paths = []
    for name, network, inputs in (("encoder", encoder, example), ("decoder", decoder, code)):
        paths.append(target / f"{name}.onnx")
        _export(network.eval(), inputs.detach()[:2].clone(), paths[-1])
    return paths


def _export(network: Any, example: Any, path: Path) -> None:  # noqa: ANN401 - as above
    """Write one file with a dynamic batch and the weights inside."""
    import torch  # noqa: PLC0415 - as above

    if importlib.util.find_spec("onnxscript") is None:
        axes = {"input": {0: "batch"}}
        torch.onnx.export(
            network, (example,), path, input_names=["input"], dynamic_axes=axes, dynamo=False
        )
        return
    torch.onnx.export(
        network,
        (example,),
        path,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
