"""Everything latentd raises on purpose. No HTTP here: `service.http.problems` maps each class once.

LatentdError
├── RequestError                  the caller can mend it
│   ├── MalformedInputError       bytes that are not what they claim to be
│   ├── InvalidInputError         well-formed and wrong: shape, range, unknown field
│   ├── LimitExceededError        more than a configured limit
│   ├── UnsupportedFormatError    a form of input that is not read
│   ├── NotAcceptableError      a form of output that is not written
│   ├── ModelNotFoundError        no such bundle or version
│   ├── UnsupportedOperationError          the bundle lacks that network, source or class labels
│   ├── AuthenticationError       no key, or none of ours
│   └── ForbiddenError            a key without the right that is needed
├── OverloadedError               the queue is full; try again soon
├── DeadlineExceededError                 the work waited too long and was not begun; try again soon
├── NotReadyError                 still loading, or draining
├── InferenceError                a network failed on input that passed every check
├── ArtifactError                 a bundle that must not be served
├── ApiKeysError                     API keys that cannot be read
├── InsecureSettingsError                  settings that would open the service by mistake
└── MissingExtraError             an optional dependency is not installed
"""

from dataclasses import dataclass


class LatentdError(Exception):
    """Base of all errors that latentd raises on purpose; its text may be shown to a client."""


class RequestError(LatentdError):
    """The request cannot be answered as sent."""


class MalformedInputError(RequestError):
    """Bytes that are not what their content type says: broken JSON, a truncated PNG."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong member of a request: a JSON pointer to it and what was wanted."""

    pointer: str
    detail: str


class InvalidInputError(RequestError):
    """Well-formed input with a wrong value; `violations` points at each wrong member."""

    def __init__(self, *violations: Violation) -> None:
        """Keep the violations; the message joins their details."""
        super().__init__("; ".join(violation.detail for violation in violations))
        self.violations = violations


class LimitExceededError(RequestError):
    """More bytes, images, pixels or samples than the configured limit allows."""


class UnsupportedFormatError(RequestError):
    """A content type or file format that is not read."""


class NotAcceptableError(RequestError):
    """None of the accepted answer formats can be given."""


class ModelNotFoundError(RequestError):
    """No such bundle or version."""


class UnsupportedOperationError(RequestError):
    """The bundle exists and lacks what the operation needs."""


class AuthenticationError(RequestError):
    """A key is needed, and none that is known was given."""


class ForbiddenError(RequestError):
    """The key is known and lacks the right that is needed."""


class OverloadedError(LatentdError):
    """The bounded queue is full, or too many bytes of bodies are in hand."""


class DeadlineExceededError(LatentdError):
    """The work waited in the queue past its deadline, and was not begun."""


class NotReadyError(LatentdError):
    """The service is loading or draining."""


class InferenceError(LatentdError):
    """A network failed, or gave non-finite numbers, for input that passed every check."""


class ArtifactError(LatentdError):
    """A bundle that is missing, broken, tampered with or of an unknown schema."""


class ApiKeysError(LatentdError):
    """API keys that cannot be read; the text names the line, never what stands in it."""


class InsecureSettingsError(LatentdError):
    """Settings that would let everybody do what should need a key."""


class MissingExtraError(LatentdError):
    """An optional dependency is missing; the text names the extra to install."""
