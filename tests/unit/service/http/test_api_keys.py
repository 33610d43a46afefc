"""API keys: creation, storage as hashes, parsing of lines, and the check of a request."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.errors import (
    ApiKeysError,
    AuthenticationError,
    ForbiddenError,
    MalformedInputError,
)
from service.http import api_keys
from service.http.api_keys import (
    ADMIN,
    INFER,
    Key,
    authorize,
    is_world_readable,
    make_key,
    read_keys,
)
from tests.support.asgi_requests import FakeRequest

DIGEST = "0123456789abcdef" * 4
TEXT, KEY = make_key("ci", frozenset({INFER}))
ADMIN_TEXT, ADMIN_KEY = make_key("ops", frozenset({ADMIN}))
KEYS = (KEY, ADMIN_KEY)


def find_holder(
    keys: Sequence[Key], headers: dict[str, str] | list[tuple[str, str]], path: str = "/v1/sample"
) -> str | None:
    """Authorize a request and return the recorded name of its key."""
    context = FakeRequest(path, headers=headers).make_context()
    authorize(context, keys)
    return context.key


def test_new_key_authorizes_by_its_text() -> None:
    """The line of a new key restores the name and the permissions; only its text is accepted."""
    text, key = make_key("ops", frozenset({INFER, ADMIN}))
    other_text, _ = make_key("ops", frozenset({INFER, ADMIN}))

    (restored,) = read_keys(key.to_line(), None)

    assert restored == key
    assert find_holder([restored], {"X-API-Key": text}) == "ops"
    with pytest.raises(AuthenticationError, match="unknown"):
        find_holder([restored], {"X-API-Key": other_text})


def test_key_stores_only_its_hash() -> None:
    """A key has 32 random bytes, of which only the SHA-256 is stored."""
    text, key = make_key("ci", frozenset({INFER}))

    assert re.fullmatch(r"latentd_[A-Za-z0-9_-]{43}", text)
    assert key.to_line() == f"ci infer {hashlib.sha256(text.encode()).hexdigest()}"
    assert text not in repr(key)


def test_every_key_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A match does not end the search, whose duration would reveal the key's position."""
    made = [make_key(name, frozenset({INFER})) for name in ("a", "b", "c")]
    compared = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append(left)
        return left == right

    monkeypatch.setattr(api_keys.hmac, "compare_digest", compare)

    assert find_holder([key for _, key in made], {"X-API-Key": made[0][0]}) == "a"
    assert compared == [key.digest for _, key in made]


@pytest.mark.parametrize("name", ["", "-a", "a b", "a\nb", "a" * 65, "\u00e4"])
def test_invalid_name_is_rejected(name: str) -> None:
    """A key's name has only characters that a log line can show."""
    with pytest.raises(ApiKeysError, match="name"):
        make_key(name, frozenset({INFER}))


def test_both_settings_are_read(tmp_path: Path) -> None:
    """The keys of the variable and of the file are combined; comments are ignored."""
    file = tmp_path / "keys"
    file.write_text(f"# ours\n\nops infer,admin {DIGEST} # of Ann\n")

    keys = read_keys(f"ci infer {'0' * 64};cd admin {'1' * 64}", file)

    assert [(key.name, sorted(key.scopes)) for key in keys] == [
        ("ci", ["infer"]),
        ("cd", ["admin"]),
        ("ops", ["admin", "infer"]),
    ]
    assert keys[2] == Key("ops", frozenset({INFER, ADMIN}), bytes.fromhex(DIGEST))


def test_unset_settings_give_no_keys() -> None:
    """If both settings are unset, the list of keys is empty."""
    assert read_keys("", None) == ()


@pytest.mark.parametrize(
    "line",
    [
        "latentd_Zm9vYmFyYmF6cXV4c2VjcmV0c2VjcmV0c2VjcmV0",
        "ci infer",
        f"ci all {DIGEST}",
        f"ci {DIGEST}",
        f"ci infer {DIGEST}0",
        f"ci infer {DIGEST.upper()}",
        f"c/i infer {DIGEST}",
    ],
)
def test_malformed_line_is_located_and_not_shown(tmp_path: Path, line: str) -> None:
    """The error has the number of the line and not its text, which may be a key."""
    file = tmp_path / "keys"
    file.write_text(f"# ours\nok infer {'1' * 64}\n{line}\n")

    with pytest.raises(ApiKeysError, match="keys: line 3: expected NAME SCOPES SHA256") as caught:
        read_keys("", file)

    assert line not in str(caught.value)


