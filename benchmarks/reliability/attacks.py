"""Attack a service with a memory limit; measure its memory, `/livez` and another client."""

import argparse
import asyncio
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeAlias

from benchmarks.harness.http_load import Client, Request, sample_periodically
from benchmarks.harness.records import Bound, Cell, Record, conclude
from benchmarks.harness.servers import HOST, Server, run_latentd
from benchmarks.reliability.attack_inputs import (
    compress,
    encode,
    make_members,
    make_numbers,
    make_photo,
    make_single_requests,
    make_tensor,
    make_trailers,
)

Attack: TypeAlias = Callable[[int], Coroutine[None, None, Sequence[int]]]
"""Attacks the port; returns the statuses of the responses, 0 for none."""

_MEMORY_MB = 512
_MAX_LIVEZ_MS = 100
_MIN_SERVED = 90
_MAX_OTHERS_MS = 500
_POLITE_BODY = '{"count": 32, "seed": 1}'
"""Takes about 10 ms, which is too long for the event loop: it waits in the queue."""
_POLITE_ADDRESS = "127.0.0.2"
_PROBE_SECONDS = 0.02
_PAUSE_SECONDS = 0.5
_STALLED_SECONDS = 8.0
_BODY_BYTES = 32 * 1024 * 1024
COLUMNS = (
    "attack",
    "responses",
    "seconds",
    "peak RSS MB",
    "longest /livez ms",
    "others served %",
    "others median ms",
)


def send(request: Request, clients: int = 1, times: int = 1) -> Attack:
    """Return an attack of `clients` that each send a request some times."""

    async def attack(port: int) -> list[int]:
        packed = request.pack()

        async def repeat() -> list[int]:
            client = Client(port)
            statuses = [(await client.send(request, packed=packed)).status for _ in range(times)]
            client.close()
            return statuses

        statuses = await asyncio.gather(*(repeat() for _ in range(clients)))
        return [status for each in statuses for status in each]

    return attack


def stall(packed: bytes, clients: int) -> Attack:
    """Return an attack of clients that send bytes, and then neither send nor read."""

    async def attack(port: int) -> list[int]:
        async def hold() -> None:
            reader, writer = await asyncio.open_connection(HOST, port, limit=1)
            writer.write(packed)
            with contextlib.suppress(OSError):
                await asyncio.sleep(_STALLED_SECONDS)
            writer.transport.abort()
            del reader

        await asyncio.gather(*(hold() for _ in range(clients)))
        return []

    return attack


def make_attacks() -> dict[str, Attack]:
    """Return the attacks by name."""
    body = encode("body", bytes(_BODY_BYTES), "application/x-npy")
    unread = b'{"count": 1024, "encoding": "array"}'
    many = Request("sample", "/v1/sample", b'{"count": 1024}')
    attacks = {request.name: send(request) for request in make_single_requests()}
    return attacks | {
        "12 bodies of 32 MB": send(body, clients=12),
        "97 unread responses of 1,024 images": stall(
            Request("unread", "/v1/sample", unread).pack(), 97
        ),
        "16 clients with photographs, 3 each": send(
            encode("photo", make_photo(), "image/jpeg"), clients=16, times=3
        ),
        "60 MB of trailers": stall(make_trailers(60_000_000), 1),
        "8 unfinished bodies of 32 MB": stall(body.pack()[:-1], 8),
        "80 connections that sample 1,024 images": send(many, clients=80, times=2),
        "50 clients with 256 images as numbers": send(make_numbers(256), clients=50),
        "50 clients with tensors of 200,704 numbers": send(make_tensor(256), clients=50),
        "50 clients with 40,000 JSON members": send(make_members(40_000), clients=50),
        "12 gzip bodies of 32 MB": send(compress(body), clients=12),
        "2,000 idle connections": stall(b"", 2000),
    }


def probe(port: int) -> None:
    """Poll `/livez`, and send small requests from another address, until the input is closed."""
    livez, statuses, durations = [], Counter[int](), list[float]()
    waiting = asyncio.new_event_loop()

    async def poll() -> None:
        loop = asyncio.get_running_loop()
        closed = loop.run_in_executor(None, sys.stdin.read)
        polite = loop.run_in_executor(None, _send_politely, port, closed.done, statuses, durations)
        while not closed.done():
            start = time.perf_counter()
            with contextlib.suppress(OSError, http.client.HTTPException):
                await asyncio.to_thread(_exchange, port, "GET", "/livez", "", HOST)
            livez.append(time.perf_counter() - start)
            await asyncio.sleep(_PROBE_SECONDS)
        await polite

    waiting.run_until_complete(poll())
    served = 100 * statuses[http.HTTPStatus.OK] / max(1, statuses.total())
    median = 1000 * statistics.median(durations)
    print(json.dumps([round(1000 * max(livez), 1), round(served, 1), round(median, 1)]))


