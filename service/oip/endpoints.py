"""The Open Inference Protocol (the "v2" of KServe and Triton), under `/v2`.

Each network of a bundle is a model `<bundle>.<network>` with the bundle's versions. The public
client `tritonclient[http]` works unmodified.
"""

from dataclasses import dataclass
from http import HTTPStatus
from math import prod
from typing import Annotated, TypeAlias, cast

from fastapi import APIRouter, Depends, Path, Request, Response

from service.api.engine import get_context, get_engine
from service.api.handler import VALUE_BYTES, name_model, read_plain_body
from service.api.openapi import OCTETS, OIP_NOT_FOUND, describe_inference
from service.artifact import TensorSpec
from service.artifact.specs import NetworkName
from service.codecs.request_body import predict_decoding
from service.codecs.responses import JSON
from service.errors import ModelNotFoundError
from service.http.limits import Limits
from service.inference.batching import Work
from service.inference.model import Model
from service.inference.operations import Steps
from service.observability.metrics import count_images
from service.oip.tensors import (
    DATATYPE,
    LENGTH_HEADER,
    encode_outputs,
    find_json_length,
    parse_inference,
)

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository")

Members: TypeAlias = dict[str, object]
"""A JSON object."""
ModelPath = Annotated[str, Path(description="`<bundle>.<network>`, as in `mnist.encoder`.")]


async def _find_version(request: Request) -> str:
    """Return the version in the path, or "". A coroutine, since a function would use a thread."""
    version: str = request.path_params.get("version", "")
    return version


Version = Annotated[str, Depends(_find_version)]


@router.get("/health/live")
async def is_live() -> dict[str, bool]:
    """Report that the process responds."""
    return {"live": True}


@router.get("/health/ready", responses={"503": {"description": "Not ready."}})
async def is_ready(request: Request, response: Response) -> dict[str, bool]:
    """Report whether every required model is loaded, 200 or 503."""
    ready = not get_engine(request).missing
    if not ready:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return {"ready": ready}


@router.get("")
async def describe_server(request: Request) -> Members:
    """Return the name, the version and the protocol extensions of the server."""
    return {"name": "latentd", "version": request.app.version, "extensions": _EXTENSIONS}


@router.get("/models/{name}", responses=OIP_NOT_FOUND)
@router.get("/models/{name}/versions/{version}", responses=OIP_NOT_FOUND)
async def describe_network(request: Request, name: ModelPath, version: Version) -> Members:
    """Return the tensors and the loaded versions of a network."""
    model, network = _find(request, name, version)
    spec = model.manifest.networks[network]
    versions = get_engine(request).registry.list_versions(model)
    return {
        "name": name,
        "versions": [str(number) for number in sorted(versions)],
        "platform": model.platform,
        "inputs": [_describe_tensor(spec.input)],
        "outputs": [_describe_tensor(tensor) for tensor in spec.outputs],
    }


@router.get("/models/{name}/config", responses=OIP_NOT_FOUND)
@router.get("/models/{name}/versions/{version}/config", responses=OIP_NOT_FOUND)
async def configure_network(request: Request, name: ModelPath, version: Version) -> Members:
    """Return the configuration of a network in Triton's form."""
    model, network = _find(request, name, version)
    spec = model.manifest.networks[network]
    return {
        "name": name,
        "platform": model.platform,
        "backend": model.backend,
        "max_batch_size": get_engine(request).limits.images,
        "input": [_configure_tensor(spec.input)],
        "output": [_configure_tensor(tensor) for tensor in spec.outputs],
    }


@router.get("/models/{name}/ready", responses=OIP_NOT_FOUND)
@router.get("/models/{name}/versions/{version}/ready", responses=OIP_NOT_FOUND)
async def is_network_ready(request: Request, name: ModelPath, version: Version) -> Members:
    """Report that a network is loaded and warmed up; 404 if it is not loaded."""
    _find(request, name, version)
    return {"name": name, "ready": True}


@router.post("/models/{name}/infer", **describe_inference())
@router.post("/models/{name}/versions/{version}/infer", **describe_inference())
async def infer(request: Request, name: ModelPath, version: Version) -> Response:
    """Run a network on a batch, with tensors in JSON or in binary form."""
    engine, context = get_engine(request), get_context(request)
    model, network = _find(request, name, version)
    body = await read_plain_body(context, engine)
    json_length = request.headers.get(LENGTH_HEADER)
    # The batch size is known only after parsing: a number takes at least two bytes in JSON.
    images = len(body) // (2 * prod(model.manifest.networks[network].input.shape))
    images = min(images, engine.limits.images)
    json_bytes = find_json_length(json_length, len(body))
    cost = predict_decoding(JSON, json_bytes) + predict_decoding(OCTETS, len(body) - json_bytes)
    context.reserve_response(images * model.values[network] * VALUE_BYTES)
    steps = _infer(model, network, _InferenceBody(name, body, json_length), engine.limits)
    work = Work(steps, cost + images * model.seconds[network], model, network, images)
    work.trace = context.trace
    return name_model(await engine.scheduler.run(work, context), model, context)


@dataclass(frozen=True, slots=True)
class _InferenceBody:
    name: str
    """Name of the network's model in the protocol."""
    content: bytes
    json_length: str | None


def _infer(
    model: Model, network: NetworkName, body: _InferenceBody, limits: Limits
) -> Steps[Response]:
    spec = model.manifest.networks[network]
    inference = parse_inference(body.content, body.json_length, spec, limits)
    limits.check("images", len(inference.batch))
    arrays = yield network, inference.batch
    count_images("infer", model.bundle.name, len(inference.batch))
    outputs = {output.name: array for output, array in zip(spec.outputs, arrays, strict=True)}
    content, length = encode_outputs(inference, outputs, body.name, model.bundle.version)
    if length is None:
        return Response(content, media_type=JSON)
    return Response(content, media_type=OCTETS, headers={LENGTH_HEADER: str(length)})


def _find(request: Request, name: str, version: str) -> tuple[Model, NetworkName]:
    """Return the model and the network for a name and a version (or "").

    Raises:
        ModelNotFoundError: the bundle, version or network is not loaded.
    """
    bundle, _, network = name.rpartition(".")
    reference = f"{bundle}@{version}" if version else bundle or name
    model = get_engine(request).registry.find(reference)
    if network not in model.networks:
        names = ", ".join(f"{model.bundle.name}.{known}" for known in model.networks)
        raise ModelNotFoundError(f"Unknown model {name!r:.80}; available: {names}.")
    return model, cast("NetworkName", network)


def _describe_tensor(tensor: TensorSpec) -> Members:
    return {"name": tensor.name, "datatype": DATATYPE, "shape": [-1, *tensor.shape]}


def _configure_tensor(tensor: TensorSpec) -> Members:
    return {"name": tensor.name, "data_type": "TYPE_FP32", "dims": list(tensor.shape)}
