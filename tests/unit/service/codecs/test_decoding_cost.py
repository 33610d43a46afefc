"""Bodies with many small parts: their cost is predicted, and their errors are bounded."""

import pytest

from service.api.handler import merge_parameters, parse_query
from service.api.schemas import EncodeParameters
from service.codecs.request_body import IMAGES, decode_body, predict_decoding
from service.errors import InvalidInputError, LimitExceededError
from service.http.limits import Limits
from service.inference.scheduler import INLINE_SECONDS

MIB = 1024 * 1024
LIMITS = Limits(
    body_bytes=32 * MIB,
    images=10,
    pixels=1000,
    samples=10,
    json_bytes=8 * MIB,
    json_values=1_000_000,
)


def write_members(count: int) -> bytes:
    """Return a JSON object of unknown members."""
    members = ",".join(f'"m{number}":0' for number in range(count))
    return f"{{{members}}}".encode()


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "application/json"])
def test_long_body_leaves_the_event_loop(content_type: str) -> None:
    """A body of 100 KB is parsed by a thread, because a file may consist of tiny parts."""
    assert predict_decoding(content_type, 100_000) > INLINE_SECONDS


def test_violations_of_a_body_are_bounded() -> None:
    """Of 100,000 unknown members 16 are reported."""
    body = decode_body("application/json", write_members(100_000), IMAGES, LIMITS)

    with pytest.raises(InvalidInputError) as caught:
        merge_parameters(EncodeParameters(), body.members)

    assert len(caught.value.violations) == 16


def test_violations_of_a_query_are_bounded() -> None:
    """Of 2,000 unknown parameters 16 are reported."""
    query = "&".join(f"q{number}" for number in range(2000)).encode()

    with pytest.raises(InvalidInputError) as caught:
        parse_query(EncodeParameters, query)

    assert len(caught.value.violations) == 16


def test_members_count_as_several_values() -> None:
    """An object of 300,000 members is rejected before it is parsed."""
    with pytest.raises(LimitExceededError, match="LATENTD_MAX_JSON_VALUES"):
        LIMITS.check_json(write_members(300_000))