def _send_politely(
    port: int, is_over: Callable[[], bool], statuses: Counter[int], durations: list[float]
) -> None:
    """Send one request after the other."""
    while not is_over():
        status, start = 0, time.perf_counter()
        with contextlib.suppress(OSError, http.client.HTTPException):
            status = _exchange(port, "POST", "/v1/sample", _POLITE_BODY, _POLITE_ADDRESS)
        statuses[status] += 1
        durations.append(time.perf_counter() - start)
        time.sleep(_PROBE_SECONDS)


def _exchange(port: int, method: str, path: str, body: str, address: str) -> int:
    connection = http.client.HTTPConnection(HOST, port, timeout=10, source_address=(address, 0))
    try:
        connection.request(method, path, body or None, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


async def measure(name: str, attack: Attack, server: Server) -> list[Cell]:
    """Return the row of an attack."""
    stop = asyncio.Event()
    command = [sys.executable, "-m", "benchmarks.reliability.attacks", "--probe", str(server.port)]
    prober = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    memory = asyncio.create_task(sample_periodically(lambda: _read_rss(server), 0.01, stop))
    await asyncio.sleep(2 * _PAUSE_SECONDS)
    start = time.monotonic()
    statuses = await attack(server.port)
    seconds = time.monotonic() - start
    await asyncio.sleep(_PAUSE_SECONDS)
    output, _ = await prober.communicate(b"")  # closes its input
    stop.set()
    livez, served, median = json.loads(output)
    peak = max(value for _, value in await memory)
    counts = [f"{count} x {status or 'none'}" for status, count in Counter(statuses).items()]
    return [
        name,
        ", ".join(counts) or "-",
        round(seconds, 1),
        round(peak, 1),
        livez,
        served,
        median,
    ]


def _read_rss(server: Server) -> float:
    try:
        return server.rss
    except (OSError, StopIteration):  # it was killed
        return float("inf")


def make_record(rows: Sequence[Sequence[Cell]], remark: str) -> Record:
    """Return the record."""
    bounds = [
        Bound("peak RSS MB", _MEMORY_MB),
        Bound("longest /livez ms", _MAX_LIVEZ_MS),
        Bound("others served %", _MIN_SERVED, ">="),
        Bound("others median ms", _MAX_OTHERS_MS),
    ]
    return Record(
        name="attacks",
        title=f"Attacks on a service limited to {_MEMORY_MB} MB",
        command="python -m benchmarks.reliability.attacks",
        goal=f"Memory stays under {_MEMORY_MB} MB, `/livez` takes at most {_MAX_LIVEZ_MS} ms, and "
        f"another client gets its share: at least {_MIN_SERVED} % of its requests are served, half "
        f"of them within {_MAX_OTHERS_MS} ms.",
        columns=COLUMNS,
        rows=rows,
        bounds=[bounds for _ in rows],
        remark="Each attack starts a new service with one worker and "
        f"`LATENTD_MEMORY_BYTES` of {_MEMORY_MB} MiB; its resident memory is sampled every 10 ms. "
        "`/livez` and the other client, which samples 32 images at a time from another address, "
        f"are measured in a process of their own on the same CPUs. {remark}".strip(),
    )


def main() -> int:
    """Run the attacks, write the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run the attacks whose name contains this")
    parser.add_argument("--probe", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--remark", default="", help="other load on the machine")
    parsed = parser.parse_args()
    if parsed.probe:
        probe(parsed.probe)
        return 0
    rows = []
    for name, attack in make_attacks().items():
        if parsed.only in name:
            flags = ["--log-level", "warning", "--memory-bytes", str(_MEMORY_MB * 1024 * 1024)]
            with run_latentd(flags) as server:
                rows.append(asyncio.run(measure(name, attack, server)))
            print(*rows[-1], sep=" | ", flush=True)
    return 0 if parsed.only else conclude(make_record(rows, parsed.remark))


if __name__ == "__main__":
    raise SystemExit(main())
