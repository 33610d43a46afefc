"""Memory growth of each operation over thousands of requests, as in Triton's L0_memory_growth."""

import argparse
import asyncio
from collections.abc import Sequence

from benchmarks.harness.http_load import OK, Client, Request
from benchmarks.harness.records import Bound, Cell, Record, conclude
from benchmarks.harness.servers import Server, run_latentd
from benchmarks.reliability.attack_inputs import encode, make_numbers, make_photo
from benchmarks.reliability.soak_requests import INVALID, make_valid

_WARM_SHARE = 0.2
"""Share of the requests before the first reading: the allocator keeps some memory for reuse."""
_LONG_SHARE = 0.05
"""Share of the requests for those that take about a hundred times as long."""
_CLIENTS = 4
_MAX_GROWTH_MB = 8
COLUMNS = ("request", "requests", "failed", "RSS before MB", "RSS after MB", "growth MB")


async def make_requests(client: Client) -> list[tuple[Request, int]]:
    """Return requests of all operations and kinds with their expected status."""
    valid = [(request, OK) for request in await make_valid(client)]
    long = [encode("12-megapixel JPEG", make_photo(), "image/jpeg"), make_numbers(256)]
    return [*valid, *((request, OK) for request in long), *INVALID.items()]


async def measure(server: Server, request: Request, status: int, count: int) -> list[Cell]:
    """Return the row of a request."""
    client, packed = Client(server.port), request.pack()
    failed = 0

    async def repeat(times: int) -> None:
        nonlocal failed
        for _ in range(times):
            failed += (await client.send(request, packed=packed)).status != status

    async def send(times: int) -> None:
        await asyncio.gather(*(repeat(times // _CLIENTS) for _ in range(_CLIENTS)))

    await send(int(_WARM_SHARE * count))
    before = server.rss
    await send(count)
    after = server.rss
    client.close()
    growth = round(after - before, 1)
    return [request.name, count, failed, round(before, 1), round(after, 1), growth]


async def run(server: Server, count: int) -> list[list[Cell]]:
    """Return the rows of all requests."""
    rows = []
    client = Client(server.port)
    requests = await make_requests(client)
    client.close()
    for request, status in requests:
        is_long = len(request.body) > 100_000  # noqa: PLR2004 - photographs and long arrays
        times = max(_CLIENTS, int(count * (_LONG_SHARE if is_long else 1)))
        rows.append(await measure(server, request, status, times))
        print(rows[-1], flush=True)
    return rows


def make_record(rows: Sequence[Sequence[Cell]], remark: str) -> Record:
    """Return the record."""
    bounds = [Bound("failed", 0), Bound("growth MB", _MAX_GROWTH_MB)]
    return Record(
        name="memory_growth",
        title="Memory growth of each operation",
        command="python -m benchmarks.reliability.memory_growth",
        goal=f"No request fails, and repeating it adds at most {_MAX_GROWTH_MB} MB.",
        columns=COLUMNS,
        rows=rows,
        bounds=[bounds for _ in rows],
        remark=f"One service for all rows; {_CLIENTS} clients in a closed loop. The first reading "
        f"is after a warm-up of {_WARM_SHARE:.0%} of the requests. {remark}".strip(),
    )


def main() -> int:
    """Measure, write the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4000, help="requests of each kind")
    parser.add_argument("--remark", default="", help="other load on the machine")
    parsed = parser.parse_args()
    with run_latentd(["--log-level", "warning"]) as server:
        rows = asyncio.run(run(server, parsed.count))
    return conclude(make_record(rows, parsed.remark))


if __name__ == "__main__":
    raise SystemExit(main())
