"""Errors to answers: every class has its kind, and nothing of ours leaks."""

import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from service import errors
from service.http.problems import INTERNAL, KINDS, find_kind, to_violations

OURS = {
    errors.InferenceError,
    errors.ArtifactError,
    errors.ApiKeysError,
    errors.InsecureSettingsError,
    errors.MissingExtraError,
}
"""What no client can mend: 500."""


def list_errors(error: type[errors.LatentdError] = errors.LatentdError) -> Iterator[type]:
    """Yield the classes of the error tree that nothing derives from."""
    children = error.__subclasses__()
    if not children:
        yield error
    for child in children:
        yield from list_errors(child)


@pytest.mark.parametrize("error", [*list_errors()], ids=lambda error: error.__name__)
def test_every_error_is_mapped(error: type[errors.LatentdError]) -> None:
    """A class that a client can meet has its own entry; only our own failures are 500."""
    assert (error in KINDS) != (error in OURS)
    assert (find_kind(error) is INTERNAL) == (error in OURS)


def test_every_error_is_in_the_tree_that_the_docstring_draws() -> None:
    """The picture in the module's docstring is the tree."""
    defined = [found for _, found in inspect.getmembers(errors, inspect.isclass)]

    names = {found.__name__ for found in defined if issubclass(found, Exception)}
    assert len(names) == len(defined) - 1  # Violation is the one that is no error
    assert names == set(re.findall(r"[A-Z]\w+Error", errors.__doc__ or ""))


def test_a_new_error_is_what_its_parent_is() -> None:
    """A class without an entry of its own is answered as its nearest ancestor."""

    class TooManyDogsError(errors.LimitExceededError):
        pass

    assert find_kind(TooManyDogsError).status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_kinds_are_told_apart() -> None:
    """Each kind has its own type, and but for the two that say to come back its own status."""
    kinds = list(KINDS.values())

    assert len({kind.status for kind in kinds}) == len(kinds) - 1
    assert len({kind.slug for kind in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("location", "skip", "pointer"),
    [
        (("count",), 0, "/count"),
        (("query", "count"), 1, "/count"),
        (("class", "int"), 0, "/class"),
        (("a/b~c",), 0, "/a~1b~0c"),
        ((), 0, ""),
    ],
)
def test_flaws_point_at_parameters(location: tuple[str, ...], skip: int, pointer: str) -> None:
    """Pointers are JSON pointers (RFC 6901) to the parameter as the client knows it."""
    detail = {"loc": location, "msg": "wrong", "type": "x", "input": None}

    assert to_violations([detail], skip) == [errors.Violation(pointer, "wrong")]  # type: ignore[list-item]
