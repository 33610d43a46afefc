"""Send a real service requests that are far too large, and see what each costs (F15)."""

import argparse
import asyncio
import io
import time

from loads import Request, Sender, sample_often
from PIL import Image
from records import Cell, Record, write_record
from servers import Server, run_latentd

_IMAGE = b"[" + b",".join([b"[" + b",".join([b"0.25"] * 28) + b"]"] * 28) + b"]"
_PROBE = Request("livez", "/livez", method="GET")
_SMALL = Request("small", "/v1/sample", b'{"seed": 1}')
_LIMIT = 413
_MOST_MS = 100
_MOST_MB = 64


def make_bomb() -> bytes:
    """Return a small PNG file of 169 million pixels."""
    stream = io.BytesIO()
    Image.new("L", (13_000, 13_000)).save(stream, "PNG", compress_level=9)
    return stream.getvalue()


def make_giants() -> list[Request]:
    """Return requests that must be refused, the last one apart, which is the largest that fits."""

    def wrap(content: bytes) -> bytes:
        return b'{"images":[' + content + b"]}"

    return [
        Request("158 MB of JSON, 40,000 images", "/v1/encode", wrap(b",".join([_IMAGE] * 40_000))),
        Request("30 MB of JSON, 7,600 images", "/v1/encode", wrap(b",".join([_IMAGE] * 7600))),
        Request("8 MB of JSON, 1,990 images", "/v1/encode", wrap(b",".join([_IMAGE] * 1990))),
        Request("8 MB of JSON objects", "/v1/encode", wrap(b'{"a":{}},' * 900_000 + b"{}")),
        Request("PNG of 13,000 x 13,000", "/v1/encode", make_bomb(), "image/png"),
        Request("10^9 samples", "/v1/sample", b'{"count": 1000000000}'),
        Request(
            "4 MB of JSON, 1,000 images: allowed", "/v1/encode", wrap(b",".join([_IMAGE] * 1000))
        ),
    ]


async def send_giant(server: Server, giant: Request) -> list[Cell]:
    """Send one while health is asked for; return the table's row."""
    sender, prober, stop = Sender(server.port), Sender(server.port), asyncio.Event()
    await sender.send(_SMALL, _SMALL.pack(), time.monotonic())
    before = server.rss
    memory = asyncio.create_task(sample_often(lambda: server.rss, 0.01, stop))

    async def probe() -> float:
        worst = 0.0
        while not stop.is_set():
            worst = max(worst, (await prober.send(_PROBE, _PROBE.pack(), time.monotonic())).seconds)
            await asyncio.sleep(0.005)
        return worst

    probing, packed = asyncio.create_task(probe()), giant.pack()
    await asyncio.sleep(0.1)
    answer = await sender.send(giant, packed, time.monotonic())
    await asyncio.sleep(0.1)
    stop.set()
    grown = max(value for _, value in await memory) - before
    worst = await probing
    await sender.close()
    await prober.close()
    times = [round(1000 * seconds, 1) for seconds in (answer.seconds, worst)]
    return [giant.name, round(len(packed) / 1e6, 1), answer.status, *times, round(grown, 1)]


async def run(server: Server) -> list[list[Cell]]:
    """Return a row for each giant, one after the other."""
    return [await send_giant(server, giant) for giant in make_giants()]


def main() -> int:
    """Run, write the record, and return 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remark", default="", help="what else ran on the machine")
    given = parser.parse_args()
    with run_latentd(["--log-level", "warning"]) as server:
        rows = asyncio.run(run(server))
    print(*rows, sep="\n")
    write_record(
        Record(
            name="giants",
            title="Requests that are far too large",
            command="python benchmarks/giants.py",
            goal=f"413, with at most {_MOST_MB} MB more memory; `/livez` waits for at most "
            f"{_MOST_MS} ms meanwhile.",
            columns=("request", "MB", "status", "answer ms", "worst /livez ms", "RSS + MB"),
            rows=rows,
            remark="The time of an answer includes sending the body; status 0: the service hung "
            f"up while it was sent. {given.remark}".strip(),
        )
    )
    *refused, _ = rows
    return int(any(row[2] != _LIMIT for row in refused))


if __name__ == "__main__":
    raise SystemExit(main())
