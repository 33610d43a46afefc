"""The model repository extension of the Open Inference Protocol: index, load and unload.

`load` and `unload` exist only with the setting `repository_control`. They accept a bundle, by its
name or that of any of its networks, and no URL, path or configuration to load from.
"""

import asyncio
from typing import Annotated, Any, TypeVar, get_args

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from service.api.engine import get_context, get_engine
from service.api.handler import read_plain_body
from service.api.openapi import OIP_ERRORS
from service.api.schemas import RepositoryEntry
from service.artifact.specs import NetworkName
from service.codecs.json_objects import parse_json_object
from service.codecs.responses import JSON
from service.errors import InvalidInputError, Violation
from service.inference.registry.snapshot import VersionState

router = APIRouter(prefix="/v2/repository", tags=["open inference protocol"])
control = APIRouter(prefix="/v2/repository", tags=["open inference protocol"])
"""The routes that load and unload models."""

_NETWORKS = frozenset(get_args(NetworkName))
_EMPTY: dict[str, Any] = {"requestBody": {"content": {JSON: {"schema": {"type": "object"}}}}}

BundlePath = Annotated[
    str, Path(description="A bundle, or any of its networks (`<bundle>.<network>`).")
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
    unload_dependents: bool = False  # from the public client; without an effect here


class _UnloadRequest(_Members):
    parameters: _UnloadParameters = _UnloadParameters()


@router.post(
    "/index",
    responses=OIP_ERRORS,
    openapi_extra={
        "requestBody": {"content": {JSON: {"schema": _IndexRequest.model_json_schema()}}}
    },
)
async def index_repository(request: Request) -> list[RepositoryEntry]:
    """List the networks of all bundles and their state; with `{"ready": true}` loaded ones only."""
    only_ready = (await _read(request, _IndexRequest)).ready
    states = get_engine(request).registry.index()
    return [
        entry for state in states if state.is_ready or not only_ready for entry in _describe(state)
    ]


@control.post("/models/{name}/load", responses=OIP_ERRORS, openapi_extra=_EMPTY)
async def load_bundle(request: Request, name: BundlePath) -> dict[str, str]:
    """Load a bundle from the store; if it is rejected, the loaded version stays."""
    await _read(request, _LoadRequest)
    await asyncio.to_thread(get_engine(request).registry.reload, _to_bundle(name))
    return {}


@control.post("/models/{name}/unload", responses=OIP_ERRORS, openapi_extra=_EMPTY)
async def unload_bundle(request: Request, name: BundlePath) -> dict[str, str]:
    """Unload a bundle until it is loaded again."""
    await _read(request, _UnloadRequest)
    await asyncio.to_thread(get_engine(request).registry.unload, _to_bundle(name))
    return {}


async def _read(request: Request, form: type[M]) -> M:
    """Return the members of a request; an empty body is an empty object.

    Raises:
        InvalidInputError: it has other members, such as a path to load from.
    """
    engine = get_engine(request)
    body = await read_plain_body(get_context(request), engine)
    if request.query_params:
        raise InvalidInputError(Violation("", "Expected no query parameters."))
    try:
        return form.model_validate(parse_json_object(body, engine.limits) if body else {})
    except ValidationError as error:
        found = [(".".join(str(part) for part in one["loc"]), one["msg"]) for one in error.errors()]
        violations = [Violation("", f"{place:.80}: {message}") for place, message in found]
        raise InvalidInputError(*violations) from error


def _to_bundle(name: str) -> str:
    bundle, _, network = name.rpartition(".")
    return bundle if network in _NETWORKS else name


def _describe(listing: VersionState) -> list[RepositoryEntry]:
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
