"""The undocumented names of uvicorn; other files reach them through this one.

pyproject.toml caps uvicorn to the minor version that this code was tested with, and
tests/unit/service/server/test_uvicorn_internals.py names each attribute that it relies on.
"""

from typing import Any

import httptools
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState
from uvicorn.supervisors import multiprocess
from uvicorn.supervisors.multiprocess import Multiprocess, Process

__all__ = [
    "STARTUP_FAILURE",
    "ConnectionProtocol",
    "Multiprocess",
    "Process",
    "ServerState",
    "set_worker_class",
]


def set_worker_class(worker_class: type[Process]) -> None:
    """Make `Multiprocess` start workers of this class; uvicorn offers only its own."""
    multiprocess.Process = worker_class  # type: ignore[misc]


class ConnectionProtocol(HttpToolsProtocol):
    """uvicorn's protocol for one connection, with names for the states of its latest request."""

    url = b""
    """The URL of the latest request, as far as it has arrived."""

    @property
    def is_responding(self) -> bool:
        """Whether the latest request has a response that is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def can_send_interim_response(self) -> bool:
        """Whether a 1xx response may be written before the response of the latest request."""
        is_next = self.is_responding and not self.pipeline and not self.cycle.response_started
        return is_next and self.cycle.scope["http_version"] == "1.1"

    def close_after_response(self) -> None:
        """Close the connection after the response to the latest request."""
        self.cycle.keep_alive = False

    def cancel_request(self, key: str, reason: object) -> dict[str, Any] | None:
        """Signal a disconnect to the application, and put the reason into the request's state.

        Returns:
            The state of the request; None where a response to it can no longer be written.
        """
        state: dict[str, Any] = self.cycle.scope["state"]
        state[key] = reason
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return None if self.cycle.response_started or self.pipeline else state

    @property
    def is_reading_paused(self) -> bool:
        """Whether the application has not yet received what has arrived of the body."""
        return self.flow.read_paused

    def share_flow_control(self, key: str) -> None:
        """Put a coroutine function into the latest request's state.

        It waits while the transport's buffer is over its limit, or until the connection is lost.
        """
        self.cycle.scope["state"][key] = self.flow.drain

    def stop_keep_alive_timer(self) -> None:
        """Stop the timer that closes an idle connection."""
        self._unset_keepalive_if_required()

    def restart_parser(self, head: bytes) -> None:
        """Replace the parser by one that has read a request's head, without reporting it."""
        url = self.url
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn
        self.parser.feed_data(head)
        self.url, self.headers = url, []
