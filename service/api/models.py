"""What is served: the routes that list and describe models."""

from typing import Any

from fastapi import APIRouter, Request

from service.api.calls import Engine
from service.api.reference import UNKNOWN
from service.api.schemas import ModelInfo, ModelList, NetworkInfo, SourceInfo, TensorInfo
from service.artifact import NetworkSpec, TensorSpec
from service.inference.model import Model
from service.inference.registry import Registry

router = APIRouter(prefix="/v1/models", tags=["models"])


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
