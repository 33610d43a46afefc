"""The command line: `latentd COMMAND`; `serve` is defined here, training brings the others."""

import json
import logging.config
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any

import uvicorn
from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from service.app import build_registry, create_app
from service.errors import LatentdError
from service.inference.registry import Registry
from service.settings import Settings, explain

_USAGE = 2
_CANNOT_SERVE = 3
_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


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
    except ValidationError as error:
        print(explain(error), file=sys.stderr)
        return _USAGE
    except SettingsError as error:
        print(f"latentd serve: {error}", file=sys.stderr)
        return _USAGE
    logging.config.dictConfig(_describe_logging(settings))
    registry = build_registry(settings)
    try:
        # Before any worker starts: uvicorn would start a worker that fails again and again.
        registry.load()
    except LatentdError as error:
        print(f"latentd serve: {error}", file=sys.stderr)
        return _CANNOT_SERVE
    return _listen(settings, registry)


def _listen(settings: Settings, registry: Registry) -> int:
    if settings.workers == 1:
        application: object = create_app(settings, registry)
    else:
        application = "service.app:create_app"
        _export(settings)
    uvicorn.run(
        application,  # type: ignore[arg-type]  # an application, or where to import it from
        factory=settings.workers > 1,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        log_config=_describe_logging(settings),
        server_header=False,
    )
    return 0


def _describe_logging(settings: Settings) -> dict[str, Any]:
    """Return one line a record on standard error; uvicorn sets up its workers with it too."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": _LOG_FORMAT}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": settings.log_level.upper(), "handlers": ["stderr"]},
    }


def _export(settings: Settings) -> None:
    """Hand the settings to the workers, new processes that read their environment."""
    for name, value in settings.model_dump(mode="json", exclude_none=True).items():
        text = value if isinstance(value, str) else json.dumps(value)
        os.environ[f"LATENTD_{name.upper()}"] = text


if __name__ == "__main__":
    sys.exit(main())
