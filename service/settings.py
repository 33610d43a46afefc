"""Every setting of the service, in one class, read once."""

import logging
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
Seconds = Annotated[float, Field(le=86_400)]
"""A duration of at most a day, and not infinite."""
Parallelism = Annotated[int, Field(le=256)]
"""A number of processes or threads; ONNX Runtime hangs while it starts 100,000 threads."""

_log = logging.getLogger(__name__)


class Settings(BaseSettings):
    """What `latentd serve` can be told, by a flag or by an environment variable LATENTD_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix="LATENTD_",
        env_ignore_empty=True,
        frozen=True,
        cli_kebab_case=True,
        cli_prog_name="latentd serve",
        cli_implicit_flags=True,
        cli_hide_none_type=True,
    )

    host: Annotated[str, Field(description="Address to listen on; 0.0.0.0 for every network.")] = (
        "127.0.0.1"
    )
    port: Annotated[
        int, Field(ge=0, le=65_535, description="TCP port to listen on; 0 for any free one.")
    ] = 8000
    workers: Annotated[Parallelism, Field(ge=1, description="Worker processes.")] = 1
    models_store: Annotated[Path, Field(description="Folder of bundles, <name>/<version>/.")] = (
        Path("models_store")
    )
    backend: Annotated[
        Literal["onnx", "torchscript"], Field(description="What runs the networks.")
    ] = "onnx"
    model_backends: Annotated[
        dict[str, Literal["onnx", "torchscript"]],
        Field(description='Backends of single models, as in \'{"mnist": "torchscript"}\'.'),
    ] = {}
    default_model: Annotated[
        str | None,
        Field(description="Name of the model that answers when none is named; else the first."),
    ] = None
    versions: Annotated[
        int, Field(ge=1, description="How many of each model's highest versions are served.")
    ] = 2
    skip_broken_models: Annotated[
        bool,
        Field(description="Serve the other models where a bundle is broken, instead of none."),
    ] = False
    watch_seconds: Annotated[
        Seconds,
        Field(ge=0, description="Seconds between looks for new bundles in the store; 0 for never."),
    ] = 1.0
    threads: Annotated[
        Parallelism,
        Field(ge=0, description="Threads for inference in a worker; 0 for its share of the CPUs."),
    ] = 0
    max_queue: Annotated[
        int, Field(ge=1, description="Requests running or waiting in a worker; more get 429.")
    ] = 64
    request_seconds: Annotated[
        Seconds,
        Field(gt=0, description="Seconds a request may wait for a thread; then it gets 503."),
    ] = 30.0
    max_body_bytes: Annotated[int, Field(ge=1, description="Bytes of a request's body.")] = 32 * MIB
    max_pending_bytes: Annotated[
        int,
        Field(ge=1, description="Bytes of bodies that a worker holds at a time; more get 429."),
    ] = 256 * MIB
    max_json_bytes: Annotated[
        int, Field(ge=1, description="Bytes of JSON in a request; larger inputs go as .npy.")
    ] = 8 * MIB
    max_json_values: Annotated[
        int,
        Field(ge=1, description="Values in a request's JSON; a list or object counts as four."),
    ] = 1_000_000
    max_images: Annotated[int, Field(ge=1, description="Images or latents in a request.")] = 1024
    max_pixels: Annotated[
        int, Field(ge=1, description="Pixels of all image files in a request together.")
    ] = 32_000_000
    max_samples: Annotated[
        int, Field(ge=2, description="Images that one request may have generated.")
    ] = 1024
    api_keys: Annotated[
        str,
        Field(description="API keys, lines of `latentd key` parted by ';'; none: all is open."),
    ] = ""
    api_keys_file: Annotated[
        Path | None, Field(description="File of API keys, a line of `latentd key` each.")
    ] = None
    repository_control: Annotated[
        bool, Field(description="Let clients load and unload models, under /v2/repository.")
    ] = False
    cors_origins: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s]+)$")]],
        Field(description="Origins whose pages may call, as in '[\"https://a.example\"]'."),
    ] = []
    header_seconds: Annotated[
        Seconds, Field(gt=0, description="Seconds in which a request's headers must arrive.")
    ] = 10.0
    body_seconds: Annotated[
        Seconds, Field(gt=0, description="Seconds in which a body must arrive, or an answer leave.")
    ] = 30.0
    drain_seconds: Annotated[
        Seconds,
        Field(ge=0, description="Seconds of answering on after a stop signal, not ready any more."),
    ] = 2.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level logged.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "text"], Field(description="One JSON object a line, or text for people.")
    ] = "json"
    otlp_endpoint: Annotated[
        str | None,
        Field(
            pattern=r"^https?://\S+$",
            description="OpenTelemetry collector, OTLP over HTTP, as in http://127.0.0.1:4318.",
        ),
    ] = None

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
    def _control_reaches_one_worker(cls, on: bool, info: ValidationInfo) -> bool:
        if on and info.data.get("workers", 1) > 1:
            raise ValueError(
                "with several workers a request reaches one of them only: "
                "publish into the models store, which all of them watch"
            )
        return on


def format_errors(error: ValidationError) -> str:
    """Return a line for each bad setting: its name, the value and what was wanted."""
    return "\n".join(
        f"LATENTD_{name.upper()} (--{name.replace('_', '-')}): "
        f"{detail['msg']}, got {detail['input']!r:.80}"
        for detail in error.errors()
        if (name := str(detail["loc"][0]) if detail["loc"] else "?")
    )
