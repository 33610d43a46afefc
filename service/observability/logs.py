"""Log records as lines on standard error, which no request ever waits for.

A thread writes the lines. Where the reader of standard error is stuck, lines pile up to a bound
and are then dropped and counted; where it is gone or its disk is full, they are dropped at once.
"""

import contextlib
import json
import logging
import os
import select
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import orjson

from service.observability.metrics import LOGS_DROPPED

ACCESS_LOGGER = "service.access"
"""The logger of the line that each request gets."""

_GATHER_SECONDS = 0.05
"""Lines of requests are written together that often: one system call for many."""
_PATIENCE_SECONDS = 0.25
"""How long the writer of another line waits for it to be written, once for a stuck reader."""
_MOST_BYTES = 4 * 1024 * 1024
_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def build_logging_config(level: str, form: Literal["json", "text"]) -> dict[str, Any]:
    """Return the configuration for `logging.config`; uvicorn sets up its workers with it too.

    Args:
        level: Least level that is logged, in lower case.
        form: One JSON object a line, or text to be read by people.
    """
    formatters: dict[str, dict[str, Any]] = {
        "json": {"()": "service.observability.logs.JsonFormatter"},
        "text": {"format": _TEXT},
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": formatters,
        "handlers": {"stderr": {"()": "service.observability.logs.LineHandler", "formatter": form}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
    }


class JsonFormatter(logging.Formatter):
    """One JSON object for a record; its attribute `fields`, if it has one, joins it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object on one line."""
        content: dict[str, Any] = {
            "time": f"{_format_second(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(content, default=str).decode()
        except TypeError:  # a lone surrogate, as in the name of a file that is no UTF-8
            return json.dumps(content, default=str)


@lru_cache(2)
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LineHandler(logging.Handler):
    """Hands lines to a thread that writes them to a file descriptor."""

    def __init__(self, descriptor: int | None = None, most_bytes: int = _MOST_BYTES) -> None:
        """Start the thread.

        Args:
            descriptor: Where to write; None for standard error, which may be closed.
            most_bytes: Bytes of lines that may wait.
        """
        super().__init__()
        if descriptor is None and sys.__stderr__ is not None:
            descriptor = sys.__stderr__.fileno()
        self._descriptor = descriptor
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._given = self._done = 0
        self._hurry = self._closing = self._stuck = False
        self._thread = threading.Thread(target=self._write_lines, name="logs", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record's line; wait for it unless it is a request's or the reader is stuck."""
        try:
            line = self.format(record).encode(errors="backslashreplace") + b"\n"
        except Exception:  # noqa: BLE001 - a record that cannot be formatted must not fail its caller
            LOGS_DROPPED.inc()
            return
        with self._changed:
            if self._bytes + len(line) > self._most_bytes:
                LOGS_DROPPED.inc()
                return
            if not self._lines:
                self._changed.notify_all()
            self._lines.append(line)
            self._bytes += len(line)
            self._given += 1
        # What tells of a failure or an end must be out before the process can be killed.
        if record.levelno >= logging.INFO and record.name != ACCESS_LOGGER:
            self.flush()

    def flush(self) -> None:
        """Wait until all lines are written, but not for a reader that is stuck."""
        with self._changed:
            wanted = self._given
            self._hurry = True
            self._changed.notify_all()
            patience = 0 if self._stuck else _PATIENCE_SECONDS
            self._stuck = not self._changed.wait_for(lambda: self._done >= wanted, patience)

    def close(self) -> None:
        """Write what is left, if it can be, and stop."""
        with self._changed:
            self._closing = True
        self.flush()
        if not self._stuck:
            self._thread.join(_PATIENCE_SECONDS)
        super().close()

    def _write_lines(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closing)
                self._changed.wait_for(lambda: self._hurry, _GATHER_SECONDS)
                lines = [*self._lines]
                self._lines.clear()
                self._bytes = 0
                self._hurry = False
            if lines:
                self._write(lines)
            with self._changed:
                self._done += len(lines)
                self._changed.notify_all()
                if self._closing and not self._lines:
                    return

    def _write(self, lines: list[bytes]) -> None:
        """Write lines together; count them as dropped where that fails."""
        rest = memoryview(b"".join(lines))
        try:
            while rest:
                rest = rest[self._write_some(rest) :]
        except OSError:
            LOGS_DROPPED.inc(bytes(rest).count(b"\n"))

    def _write_some(self, content: memoryview) -> int:
        if self._descriptor is None:
            raise OSError("standard error is closed")
        with contextlib.suppress(BlockingIOError):
            return os.write(self._descriptor, content)
        # Whoever shares the pipe or terminal has made it non-blocking.
        select.select([], [self._descriptor], [], None)
        return 0
