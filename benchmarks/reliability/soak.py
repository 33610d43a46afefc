"""Half the load a real service can bear, for ten minutes: every answer right, nothing grows.

All operations are mixed, one request in twenty is bad. Bounded in time and rate, on the loopback.
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
from endings import conclude
from loads import Answer, Request, Sender, percentile, sample_often, send_open_loop
from numpy.typing import NDArray
from records import Record
from servers import Server, run_latentd

_WINDOW = 60.0
_BAD_SHARE = 0.05
_CLIENTS = 4
_PROBE_SECONDS = 10.0
_MOST_GROWTH = 60.0
"""MB an hour: 1 MB a minute; ten minutes do not tell less from noise."""
_OK = 200
_SEED = 1
_NPY = "application/x-npy"

BAD = {
    Request("broken JSON", "/v1/encode", b'{"images": ['): 400,
    Request("no picture", "/v1/encode", b'{"images": ["aGVsbG8="]}'): 422,
    Request("wrong shape", "/v1/denoise", b'{"images": [[[0.5, 0.5], [0.5, 0.5]]]}'): 422,
    Request("truncated", "/v1/classify", b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png"): 400,
    Request("too many", "/v1/sample", b'{"count": 1000000000}'): 413,
    Request("unknown model", "/v1/decode?model=nothing", b'{"latents": [[0.5]]}'): 404,
    Request("lying npy", "/v1/encode", b"\x93NUMPY\x01\x00\x76\x00" + b" " * 118, _NPY): 400,
    Request("a pickle", "/v1/encode", b"\x80\x04N.", _NPY): 415,
    Request("broken tensor", "/v2/models/mnist.encoder/infer", b'{"inputs": []}'): 400,
}


def _write_npy(array: NDArray[np.float64]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array.astype(np.float32))
    return stream.getvalue()


async def make_good(sender: Sender) -> list[Request]:
    """Return good requests to every operation, in every form, made from the service's own images.

    Raises:
        RuntimeError: the service does not give them.
    """
    wanted = Request("pictures", "/v1/sample", b'{"count": 8, "seed": 3}')
    answer = await sender.send(wanted, wanted.pack(), time.monotonic())
    if answer.status != _OK:
        raise RuntimeError(f"no pictures were given: {answer.status}")
    given = json.loads(answer.body)
    one = json.dumps({"images": given["images"][:1]}).encode()
    many = json.dumps({"images": given["images"]}).encode()
    ends = json.dumps({"images": given["images"][:2], "steps": 6}).encode()
    latents = json.dumps({"latents": given["latents"]}).encode()
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
        Request("interpolate", "/v1/interpolate", ends),
        _make_tensor_request(),
    ]


def _make_tensor_request() -> Request:
    data = [0.25] * 784
    tensor = {"name": "images", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": data}
    body = json.dumps({"inputs": [tensor]}).encode()
    return Request("infer", "/v2/models/mnist.encoder/infer", body)


def mix(good: Sequence[Request], generator: random.Random) -> Iterator[Request]:
    """Give requests for ever: each good one as often as any other, one in twenty bad."""
    bad = list(BAD)
    for number in itertools.count():
        if generator.random() < _BAD_SHARE:
            yield generator.choice(bad)
        else:
            yield good[number % len(good)]


@dataclass(slots=True)
class Minute:
    """What happened in one window."""

    answers: list[Answer]
    stored: dict[str, bytes]
    rss: list[tuple[float, float]]
    threads: int
    bad: int = field(init=False)
    failed: int = field(init=False)
    wrong: int = field(init=False)
    times: list[float] = field(init=False)
    statuses: dict[int, int] = field(init=False)
    """How many answers had each status."""

    def __post_init__(self) -> None:
        """Judge the answers and forget them."""
        good = [answer for answer in self.answers if answer.request not in BAD]
        bad = [answer for answer in self.answers if answer.request in BAD]
        self.bad = len(bad)
        self.failed = sum(answer.status != _OK for answer in good)
        self.failed += sum(answer.status != BAD[answer.request] for answer in bad)
        self.wrong = sum(
            answer.status == _OK and answer.body != self.stored[answer.request.name]
            for answer in good
        )
        self.times = [answer.seconds for answer in good]
        self.statuses = dict(Counter(answer.status for answer in self.answers))
        self.answers = []

    def to_row(self, number: int) -> list[int | float]:
        """Return the table's row."""
        return [
            number,
            len(self.times) + self.bad,
            self.bad,
            self.failed,
            self.wrong,
            *(round(1000 * percentile(self.times, share), 1) for share in (0.5, 0.99)),
            round(statistics.fmean(value for _, value in self.rss), 1),
            self.threads,
        ]


