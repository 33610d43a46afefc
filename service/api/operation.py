"""The declaration of an operation.

Routes, the OpenAPI document and its examples, the operations in `/v1/models`, metric labels and
the check of the Python client derive from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Response
from pydantic import BaseModel

from service.api.schemas import Parameters
from service.artifact import Manifest
from service.artifact.specs import NetworkName
from service.codecs.request_body import InputSpec, RequestBody
from service.errors import UnsupportedOperationError
from service.inference.model import Model
from service.inference.operations import Steps

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, slots=True)
class Call(Generic[P]):
    """One request to an operation."""

    model: Model
    parameters: P
    body: RequestBody
    media_type: str
    """Media type of the response."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[P]):
    """The declaration of an operation."""

    name: str
    """Its path is `/v1/<name>`."""
    summary: str
    description: str
    parameters: type[P]
    """Parameters of the query string and the JSON body, each with a default."""
    accepts: InputSpec
    offers: tuple[str, ...]
    """Media types of its response, the default first."""
    response: type[BaseModel]
    """Its JSON response."""
    networks: Callable[[Manifest, P], tuple[NetworkName, ...]]
    """The networks that it runs, in order; raises UnsupportedOperationError without the source."""
    run: Callable[[Call[P]], Steps[Response]]
    """Decodes the images or latents, runs networks, encodes the response."""
    example: dict[str, object]
    """Parameters of its example in the OpenAPI document."""
    count: Callable[[P], int] | None = None
    """Number of images that it generates; None if it returns one per image or latent."""

    def require(self, manifest: Manifest, parameters: P) -> tuple[NetworkName, ...]:
        """Return the networks that it runs.

        Raises:
            UnsupportedOperationError: the bundle lacks one of them, or the sample source; the text
                is the name of what it lacks.
        """
        networks = self.networks(manifest, parameters)
        for network in networks:
            if network not in manifest.networks:
                raise UnsupportedOperationError(network)
        return networks

    def is_available(self, manifest: Manifest, parameters: P | None = None) -> bool:
        """Return whether a bundle has everything that the operation needs."""
        try:
            self.require(manifest, self.parameters() if parameters is None else parameters)
        except UnsupportedOperationError:
            return False
        return True
