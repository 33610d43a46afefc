"""API keys: their text form, and the check of each request.

A key is stored as a line `NAME SCOPES SHA256`: `ci infer 2c26...`, `ops infer,admin fcde...`; `#`
begins a comment. `latentd key` creates a key and its line.
"""

import hashlib
import hmac
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import ApiKeysError, AuthenticationError, ForbiddenError, MalformedInputError
from service.http.request_context import RequestContext

INFER = "infer"
"""Permission to run models and to list them."""
ADMIN = "admin"
"""Permission to load and unload models."""

_PREFIX = "latentd_"
_RANDOM_BYTES = 32
_LINE = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})\s+(infer|admin|infer,admin)\s+([0-9a-f]{64})"
)
_EXPECTED = "expected NAME SCOPES SHA256, with scopes infer, admin or infer,admin"

PUBLIC_PATHS = frozenset(
    # Health, and pages that are the same in every installation. Not /openapi.json: its examples
    # are decoded from a model that may be private.
    {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/", "/docs", "/redoc"}
)
PUBLIC_FOLDER = "/static/"
_ADMIN_PATH = "/v2/repository"
_ANY_SCOPE_PATHS = frozenset({"/metrics", "/openapi.json"})


@dataclass(frozen=True, slots=True)
class Key:
    """A stored key, without its text."""

    name: str
    """Name of its holder, for the access log."""
    scopes: frozenset[str]
    """Its permissions."""
    digest: bytes
    """SHA-256 of its text. A slow hash would protect passwords that can be guessed; a key is 32
    random bytes, which cannot, and is checked with every request."""

    def to_line(self) -> str:
        """Return the line that stores it."""
        scopes = ",".join(scope for scope in (INFER, ADMIN) if scope in self.scopes)
        return f"{self.name} {scopes} {self.digest.hex()}"


def make_key(name: str, scopes: frozenset[str]) -> tuple[str, Key]:
    """Create a key; return its text, which is not stored, and the key.

    Raises:
        ApiKeysError: the name contains characters other than A-Z a-z 0-9 . _ - or more than 64.
    """
    text = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    key = Key(name, scopes, _digest(text.encode()))
    if not _LINE.fullmatch(key.to_line()):
        raise ApiKeysError(
            f"Invalid key name {name!r:.80}: use 1 to 64 of A-Z a-z 0-9 . _ -, "
            "starting with a letter or digit."
        )
    return text, key


def read_keys(inline: str, file: Path | None) -> tuple[Key, ...]:
    """Return the keys of the settings `api_keys` and `api_keys_file`; none if both are unset.

    Raises:
        ApiKeysError: a line is not a key, a name or key is repeated, or the file is unreadable or
            contains no key, which would open the service by mistake.
    """
    keys = _parse(inline.replace(";", "\n"), "LATENTD_API_KEYS (--api-keys)")
    if file is not None:
        label = f"LATENTD_API_KEYS_FILE (--api-keys-file): {file}"
        try:
            parsed = _parse(file.read_text("utf-8"), label)
        except (OSError, UnicodeDecodeError) as error:
            raise ApiKeysError(f"{label} cannot be read") from error
        if not parsed:
            raise ApiKeysError(f"{label} contains no key")
        keys += parsed
    if len({key.name for key in keys}) < len(keys) or len({key.digest for key in keys}) < len(keys):
        raise ApiKeysError("LATENTD_API_KEYS and LATENTD_API_KEYS_FILE: duplicate key or key name")
    return tuple(keys)


def is_world_readable(file: Path) -> bool:
    """Return whether users other than the owner and the group may read a file."""
    return bool(file.stat().st_mode & stat.S_IROTH)


def authorize(context: RequestContext, keys: Sequence[Key]) -> None:
    """Check that a request may use its path, and record the name of its key.

    Every path outside `PUBLIC_PATHS` requires a key, for every method and even if it does not
    exist. The path as the router sees it decides, never the URL, whose host the client chooses.

    Raises:
        AuthenticationError: the key is missing or unknown.
        ForbiddenError: the key lacks the permission.
        MalformedInputError: more than one header may contain a key.
    """
    path = context.path
    if path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDER):
        return
    text = _extract_text(context)
    if text is None:
        raise AuthenticationError("This path requires an API key, and the request has none.")
    key = _find_key(keys, text)
    if key is None:
        raise AuthenticationError("The API key is unknown.")
    context.key = context.client = key.name
    if not key.scopes & _required_scopes(path):
        raise ForbiddenError(f"The key {key.name!r} lacks the permission for this path.")


def has_key(context: RequestContext) -> bool:
    """Return whether a request has a header with a key."""
    return not {b"authorization", b"x-api-key"}.isdisjoint(context.headers)


def _find_key(keys: Sequence[Key], text: bytes) -> Key | None:
    """Return the key with a text, in a time that does not depend on the similarity to any key."""
    digest = _digest(text)
    match = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            match = key
    return match


def _required_scopes(path: str) -> set[str]:
    """Return the permissions of which a path requires one."""
    if path == _ADMIN_PATH or path.startswith(f"{_ADMIN_PATH}/"):
        return {ADMIN}
    return {ADMIN, INFER} if path in _ANY_SCOPE_PATHS else {INFER}


def _extract_text(context: RequestContext) -> bytes | None:
    """Return the text of a request's key; None without a header for it.

    Raises:
        MalformedInputError: there are several such headers.
    """
    given = [
        header
        for header in context.scope["headers"]
        if header[0] in {b"authorization", b"x-api-key"}
    ]
    if len(given) > 1:
        raise MalformedInputError("Expected one header with a key, Authorization or X-API-Key.")
    if not given:
        return None
    name, value = given[0]
    if name == b"x-api-key":
        return bytes(value).strip()
    scheme, _, text = bytes(value).strip().partition(b" ")
    return text.strip() if scheme.lower() == b"bearer" else b""


def _parse(text: str, label: str) -> list[Key]:
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        match = _LINE.fullmatch(content)
        if match is None:  # not shown: the line may be a key's text, put there by mistake
            raise ApiKeysError(f"{label}: line {number}: {_EXPECTED}")
        name, scopes, digest = match.groups()
        keys.append(Key(name, frozenset(scopes.split(",")), bytes.fromhex(digest)))
    return keys


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
