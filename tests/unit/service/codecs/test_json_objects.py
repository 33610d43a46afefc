"""JSON objects: parsed in parts, with the result and the errors of one call of the parser."""

import json
import threading
from typing import Any

import jiter
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.codecs import json_objects
from service.codecs.json_objects import PART_BYTES, parse_json_object
from service.errors import InvalidInputError, MalformedInputError
from service.http.limits import Limits

LIMITS = Limits(
    body_bytes=2**25,
    images=1024,
    pixels=1,
    samples=1,
    json_bytes=2**23,
    json_values=1_000_000,
)
TEXTS = st.text('ab,:[]{}"\\é', max_size=6)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.floats(0, 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)
SEPARATORS = st.sampled_from([(",", ":"), (" ,\n", " : ")])


def parse_at_once(text: bytes) -> object:
    """Return the value of JSON; the type of the error if it is invalid."""
    try:
        value = jiter.from_json(text, catch_duplicate_keys=True)
    except ValueError:
        return MalformedInputError
    return value if isinstance(value, dict) else InvalidInputError


def parse_in_parts(text: bytes, part_bytes: int) -> object:
    """Return the members of an object; the type of the error without one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_objects, "PART_BYTES", part_bytes)
        try:
            return parse_json_object(text, LIMITS)
        except (MalformedInputError, InvalidInputError) as error:
            return type(error)


@settings(max_examples=100, deadline=None)
@given(VALUES, SEPARATORS, st.integers(1, 30))
def test_parts_join_to_the_same_value(
    value: object, separators: tuple[str, str], part_bytes: int
) -> None:
    """A text gives the same members, whatever the length of its parts."""
    text = json.dumps({"images": value, "": [value]}, separators=separators).encode()

    assert parse_in_parts(text, part_bytes) == parse_at_once(text)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.data(), st.integers(1, 12))
def test_errors_are_found_between_parts(value: object, data: st.DataObject, size: int) -> None:
    """A text with a change that makes it invalid is rejected, whatever the length of its parts."""
    text = bytearray(json.dumps({"images": [value, value]}).encode())
    offset = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 1))
    text[offset : offset + length] = data.draw(st.sampled_from([b",", b"[", b"]", b"}", b'"', b""]))

    assert parse_in_parts(bytes(text), size) == parse_at_once(bytes(text))


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": 1, "a": 2}', b"\xff", b"{'a': 1}", b"[" * 300])
def test_malformed_json(text: bytes) -> None:
    """Invalid JSON and duplicate keys are malformed."""
    with pytest.raises(MalformedInputError, match="Invalid JSON or duplicate key"):
        parse_json_object(text, LIMITS)


IMAGES = json.dumps({"images": [[[0.25] * 28] * 28] * 200}).encode()
LONG_BODIES = {
    "images": IMAGES,
    "one image": json.dumps({"images": [[[0.25] * 300] * 300]}).encode(),
    "tensor": json.dumps({"inputs": [{"name": "images", "data": [0.5] * 100_000}]}).encode(),
    "members": json.dumps({str(number): 0 for number in range(60_000)}).encode(),
    "files": json.dumps({"images": ["QUJD" * 50] * 1000}).encode(),
}


class CountingParser:
    """Replaces jiter; records the length of each text, and whether a thread could run between."""

    def __init__(self) -> None:
        """Start without texts."""
        self.lengths: list[int] = []

    def from_json(self, text: bytes, **options: Any) -> object:  # noqa: ANN401 - as jiter
        """See `jiter.from_json`."""
        self.lengths.append(len(text))
        return jiter.from_json(text, **options)


@pytest.mark.parametrize("name", LONG_BODIES)
def test_no_call_of_the_parser_is_long(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser holds the interpreter's lock for at most about 64 KB of text."""
    parser = CountingParser()
    monkeypatch.setattr(json_objects, "jiter", parser)

    members = parse_json_object(LONG_BODIES[name], LIMITS)

    assert members == json.loads(LONG_BODIES[name])
    assert len(parser.lengths) > 2
    assert max(parser.lengths) < 1.1 * PART_BYTES


def test_event_loop_runs_between_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser offers the event loop a turn after each part."""
    threads = []
    monkeypatch.setattr(
        json_objects, "yield_to_loop", lambda: threads.append(threading.get_ident())
    )

    parse_json_object(IMAGES, LIMITS)

    assert len(threads) >= len(IMAGES) // PART_BYTES - 1


def test_long_text_after_the_object_is_malformed() -> None:
    """The parser finds an error that is far behind the last cut."""
    with pytest.raises(MalformedInputError):
        parse_json_object(IMAGES + b" " * 2 * PART_BYTES + b"]", LIMITS)
