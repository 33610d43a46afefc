"""Image files in `multipart/form-data` bodies."""

from collections.abc import Callable

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File

from service.errors import InvalidInputError, MalformedInputError, RequestError, Violation

MULTIPART = "multipart/form-data"
_PART_NAMES = {"images", "image"}


def read_parts(body: bytes, boundary: bytes, add: Callable[[bytes], None]) -> None:
    """Pass the content of each file part, in order, to `add`.

    Raises:
        MalformedInputError: the body is not multipart, or incomplete.
        InvalidInputError: a part has another name or is not a file, or there is none.
        RequestError: any error that `add` raises.
    """
    if not boundary:
        raise MalformedInputError("The Content-Type of a multipart body must name its boundary.")
    if not body.rstrip().endswith(b"--" + boundary + b"--"):
        raise MalformedInputError("The multipart body has no closing boundary.")
    count = 0

    def add_file(file: File) -> None:
        nonlocal count
        count += 1
        name = (file.field_name or b"").decode("utf-8", "replace")
        if name not in _PART_NAMES:
            raise InvalidInputError(
                Violation(f"/{name:.40}", "Expected file parts named 'images'.")
            )
        add(file.file_object.getvalue())  # type: ignore[union-attr]

    def reject_field(_: object) -> None:
        raise InvalidInputError(
            Violation("", "Expected file parts only; send other fields as query parameters.")
        )

    in_memory = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}  # the file system may be read-only
    parser = FormParser(MULTIPART, reject_field, add_file, boundary=boundary, config=in_memory)
    try:
        parser.write(body)
        parser.finalize()
    except RequestError:
        raise
    except (FormParserError, ValueError) as error:
        raise MalformedInputError("The multipart body is not valid.") from error
    if not count:
        raise InvalidInputError(
            Violation("/images", "Expected at least one file part named 'images'.")
        )
