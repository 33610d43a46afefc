"""The command line, `latentd COMMAND`: `serve` and `key` are here, training adds the others."""

from service.server.signals import exit_on_sigterm

exit_on_sigterm()  # before the other imports, which take a second

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
from service.inference.registry.registry import Registry
from service.observability.exposition import share_metrics_folder
from service.observability.logs import build_logging_config
from service.observability.tracing import require_sdk
from service.server.serve import serve_application
from service.settings import Settings, find_unknown_variables, format_errors

_USAGE = 2
_CANNOT_SERVE = 3
_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command named by the first argument; return its exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    commands = {entry.name: entry for entry in entry_points(group="latentd.commands")}
    if name not in commands:
        status = 0 if name in {"-h", "--help"} else _USAGE
        return _exit(f"usage: latentd {{{','.join(sorted(commands))}}} ...", status)
    try:
        command: Callable[[list[str]], int] = commands[name].load()
    except ModuleNotFoundError as error:
        return _exit(f"latentd {name} needs {error.name}: pip install 'latentd[train]'", _USAGE)
    return command(rest)


def serve(arguments: list[str]) -> int:
    """Serve the models of a store over HTTP until a stop signal; return the exit status."""
    try:
        settings = CliApp.run(Settings, cli_args=arguments)
        keys = read_keys(settings.api_keys, settings.api_keys_file)
        if settings.otlp_endpoint:
            require_sdk()
    except ValidationError as error:
        return _exit(format_errors(error), _USAGE)
    except ApiKeysError as error:
        return _exit(str(error), _USAGE)
    except (SettingsError, MissingExtraError) as error:
        return _exit(f"latentd serve: {error}", _USAGE)
    logging.config.dictConfig(build_logging_config(settings.log_level, settings.log_format))
    for variable in find_unknown_variables(os.environ):
        _log.warning("Unknown setting %.80s in the environment; see docs/settings.md", variable)
    try:
        _check_access(settings, has_keys=bool(keys))
        registry = build_registry(settings)
        registry.load()  # before workers start: uvicorn would restart a failing worker forever
        with share_metrics_folder() if settings.workers > 1 else contextlib.nullcontext():
            return serve_application(settings, _make_application(settings, registry))
    except LatentdError as error:
        return _exit(f"latentd serve: {error}", _CANNOT_SERVE)


def key(arguments: list[str]) -> int:
    """Print a new API key and the line that authorizes it; return the exit status."""
    parser = argparse.ArgumentParser("latentd key", description="Create an API key.")
    parser.add_argument("name", help="name of the key's holder, shown in the log")
    parser.add_argument("--admin", action="store_true", help="allow loading and unloading models")
    options = parser.parse_args(arguments)
    try:
        text, made = make_key(options.name, frozenset({INFER, ADMIN} if options.admin else {INFER}))
    except ApiKeysError as error:
        return _exit(f"latentd key: {error}", _USAGE)
    print("The key, for its holder; it is shown only once:", file=sys.stderr)
    print(text)
    print("Its line, for LATENTD_API_KEYS or the file LATENTD_API_KEYS_FILE:", file=sys.stderr)
    print(made.to_line())
    return 0


def _exit(message: str, status: int) -> int:
    print(message, file=sys.stderr)
    return status


def _check_access(settings: Settings, *, has_keys: bool) -> None:
    """Reject unauthenticated repository control, and warn about a key file that others can read.

    Raises:
        InsecureSettingsError: repository control is on without API keys, and the service is
            reachable from other machines or from any web page.
    """
    if settings.repository_control and not has_keys:
        if not _is_loopback(settings.host):
            raise InsecureSettingsError(
                f"repository_control on {settings.host} lets every client load and unload models: "
                "set LATENTD_API_KEYS_FILE (`latentd key` creates a key), or listen on 127.0.0.1"
            )
        if "*" in settings.cors_origins:
            raise InsecureSettingsError(
                "repository_control with cors_origins '*' lets every web page load and unload "
                "models: set LATENTD_API_KEYS_FILE (`latentd key` creates a key), or list origins"
            )
    if settings.api_keys_file is not None and is_world_readable(settings.api_keys_file):
        _log.warning(
            "%s is readable by every user of this machine: chmod 600 it", settings.api_keys_file
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _make_application(settings: Settings, registry: Registry) -> FastAPI | str:
    """Return the application, or its import path for worker processes, which load the registry."""
    if settings.workers == 1:
        return create_app(settings, registry)
    _export_settings(settings)
    return "service.app:create_app"


def _export_settings(settings: Settings) -> None:
    """Set the environment variables from which worker processes read the settings."""
    for name, value in settings.model_dump(mode="json", exclude_none=True).items():
        text = value if isinstance(value, str) else json.dumps(value)
        os.environ[f"LATENTD_{name.upper()}"] = text


if __name__ == "__main__":
    sys.exit(main())
