"""The operations of the service. Both clients share this code and differ only in sending."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import httpx
import numpy as np
from numpy.typing import ArrayLike

from latentd_client import request_body, results
from latentd_client.errors import ServiceError, parse_retry_after
from latentd_client.request_body import NPY, Body, EndsInput, ImageInput

Space: TypeAlias = Literal["autoencoder", "vae"]
Invert: TypeAlias = bool | Literal["auto"]
Heatmap: TypeAlias = Literal["none", "array"]
Input = TypeVar("Input")
Result = TypeVar("Result")

_JSON = "application/json"
_ARRAYS = {"encoding": "array"}


@dataclass(frozen=True, slots=True)
class Operation(Generic[Input, Result]):
    """An operation: how its input becomes a request body, and how its response is read."""

    name: str
    pack: Callable[[Input], Body]
    read: Callable[[Any], Result]
    """Reads the JSON document, or the array if `accept` is .npy."""
    accept: str = _JSON
    query: Mapping[str, object] = field(default_factory=dict)
    """Parameters with a fixed value."""

    def build_request(
        self,
        http: httpx.Client | httpx.AsyncClient,
        body: Body,
        model: str | None,
        query: Mapping[str, object],
    ) -> httpx.Request:
        """Return the request; the service chooses the value of each parameter that is None."""
        parameters = {"model": model, **self.query, **query}
        given: dict[str, Any] = {
            name.rstrip("_"): value for name, value in parameters.items() if value is not None
        }
        headers = {"Accept": self.accept}
        if body.media_type is not None:
            headers["Content-Type"] = body.media_type
        return http.build_request(
            "POST",
            f"v1/{self.name}",
            params=given,
            headers=headers,
            content=body.content,
            files=body.files,
        )

    def read_response(self, response: httpx.Response) -> Result:
        """Return the result; raise ServiceError for an error response."""
        return self.read(read_content(response, self.accept))


PREPROCESS: Operation[ImageInput, results.Floats] = Operation(
    "preprocess", request_body.pack_images, results.to_floats, accept=NPY
)
ENCODE: Operation[ImageInput, results.EncodeResult] = Operation(
    "encode", request_body.pack_images, results.read_encoding
)
DECODE: Operation[ArrayLike, results.Floats] = Operation(
    "decode", request_body.pack_latents, results.to_floats, accept=NPY
)
RECONSTRUCT: Operation[ImageInput, results.ReconstructResult] = Operation(
    "reconstruct", request_body.pack_images, results.read_reconstruction, query=_ARRAYS
)
DETECT: Operation[ImageInput, results.DetectResult] = Operation(
    "detect", request_body.pack_images, results.read_detections
)
DENOISE: Operation[ImageInput, results.Floats] = Operation(
    "denoise", request_body.pack_images, results.to_floats, accept=NPY
)
CLASSIFY: Operation[ImageInput, list[results.Prediction]] = Operation(
    "classify", request_body.pack_images, results.read_predictions
)
SAMPLE: Operation[None, results.SampleResult] = Operation(
    "sample", request_body.pack_nothing, results.read_samples, query=_ARRAYS
)
INTERPOLATE: Operation[EndsInput, results.InterpolateResult] = Operation(
    "interpolate", request_body.pack_ends, results.read_line, query=_ARRAYS
)


def make_headers(api_key: str | None) -> dict[str, str]:
    """Return the headers of every request."""
    return {} if api_key is None else {"Authorization": f"Bearer {api_key}"}


def read_content(response: httpx.Response, expected: str = _JSON) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON document or the array of a response.

    Raises:
        ServiceError: an error response, or a media type that latentd does not send here.
    """
    if not response.is_success:
        retry_after = parse_retry_after(response.headers.get("Retry-After", ""))
        raise ServiceError(response.status_code, _read_problem(response), retry_after)
    media_type = response.headers.get("Content-Type", "").partition(";")[0]
    if media_type != expected:
        detail = f"Expected {expected} from {response.url}, got {media_type or 'no content type'}."
        raise ServiceError(response.status_code, {"detail": f"{detail} Check the service's URL."})
    if expected == NPY:
        return np.load(io.BytesIO(response.content), allow_pickle=False)
    return response.json()


def _read_problem(response: httpx.Response) -> dict[str, Any]:
    """Return the problem details, or the text that a proxy sent instead."""
    try:
        problem = response.json()
    except ValueError:
        return {"detail": response.text[:200]}
    return problem if isinstance(problem, dict) else {"detail": str(problem)[:200]}
