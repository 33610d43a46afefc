"""Image files in `multipart/form-data` bodies."""

import re
from collections.abc import Callable

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

from service.errors import InvalidInputError, MalformedInputError, RequestError, Violation

MULTIPART = "multipart/form-data"
_PART_NAME = re.compile(r"(images?|file)(\[[0-9]*\])?")
"""Clients in PHP and JavaScript append `[]` or an index to the name of a repeated field."""


def read_parts(body: bytes, boundary: bytes, add: Callable[[bytes], None]) -> None:
    """Pass the content of each file part, in order, to `add`.

    A part is a file if it has a file name, or a media type of images.

    Raises:
        MalformedInputError: the body is not multipart, or incomplete.
        InvalidInputError: a part has another name or is not a file, or there is none.
        RequestError: any error that `add` raises.
    """
    if not boundary:
        raise MalformedInputError("The Content-Type of a multipart body must name its boundary.")
    parts = _strip_surroundings(body, b"--" + boundary)
    count = 0

    def add_part(field_name: bytes | None, content: bytes) -> None:
        nonlocal count
        count += 1
        name = (field_name or b"").decode("utf-8", "replace")
        if not _PART_NAME.fullmatch(name):
            raise InvalidInputError(
                Violation(f"/{name:.40}", "Expected file parts named 'images'.")
            )
        add(content)

    def add_file(file: File) -> None:
        add_part(file.field_name, file.file_object.getvalue())  # type: ignore[union-attr]

    def add_field(field: Field) -> None:
        if not (field.content_type or "").lower().startswith("image/"):
            raise InvalidInputError(
                Violation("", "Expected file parts only; send other fields as query parameters.")
            )
        add_part(field.field_name, field.value or b"")

    in_memory = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}  # the file system may be read-only
    try:
        parser = FormParser(MULTIPART, add_field, add_file, boundary=boundary, config=in_memory)
        parser.write(parts)
        parser.finalize()
    except RequestError:
        raise
    except (FormParserError, ValueError) as error:
        raise MalformedInputError("The multipart body is not valid.") from error
    if not count:
        raise InvalidInputError(
            Violation("/images", "Expected at least one file part named 'images'.")
        )


def _strip_surroundings(body: bytes, delimiter: bytes) -> bytes:
    """Return a body without its preamble and epilogue (RFC 2046, section 5.1.1).

    Raises:
        MalformedInputError: the first or the closing boundary is missing.
    """
    closing = delimiter + b"--"
    start = _find_line(body, delimiter, 0)
    end = _find_line(body, closing, start)
    if not body.startswith(closing, end):
        raise MalformedInputError("The multipart body has no closing boundary.")
    if end == start and body[:start].strip():  # text, and no part
        raise MalformedInputError("The multipart body is not valid.")
    whole = start == 0 and end + len(closing) == len(body)
    return body if whole else body[start : end + len(closing)] + b"\r\n"


def _find_line(body: bytes, prefix: bytes, start: int) -> int:
    """Return where the first line with a prefix begins, from the line at `start`; 1 without one."""
    if body.startswith(prefix, start):
        return start
    return body.find(b"\r\n" + prefix, start) + 2
