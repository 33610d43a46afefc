"""All settings of the service, read once from flags and environment variables."""

import ipaddress
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.artifact.specs import GraphFormat
from service.runtimes.devices import DeviceChoice

MIB = 1024 * 1024
PositiveSeconds = Annotated[PositiveFloat, Field(le=86_400)]
"""A duration of at most a day; infinity is invalid."""
NonNegativeSeconds = Annotated[NonNegativeFloat, Field(le=86_400)]
"""A duration of at most a day, or 0."""


StoreUrl = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]*://\S+$")]
"""A remote models store of a protocol that fsspec knows."""


def _check_proxy(address: str) -> str:
    if address != "*":
        ipaddress.ip_network(address)
    return address


ProxyAddress = Annotated[str, AfterValidator(_check_proxy)]
"""An address, a network such as 10.0.0.0/8, or "*" for all."""

_log = logging.getLogger(__name__)


class Settings(BaseSettings):
    """Settings of `latentd serve`: each is a flag and an environment variable LATENTD_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix="LATENTD_",
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
        cli_kebab_case=True,
        cli_prog_name="latentd serve",
        cli_implicit_flags=True,
        cli_hide_none_type=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all network interfaces."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """TCP port to listen on; 0 for a free port."""
    workers: Annotated[PositiveInt, Field(le=256)] = 1
    """Number of worker processes."""
    models_store: StoreUrl | Path = Path("models_store")
    """Folder of bundles, `<name>/<version>/`, or a URL such as s3://bucket/prefix."""
    store_cache: Path | None = None
    """Folder for copies of the bundles of a URL; unset, a folder in the user's cache."""
    store_cache_bytes: PositiveInt = 10 * 1024 * MIB
    """Maximum size of these copies, in bytes."""
    backend: GraphFormat = "onnx"
    """Backend that runs the networks."""
    model_backends: dict[str, GraphFormat] = {}
    """Backends of single models, e.g. '{"mnist": "torchscript"}'."""
    device: DeviceChoice = "auto"
    """Device that runs the networks; auto is cuda if it is installed and visible, or else cpu."""
    model_devices: dict[str, DeviceChoice] = {}
    """Devices of single models, e.g. '{"mnist": "cuda"}'."""
    default_model: str | None = None
    """Model for requests that name none; unset, the first in alphabetical order."""
    versions: PositiveInt = 2
    """Number of versions served per model, the highest ones."""
    skip_broken_models: bool = False
    """Serve the other models if a bundle is broken; otherwise the start fails."""
    watch_seconds: NonNegativeSeconds = 1.0
    """Interval between checks of the models store for new bundles, in seconds; 0 for none."""
    load_seconds: NonNegativeSeconds = 60.0
    """Timeout to load a new bundle, in a separate process before it is served; 0 for no trial."""
    threads: Annotated[NonNegativeInt, Field(le=256)] = 0
    """Inference threads per worker; 0 for an equal share of the CPUs."""
    max_queue: PositiveInt = 64
    """Maximum number of pending requests per worker; more are rejected with 429."""
    request_seconds: PositiveSeconds = 30.0
    """Timeout of a request in the queue, in seconds; then it is rejected with 503."""
    run_seconds: NonNegativeSeconds = 30.0
    """Timeout of a run of a network, in seconds; 0 for none. TorchScript ignores it."""
    max_client_connections: NonNegativeInt = 0
    """Maximum number of open connections of a client, not of proxies; 0 for 3/4 of `ulimit -n`."""
    max_body_bytes: PositiveInt = 32 * MIB
    """Maximum size of a request body, in bytes."""
    memory_bytes: NonNegativeInt = 0
    """Memory that all processes may use, in bytes; 0 for the container's limit."""
    max_pending_bytes: NonNegativeInt = 0
    """Memory for bodies and responses per worker, in bytes; 0 for a third of what is available."""
    max_json_bytes: PositiveInt = 8 * MIB
    """Maximum size of the JSON in a request, in bytes; send larger inputs as .npy."""
    max_json_values: PositiveInt = 1_000_000
    """Maximum number of values in the JSON of a request; a list or object counts as four."""
    max_images: PositiveInt = 1024
    """Maximum number of images or latents in a request."""
    max_pixels: PositiveInt = 32_000_000
    """Maximum total of pixels in the image files of a request."""
    max_samples: Annotated[int, Field(ge=2)] = 1024
    """Maximum number of generated images in a request; at least 2."""
    image_formats: list[Literal["webp", "gif", "bmp", "tiff", "avif", "heif"]] = []
    """Accepted image files other than PNG and JPEG, e.g. '["webp", "avif"]'."""
    api_keys: str = ""
    """API keys: lines printed by `latentd key`, separated by ';'. Without keys access is open."""
    api_keys_file: Path | None = None
    """File of API keys, one line printed by `latentd key` per line."""
    repository_control: bool = False
    """Let clients load and unload models through /v2/repository."""
    cors_origins: list[Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s]+)$")]] = []
    """Origins of web pages that may send requests, e.g. '["https://a.example"]'."""
    root_path: Annotated[str, StringConstraints(pattern=r"^(/[^\s?#/]+)*$")] = ""
    """Path prefix that a proxy strips, e.g. /ml; the OpenAPI document names it."""
    forwarded_allow_ips: list[ProxyAddress] = []
    """Addresses or networks of proxies whose X-Forwarded headers count, e.g. '["10.0.0.0/8"]'."""
    header_seconds: PositiveSeconds = 10.0
    """Timeout for the headers of a request, in seconds."""
    body_seconds: PositiveSeconds = 30.0
    """Timeout for the body of a request, and for sending a response, in seconds."""
    drain_seconds: NonNegativeSeconds = 2.0
    """Time from a stop signal to the shutdown, in seconds; requests are served, /readyz is 503."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""
    log_format: Literal["json", "text"] = "json"
    """Log format: one JSON object per line, or plain text."""
    otlp_endpoint: Annotated[str | None, Field(pattern=r"^https?://\S+$")] = None
    """Base URL of an OpenTelemetry collector, OTLP over HTTP, e.g. http://127.0.0.1:4318."""

    @field_validator("port", mode="before")
    @classmethod
    def _ignore_service_links(cls, port: object) -> object:
        """Return the default port for an address such as `tcp://10.96.14.7:80`.

        Kubernetes sets LATENTD_PORT to it in each pod once a Service is named `latentd`.
        """
        if isinstance(port, str) and "://" in port:
            _log.warning("LATENTD_PORT: ignored the address %.80r of a Kubernetes Service", port)
            return cls.model_fields["port"].default
        return port

    @field_validator("repository_control")
    @classmethod
    def _require_one_worker(cls, enabled: bool, info: ValidationInfo) -> bool:
        if enabled and (workers := info.data.get("workers", 1)) > 1:
            raise ValueError(
                f"a load request reaches one worker only, and workers is {workers}: "
                "set workers to 1, or publish into the models store, which all workers watch"
            )
        return enabled


def find_unknown_variables(environment: Iterable[str]) -> list[str]:
    """Return the variables that look like settings and are none.

    Kubernetes sets LATENTD_SERVICE_* and LATENTD_PORT_* for a Service named `latentd`; training
    reads LATENTD_DATA.
    """
    settings = {f"LATENTD_{name.upper()}" for name in Settings.model_fields} | {"LATENTD_DATA"}
    foreign = ("LATENTD_SERVICE_", "LATENTD_PORT_", "LATENTD_TEST_")
    return sorted(
        name
        for name in environment
        if name.startswith("LATENTD_") and name not in settings and not name.startswith(foreign)
    )


def format_errors(error: ValidationError) -> str:
    """Return one line per invalid setting: its names, the accepted values and the value."""
    return "\n".join(
        f"LATENTD_{name.upper()} (--{name.replace('_', '-')}): "
        f"{detail['msg']}, got {detail['input']!r:.80}"
        for detail in error.errors()
        if (name := str(detail["loc"][0]) if detail["loc"] else "?")
    )
