"""The parameters of a request, in the query string and in the JSON body."""

import pytest

from service.api.handler import merge_parameters, parse_query
from service.api.schemas import ClassifyParameters, InterpolateParameters, SampleParameters
from service.errors import InvalidInputError


def test_query_is_parsed() -> None:
    """Parameters are parsed from their text; omitted ones have their defaults."""
    parameters = parse_query(SampleParameters, b"count=4&class=7&source=a%2Bb&temperature=0.5")

    assert (parameters.count, parameters.class_, parameters.source) == (4, "7", "a+b")
    assert (parameters.temperature, parameters.seed) == (0.5, None)


def test_last_of_repeated_parameters_counts() -> None:
    """Of repeated parameters the last counts, as in forms."""
    assert parse_query(SampleParameters, b"count=x&count=3").count == 3


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        (b"count=x", "/count"),
        (b"count=0", "/count"),
        (b"cuont=1", "/cuont"),
        (b"count=", "/count"),
        (b"class_=1", "/class_"),
        (b"a%2Fb~=1", "/a~1b~0"),
        (b"\xff\xfe=1", "/\xff\xfe"),
    ],
)
def test_invalid_query_has_a_pointer(query: bytes, pointer: str) -> None:
    """An invalid value, an unknown name and an empty value are rejected with their name."""
    with pytest.raises(InvalidInputError) as caught:
        parse_query(SampleParameters, query)

    assert [violation.pointer for violation in caught.value.violations] == [pointer]


def test_all_violations_are_listed() -> None:
    """The error lists every invalid parameter."""
    with pytest.raises(InvalidInputError, match=r"count: .*; seed: ") as caught:
        parse_query(SampleParameters, b"seed=x&count=x")

    assert len(caught.value.violations) == 2


def test_only_short_queries_are_cached() -> None:
    """A repeated query is parsed once, unless it is long: clients choose the queries."""
    short, long = b"model=a", b"model=" + b"a" * 300

    assert parse_query(SampleParameters, short) is parse_query(SampleParameters, short)
    assert parse_query(SampleParameters, long) is not parse_query(SampleParameters, long)


def test_cache_distinguishes_operations() -> None:
    """Two operations parse the same query by their own parameters."""
    assert isinstance(parse_query(ClassifyParameters, b"model=a"), ClassifyParameters)
    assert isinstance(parse_query(InterpolateParameters, b"model=a"), InterpolateParameters)


def test_body_has_precedence() -> None:
    """A member of the body replaces the query parameter, also with its default or null."""
    query = parse_query(SampleParameters, b"count=4&seed=1&source=kde")

    merged = merge_parameters(query, {"count": 1, "seed": None, "class": 3})

    assert (merged.count, merged.seed, merged.class_, merged.source) == (1, None, 3, "kde")
    assert query.count == 4


@pytest.mark.parametrize(
    ("members", "pointer"),
    [({"count": "4"}, "/count"), ({"count": True}, "/count"), ({"a/b": 1}, "/a~1b")],
)
def test_body_is_strict(members: dict[str, object], pointer: str) -> None:
    """Members of the body have the types of JSON: text is not a number."""
    with pytest.raises(InvalidInputError) as caught:
        merge_parameters(SampleParameters(), members)

    assert [violation.pointer for violation in caught.value.violations] == [pointer]


def test_booleans_are_accepted_as_text() -> None:
    """`invert` is a boolean or `auto` in JSON, and text in the query."""
    query = parse_query(ClassifyParameters, b"invert=auto")

    assert query.invert == "auto"
    assert merge_parameters(query, {"invert": True}).invert == "true"
    assert merge_parameters(query, {"invert": "false"}).invert == "false"
