"""The exceptions that latentd raises; `service.http.problems` maps them to HTTP responses.

LatentdError
├── RequestError                    the client can correct the request
│   ├── MalformedInputError         bytes that contradict their content type
│   ├── InvalidInputError           valid syntax, wrong value: shape, range, unknown field
│   ├── LimitExceededError          above a configured limit
│   ├── UnsupportedFormatError      input in an unsupported format
│   ├── NotAcceptableError          no supported output format is accepted
│   ├── ModelNotFoundError          unknown bundle or version
│   ├── UnsupportedOperationError   the bundle lacks a network, sample source or class labels
│   ├── AuthenticationError         missing or unknown API key
│   ├── ForbiddenError              the API key lacks a scope
│   └── RateLimitedError            too many unknown API keys; retry later
├── OverloadedError                 the queue or the memory budget is full; retry
├── DeadlineExceededError           the timeout of the queue or of a network's run has expired
├── NotReadyError                   the service is loading or draining
├── InferenceError                  a network failed on valid input
├── ArtifactError                   an invalid bundle
├── ApiKeysError                    invalid API keys
├── InsecureSettingsError           settings that expose protected functions without a key
├── MissingExtraError               an optional dependency is not installed
└── DeviceError                     the chosen device is not available
"""

from dataclasses import dataclass


class LatentdError(Exception):
    """Base class of latentd's exceptions; the text may be sent to clients."""


class RequestError(LatentdError):
    """The client can correct the request."""


class MalformedInputError(RequestError):
    """Bytes that contradict their content type: invalid JSON, a truncated PNG."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A wrong member of a request: its JSON pointer, and the problem."""

    pointer: str
    detail: str


class InvalidInputError(RequestError):
    """Input of valid syntax with wrong values, one violation per wrong member."""

    def __init__(self, *violations: Violation) -> None:
        """Keep the violations; the message joins their details."""
        super().__init__("; ".join(violation.detail for violation in violations))
        self.violations = violations


class LimitExceededError(RequestError):
    """More bytes, images, pixels or samples than the configured limit."""


class UnsupportedFormatError(RequestError):
    """Input in an unsupported content type or file format."""


class NotAcceptableError(RequestError):
    """No supported output format is accepted by the client."""


class ModelNotFoundError(RequestError):
    """Unknown bundle or version."""


class UnsupportedOperationError(RequestError):
    """The bundle lacks a network, sample source or class labels for the operation."""


class AuthenticationError(RequestError):
    """Missing or unknown API key."""


class ForbiddenError(RequestError):
    """The API key lacks a scope."""


class RateLimitedError(RequestError):
    """The client's address has sent too many unknown API keys."""


class OverloadedError(LatentdError):
    """The queue is full, or the request bodies exceed the memory budget."""


class DeadlineExceededError(LatentdError):
    """The request waited too long in the queue, or a run of a network took too long."""


class NotReadyError(LatentdError):
    """The service is loading or draining."""


class InferenceError(LatentdError):
    """A network failed, or returned non-finite numbers, on valid input."""


class ArtifactError(LatentdError):
    """A missing, incomplete or modified bundle, or one of an unknown schema version."""


class ApiKeysError(LatentdError):
    """Invalid API keys; the text has the line number and never the line."""


class InsecureSettingsError(LatentdError):
    """Settings that expose protected functions without an API key."""


class MissingExtraError(LatentdError):
    """An optional dependency is not installed; the text names the extra."""


class DeviceError(LatentdError):
    """The device that the settings choose cannot be used."""
