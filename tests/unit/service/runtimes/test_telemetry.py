"""Libraries of latentd send no usage data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("module", ["service.runtimes.onnx", "training.publishing.export"])
def test_onnxruntime_keeps_no_device_id(tmp_path: Path, module: str) -> None:
    """Loading onnxruntime through latentd writes no telemetry id or queue to the home folder."""
    # onnxruntime disables telemetry by itself on CI machines.
    disabling = ("CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
    environment = {name: value for name, value in os.environ.items() if name not in disabling}
    program = f"import {module}, onnxruntime; onnxruntime.SessionOptions()"

    subprocess.run(
        [sys.executable, "-c", program], env={**environment, "HOME": str(tmp_path)}, check=True
    )

    written = [str(path) for path in tmp_path.rglob("*") if "onnxruntime" in str(path).lower()]
    assert written == []
