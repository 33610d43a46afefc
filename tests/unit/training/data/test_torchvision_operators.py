"""`import torchvision` works with and without its compiled operators."""

import subprocess
import sys

CODE = """
from training.data.torchvision_operators import declare_missing_operators
first, again = declare_missing_operators(), declare_missing_operators()
assert first is again
from torchvision import datasets
assert datasets.MNIST
"""


def test_torchvision_can_be_imported_after_the_declaration() -> None:
    """In a new process, with warnings as errors, and after a second call."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