@pytest.mark.parametrize(
    "lines", [f"a infer {DIGEST};a infer {'0' * 64}", f"a infer {DIGEST};b admin {DIGEST}"]
)
def test_duplicate_name_or_key_is_rejected(lines: str) -> None:
    """Two lines with the same name, or the same key, are an error."""
    with pytest.raises(ApiKeysError, match="duplicate key or key name"):
        read_keys(lines, None)


@pytest.mark.parametrize("content", [b"", b"# none\n", b"\xff\n"])
def test_file_without_keys_is_rejected(tmp_path: Path, content: bytes) -> None:
    """A file without a key does not leave the service open."""
    file = tmp_path / "keys"
    file.write_bytes(content)

    with pytest.raises(ApiKeysError, match=r"contains no key|cannot be read"):
        read_keys("", file)


def test_missing_file_is_rejected(tmp_path: Path) -> None:
    """The error names a file that cannot be read."""
    with pytest.raises(ApiKeysError, match=r"LATENTD_API_KEYS_FILE .*nowhere cannot be read"):
        read_keys("", tmp_path / "nowhere")


@pytest.mark.parametrize(("mode", "expected"), [(0o600, False), (0o640, False), (0o644, True)])
def test_world_readable_file_is_detected(tmp_path: Path, mode: int, expected: bool) -> None:
    """A file that every user of the machine can read is detected."""
    file = tmp_path / "keys"
    file.touch()
    file.chmod(mode)

    assert is_world_readable(file) == expected


@pytest.mark.parametrize("path", [*sorted(api_keys.PUBLIC_PATHS), "/static/pages.js"])
def test_public_path_requires_no_key(path: str) -> None:
    """A public path requires no key, and an unknown key does not matter there."""
    assert find_holder(KEYS, {}, path) is None
    assert find_holder(KEYS, {"X-API-Key": "unknown"}, path) is None


@pytest.mark.parametrize("path", ["/v1/sample", "/metrics", "/openapi.json", "/nowhere", "/static"])
def test_other_path_requires_a_key(path: str) -> None:
    """Every other path requires a key, whether or not it exists."""
    with pytest.raises(AuthenticationError, match="has none"):
        find_holder(KEYS, {}, path)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TEXT}"},
        {"authorization": f" bearer   {TEXT} "},
        {"X-API-Key": f" {TEXT} "},
    ],
)
def test_key_is_accepted_in_either_header(headers: dict[str, str]) -> None:
    """A key is accepted in `Authorization` and in `X-API-Key`."""
    assert find_holder(KEYS, headers) == "ci"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Basic {TEXT}"},
        {"Authorization": TEXT},
        {"Authorization": ""},
        {"X-API-Key": ""},
        {"X-API-Key": f"Bearer {TEXT}"},
        {"X-API-Key": KEY.digest.hex()},
    ],
)
def test_other_text_is_unknown(headers: dict[str, str]) -> None:
    """A key in another form, or its hash, is unknown."""
    with pytest.raises(AuthenticationError, match="unknown"):
        find_holder(KEYS, headers)


@pytest.mark.parametrize("other", ["Authorization", "X-API-Key"])
def test_two_headers_are_malformed(other: str) -> None:
    """Two headers with keys are malformed, since a proxy could check the other one."""
    with pytest.raises(MalformedInputError):
        find_holder(KEYS, [("X-API-Key", TEXT), (other, TEXT)])


@pytest.mark.parametrize(
    ("path", "scopes"),
    [
        ("/v1/sample", {INFER}),
        ("/v1/models", {INFER}),
        ("/v2/models/full.encoder/infer", {INFER}),
        ("/v2/repositoryx", {INFER}),
        ("/v2/repository", {ADMIN}),
        ("/v2/repository/index", {ADMIN}),
        ("/metrics", {INFER, ADMIN}),
        ("/openapi.json", {INFER, ADMIN}),
    ],
)
def test_path_requires_a_permission(path: str, scopes: set[str]) -> None:
    """The repository requires `admin`, the rest `infer`, and two read-only paths either."""
    for scope, name, text in ((INFER, "ci", TEXT), (ADMIN, "ops", ADMIN_TEXT)):
        headers = {"X-API-Key": text}
        if scope in scopes:
            assert find_holder(KEYS, headers, path) == name
        else:
            with pytest.raises(ForbiddenError, match=name):
                find_holder(KEYS, headers, path)
