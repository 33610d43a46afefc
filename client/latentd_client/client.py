"""The blocking client."""

from typing import Any, Self
from urllib.parse import quote

import httpx
from numpy.typing import ArrayLike

from latentd_client import operations
from latentd_client.operations import (
    Heatmap,
    Input,
    Invert,
    Operation,
    Result,
    Space,
    make_headers,
    read_content,
)
from latentd_client.request_body import EndsInput, ImageInput
from latentd_client.results import (
    DetectResult,
    EncodeResult,
    Examples,
    Floats,
    InterpolateResult,
    LatentMap,
    Prediction,
    ReconstructResult,
    SampleResult,
    read_examples,
    read_map,
)


class Client:
    """A blocking client of a latentd service; use it as a context manager or close it.

    Every method raises `ServiceError` for an error response, and `httpx.TransportError` if the
    service cannot be reached or does not respond in time. Methods with images accept paths, bytes
    of image files, PIL images, NumPy arrays and sequences of these (see `ImageInput`), and raise
    TypeError for anything else. Letters in shapes: N images, C channels, H height, W width,
    L latent size.
    """

    def __init__(
        self,
        url: str = "http://localhost:8000",
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Create a client; it connects when it sends the first request.

        Args:
            url: The URL of the service, including a path prefix if there is one.
            model: `name` or `name@version`, for calls without a model; None for the service's
                default model.
            api_key: The API key, if the service requires one.
            timeout: Seconds to wait for a connection, and between parts of a response.
            transport: An httpx transport, for example for retries or a Unix socket.
        """
        self._model = model
        self._http = httpx.Client(
            base_url=url, headers=make_headers(api_key), timeout=timeout, transport=transport
        )

    def list_models(self) -> list[dict[str, Any]]:
        """Describe the highest version of each bundle: shapes, classes, sources, metrics."""
        models: list[dict[str, Any]] = self._get("v1/models")["models"]
        return models

    def get_model(self, name: str) -> dict[str, Any]:
        """Describe one bundle.

        Args:
            name: `name` or `name@version`.
        """
        model: dict[str, Any] = self._get(f"v1/models/{quote(name, '@')}")
        return model

    def get_map(self, name: str, space: Space = "autoencoder") -> LatentMap:
        """Return the map of a latent space.

        Args:
            name: `name` or `name@version`.
            space: The latent space.
        """
        return read_map(self._get(f"v1/models/{quote(name, '@')}/maps/{space}"))

    def get_examples(self, name: str) -> Examples:
        """Return a few test images of a model.

        Args:
            name: `name` or `name@version`.
        """
        return read_examples(self._get(f"v1/models/{quote(name, '@')}/examples"))

    def preprocess(
        self, images: ImageInput, *, invert: Invert = False, model: str | None = None
    ) -> Floats:
        """Return images as the networks receive them: (N, C, H, W) in [0, 1].

        Args:
            images: One or more images.
            invert: Whether to invert the images; "auto" inverts images with a light border.
            model: `name` or `name@version`; None for the client's model.
        """
        return self._send(operations.PREPROCESS, images, model, invert=invert)

    def encode(
        self,
        images: ImageInput,
        *,
        space: Space = "autoencoder",
        invert: Invert = False,
        model: str | None = None,
    ) -> EncodeResult:
        """Encode images as latents (N, L).

        Args:
            images: One or more images.
            space: The latent space: `autoencoder` or `vae`.
            invert: Whether to invert the images; "auto" inverts images with a light border.
            model: `name` or `name@version`; None for the client's model.
        """
        return self._send(operations.ENCODE, images, model, space=space, invert=invert)

    def decode(
        self, latents: ArrayLike, *, space: Space = "autoencoder", model: str | None = None
    ) -> Floats:
        """Decode latents to images (N, C, H, W) in [0, 1].

        Args:
            latents: (N, L), or (L,) for one image.
            space: The latent space: `autoencoder` or `vae`.
            model: `name` or `name@version`; None for the client's model.
        """
        return self._send(operations.DECODE, latents, model, space=space)

    def reconstruct(
        self,
        images: ImageInput,
        *,
        space: Space = "autoencoder",
        invert: Invert = False,
        model: str | None = None,
    ) -> ReconstructResult:
        """Encode and decode images, and measure their errors.

        Args:
            images: One or more images.
            space: The latent space: `autoencoder` or `vae`.
            invert: Whether to invert the images; "auto" inverts images with a light border.
            model: `name` or `name@version`; None for the client's model.
        """
        return self._send(operations.RECONSTRUCT, images, model, space=space, invert=invert)

    def detect(
        self,
        images: ImageInput,
        *,
        method: str | None = None,
        threshold: float | None = None,
        false_alarm_rate: float | None = None,
        heatmap: Heatmap = "none",
        invert: Invert = False,
        model: str | None = None,
    ) -> DetectResult:
        """Measure how unlike the training images each image is.

        Args:
            images: One or more images.
            method: A detector of the model; None for its default.
            threshold: The score over which an image is an anomaly; not with `false_alarm_rate`.
            false_alarm_rate: The share of normal images over the threshold; None for 0.01.
            heatmap: "array" also returns the score of each place and the strongest regions.
            invert: Whether to invert the images; "auto" inverts images with a light border.
            model: `name` or `name@version`; None for the client's model.
        """
        return self._send(
            operations.DETECT,
            images,
            model,
            method=method,
            threshold=threshold,
            false_alarm_rate=false_alarm_rate,
            heatmap=heatmap,
            invert=invert,
        )

    def denoise(
        self, images: ImageInput, *, invert: Invert = False, model: str | None = None
    ) -> Floats:
        """Remove noise from images; return (N, C, H, W) in [0, 1].

        Args:
            images: One or more images.
            invert: Whether to invert the images; "auto" inverts images with a light border.
            model: `name` or `name@version`; None for the client's model.
        """
        return self._send(operations.DENOISE, images, model, invert=invert)

    def classify(
        self,
        images: ImageInput,
        *,
        top_k: int = 1,
        invert: Invert = False,
        model: str | None = None,
    ) -> list[Prediction]:
        """Classify each image.

        Args:
            images: One or more images.
            top_k: The number of classes in `top` of each prediction.
            invert: Whether to invert the images; "auto" inverts images with a light border.
            model: `name` or `name@version`; None for the client's model.
        """
        return self._send(operations.CLASSIFY, images, model, top_k=top_k, invert=invert)

    def sample(
        self,
        count: int = 1,
        *,
        source: str | None = None,
        class_: str | int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
        model: str | None = None,
    ) -> SampleResult:
        """Generate images.

        Args:
            count: The number of images.
            source: The sample source; None for the model's default, or with `class_` for its best
                class-conditional source.
            class_: The label or index of a class, for class-conditional sources.
            seed: 0 to 2**64 - 1; the same seed gives the same images. None for a random seed,
                which the result contains.
            temperature: A factor on the spread of the source.
            model: `name` or `name@version`; None for the client's model.
        """
        return self._send(
            operations.SAMPLE,
            None,
            model,
            count=count,
            source=source,
            class_=class_,
            seed=seed,
            temperature=temperature,
        )

    def interpolate(
        self,
        ends: EndsInput,
        *,
        steps: int = 8,
        space: Space = "autoencoder",
        invert: Invert = False,
        model: str | None = None,
    ) -> InterpolateResult:
        """Decode points on the line between two images or two latents.

        Args:
            ends: Two images, or two latents as (2, L) numbers.
            steps: The number of points, including both ends.
            space: The latent space: `autoencoder` or `vae`.
            invert: Whether to invert the images; "auto" inverts images with a light border.
            model: `name` or `name@version`; None for the client's model.
        """
        return self._send(
            operations.INTERPOLATE, ends, model, steps=steps, space=space, invert=invert
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def _get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return read_content(self._http.get(path))

    def _send(
        self,
        operation: Operation[Input, Result],
        value: Input,
        model: str | None,
        **query: object,
    ) -> Result:
        body = operation.pack(value)
        request = operation.build_request(self._http, body, model or self._model, query)
        return operation.read_response(self._http.send(request))
