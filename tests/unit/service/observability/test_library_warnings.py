"""Warnings of libraries: they are log lines, and their rate is limited."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]

SCRIPT = """
import logging.config, warnings
from service.observability.logs import build_logging_config
from service.observability.metrics import LOGS_DROPPED
logging.config.dictConfig(build_logging_config("info", "json"))
for number in range(100):
    warnings.warn(f"warning {number}")
logging.shutdown()
print(LOGS_DROPPED._value.get())
"""
STUCK_SCRIPT = """
import logging.config, os, time, warnings
from service.observability.logs import build_logging_config
logging.config.dictConfig(build_logging_config("info", "json"))
os.set_blocking(2, False)
try:
    while True:
        os.write(2, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(2, True)
start = time.perf_counter()
warnings.warn("a warning")
print(time.perf_counter() - start)
os._exit(0)
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a new process; its standard error is a pipe that is read at the end."""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_warnings_are_log_lines_and_ten_per_minute() -> None:
    """Of 100 warnings ten are JSON lines, and 90 are counted as dropped."""
    result = run(SCRIPT)

    records = [json.loads(line) for line in result.stderr.splitlines()]
    assert [record["logger"] for record in records] == ["py.warnings"] * 10
    assert "warning 0" in records[0]["message"]
    assert result.stdout.strip() == "90.0"


def test_warning_does_not_block_on_a_full_pipe() -> None:
    """A warning returns at once while nobody reads standard error."""
    reader = subprocess.Popen(
        [sys.executable, "-c", STUCK_SCRIPT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert float(reader.stdout.readline()) < 0.1
    reader.communicate(timeout=20)
