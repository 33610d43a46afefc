"""Who may do what, and what browsers may do with the answers."""

from collections.abc import Sequence

from fastapi import FastAPI, Request
from starlette._utils import get_route_path
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import AuthenticationError, ForbiddenError, MalformedInputError, RequestError
from service.http.api_keys import ADMIN, INFER, Key, find_key
from service.http.problems import answer_error

OPEN = frozenset(
    # Health, and pages that are the same in every installation. Not /openapi.json, whose
    # examples are decoded from a model that may be private.
    {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/", "/docs", "/redoc"}
)
OPEN_FOLDER = "/static/"
_ADMIN_FOLDER = "/v2/repository"
_ANY_SCOPE = frozenset({"/metrics", "/openapi.json"})

_CORS_REQUEST_HEADERS = (
    "Authorization",
    "X-API-Key",
    "X-Request-ID",
    "Inference-Header-Content-Length",
)
_CORS_ANSWER_HEADERS = (
    "X-Model",
    "X-Model-Digest",
    "X-Seed",
    "X-Request-ID",
    "Retry-After",
    "Inference-Header-Content-Length",
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
# Swagger UI and ReDoc write style elements, and ReDoc searches in a worker made from a blob.
_PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_POLICY = b"content-security-policy"
_PRIVATE = (b"cache-control", b"no-store")
_REVALIDATED = (b"cache-control", b"no-cache")  # static files come with an ETag


def secure(app: FastAPI, keys: Sequence[Key], origins: Sequence[str]) -> None:
    """Close an application where it should be closed.

    Args:
        app: The application.
        keys: Who may use it; everybody where there are none.
        origins: Origins whose pages may call it from a browser; "*" for all.
    """
    if keys:
        app.add_middleware(KeyGuard, keys=keys)
    if origins:
        # Around the guard: a browser asks for leave (OPTIONS) without a key. No credentials:
        # a key is no cookie.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=_CORS_REQUEST_HEADERS,
            expose_headers=_CORS_ANSWER_HEADERS,
        )
    app.add_middleware(SecurityHeaders)


class KeyGuard:
    """Lets a request pass that needs no key, or brings one with the right that is needed.

    Everything needs a key that is not in `OPEN`, whatever the method, and whether it exists or
    not. The path decides, as the router will see it; never the URL, whose host the client writes.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[Key]) -> None:
        """Wrap an application; there is at least one key."""
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse a request."""
        if scope["type"] == "http":
            try:
                self._admit(scope)
            except RequestError as error:
                await answer_error(Request(scope), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        path = get_route_path(scope)
        if path in OPEN or path.startswith(OPEN_FOLDER):
            return
        text = _find_text(scope)
        key = None if text is None else find_key(self._keys, text)
        if key is None:
            raise AuthenticationError(
                "no key was given" if text is None else "the key is none of those known here"
            )
        scope.setdefault("state", {})["key"] = key.name
        if not key.scopes & _find_scopes(path):
            raise ForbiddenError(f"the key {key.name!r} has no right to that")


def _find_scopes(path: str) -> set[str]:
    """Return the rights one of which is needed for a path that is not open."""
    if path == _ADMIN_FOLDER or path.startswith(f"{_ADMIN_FOLDER}/"):
        return {ADMIN}
    return {ADMIN, INFER} if path in _ANY_SCOPE else {INFER}


def _find_text(scope: Scope) -> bytes | None:
    """Return the key's text that a request brings, b"" where its header holds none.

    Raises:
        MalformedInputError: there are several headers that may hold it.
    """
    given = [header for header in scope["headers"] if header[0] in {b"authorization", b"x-api-key"}]
    if len(given) > 1:
        raise MalformedInputError("one header with a key is wanted, Authorization or X-API-Key")
    if not given:
        return None
    name, value = given[0]
    if name == b"x-api-key":
        return bytes(value).strip()
    scheme, _, text = bytes(value).strip().partition(b" ")
    return text.strip() if scheme.lower() == b"bearer" else b""


class SecurityHeaders:
    """Tells browsers not to guess types, frame pages, run foreign scripts or keep answers."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                names = dict(headers)
                is_page = names.get(b"content-type", b"").startswith(b"text/html")
                headers += _HEADERS
                if _POLICY not in names:  # a page may bring a stricter one
                    headers.append((_POLICY, _PAGE_POLICY if is_page else _DATA_POLICY))
                if b"cache-control" not in names:
                    headers.append(_REVALIDATED if b"etag" in names else _PRIVATE)
            await send(message)

        await self._app(scope, receive, send_with_headers)