COLUMNS = (
    *("minute", "requests", "of them bad", "failed", "wrong"),
    *("p50 ms", "p99 ms", "RSS MB", "threads"),
)


async def store_answers(sender: Sender, good: Sequence[Request]) -> dict[str, bytes]:
    """Return the answer to each good request.

    Raises:
        RuntimeError: one is no good answer.
    """
    stored = {}
    for request in good:
        answer = await sender.send(request, request.pack(), time.monotonic())
        if answer.status != _OK:
            raise RuntimeError(f"{request.name}: {answer.status} {answer.body[:200]!r}")
        stored[request.name] = answer.body
    return stored


async def find_capacity(sender: Sender, good: Sequence[Request]) -> float:
    """Return how many requests of the mix a second a few waiting clients get answered."""
    end = time.monotonic() + _PROBE_SECONDS
    packed = [request.pack() for request in good]

    async def repeat() -> int:
        for number in itertools.count():
            if time.monotonic() > end:
                return number
            place = number % len(good)
            await sender.send(good[place], packed[place], time.monotonic())
        raise AssertionError

    return sum(await asyncio.gather(*(repeat() for _ in range(_CLIENTS)))) / _PROBE_SECONDS


async def run(server: Server, seconds: float) -> tuple[float, list[Minute], int]:
    """Return the rate, what happened in each minute, and how many descriptors were not closed."""
    sender = Sender(server.port)
    good = await make_good(sender)
    stored = await store_answers(sender, good)
    rate = await find_capacity(sender, good) / 2
    await sender.close()
    await asyncio.sleep(1)
    descriptors = server.descriptors
    requests = mix(good, random.Random(_SEED))  # noqa: S311 - which request comes next
    minutes: list[Minute] = []
    for _ in range(max(1, round(seconds / _WINDOW))):
        stop = asyncio.Event()
        memory = asyncio.create_task(sample_often(lambda: server.rss, 1, stop))
        answers = await send_open_loop(sender, requests, rate, min(seconds, _WINDOW))
        stop.set()
        minutes.append(Minute(answers, stored, await memory, server.threads))
        print(
            dict(zip(COLUMNS, minutes[-1].to_row(len(minutes)), strict=True)),
            minutes[-1].statuses,
            flush=True,
        )
    await sender.close()
    await asyncio.sleep(1)
    return rate, minutes, server.descriptors - descriptors


def find_slope(minutes: Sequence[Minute]) -> float:
    """Return the growth of memory after the first minute, in MB an hour."""
    points = [point for minute in minutes[1:] or minutes for point in minute.rss]
    times, values = zip(*points, strict=True)
    return 3600 * statistics.linear_regression(times, values).slope


def judge(minutes: Sequence[Minute], slope: float, left: int) -> list[str]:
    """Return what does not hold."""
    findings = {
        "requests failed": any(minute.failed for minute in minutes),
        "answers were wrong": any(minute.wrong for minute in minutes),
        "memory grew": len(minutes) > 1 and slope > _MOST_GROWTH,
        "descriptors were left": left > 0,
        "threads grew": minutes[-1].threads > minutes[0].threads,
    }
    return [text for text, is_so in findings.items() if is_so]


def main() -> int:
    """Run, write the record, and return 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="in all; whole minutes")
    parser.add_argument("--remark", default="", help="what else ran on the machine")
    given = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with run_latentd(["--log-level", "warning"], cpu=0) as server:
        rate, minutes, left = asyncio.run(run(server, given.seconds))
    slope = find_slope(minutes)
    findings = judge(minutes, slope, left)
    remark = (
        f"{rate:.1f} requests/s in an open loop, half of what {_CLIENTS} waiting clients got. Good "
        "ones are compared byte by byte with a stored answer; bad ones must be refused with their "
        f"status. After the first minute memory changed by {slope:+.1f} MB/h; {left} descriptors "
        f"were left open. Service on CPU 0, sender on CPU 1. {given.remark}"
    )
    record = Record(
        name="soak",
        title="Soak: half the load, minute by minute",
        seed=_SEED,
        command="make soak",
        goal="failed and wrong answers are 0; memory does not grow (under "
        f"{_MOST_GROWTH:g} MB/h); descriptors and threads are as many as before.",
        columns=COLUMNS,
        rows=[minute.to_row(number) for number, minute in enumerate(minutes, 1)],
        remark=remark.strip(),
    )
    return conclude(record, findings)


if __name__ == "__main__":
    raise SystemExit(main())
