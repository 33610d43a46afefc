"""JSON objects, parsed in parts.

jiter holds the interpreter's lock during a call, which delays the event loop: 18 ms for a megabyte
of numbers, 200 ms for one of object members. A long text is therefore cut after commas. Each part
is completed with the brackets that are open at its ends, parsed, and joined to the earlier parts.
"""

import codecs
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

import jiter

from service.errors import InvalidInputError, MalformedInputError, Violation
from service.http.limits import Limits
from service.inference.yielding import yield_to_loop

PART_BYTES = 64 * 1024
_MARK = re.compile(rb'["\[\]{}]')
_STRING_END = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_CLOSING = {b"[": b"]", b"{": b"}"}
_CONTINUED = "a member that an earlier part of the text began"


def parse_json_object(body: bytes, limits: Limits) -> dict[str, object]:
    """Return the members of a JSON object.

    Raises:
        LimitExceededError: it is too long, or has too many values.
        MalformedInputError: invalid JSON, or a duplicate key.
        InvalidInputError: valid JSON, but not an object.
    """
    limits.check_json(body)
    try:
        members = _parse(body.removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise MalformedInputError("Invalid JSON or duplicate key.") from error
    if not isinstance(members, dict):
        raise InvalidInputError(Violation("", "Expected a JSON object."))
    return members


def _parse(text: bytes) -> object:
    """Return the value of JSON; raises ValueError if it is invalid or has a duplicate key."""
    whole: object = None
    start = 0
    opened: tuple[bytes, ...] = ()
    for end, containers in chain(_find_cuts(text), [(len(text), ())]):
        closing = b"".join(_CLOSING[container] for container in reversed(containers))
        part = jiter.from_json(
            _reopen(opened) + text[start:end] + closing, catch_duplicate_keys=True
        )
        if opened:
            _append(whole, part, len(opened))
        else:
            whole = part
        start, opened = end + 1, containers
        yield_to_loop()
    return whole


def _find_cuts(text: bytes) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """Yield offsets of commas at least `PART_BYTES` apart, with the containers open there.

    Brackets that do not match make a part that the parser rejects.
    """
    containers: list[bytes] = []
    position = 0
    while len(text) - position > PART_BYTES:
        position = _pass_marks(text, position, position + PART_BYTES, containers)
        comma = -1
        while comma < 0:
            limit = min(position + PART_BYTES, len(text))
            mark = _MARK.search(text, position, limit)
            if position == limit or not containers:
                return
            end = limit if mark is None else mark.start()
            comma = text.find(b",", position, end)
            if comma < 0:
                position = end if mark is None else _pass_mark(text, end, containers)
        yield comma, tuple(containers)
        position = comma + 1


def _pass_marks(text: bytes, start: int, end: int, containers: list[bytes]) -> int:
    """Update the open containers from `start` to `end`; return `end`, or the end of a string."""
    if all(text.find(mark, start, end) < 0 for mark in (b'"', b"{", b"}")):  # only arrays
        change = text.count(b"[", start, end) - text.count(b"]", start, end)
        containers += [b"["] * change
        del containers[len(containers) + min(0, change) :]
        return end
    position = start
    while (mark := _MARK.search(text, position, end)) is not None:
        position = _pass_mark(text, mark.start(), containers)
    return max(position, end)


def _pass_mark(text: bytes, offset: int, containers: list[bytes]) -> int:
    """Return the offset after a bracket or a string, and update the open containers."""
    mark = text[offset : offset + 1]
    if mark == b'"':
        end = text.find(b'"', offset + 1)
        if end > 0 and text[end - 1 : end] == b"\\":  # it may be escaped
            match = _STRING_END.match(text, offset + 1)
            end = -1 if match is None else match.end() - 1
        return len(text) if end < 0 else end + 1
    if mark in _CLOSING:
        containers.append(mark)
    else:
        del containers[-1:]
    return offset + 1


def _reopen(containers: tuple[bytes, ...]) -> bytes:
    """Return the text that opens containers, each the last value of the one before."""
    key = b'"%b":' % _CONTINUED.encode()
    outer = (container + (key if container == b"{" else b"") for container in containers[:-1])
    return b"".join([*outer, *containers[-1:]])


def _append(whole: Any, part: Any, depth: int) -> None:  # noqa: ANN401 - JSON
    """Append the content of a part to the last value of `whole` that is `depth` containers deep.

    Raises:
        ValueError: a comma has no value beside it, or an object has a duplicate key.
    """
    if depth == 1 and not (whole and part):
        raise ValueError("Expected a value on both sides of a comma.")
    if isinstance(whole, dict):
        if depth > 1:
            _append(whole[next(reversed(whole))], part.pop(_CONTINUED), depth - 1)
        if not whole.keys().isdisjoint(part):
            raise ValueError("Duplicate key.")
        whole.update(part)
    else:
        values = iter(part)
        if depth > 1:
            _append(whole[-1], next(values), depth - 1)
        whole.extend(values)
