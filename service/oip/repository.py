"""The model repository extension of the Open Inference Protocol: index, load and unload.

`load` and `unload` are there only where the setting `repository_control` is on. They take a
bundle, by its name or that of any of its networks, and nothing else: no address, path or
configuration to load from.
"""

import asyncio
from typing import Annotated, Any, TypeVar, get_args

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from service.api.openapi import OIP_ERRORS
from service.api.request_context import Engine, read_head, receive_body
from service.api.schemas import RepositoryEntry
from service.artifact.manifest import NetworkName
from service.codecs.request_body import read_members
from service.codecs.responses import JSON, give_json
from service.errors import InvalidInputError, Violation
from service.inference.registry import Listing

_TAGS = ["open inference protocol"]
router = APIRouter(prefix="/v2/repository", tags=[*_TAGS])
control = APIRouter(prefix="/v2/repository", tags=[*_TAGS])
"""The routes that change what is served."""

_NETWORKS = frozenset(get_args(NetworkName))
_EMPTY: dict[str, Any] = {"requestBody": {"content": {JSON: {"schema": {"type": "object"}}}}}

BundlePath = Annotated[
    str, Path(description="A bundle, or one of its networks (`<bundle>.<network>`) for the whole.")
]


class _Members(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


M = TypeVar("M", bound=_Members)


class _IndexRequest(_Members):
    ready: bool = False


class _NoParameters(_Members):
    pass


class _LoadRequest(_Members):
    parameters: _NoParameters = _NoParameters()


class _UnloadParameters(_Members):
    unload_dependents: bool = False  # said by the public client; here nothing depends on another


class _UnloadRequest(_Members):
    parameters: _UnloadParameters = _UnloadParameters()


@router.post(
    "/index",
    responses=OIP_ERRORS,
    response_model=list[RepositoryEntry],
    openapi_extra={
        "requestBody": {"content": {JSON: {"schema": _IndexRequest.model_json_schema()}}}
    },
)
async def index_repository(request: Request) -> Response:
    """List each network of each bundle and whether it is served; `{"ready": true}` those alone."""
    engine: Engine = request.app.state.engine
    only_ready = (await _read(request, _IndexRequest)).ready
    listings = [one for one in engine.registry.index() if one.is_ready or not only_ready]
    return give_json([entry.model_dump() for one in listings for entry in _describe(one)])


@control.post("/models/{name}/load", responses=OIP_ERRORS, openapi_extra=_EMPTY)
async def load_bundle(request: Request, name: BundlePath) -> Response:
    """Serve what the store holds of a bundle from now on; where it is refused the old serves on."""
    engine: Engine = request.app.state.engine
    await _read(request, _LoadRequest)
    await asyncio.to_thread(engine.registry.reload, _to_bundle(name))
    return give_json({})


@control.post("/models/{name}/unload", responses=OIP_ERRORS, openapi_extra=_EMPTY)
async def unload_bundle(request: Request, name: BundlePath) -> Response:
    """Serve a bundle no more until it is loaded again."""
    engine: Engine = request.app.state.engine
    await _read(request, _UnloadRequest)
    await asyncio.to_thread(engine.registry.unload, _to_bundle(name))
    return give_json({})


async def _read(request: Request, form: type[M]) -> M:
    """Return what a request says; an empty body says nothing.

    Raises:
        InvalidInputError: it says what is not taken, as where to load from.
    """
    engine: Engine = request.app.state.engine
    body = await receive_body(request, read_head(request), engine)
    if request.query_params:
        raise InvalidInputError(Violation("", "no query parameters are taken"))
    try:
        return form.model_validate(read_members(body, engine.limits) if body else {})
    except ValidationError as error:
        found = [(".".join(str(part) for part in one["loc"]), one["msg"]) for one in error.errors()]
        violations = [Violation("", f"{place:.80}: {message}") for place, message in found]
        raise InvalidInputError(*violations) from error


def _to_bundle(name: str) -> str:
    bundle, _, network = name.rpartition(".")
    return bundle if network in _NETWORKS else name


def _describe(listing: Listing) -> list[RepositoryEntry]:
    names = [f"{listing.name}.{network}" for network in listing.networks] or [listing.name]
    return [
        RepositoryEntry(
            name=name,
            version=str(listing.version),
            state="READY" if listing.is_ready else "UNAVAILABLE",
            reason=listing.reason,
        )
        for name in names
    ]
