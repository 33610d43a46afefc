"""wrk, the load generator: a closed loop that is faster than any server here."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from loads import Request
from servers import HOST, pin

_GRACE = 60.0
_PATIENCE = "--timeout=30s"
"""For an answer; 64 clients of a slow peer wait longer than wrk's own two seconds."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What wrk saw."""

    rate: float
    """Answers a second."""
    bad: int
    """Answers with another status than 2xx or 3xx, and broken connections."""


def run_wrk(
    port: int, request: Request, connections: int, seconds: float, cpu: int | None = None
) -> Throughput:
    """Send a request over and over with one thread of wrk, on a CPU of its own if one is named.

    Raises:
        RuntimeError: there is no wrk, or it said nothing that is understood.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is not installed: apt install wrk")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "request.lua"
        script.write_text(write_script(request))
        command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", _PATIENCE]
        address = f"http://{HOST}:{port}{request.path}"
        ended = subprocess.run(  # noqa: S603 - our own
            pin([*command, "-s", str(script), address], () if cpu is None else (cpu,)),
            capture_output=True,
            text=True,
            timeout=seconds + _GRACE,
            check=False,
        )
    return parse_output(ended.stdout + ended.stderr)


def write_script(request: Request) -> str:
    """Return the Lua script that makes wrk send a request; every byte of its body is escaped."""
    body = "".join(f"\\{byte:03d}" for byte in request.body)
    headers = (("Content-Type", request.content_type), *request.headers)
    lines = [
        f'wrk.method = "{request.method}"',
        *(f'wrk.headers["{name}"] = "{value}"' for name, value in headers),
        f'wrk.body = "{body}"',
    ]
    return "\n".join([*lines, ""])


def parse_output(text: str) -> Throughput:
    """Read what wrk printed.

    Raises:
        RuntimeError: the rate is not in it.
    """
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if rate is None:
        raise RuntimeError(f"wrk failed: {text.strip()}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: (.+)", text)
    counts = [bad[1]] if bad else []
    counts += re.findall(r"\d+", broken[1]) if broken else []
    return Throughput(float(rate[1]), sum(map(int, counts)))
