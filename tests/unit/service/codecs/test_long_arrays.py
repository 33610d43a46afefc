"""Long arrays in JSON: written in parts, with the same bytes."""

import numpy as np
import orjson
import pytest

from service.codecs.responses import respond_json, to_json_parts


@pytest.mark.parametrize("shape", [(1, 4), (20_001,), (3, 1, 90, 90), (1000, 1, 28, 28)])
def test_parts_are_the_same_json(shape: tuple[int, ...]) -> None:
    """Parts of an array join to the JSON of the whole array."""
    array = np.random.default_rng(0).random(shape, dtype=np.float32)

    body = respond_json({"images": to_json_parts(array)}).body

    assert body == orjson.dumps({"images": array}, option=orjson.OPT_SERIALIZE_NUMPY)


def test_short_arrays_are_written_at_once() -> None:
    """Up to 20,000 numbers there is nothing to split."""
    array = np.zeros((20, 1000), np.float32)

    assert to_json_parts(array) is array
