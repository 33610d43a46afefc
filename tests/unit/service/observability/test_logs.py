"""Log lines: their content, and writing that never blocks a request."""

import fcntl
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.observability.logs import (
    ACCESS_LOGGER,
    JsonFormatter,
    LineHandler,
    build_logging_config,
)
from service.observability.metrics import LOGS_DROPPED


def make_record(message: str, *values: object, name: str = "service.some") -> logging.LogRecord:
    """Return a record of level INFO."""
    return logging.LogRecord(name, logging.INFO, __file__, 1, message, values, None)


def count_dropped() -> float:
    """Return the number of lines dropped so far."""
    return sum(
        sample.value
        for metric in LOGS_DROPPED.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the ends of a pipe of the smallest size."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_json_record() -> None:
    """A record is one JSON line of UTC time, level, logger, message and extra fields."""
    record = make_record("loaded %s", "mnist@1")
    record.fields = {"status": 200}

    parsed = json.loads(JsonFormatter().format(record))

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", parsed.pop("time"))
    assert parsed == {
        "level": "info",
        "logger": "service.some",
        "message": "loaded mnist@1",
        "status": 200,
    }


@pytest.mark.parametrize("text", ["a\nb", 'a"b', "\x1b[31m", "\ud800", "caf\u00e9"])
def test_special_characters_stay_on_one_line(text: str) -> None:
    """Any message is one line, and parsing it returns the message."""
    line = JsonFormatter().format(make_record("%s", text))

    assert "\n" not in line
    assert "\x1b" not in line
    assert json.loads(line)["message"] == text


def test_exception_is_one_field() -> None:
    """A traceback is a field on the line of its record."""
    record = make_record("it failed")
    try:
        raise ValueError("cause")  # noqa: TRY301 - to have a traceback
    except ValueError:
        record.exc_info = sys.exc_info()

    line = JsonFormatter().format(record)

    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ValueError: cause")


def test_lines_are_complete_and_in_order(tmp_path: Path) -> None:
    """All lines are written, in order, when `close` returns."""
    with (tmp_path / "log").open("wb") as file:
        handler = LineHandler(file.fileno())
        for number in range(1000):
            handler.handle(make_record("%d", number, name=ACCESS_LOGGER))
        handler.close()

    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(1000)]


def test_other_lines_are_flushed(tmp_path: Path) -> None:
    """A line that is not of the access log is written when the log call returns."""
    with (tmp_path / "log").open("wb") as file:
        handler = LineHandler(file.fileno())
        handler.handle(make_record("request", name=ACCESS_LOGGER))
        handler.handle(make_record("failure"))
        written = (tmp_path / "log").read_text()
        handler.close()

    assert written == "request\nfailure\n"


def test_stuck_reader_blocks_nothing(pipe: tuple[int, int]) -> None:
    """With a stuck reader, lines over the limit are dropped; the others are written later."""
    reader, writer = pipe
    handler = LineHandler(writer, max_queued_bytes=10_000)
    before = count_dropped()

    start = time.monotonic()
    for _ in range(1000):
        handler.handle(make_record("x" * 99, name=ACCESS_LOGGER))
    handler.handle(make_record("failure"))
    seconds = time.monotonic() - start
    dropped = int(count_dropped() - before)
    received = b""
    while received.count(b"\n") < 1001 - dropped:
        received += os.read(reader, 65_536)
    handler.close()

    assert 700 < dropped < 1000
    assert seconds < 1


def test_close_does_not_wait_for_a_stuck_reader(pipe: tuple[int, int]) -> None:
    """A process can exit while its last lines are not read."""
    handler = LineHandler(pipe[1])
    for _ in range(100):
        handler.handle(make_record("x" * 99, name=ACCESS_LOGGER))

    start = time.monotonic()
    handler.close()
    seconds = time.monotonic() - start
    os.read(pipe[0], 65_536)
    os.set_blocking(pipe[0], False)
    time.sleep(0.1)
    os.read(pipe[0], 65_536)

    assert seconds < 1


def test_unwritable_lines_are_dropped(pipe: tuple[int, int]) -> None:
    """Lines that fail to be written are dropped and counted."""
    writer = os.dup(pipe[1])
    read_only = os.open("/dev/null", os.O_RDONLY)
    handler = LineHandler(read_only)
    before = count_dropped()

    handler.handle(make_record("one"))
    handler.handle(make_record("two"))
    handler.close()
    os.close(read_only)
    os.close(writer)

    assert count_dropped() - before == 2


def test_non_blocking_pipe_loses_no_lines(pipe: tuple[int, int]) -> None:
    """If another process made the pipe non-blocking, the thread waits until it is writable."""
    reader, writer = pipe
    os.set_blocking(writer, False)
    handler = LineHandler(writer)

    for _ in range(100):
        handler.handle(make_record("x" * 99, name=ACCESS_LOGGER))
    received = b""
    while len(received) < 10_000:
        received += os.read(reader, 65_536)
    handler.close()

    assert received == (b"x" * 99 + b"\n") * 100


def test_malformed_log_call_is_dropped(tmp_path: Path) -> None:
    """A log call with wrong arguments is counted as dropped and raises nothing."""
    before = count_dropped()
    with (tmp_path / "log").open("wb") as file:
        handler = LineHandler(file.fileno())
        handler.handle(make_record("%d", "text"))
        handler.close()

    assert count_dropped() - before == 1


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_unusable_standard_error_is_ignored(redirection: str) -> None:
    """If standard error is closed or its disk is full, logging does nothing."""
    program = (
        "import logging.config; from service.observability.logs import build_logging_config; "
        "logging.config.dictConfig(build_logging_config('info', 'json')); "
        "logging.getLogger('a').error('b'); print('alive')"
    )

    ended = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, program],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (ended.returncode, ended.stdout) == (0, "alive\n")


@pytest.mark.parametrize(("log_format", "first"), [("json", "{"), ("text", "2")])
def test_log_formats(log_format: str, first: str) -> None:
    """The format is JSON, or text that starts with the time."""
    program = (
        "import logging.config; from service.observability.logs import build_logging_config; "
        f"logging.config.dictConfig(build_logging_config('info', {log_format!r})); "
        "logging.getLogger('a').debug('unseen'); logging.getLogger('a').error('b')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30
    )

    (line,) = ended.stderr.splitlines()
    assert line[0] == first
    assert build_logging_config("info", "json")["root"]["level"] == "INFO"
