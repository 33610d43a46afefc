"""Log records as lines on standard error, written by a thread so that no request waits.

While the reader of standard error is stuck, lines are queued up to a limit; further lines are
dropped and counted. If it is closed or its disk is full, lines are dropped immediately.
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
"""Name of the logger that writes one line per request."""

_GATHER_SECONDS = 0.05
"""Interval at which access-log lines are written, many with one system call."""
_FLUSH_TIMEOUT_SECONDS = 0.25
"""Longest wait for a flush; once it has expired, flushes do not wait until one succeeds."""
_MAX_QUEUED_BYTES = 4 * 1024 * 1024
_WARNINGS_LOGGER = "py.warnings"
"""Name of the logger to which `logging.captureWarnings` sends the warnings of libraries."""
_UNFLUSHED = frozenset({ACCESS_LOGGER, _WARNINGS_LOGGER})
_MAX_WARNINGS = 10
_WARNINGS_SECONDS = 60.0
_TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def build_logging_config(level: str, log_format: Literal["json", "text"]) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig`; uvicorn gives it to its workers too.

    Args:
        level: Lowest level that is logged, in lower case.
        log_format: One JSON object per line, or plain text.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": "service.observability.logs.JsonFormatter"},
            "text": {"format": _TEXT_FORMAT},
        },
        "handlers": {
            "stderr": {"()": "service.observability.logs.open_stderr", "formatter": log_format}
        },
        "root": {"level": level.upper(), "handlers": ["stderr"]},
    }


def open_stderr() -> "LineHandler":
    """Return a handler for standard error, which also receives the warnings of libraries.

    Python would write them directly, and a full pipe would block the event loop.
    """
    logging.captureWarnings(capture=True)
    logger = logging.getLogger(_WARNINGS_LOGGER)
    logger.filters = [WarningsFilter()]
    return LineHandler()


class WarningsFilter(logging.Filter):
    """Accepts ten warnings per minute: a client may cause one with each request."""

    def __init__(self) -> None:
        """Accept the next ten warnings."""
        super().__init__()
        self._end = self._accepted = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record; count it as dropped otherwise."""
        if record.created >= self._end:
            self._end, self._accepted = record.created + _WARNINGS_SECONDS, 0
        self._accepted += 1
        if self._accepted > _MAX_WARNINGS:
            LOGS_DROPPED.inc()
        return self._accepted <= _MAX_WARNINGS


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object, with the members of its `fields` attribute, if any."""

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
        except TypeError:  # a lone surrogate, e.g. in a file name that is not UTF-8
            return json.dumps(content, default=str)


@lru_cache(2)
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LineHandler(logging.Handler):
    """Queues lines for a thread that writes them to a file descriptor.

    `QueueHandler` and `QueueListener` would take four times the CPU time per line (20 us, not 5),
    limit records instead of bytes, and wait at exit for a stuck reader.
    """

    def __init__(
        self, descriptor: int | None = None, max_queued_bytes: int = _MAX_QUEUED_BYTES
    ) -> None:
        """Start the thread.

        Args:
            descriptor: File descriptor to write to; None for standard error, which may be closed.
            max_queued_bytes: Limit of queued bytes.
        """
        super().__init__()
        if descriptor is None and sys.__stderr__ is not None:
            descriptor = sys.__stderr__.fileno()
        self._descriptor = descriptor
        self._max_queued_bytes = max_queued_bytes
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._queued_bytes = 0
        self._queued_lines = self._handled_lines = 0
        self._flushing = self._closing = self._stuck = False
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line of a record; flush unless clients cause it, or it is a debug line."""
        try:
            line = self.format(record).encode(errors="backslashreplace") + b"\n"
        except Exception:  # noqa: BLE001 - a bad log call must not fail the request
            LOGS_DROPPED.inc()
            return
        with self._changed:
            if self._queued_bytes + len(line) > self._max_queued_bytes:
                LOGS_DROPPED.inc()
                return
            if not self._lines:
                self._changed.notify_all()
            self._lines.append(line)
            self._queued_bytes += len(line)
            self._queued_lines += 1
        # Lines about failures and shutdowns must be written before the process can be killed.
        if record.levelno >= logging.INFO and record.name not in _UNFLUSHED:
            self.flush()

    def flush(self) -> None:
        """Wait until all queued lines are written, with a timeout for a stuck reader."""
        with self._changed:
            target = self._queued_lines
            self._flushing = True
            self._changed.notify_all()
            timeout = 0 if self._stuck else _FLUSH_TIMEOUT_SECONDS
            self._stuck = not self._changed.wait_for(lambda: self._handled_lines >= target, timeout)

    def close(self) -> None:
        """Flush and stop the thread, without waiting for a stuck reader."""
        with self._changed:
            self._closing = True
        self.flush()
        if not self._stuck:
            self._thread.join(_FLUSH_TIMEOUT_SECONDS)
        super().close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closing)
                self._changed.wait_for(lambda: self._flushing, _GATHER_SECONDS)
                lines = [*self._lines]
                self._lines.clear()
                self._queued_bytes = 0
                self._flushing = False
            if lines:
                self._write(lines)
            with self._changed:
                self._handled_lines += len(lines)
                self._changed.notify_all()
                if self._closing and not self._lines:
                    return

    def _write(self, lines: list[bytes]) -> None:
        """Write lines together; count the lines that could not be written as dropped."""
        content = memoryview(b"".join(lines))
        try:
            while content:
                content = content[self._write_part(content) :]
        except OSError:
            LOGS_DROPPED.inc(bytes(content).count(b"\n"))

    def _write_part(self, content: memoryview) -> int:
        if self._descriptor is None:
            raise OSError("standard error is closed")
        with contextlib.suppress(BlockingIOError):
            return os.write(self._descriptor, content)
        # Another process has made the shared pipe or terminal non-blocking.
        select.select([], [self._descriptor], [], None)
        return 0
