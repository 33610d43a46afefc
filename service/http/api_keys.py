"""API keys: what a key is, the lines they are kept in, and which one a client holds.

A line is `NAME SCOPES SHA256`: `ci infer 2c26...`, `ops infer,admin fcde...`; `#` begins a
comment. `latentd key` makes a key and its line.
"""

import hashlib
import hmac
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import ApiKeysError

INFER = "infer"
"""The right to run models and to ask what is served."""
ADMIN = "admin"
"""The right to load and unload models."""

_PREFIX = "latentd_"
_RANDOM_BYTES = 32
_LINE = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})\s+(infer|admin|infer,admin)\s+([0-9a-f]{64})"
)
_WANTED = "wanted NAME SCOPES SHA256, with scopes infer, admin or infer,admin"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept: its own text is nowhere."""

    name: str
    """Who holds it, for the log."""
    scopes: frozenset[str]
    """Its rights."""
    digest: bytes
    """SHA-256 of its text. A slow hash protects what people think up and others can guess; a key
    is 32 random bytes, which nobody guesses, and is checked with every request."""

    def to_line(self) -> str:
        """Return the line that keeps it."""
        scopes = ",".join(scope for scope in (INFER, ADMIN) if scope in self.scopes)
        return f"{self.name} {scopes} {self.digest.hex()}"


def make_key(name: str, scopes: frozenset[str]) -> tuple[str, Key]:
    """Return a new key's text, which is kept nowhere, and the key.

    Raises:
        ApiKeysError: the name has other characters than A-Z a-z 0-9 . _ - or over 64 of them.
    """
    text = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    key = Key(name, scopes, _digest(text.encode()))
    if not _LINE.fullmatch(key.to_line()):
        raise ApiKeysError("a key's name is 1 to 64 of A-Z a-z 0-9 . _ -, the first no sign")
    return text, key


def find_key(keys: Sequence[Key], text: bytes) -> Key | None:
    """Return the key of that text, after a time that does not tell how near it was to any."""
    digest = _digest(text)
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def read_keys(inline: str, file: Path | None) -> tuple[Key, ...]:
    """Return the keys of the settings `api_keys` and `api_keys_file`; none where both are unset.

    Raises:
        ApiKeysError: a line is none of a key, a name or key comes twice, or the file cannot be
            read or holds no key, in which case the service would be open without meaning to.
    """
    keys = _parse(inline.replace(";", "\n"), "LATENTD_API_KEYS (--api-keys)")
    if file is not None:
        label = f"LATENTD_API_KEYS_FILE (--api-keys-file): {file}"
        try:
            found = _parse(file.read_text("utf-8"), label)
        except (OSError, UnicodeDecodeError) as error:
            raise ApiKeysError(f"{label} cannot be read") from error
        if not found:
            raise ApiKeysError(f"{label} holds no key")
        keys += found
    if len({key.name for key in keys}) < len(keys) or len({key.digest for key in keys}) < len(keys):
        raise ApiKeysError(
            "LATENTD_API_KEYS and LATENTD_API_KEYS_FILE: a name or a key comes twice"
        )
    return tuple(keys)


def is_read_by_others(file: Path) -> bool:
    """Tell whether users of this machine that are neither owner nor in the group may read it."""
    return bool(file.stat().st_mode & stat.S_IROTH)


def _parse(text: str, label: str) -> list[Key]:
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        match = _LINE.fullmatch(content)
        if match is None:  # the line itself may be a key, put there by mistake: it is not shown
            raise ApiKeysError(f"{label}: line {number}: {_WANTED}")
        name, scopes, digest = match.groups()
        keys.append(Key(name, frozenset(scopes.split(",")), bytes.fromhex(digest)))
    return keys


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
