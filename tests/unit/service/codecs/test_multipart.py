"""Multipart bodies: the content of each file part, in order."""

import pytest

from service.codecs.multipart import read_parts
from service.errors import InvalidInputError, LimitExceededError, MalformedInputError


def make_part(content: bytes = b"x", name: str = "images", file: str | None = "a.png") -> bytes:
    """Return a part with its boundary `B`."""
    file_name = "" if file is None else f'; filename="{file}"'
    disposition = f'Content-Disposition: form-data; name="{name}"{file_name}\r\n'
    return b"--B\r\n" + disposition.encode() + b"\r\n" + content + b"\r\n"


def read(body: bytes, boundary: bytes = b"B") -> list[bytes]:
    """Return the contents of all parts of a body."""
    contents: list[bytes] = []
    read_parts(body, boundary, contents.append)
    return contents


def test_parts_are_in_order() -> None:
    """Parts named `images` or `image` are read in order, with any bytes and file names."""
    contents = [b"first", b"", b"\r\n--A is no boundary\r\n\0\xff", bytes(100_000)]
    names = ["images", "image", "images", "images"]
    parts = [make_part(content, name) for content, name in zip(contents, names, strict=True)]

    assert read(b"".join(parts) + b"--B--") == contents
    assert read(make_part(file="../../etc/passwd") + b"--B--\r\n") == [b"x"]


@pytest.mark.parametrize("name", ["images[]", "image[]", "file", "file[]"])
def test_names_of_common_clients_are_accepted(name: str) -> None:
    """The names that PHP, JavaScript and upload forms give to parts are accepted."""
    assert read(make_part(name=name) + b"--B--") == [b"x"]


def test_image_without_file_name_is_accepted() -> None:
    """A part with a media type of images needs no file name."""
    part = make_part(file=None).replace(b"\r\n\r\n", b"\r\nContent-Type: image/png\r\n\r\n", 1)

    assert read(part + b"--B--") == [b"x"]


def test_preamble_and_epilogue_are_ignored() -> None:
    """Text around the parts is ignored (RFC 2046, section 5.1.1)."""
    assert read(b"preamble\r\n" + make_part() + b"--B--epilogue") == [b"x"]


@pytest.mark.parametrize(
    ("body", "boundary", "reason"),
    [
        (make_part() + b"--B--", b"", "must name its boundary"),
        (make_part() + b"--B--", b"C", "no closing boundary"),
        (make_part(), b"B", "no closing boundary"),
        (make_part() + b"--B", b"B", "no closing boundary"),
        (b"", b"B", "no closing boundary"),
        (b"x" + make_part() + b"--B--", b"B", "not valid"),
        (b"--B\r\nno header\r\n\r\nx\r\n--B--", b"B", "not valid"),
    ],
)
def test_incomplete_body_is_malformed(body: bytes, boundary: bytes, reason: str) -> None:
    """A body without its boundary, or with invalid parts, is malformed."""
    with pytest.raises(MalformedInputError, match=reason):
        read(body, boundary)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (make_part(name="files") + b"--B--", "/files"),
        (make_part(name="n" * 100) + b"--B--", "/" + "n" * 40),
        (make_part() + make_part(name="count", file=None) + b"--B--", ""),
        (b"--B--", "/images"),
    ],
    ids=["other name", "long name", "field", "no part"],
)
def test_other_parts_are_rejected(body: bytes, pointer: str) -> None:
    """A part with another name, a field or a body without parts is rejected."""
    with pytest.raises(InvalidInputError) as caught:
        read(body)

    assert [violation.pointer for violation in caught.value.violations] == [pointer]


def test_error_of_a_part_ends_the_reading() -> None:
    """An error for one part, such as a limit, is raised unchanged and ends the reading."""
    contents: list[bytes] = []

    def add(content: bytes) -> None:
        contents.append(content)
        if len(contents) == 2:
            raise LimitExceededError("two")

    with pytest.raises(LimitExceededError, match="two"):
        read_parts(make_part() * 5 + b"--B--", b"B", add)
    assert len(contents) == 2
