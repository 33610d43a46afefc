"""Reference errors: safetensors in, arrays out, or a clear refusal."""

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from service.artifact.tensor_files import read_reference_errors, write_reference_errors
from service.errors import ArtifactError


def test_reference_errors_come_back_ascending() -> None:
    """Errors are stored in order, whatever order they came in."""
    content = write_reference_errors(np.array([0.3, 0.1, 0.2], np.float32))

    assert read_reference_errors(content).tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    "errors", [np.array([]), np.zeros((2, 2)), np.array([np.nan]), np.array([0.2, 0.1])]
)
def test_reference_errors_are_an_ascending_vector(errors: Any) -> None:  # noqa: ANN401 - an array
    """Without order, percentiles would be wrong and nothing would say so."""
    with pytest.raises(ArtifactError):
        read_reference_errors(bytes(save({"errors": errors})))
