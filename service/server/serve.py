"""Serving an application: from settings to a listening socket and a server or a supervisor."""

import logging
import math
import signal
import socket

from fastapi import FastAPI

from service.observability.logs import build_logging_config
from service.server.connection import Config, Timeouts
from service.server.connection_limit import ConnectionLimit, find_default_limit
from service.server.draining_server import Server
from service.server.uvicorn_internals import STARTUP_FAILURE
from service.server.workers import Supervisor
from service.settings import Settings

_log = logging.getLogger(__name__)


def serve_application(settings: Settings, application: FastAPI | str) -> int:
    """Serve until a signal stops the process; return the exit status.

    For several workers `application` is the import path of its factory.
    """
    try:
        listener = _bind(settings.host, settings.port)
    except OSError as error:
        _log.error(
            "Cannot listen on %s (settings LATENTD_HOST, LATENTD_PORT): %s",
            _format_address(settings.host, settings.port),
            error.strerror or error,
        )
        return STARTUP_FAILURE
    _log.info("Serving on http://%s", _format_address(settings.host, listener.getsockname()[1]))
    config = _configure(settings, application)
    if settings.workers > 1:
        return Supervisor(config, [listener]).serve()
    server = Server(config)
    signal.signal(signal.SIGHUP, server.handle_exit)  # one worker cannot be replaced: it drains
    server.run([listener])
    return 0


def _bind(host: str, port: int) -> socket.socket:
    """Return a socket that workers inherit; they start to listen when they are ready.

    Raises:
        OSError: the host is unknown, or another process listens on the port.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _format_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _configure(settings: Settings, application: FastAPI | str) -> Config:
    return Config(
        application,
        Timeouts(settings.header_seconds, settings.body_seconds, settings.drain_seconds),
        ConnectionLimit(
            settings.max_client_connections or find_default_limit(), settings.forwarded_allow_ips
        ),
        factory=isinstance(application, str),
        workers=settings.workers,
        log_config=build_logging_config(settings.log_level, settings.log_format),
        server_header=False,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_graceful_shutdown=math.ceil(settings.body_seconds),
    )
