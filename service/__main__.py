"""The command line: `latentd COMMAND`; `serve` is defined here, training brings the others."""

import argparse
import contextlib
import ipaddress
import json
import logging
import logging.config
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points

from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from service.app import build_registry, create_app
from service.errors import ApiKeysError, InsecureSettingsError, LatentdError, MissingExtraError
from service.http.api_keys import ADMIN, INFER, is_world_readable, make_key, read_keys
from service.inference.registry import Registry
from service.observability.exposition import share_metrics_folder
from service.observability.logs import build_logging_config
from service.observability.tracing import require_sdk
from service.server.serve import listen
from service.settings import Settings, format_errors

_USAGE = 2
_CANNOT_SERVE = 3
_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names; return its exit status."""
    name, *given = (sys.argv[1:] if arguments is None else arguments) or [""]
    commands = {entry.name: entry for entry in entry_points(group="latentd.commands")}
    if name not in commands:
        print(f"usage: latentd {{{','.join(sorted(commands))}}} ...", file=sys.stderr)
        return 0 if name in {"-h", "--help"} else _USAGE
    try:
        command: Callable[[list[str]], int] = commands[name].load()
    except ModuleNotFoundError as error:
        print(f"latentd {name} needs {error.name}: pip install 'latentd[train]'", file=sys.stderr)
        return _USAGE
    return command(given)


def serve(arguments: list[str]) -> int:
    """Serve the models of a store over HTTP until told to stop; return the exit status."""
    try:
        settings = CliApp.run(Settings, cli_args=arguments)
        if settings.otlp_endpoint:
            require_sdk()
    except ValidationError as error:
        print(format_errors(error), file=sys.stderr)
        return _USAGE
    except (SettingsError, MissingExtraError) as error:
        print(f"latentd serve: {error}", file=sys.stderr)
        return _USAGE
    logging.config.dictConfig(build_logging_config(settings.log_level, settings.log_format))
    try:
        _check_access(settings)
    except ApiKeysError as error:
        print(error, file=sys.stderr)
        return _USAGE
    except InsecureSettingsError as error:
        print(f"latentd serve: {error}", file=sys.stderr)
        return _CANNOT_SERVE
    registry = build_registry(settings)
    with contextlib.ExitStack() as stack:
        try:
            # Before any worker starts: uvicorn would start a worker that fails again and again.
            registry.load()
            if settings.workers > 1:
                stack.enter_context(share_metrics_folder())
        except LatentdError as error:
            print(f"latentd serve: {error}", file=sys.stderr)
            return _CANNOT_SERVE
        return _listen(settings, registry)


def key(arguments: list[str]) -> int:
    """Print a new API key and the line that keeps it; return the exit status."""
    parser = argparse.ArgumentParser("latentd key", description="Make an API key.")
    parser.add_argument("name", help="who will hold it; the log shows this name")
    parser.add_argument("--admin", action="store_true", help="it may load and unload models too")
    given = parser.parse_args(arguments)
    try:
        text, made = make_key(given.name, frozenset({INFER, ADMIN} if given.admin else {INFER}))
    except ApiKeysError as error:
        print(f"latentd key: {error}", file=sys.stderr)
        return _USAGE
    print("The key, for its holder; it is shown this once:", file=sys.stderr)
    print(text)
    print("Its line, for LATENTD_API_KEYS or the file LATENTD_API_KEYS_FILE:", file=sys.stderr)
    print(made.to_line())
    return 0


def _check_access(settings: Settings) -> None:
    """Refuse settings that would open the service by mistake.

    Raises:
        ApiKeysError: the keys cannot be read.
        InsecureSettingsError: whoever reaches the service could load and unload models.
    """
    keys = read_keys(settings.api_keys, settings.api_keys_file)
    if settings.repository_control and not keys:
        if not _is_loopback(settings.host):
            raise InsecureSettingsError(
                f"repository_control on {settings.host} lets everybody load and unload models: "
                "set LATENTD_API_KEYS_FILE (latentd key makes a key), or listen on 127.0.0.1"
            )
        if "*" in settings.cors_origins:
            raise InsecureSettingsError(
                "repository_control lets every page in a browser load and unload models: "
                "set LATENTD_API_KEYS_FILE (latentd key makes a key), or name cors_origins"
            )
    if settings.api_keys_file is not None and is_world_readable(settings.api_keys_file):
        _log.warning("%s can be read by every user of this machine", settings.api_keys_file)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(settings: Settings, registry: Registry) -> int:
    application: FastAPI | str
    if settings.workers == 1:
        application = create_app(settings, registry)
    else:
        application = "service.app:create_app"
        _export(settings)
    log_config = build_logging_config(settings.log_level, settings.log_format)
    return listen(settings, application, log_config)


def _export(settings: Settings) -> None:
    """Hand the settings to the workers, new processes that read their environment."""
    for name, value in settings.model_dump(mode="json", exclude_none=True).items():
        text = value if isinstance(value, str) else json.dumps(value)
        os.environ[f"LATENTD_{name.upper()}"] = text


if __name__ == "__main__":
    sys.exit(main())
