"""Closed-loop load from wrk, which is faster than every server measured here."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.http_load import Request
from benchmarks.harness.servers import HOST, pin

_GRACE = 60.0
_TIMEOUT = "--timeout=30s"
"""Response timeout; 64 clients of a slow peer exceed wrk's default of two seconds."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """The result of a run of wrk."""

    rate: float
    """Responses per second."""
    errors: int
    """Responses with a status outside 2xx and 3xx, and failed connections."""


def run_wrk(
    port: int, request: Request, connections: int, seconds: float, cpu: int | None = None
) -> Throughput:
    """Send a request repeatedly with one thread of wrk, pinned to a CPU if one is named.

    Raises:
        RuntimeError: wrk is missing or printed no rate.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is not installed. Install it with: apt install wrk")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "request.lua"
        script.write_text(write_script(request))
        command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", _TIMEOUT]
        address = f"http://{HOST}:{port}{request.path}"
        completed = subprocess.run(  # noqa: S603 - our own
            pin([*command, "-s", str(script), address], () if cpu is None else (cpu,)),
            capture_output=True,
            text=True,
            timeout=seconds + _GRACE,
            check=False,
        )
    return parse_output(completed.stdout + completed.stderr)


def write_script(request: Request) -> str:
    """Return the Lua script for a request; each byte of the body is escaped."""
    body = "".join(f"\\{byte:03d}" for byte in request.body)
    headers = (("Content-Type", request.content_type), *request.headers)
    lines = [
        f'wrk.method = "{request.method}"',
        *(f'wrk.headers["{name}"] = "{value}"' for name, value in headers),
        f'wrk.body = "{body}"',
    ]
    return "\n".join([*lines, ""])


def parse_output(text: str) -> Throughput:
    """Parse the output of wrk.

    Raises:
        RuntimeError: The output contains no rate.
    """
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if rate is None:
        raise RuntimeError(f"wrk failed: {text.strip()}")
    statuses = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: (.+)", text)
    counts = [statuses[1]] if statuses else []
    counts += re.findall(r"\d+", sockets[1]) if sockets else []
    return Throughput(float(rate[1]), sum(map(int, counts)))
