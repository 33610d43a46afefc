"""The command line: `latentd COMMAND`; `serve` is defined here, training brings the others."""

import contextlib
import json
import logging.config
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points

import uvicorn
from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from service.app import build_registry, create_app
from service.errors import LatentdError, MissingExtraError
from service.inference.registry import Registry
from service.logs import describe_logging
from service.scrape import share_folder
from service.settings import Settings, explain
from service.tracing import require_sdk

_USAGE = 2
_CANNOT_SERVE = 3


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
        print(explain(error), file=sys.stderr)
        return _USAGE
    except (SettingsError, MissingExtraError) as error:
        print(f"latentd serve: {error}", file=sys.stderr)
        return _USAGE
    logging.config.dictConfig(describe_logging(settings.log_level, settings.log_format))
    registry = build_registry(settings)
    with contextlib.ExitStack() as stack:
        try:
            # Before any worker starts: uvicorn would start a worker that fails again and again.
            registry.load()
            if settings.workers > 1:
                stack.enter_context(share_folder())
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
        log_config=describe_logging(settings.log_level, settings.log_format),
        server_header=False,
    )
    return 0


def _export(settings: Settings) -> None:
    """Hand the settings to the workers, new processes that read their environment."""
    for name, value in settings.model_dump(mode="json", exclude_none=True).items():
        text = value if isinstance(value, str) else json.dumps(value)
        os.environ[f"LATENTD_{name.upper()}"] = text


if __name__ == "__main__":
    sys.exit(main())
