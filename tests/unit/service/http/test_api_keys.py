"""API keys: made, kept as hashes, read from lines."""

import hashlib
import re
from pathlib import Path

import pytest

from service.errors import ApiKeysError
from service.http import api_keys as keys
from service.http.api_keys import (
    ADMIN,
    INFER,
    Key,
    find_key,
    is_read_by_others,
    make_key,
    read_keys,
)

DIGEST = "0123456789abcdef" * 4


def test_a_new_key_is_found_by_its_text() -> None:
    """The line of a key that was made finds the key's holder and rights again."""
    text, made = make_key("ops", frozenset({INFER, ADMIN}))
    other, _ = make_key("ops", frozenset({INFER, ADMIN}))

    (read,) = read_keys(made.to_line(), None)

    assert read == made
    assert find_key([read], text.encode()) == made
    assert find_key([read], other.encode()) is None


def test_a_key_holds_its_hash_alone() -> None:
    """A key has 32 random bytes, and what is kept is their SHA-256."""
    text, made = make_key("ci", frozenset({INFER}))

    assert re.fullmatch(r"latentd_[A-Za-z0-9_-]{43}", text)
    assert made.to_line() == f"ci infer {hashlib.sha256(text.encode()).hexdigest()}"
    assert text not in repr(made)


def test_every_key_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A match does not end the search, or its time would tell where in the list it was."""
    made = [make_key(name, frozenset({INFER})) for name in ("a", "b", "c")]
    compared = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append(left)
        return left == right

    monkeypatch.setattr(keys.hmac, "compare_digest", compare)

    assert find_key([key for _, key in made], made[0][0].encode()) == made[0][1]
    assert compared == [key.digest for _, key in made]


@pytest.mark.parametrize("name", ["", "-a", "a b", "a\nb", "a" * 65, "ä"])
def test_a_bad_name(name: str) -> None:
    """A key's name can be shown in a log as it stands."""
    with pytest.raises(ApiKeysError, match="name"):
        make_key(name, frozenset({INFER}))


def test_lines_come_from_both_settings(tmp_path: Path) -> None:
    """Keys of the variable and of the file are taken together; comments are left out."""
    file = tmp_path / "keys"
    file.write_text(f"# ours\n\nops infer,admin {DIGEST} # of Ann\n")

    found = read_keys(f"ci infer {'0' * 64};cd admin {'1' * 64}", file)

    assert [(key.name, sorted(key.scopes)) for key in found] == [
        ("ci", ["infer"]),
        ("cd", ["admin"]),
        ("ops", ["admin", "infer"]),
    ]
    assert found[2] == Key("ops", frozenset({INFER, ADMIN}), bytes.fromhex(DIGEST))


def test_without_settings_there_are_no_keys() -> None:
    """Nothing set is nobody's mistake."""
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
def test_a_malformed_line_is_named_and_not_shown(tmp_path: Path, line: str) -> None:
    """The error tells the line's number; its text may be a key, put there by mistake."""
    file = tmp_path / "keys"
    file.write_text(f"# ours\nok infer {'1' * 64}\n{line}\n")

    with pytest.raises(ApiKeysError, match="keys: line 3: wanted NAME SCOPES SHA256") as caught:
        read_keys("", file)

    assert line not in str(caught.value)


@pytest.mark.parametrize(
    "lines", [f"a infer {DIGEST};a infer {'0' * 64}", f"a infer {DIGEST};b admin {DIGEST}"]
)
def test_a_name_or_key_twice(lines: str) -> None:
    """Two lines of one name, or of one key, are a mistake somebody should know of."""
    with pytest.raises(ApiKeysError, match="twice"):
        read_keys(lines, None)


@pytest.mark.parametrize("content", [b"", b"# none\n", b"\xff\n"])
def test_a_file_without_keys(tmp_path: Path, content: bytes) -> None:
    """A file that holds no key does not leave the service open."""
    file = tmp_path / "keys"
    file.write_bytes(content)

    with pytest.raises(ApiKeysError, match=r"holds no key|cannot be read"):
        read_keys("", file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(ApiKeysError, match=r"LATENTD_API_KEYS_FILE .*nowhere cannot be read"):
        read_keys("", tmp_path / "nowhere")


@pytest.mark.parametrize(("mode", "expected"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_file_for_all_to_read(tmp_path: Path, mode: int, expected: bool) -> None:
    """A file that every user of the machine can read is told apart."""
    file = tmp_path / "keys"
    file.touch()
    file.chmod(mode)

    assert is_read_by_others(file) == expected
