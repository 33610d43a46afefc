"""Soak test: half of the capacity for ten minutes, with verified responses and stable memory.

The load mixes all operations; one request in twenty is invalid.
"""

import argparse
import asyncio
import io
import itertools
import json
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.http_load import (
    OK,
    Client,
    Request,
    Response,
    percentile,
    sample_periodically,
    send_open_loop,
)
from benchmarks.harness.records import Bound, Cell, Record, conclude
from benchmarks.harness.servers import Server, run_latentd

_WINDOW = 60.0
_INVALID_SHARE = 0.05
_CLIENTS = 4
_CAPACITY_SECONDS = 10.0
_MAX_GROWTH = 60.0
"""MB per hour, which is 1 MB per minute; the noise of ten minutes hides less."""
_SEED = 1
_NPY = "application/x-npy"
COLUMNS = (
    *("minute", "requests", "invalid", "failed", "wrong responses", "p50 ms", "p99 ms"),
    *("RSS MB", "threads", "RSS growth MB/h", "descriptors left"),
)

INVALID = {
    Request("broken JSON", "/v1/encode", b'{"images": ['): 400,
    Request("not an image", "/v1/encode", b'{"images": ["aGVsbG8="]}'): 422,
    Request("wrong shape", "/v1/denoise", b'{"images": [[[0.5, 0.5], [0.5, 0.5]]]}'): 422,
    Request("truncated", "/v1/classify", b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png"): 400,
    Request("too many", "/v1/sample", b'{"count": 1000000000}'): 413,
    Request("unknown model", "/v1/decode?model=nothing", b'{"latents": [[0.5]]}'): 404,
    Request("empty npy", "/v1/encode", b"\x93NUMPY\x01\x00\x76\x00" + b" " * 118, _NPY): 400,
    Request("pickle", "/v1/encode", b"\x80\x04N.", _NPY): 415,
    Request("broken tensor", "/v2/models/mnist.encoder/infer", b'{"inputs": []}'): 400,
}
"""Expected status by invalid request."""


def _write_npy(array: NDArray[np.float64]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array.astype(np.float32))
    return stream.getvalue()


async def make_valid(client: Client) -> list[Request]:
    """Return valid requests for all operations and formats, with images from the service.

    Raises:
        RuntimeError: The service returns no images.
    """
    response = await client.send(Request("images", "/v1/sample", b'{"count": 8, "seed": 3}'))
    if response.status != OK:
        raise RuntimeError(f"Expected status {OK} for samples, got {response.status}.")
    samples = json.loads(response.body)
    one = json.dumps({"images": samples["images"][:1]}).encode()
    many = json.dumps({"images": samples["images"]}).encode()
    pair = json.dumps({"images": samples["images"][:2], "steps": 6}).encode()
    latents = json.dumps({"latents": samples["latents"]}).encode()
    array = _write_npy(np.random.default_rng(_SEED).random((16, 28, 28)))
    return [
        *(Request(name, f"/v1/{name}", one) for name in ("encode", "reconstruct", "denoise")),
        Request("classify", "/v1/classify?model=mnist", many),
        Request("reconstruct 8", "/v1/reconstruct", many),
        Request("encode npy", "/v1/encode?space=vae", array, _NPY),
        Request("denoise npy", "/v1/denoise?encoding=array", array, _NPY),
        Request("decode", "/v1/decode", latents),
        Request("sample", "/v1/sample?source=prior", b'{"seed": 5}'),
        Request("sample 32", "/v1/sample", b'{"count": 32, "seed": 6}'),
        Request("interpolate", "/v1/interpolate", pair),
        _make_tensor_request(),
    ]


def _make_tensor_request() -> Request:
    data = [0.25] * 784
    tensor = {"name": "images", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": data}
    body = json.dumps({"inputs": [tensor]}).encode()
    return Request("infer", "/v2/models/mnist.encoder/infer", body)


def mix(valid: Sequence[Request], rng: random.Random) -> Iterator[Request]:
    """Yield requests without end: all valid ones equally often, and one in twenty invalid."""
    invalid = list(INVALID)
    for number in itertools.count():
        if rng.random() < _INVALID_SHARE:
            yield rng.choice(invalid)
        else:
            yield valid[number % len(valid)]


@dataclass(slots=True)
class Minute:
    """The responses of one minute."""

    responses: list[Response]
    expected: dict[str, bytes]
    """Correct body by the name of a valid request."""
    rss: list[tuple[float, float]]
    threads: int
    invalid: int = field(init=False)
    failed: int = field(init=False)
    wrong: int = field(init=False)
    seconds: list[float] = field(init=False)
    statuses: dict[int, int] = field(init=False)
    """Number of responses by status."""

    def __post_init__(self) -> None:
        """Evaluate the responses and drop their bodies."""
        valid = [one for one in self.responses if one.request not in INVALID]
        invalid = [one for one in self.responses if one.request in INVALID]
        self.invalid = len(invalid)
        self.failed = sum(one.status != OK for one in valid)
        self.failed += sum(one.status != INVALID[one.request] for one in invalid)
        self.wrong = sum(
            one.status == OK and one.body != self.expected[one.request.name] for one in valid
        )
        self.seconds = [one.seconds for one in valid]
        self.statuses = dict(Counter(one.status for one in self.responses))
        self.responses = []

    def to_row(self, number: int) -> list[Cell]:
        """Return the row of the minute."""
        return [
            number,
            len(self.seconds) + self.invalid,
            self.invalid,
            self.failed,
            self.wrong,
            *(round(1000 * percentile(self.seconds, share), 1) for share in (0.5, 0.99)),
            round(statistics.fmean(value for _, value in self.rss), 1),
            self.threads,
            *("-", "-"),
        ]


async def find_bodies(client: Client, valid: Sequence[Request]) -> dict[str, bytes]:
    """Return the response body of each valid request by its name.

    Raises:
        RuntimeError: A request failed.
    """
    bodies = {}
    for request in valid:
        response = await client.send(request)
        if response.status != OK:
            raise RuntimeError(
                f"{request.name}: Expected status {OK}, got {response.status}: "
                f"{response.body[:200]!r}"
            )
        bodies[request.name] = response.body
    return bodies


async def find_capacity(client: Client, valid: Sequence[Request]) -> float:
    """Return the throughput of valid requests in a closed loop, in requests per second."""
    end = time.monotonic() + _CAPACITY_SECONDS
    packed = [request.pack() for request in valid]

    async def repeat() -> int:
        for number in itertools.count():
            if time.monotonic() > end:
                return number
            index = number % len(valid)
            await client.send(valid[index], packed=packed[index])
        raise AssertionError

    return sum(await asyncio.gather(*(repeat() for _ in range(_CLIENTS)))) / _CAPACITY_SECONDS


async def run(server: Server, seconds: float) -> tuple[float, list[Minute], int]:
    """Return the rate, the minutes, and the number of descriptors left open."""
    client = Client(server.port)
    valid = await make_valid(client)
    expected = await find_bodies(client, valid)
    rate = await find_capacity(client, valid) / 2
    client.close()
    await asyncio.sleep(1)
    descriptors = server.descriptors
    requests = mix(valid, random.Random(_SEED))  # noqa: S311 - order of the requests
    minutes: list[Minute] = []
    for _ in range(max(1, round(seconds / _WINDOW))):
        stop = asyncio.Event()
        memory = asyncio.create_task(sample_periodically(lambda: server.rss, 1, stop))
        responses = await send_open_loop(client, requests, rate, min(seconds, _WINDOW))
        stop.set()
        minutes.append(Minute(responses, expected, await memory, server.threads))
        print(minutes[-1].to_row(len(minutes)), minutes[-1].statuses, flush=True)
    client.close()
    await asyncio.sleep(1)
    return rate, minutes, server.descriptors - descriptors


def find_growth(minutes: Sequence[Minute]) -> float:
    """Return the growth of memory after the first minute in MB per hour; 0 for one minute."""
    points = [point for minute in minutes[1:] for point in minute.rss]
    if not points:
        return 0.0
    times, values = zip(*points, strict=True)
    return 3600 * statistics.linear_regression(times, values).slope


def add_total(rows: Sequence[Sequence[Cell]], growth: float, left: int) -> list[Sequence[Cell]]:
    """Return the rows of the minutes and a row of all of them."""
    sums = [sum(int(row[column]) for row in rows) for column in range(1, 5)]
    return [
        *rows,
        ["all", *sums, "-", "-", "-", rows[-1][COLUMNS.index("threads")], round(growth, 1), left],
    ]


def list_bounds(rows: Sequence[Sequence[Cell]]) -> list[list[Bound]]:
    """Return the bounds of each row; at the end there are as many threads as at the start."""
    bounds = [[Bound("failed", 0), Bound("wrong responses", 0)] for _ in rows]
    bounds[-1] += [
        Bound("threads", rows[0][COLUMNS.index("threads")]),
        Bound("RSS growth MB/h", _MAX_GROWTH),
        Bound("descriptors left", 0),
    ]
    return bounds


def make_record(rows: Sequence[Sequence[Cell]], rate: float, remark: str) -> Record:
    """Return the record of rows that end with the total."""
    return Record(
        name="soak",
        title="Soak test: half of the capacity",
        seed=_SEED,
        command="make soak",
        goal="No request fails and no response is wrong; memory grows by at most "
        f"{_MAX_GROWTH:g} MB/h after the first minute; no descriptor stays open and no thread is "
        "added.",
        columns=COLUMNS,
        rows=rows,
        bounds=list_bounds(rows),
        remark=(
            f"Open loop with {rate:.1f} requests/s, half of the throughput of {_CLIENTS} clients "
            "in a closed loop. Responses to valid requests are compared byte by byte with stored "
            "ones; invalid requests must be rejected with their expected status. Service on CPU "
            f"0, load generator on the last CPU. {remark}"
        ).strip(),
    )


def main() -> int:
    """Measure, write the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="duration; whole minutes")
    parser.add_argument("--remark", default="", help="other load on the machine")
    parsed = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with run_latentd(["--log-level", "warning"], cpu=0) as server:
        rate, minutes, left = asyncio.run(run(server, parsed.seconds))
    rows = [minute.to_row(number) for number, minute in enumerate(minutes, 1)]
    return conclude(make_record(add_total(rows, find_growth(minutes), left), rate, parsed.remark))


if __name__ == "__main__":
    raise SystemExit(main())
