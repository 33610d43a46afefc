"""What is served: the routes that list and describe models.

Maps and reports are read from the bundle for each request, not held in memory. A client that
keeps the answer is told 304 for as long as the same bundle is served.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from service.api.model_info import (
    MapInfo,
    ModelInfo,
    ModelList,
    NetworkInfo,
    SourceInfo,
    TensorInfo,
)
from service.api.openapi import EXTRAS, UNKNOWN
from service.api.request_context import Engine, watch
from service.artifact import NetworkSpec, TensorSpec
from service.artifact.maps import LatentMap
from service.artifact.tensor_files import Floats
from service.codecs.responses import give_json
from service.inference.model import Model
from service.inference.registry import Registry, read_extra

router = APIRouter(prefix="/v1/models", tags=["models"])

_REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DIGITS = 4
_SECONDS_A_BYTE = 2e-7  # to read, check and write a map; it decides between loop and thread


@router.get("")
async def list_models(request: Request) -> ModelList:
    """List the highest version of each bundle that is served."""
    engine: Engine = request.app.state.engine
    registry = engine.registry
    highest = [next(iter(versions.values())) for versions in registry.models.values()]
    return ModelList(models=[describe_model(registry, model) for model in highest])


@router.get("/{name}", responses=UNKNOWN)
async def get_model(request: Request, name: str) -> ModelInfo:
    """Describe a bundle: `name`, or `name@version`."""
    engine: Engine = request.app.state.engine
    return describe_model(engine.registry, engine.registry.find(name))


@router.get("/{name}/maps/{space}", responses=EXTRAS, response_model=MapInfo)
async def get_map(request: Request, name: str, space: str) -> Response:
    """Give the 2-D map of a bundle's latent space: `autoencoder` or `vae`."""
    engine: Engine = request.app.state.engine
    model, found = engine.registry.find_map(name, space)
    file = model.manifest.maps[found]

    def work() -> Response:
        return give_json(_describe_map(found, LatentMap.from_bytes(read_extra(model, file))))

    return await _give_extra(request, model, file, work)


@router.get("/{name}/report", responses=EXTRAS, response_class=HTMLResponse)
async def get_report(request: Request, name: str) -> Response:
    """Give the page that a bundle's training wrote: pictures, and what was measured."""
    engine: Engine = request.app.state.engine
    model, file = engine.registry.find_report(name)

    def work() -> Response:
        return HTMLResponse(read_extra(model, file))

    headers = {"Content-Security-Policy": _REPORT_POLICY}
    return await _give_extra(request, model, file, work, headers)


async def _give_extra(
    request: Request,
    model: Model,
    file: str,
    work: Callable[[], Response],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with what `work` makes of a bundle's file, unless the client has it."""
    engine: Engine = request.app.state.engine
    tag = f'"{model.bundle.digest}"'
    known = request.headers.get("if-none-match", "").replace("W/", "").split(",")
    if {tag, "*"} & {text.strip() for text in known}:
        response = Response(status_code=HTTPStatus.NOT_MODIFIED)
    else:
        seconds = model.manifest.files[file].bytes * _SECONDS_A_BYTE
        response = await engine.answer(model, work, seconds, watch(request))
    response.headers.update(headers or {})
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _describe_map(space: str, found: LatentMap) -> dict[str, object]:
    return {
        "space": space,
        "labels": found.labels,
        "latents": _round(found.codes),
        "projections": {"pca": _round(found.pca), "tsne": _round(found.tsne)},
        "pca": {"mean": found.mean, "components": found.components},
    }


def _round(points: Floats) -> Floats:
    """Return points (N, D) with as many digits as four of the largest number of their column."""
    largest = np.abs(points).max(axis=0).astype(np.float64)
    digits = _DIGITS - np.ceil(np.log10(largest, where=largest > 0, out=np.zeros_like(largest)))
    rounded: Floats = (np.round(points * 10**digits) / 10**digits).astype(np.float32)
    return rounded


def describe_model(registry: Registry, model: Model) -> ModelInfo:
    """Return what a client can know of a model."""
    bundle, manifest = model.bundle, model.manifest
    return ModelInfo(
        name=bundle.name,
        version=bundle.version,
        versions=registry.list_versions(model),
        default=bundle.name == registry.default,
        digest=bundle.digest,
        backend=model.backend,
        operations=_list_operations(model),
        image=manifest.image,
        classes=None if manifest.classes is None else list(manifest.classes),
        spaces={name: {"latent_size": spec.latent_size} for name, spec in manifest.spaces.items()},
        networks={name: _describe_network(model, n) for name, n in manifest.networks.items()},
        sources=[
            SourceInfo(name=name, **spec.model_dump(exclude={"file"}))
            for name, spec in manifest.samplers.items()
        ],
        default_source=manifest.default_source,
        maps=list(manifest.maps),
        report=manifest.report and f"{router.prefix}/{model.reference}/report",
        metrics=manifest.metrics,
        provenance=manifest.provenance.model_dump(mode="json"),
    )


def _list_operations(model: Model) -> list[str]:
    extra = {"denoise": "denoiser" in model.networks, "classify": "classifier" in model.networks}
    return [
        *("encode", "decode", "reconstruct", "interpolate"),
        *(name for name, has_it in extra.items() if has_it),
        *(["sample"] if model.samplers else []),
    ]


def _describe_network(model: Model, network: NetworkSpec) -> NetworkInfo:
    def describe(tensor: TensorSpec) -> TensorInfo:
        return TensorInfo(name=tensor.name, shape=list(tensor.shape))

    formats: dict[str, dict[str, Any]] = {
        name: {**graph.model_dump(), **model.manifest.files[graph.file].model_dump()}
        for name, graph in network.formats.items()
    }
    outputs = [describe(tensor) for tensor in network.outputs]
    return NetworkInfo(input=describe(network.input), outputs=outputs, formats=formats)
