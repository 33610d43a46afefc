"""Each undocumented name of uvicorn and httptools that the service relies on.

A test fails by name when an update of uvicorn removes one.
"""

import asyncio
import inspect
from pathlib import Path

import httptools
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

import service
from service.server.uvicorn_internals import (
    STARTUP_FAILURE,
    ConnectionProtocol,
    Multiprocess,
    Process,
    ServerState,
    set_worker_class,
)

NAMES = {
    "PROTOCOL": """
        _unset_keepalive_if_required config connection_lost connection_made cycle
        data_received eof_received flow headers loop on_body on_headers_complete on_message_complete
        on_response_complete parser pipeline shutdown transport url
    """,
    "CYCLE": "disconnected keep_alive message_event response_complete response_started scope",
    "SERVER": """
        capture_signals config handle_exit lifespan on_tick run server_state servers should_exit
        shutdown started startup
    """,
    "CONFIG": "timeout_graceful_shutdown timeout_worker_healthcheck",
    "PROCESS": """
        always_pong child_conn config exitcode kill parent_conn ping pong process server start
        target terminate
    """,
    "SUPERVISOR": """
        config join_all processes restart_all run signal_queue sockets terminate_all
    """,
}


async def application(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Do nothing."""


class Transport(asyncio.Transport):
    """A connection without a client."""

    def get_extra_info(self, name: str, default: object = None) -> object:  # noqa: ARG002 - as asyncio
        """Return nothing."""
        return None


@pytest.fixture
def protocol() -> ConnectionProtocol:
    """A connection on which one request without a body has arrived."""
    loop = asyncio.new_event_loop()
    config = uvicorn.Config(application, log_config=None, ws="none")
    made = ConnectionProtocol(config, ServerState(), {}, loop)
    made.connection_made(Transport())
    made.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for task in made.tasks:
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    return made


@pytest.mark.parametrize("name", NAMES["PROTOCOL"].split())
def test_protocol(protocol: ConnectionProtocol, name: str) -> None:
    """A connection has the attribute."""
    assert hasattr(protocol, name)


@pytest.mark.parametrize("name", NAMES["CYCLE"].split())
def test_cycle(protocol: ConnectionProtocol, name: str) -> None:
    """A request and its response have the attribute."""
    assert hasattr(protocol.cycle, name)


def test_states(protocol: ConnectionProtocol) -> None:
    """The named states follow the attributes."""
    cycle: RequestResponseCycle = protocol.cycle
    assert protocol.is_responding
    assert protocol.can_send_interim_response
    assert protocol.cancel_request("reason", "late") is cycle.scope["state"]
    assert cycle.scope["state"]["reason"] == "late"
    assert cycle.disconnected
    assert cycle.message_event.is_set()
    protocol.close_after_response()
    assert not cycle.keep_alive
    cycle.response_started = True
    assert protocol.cancel_request("reason", "late") is None
    assert not protocol.can_send_interim_response
    cycle.response_complete = True
    assert not protocol.is_responding


@pytest.mark.parametrize("name", NAMES["SERVER"].split())
def test_server(name: str) -> None:
    """A server has the attribute; `lifespan` and `servers` exist after its start."""
    server = uvicorn.Server(uvicorn.Config(application, log_config=None))
    is_set_at_start = f"self.{name}" in inspect.getsource(uvicorn.Server)
    assert hasattr(server, name) or is_set_at_start


@pytest.mark.parametrize("name", NAMES["CONFIG"].split())
def test_config(name: str) -> None:
    """A configuration has the attribute."""
    assert hasattr(uvicorn.Config(application, log_config=None), name)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        *((Process, name) for name in NAMES["PROCESS"].split()),
        *((Multiprocess, name) for name in NAMES["SUPERVISOR"].split()),
    ],
)
def test_processes(owner: type, name: str) -> None:
    """A worker and its supervisor have the attribute."""
    assert hasattr(owner, name) or f"self.{name}" in inspect.getsource(owner.__init__)


def test_the_supervisor_starts_the_chosen_workers() -> None:
    """`Multiprocess` looks up the class of its workers in its module."""

    class Chosen(Process):
        started = 0

        def __init__(self, *_: object) -> None:
            pass

        def start(self) -> None:
            Chosen.started += 1

    supervisor = Multiprocess.__new__(Multiprocess)
    supervisor.config = supervisor.sockets = None
    supervisor.processes_num, supervisor.processes = 2, []
    set_worker_class(Chosen)
    try:
        supervisor.init_processes()
    finally:
        set_worker_class(Process)

    assert Chosen.started == 2


def test_startup_failure() -> None:
    """The exit status of a failed start is the one in the documentation."""
    assert STARTUP_FAILURE == 3


def test_upgrade_reports_the_offset() -> None:
    """Httptools raises at an offer to upgrade, with the number of bytes that it has parsed."""
    head = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"

    with pytest.raises(httptools.HttpParserUpgrade) as raised:
        httptools.HttpRequestParser(object()).feed_data(head + b"rest")

    assert raised.value.args == (len(head),)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("from uvicorn.", "server/uvicorn_internals.py"),
        ("import uvicorn.", ""),
        ("starlette._", "http/starlette_internals.py"),
    ],
)
def test_private_names_are_in_one_file(name: str, file: str) -> None:
    """Only one file of the service imports the undocumented modules of a library."""
    folder = Path(service.__file__).parent
    users = [path for path in folder.rglob("*.py") if name in path.read_text()]

    assert [path.relative_to(folder).as_posix() for path in users] == [file] * bool(file)
