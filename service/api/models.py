"""Routes that list and describe models, and return their maps and reports.

Maps and reports are read from the bundle with each request instead of being held in memory. A
client that sends the digest of its copy receives 304 as long as the same bundle is loaded.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from service.api.engine import Engine, get_context, get_engine
from service.api.handler import name_model
from service.api.model_info import (
    DetectorInfo,
    ExampleList,
    MapInfo,
    ModelInfo,
    ModelList,
    NetworkInfo,
    SourceInfo,
    SpaceInfo,
)
from service.api.openapi import FILE_RESPONSES, NOT_FOUND
from service.artifact import DetectorSpec, NetworkSpec, SpaceSpec
from service.artifact.examples import Examples
from service.artifact.maps import LatentMap
from service.artifact.tensor_files import Floats
from service.codecs.responses import JSON, respond_images, respond_json
from service.inference.model import Model
from service.inference.registry.registry import read_extra

router = APIRouter(prefix="/v1/models", tags=["models"])

_REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
_SIGNIFICANT_DIGITS = 4
_SECONDS_A_BYTE = 2e-7  # to read, check and encode a map; chooses between event loop and thread


@router.get("")
async def list_models(request: Request) -> ModelList:
    """List the highest version of each model."""
    engine = get_engine(request)
    highest = [next(iter(versions.values())) for versions in engine.registry.models.values()]
    return ModelList(models=[describe_model(engine, model) for model in highest])


@router.get("/{name}", responses=NOT_FOUND)
async def get_model(request: Request, name: str) -> ModelInfo:
    """Describe a model: `name`, or `name@version`."""
    engine = get_engine(request)
    return describe_model(engine, engine.registry.find(name))


@router.get("/{name}/maps/{space}", responses=FILE_RESPONSES, response_model=MapInfo)
async def get_map(request: Request, name: str, space: str) -> Response:
    """Return the 2-D map of a model's latent space: `autoencoder` or `vae`."""

    def respond(content: bytes) -> Response:
        return respond_json(_describe_map(space, LatentMap.from_bytes(content)))

    model, file = get_engine(request).registry.find_map(name, space)
    return await _respond_file(request, model, file, respond)


@router.get("/{name}/report", responses=FILE_RESPONSES, response_class=HTMLResponse)
async def get_report(request: Request, name: str) -> Response:
    """Return the report of a model's training: an HTML page with plots and metrics."""
    model, file = get_engine(request).registry.find_report(name)
    response = await _respond_file(request, model, file, HTMLResponse)
    response.headers["Content-Security-Policy"] = _REPORT_POLICY
    return response


@router.get("/{name}/examples", responses=FILE_RESPONSES, response_model=ExampleList)
async def get_examples(request: Request, name: str) -> Response:
    """Return a few test images of a model, as base64 PNG files."""

    def respond(content: bytes) -> Response:
        examples = Examples.from_bytes(content)
        images = examples.images.astype(np.float32) / np.float32(255)
        return respond_images(images, JSON, "png", {"labels": examples.labels})

    model, file = get_engine(request).registry.find_examples(name)
    return await _respond_file(request, model, file, respond)


async def _respond_file(
    request: Request, model: Model, file: str, respond: Callable[[bytes], Response]
) -> Response:
    """Return the response that `respond` makes from a file, or 304 if the client has it."""
    context, engine = get_context(request), get_engine(request)
    tag = f'"{model.bundle.digest}"'
    known = context.headers.get(b"if-none-match", "").replace("W/", "").split(",")
    if {tag, "*"} & {text.strip() for text in known}:
        response = Response(status_code=HTTPStatus.NOT_MODIFIED)
    else:
        cost = model.manifest.files[file].bytes * _SECONDS_A_BYTE

        def read() -> Response:
            return respond(read_extra(model, file))

        response = name_model(await engine.scheduler.call(read, cost, context), model, context)
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
    """Round points (N, D) to four significant digits of the largest value in each column."""
    largest = np.abs(points).max(axis=0).astype(np.float64)
    digits = _SIGNIFICANT_DIGITS - np.ceil(
        np.log10(largest, where=largest > 0, out=np.zeros_like(largest))
    )
    rounded: Floats = (np.round(points * 10**digits) / 10**digits).astype(np.float32)
    return rounded


def describe_model(engine: Engine, model: Model) -> ModelInfo:
    """Return the public description of a model."""
    bundle, manifest, registry = model.bundle, model.manifest, engine.registry
    return ModelInfo(
        name=bundle.name,
        version=bundle.version,
        versions=registry.list_versions(model),
        default=bundle.name == registry.default,
        digest=bundle.digest,
        backend=model.backend,
        device=model.device,
        operations=[each.name for each in engine.operations if each.is_available(manifest)],
        image=manifest.image,
        classes=None if manifest.classes is None else list(manifest.classes),
        spaces={name: _describe_space(spec) for name, spec in manifest.spaces.items()},
        networks={name: _describe_network(model, n) for name, n in manifest.networks.items()},
        sources=[
            SourceInfo(name=name, **spec.model_dump(exclude={"file", "codes"}))
            for name, spec in manifest.samplers.items()
        ],
        default_source=manifest.find_default_source(class_conditional=False),
        detectors=[_describe_detector(*item) for item in manifest.detectors.items()],
        default_detector=manifest.default_detector,
        maps=list(manifest.maps),
        report=manifest.report and f"{router.prefix}/{model.reference}/report",
        examples=manifest.examples and f"{router.prefix}/{model.reference}/examples",
        metrics=manifest.metrics,
        provenance=manifest.provenance.model_dump(mode="json"),
    )


def _describe_space(space: SpaceSpec) -> SpaceInfo:
    return SpaceInfo(latent_size=space.latent_size, shape=space.shape or (space.latent_size,))


def _describe_detector(name: str, spec: DetectorSpec) -> DetectorInfo:
    members = [*spec.members]
    return DetectorInfo(name=name, kind=spec.kind, members=members, quality=spec.quality)


def _describe_network(model: Model, network: NetworkSpec) -> NetworkInfo:
    formats: dict[str, dict[str, Any]] = {
        name: {**graph.model_dump(), **model.manifest.files[graph.file].model_dump()}
        for name, graph in network.formats.items()
    }
    return NetworkInfo(input=network.input, outputs=network.outputs, formats=formats)
