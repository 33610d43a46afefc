"""Measure what oversized requests cost: response time, memory, and delay of health checks."""

import argparse
import asyncio
import io
from collections.abc import Sequence

from PIL import Image

from benchmarks.harness.http_load import OK, Client, Request, sample_periodically
from benchmarks.harness.records import Bound, Cell, Record, conclude
from benchmarks.harness.servers import Server, run_latentd

_IMAGE = b"[" + b",".join([b"[" + b",".join([b"0.25"] * 28) + b"]"] * 28) + b"]"
_PROBE = Request("livez", "/livez", method="GET")
_SMALL = Request("small", "/v1/sample", b'{"seed": 1}')
_TOO_LARGE = 413
_ALLOWED = "allowed"
"""End of the name of a request within the limits."""
_MAX_MS = 100
_MAX_MB = 64
COLUMNS = ("request", "MB", "status", "response ms", "longest /livez ms", "RSS + MB")


def make_bomb() -> bytes:
    """Return a small PNG file of 169 million pixels."""
    stream = io.BytesIO()
    Image.new("L", (13_000, 13_000)).save(stream, "PNG", compress_level=9)
    return stream.getvalue()


def make_requests() -> list[Request]:
    """Return oversized requests, and one within the limits."""

    def wrap(content: bytes) -> bytes:
        return b'{"images":[' + content + b"]}"

    images = {
        "158 MB of JSON, 40,000 images": 40_000,
        "30 MB of JSON, 7,600 images": 7600,
        "8 MB of JSON, 1,990 images": 1990,
        f"4 MB of JSON, 1,000 images: {_ALLOWED}": 1000,
    }
    objects = wrap(b'{"a":{}},' * 900_000 + b"{}")
    return [
        *(
            Request(name, "/v1/encode", wrap(b",".join([_IMAGE] * count)))
            for name, count in images.items()
        ),
        Request("8 MB of JSON objects", "/v1/encode", objects),
        Request("PNG of 13,000 x 13,000", "/v1/encode", make_bomb(), "image/png"),
        Request("10^9 samples", "/v1/sample", b'{"count": 1000000000}'),
    ]


def list_bounds(row: Sequence[Cell]) -> list[Bound]:
    """Return the bounds of a row."""
    status = OK if str(row[0]).endswith(_ALLOWED) else _TOO_LARGE
    return [
        Bound("status", status, "=="),
        Bound("longest /livez ms", _MAX_MS),
        Bound("RSS + MB", _MAX_MB),
    ]


async def measure(server: Server, request: Request) -> list[Cell]:
    """Send a request while another client polls `/livez`; return the row."""
    client, prober, stop = Client(server.port), Client(server.port), asyncio.Event()
    await client.send(_SMALL)
    before = server.rss
    memory = asyncio.create_task(sample_periodically(lambda: server.rss, 0.01, stop))

    async def probe() -> float:
        longest = 0.0
        while not stop.is_set():
            longest = max(longest, (await prober.send(_PROBE)).seconds)
            await asyncio.sleep(0.005)
        return longest

    probing, packed = asyncio.create_task(probe()), request.pack()
    await asyncio.sleep(0.1)
    response = await client.send(request, packed=packed)
    await asyncio.sleep(0.1)
    stop.set()
    growth = max(value for _, value in await memory) - before
    longest = await probing
    client.close()
    prober.close()
    times = [round(1000 * seconds, 1) for seconds in (response.seconds, longest)]
    return [request.name, round(len(packed) / 1e6, 1), response.status, *times, round(growth, 1)]


async def run(server: Server) -> list[list[Cell]]:
    """Return a row for each request, sent one after the other."""
    return [await measure(server, request) for request in make_requests()]


def make_record(rows: Sequence[Sequence[Cell]], remark: str) -> Record:
    """Return the record."""
    return Record(
        name="oversized_requests",
        title="Oversized requests",
        command="python -m benchmarks.reliability.oversized_requests",
        goal=f"The service rejects oversized requests with {_TOO_LARGE}. Meanwhile memory grows by "
        f"at most {_MAX_MB} MB and `/livez` takes at most {_MAX_MS} ms.",
        columns=COLUMNS,
        rows=rows,
        bounds=[list_bounds(row) for row in rows],
        remark="The response time includes sending the body. Status 0: the service closed the "
        f"connection before the client had sent the body. {remark}".strip(),
    )


def main() -> int:
    """Measure, write the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remark", default="", help="other load on the machine")
    parsed = parser.parse_args()
    with run_latentd(["--log-level", "warning"]) as server:
        rows = asyncio.run(run(server))
    return conclude(make_record(rows, parsed.remark))


if __name__ == "__main__":
    raise SystemExit(main())
