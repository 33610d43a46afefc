"""The client writes the networks of a training script for `latentd import`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from latentd_client import export_torch


class Encoder(nn.Module):
    """Returns mean and log-variance, and behaves differently in training mode."""

    def __init__(self) -> None:
        """Create one layer."""
        super().__init__()
        self.linear = nn.Linear(16, 3)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs."""
        mean: Tensor = nn.functional.dropout(self.linear(images.flatten(1)), 0.9, self.training)
        return mean, mean - 1


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # in torch.onnx
def test_both_files_run_with_any_batch(tmp_path: Path) -> None:
    """The files are complete, in evaluation mode, and equal to the modules."""
    encoder, decoder = Encoder(), nn.Sequential(nn.Linear(3, 16), nn.Unflatten(1, (1, 4, 4)))
    images = torch.rand(5, 1, 4, 4)

    paths = export_torch(encoder, decoder, images, tmp_path / "exported")

    assert [path.name for path in paths] == ["encoder.onnx", "decoder.onnx"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == [
        "decoder.onnx",
        "encoder.onnx",
    ]
    with torch.no_grad():
        expected = encoder.eval()(images)[0]
        decoded = decoder(expected)
    sessions = [onnxruntime.InferenceSession(path) for path in paths]
    codes = sessions[0].run(None, {sessions[0].get_inputs()[0].name: images.numpy()})[0]
    rebuilt = sessions[1].run(None, {sessions[1].get_inputs()[0].name: codes})[0]
    np.testing.assert_allclose(codes, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(rebuilt, decoded.numpy(), atol=1e-5)


def test_the_client_imports_no_torch() -> None:
    """Torch is imported by the export alone."""
    code = "import sys, latentd_client; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
