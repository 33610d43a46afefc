"""Verify that repeated and concurrent reloads lose no request and leak no memory.

    python -m benchmarks.reliability.repeated_reloads

A service with `repository_control` serves a small bundle that is published repeatedly and loaded on
request. Meanwhile an open loop sends one image; each response is compared with the known response
of the bundle that it names.
"""

import argparse
import asyncio
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness.dataset import find_bundle
from benchmarks.harness.http_load import OK, Client, Request, Response, percentile, send_open_loop
from benchmarks.harness.records import RELIABILITY, Bound, Cell, Record, conclude
from benchmarks.harness.servers import Server, run_latentd
from benchmarks.reliability.bundle_versions import NAME, SOURCES, copy_sources
from benchmarks.reliability.rolling_reloads import REQUEST, get_digest, get_version, make_request
from service.artifact import Bundle, publish, stage, write_manifest
from service.artifact.manifest import Manifest, parse_manifest

_LOAD = Request("load", f"/v2/repository/models/{NAME}/load")
_CONFLICT = 409
_KEPT_VERSIONS = 3
"""Versions that remain in the store; the service loads two."""
_WARM_UP_SHARE = 0.1
"""Share of the reloads before the first measurement of memory."""
_MAX_GROWTH = 5.0
COLUMNS = (
    *("case", "reloads", "reloads failed", "inferences", "failed", "wrong responses"),
    *("p99 ms", "RSS before MB", "RSS after MB", "growth %", "last version served"),
)
_BOUNDS = (
    Bound("reloads failed", 0),
    Bound("failed", 0),
    Bound("wrong responses", 0),
    Bound("last version served", "yes", "=="),
)


def reduce_manifest(full: Manifest) -> Manifest:
    """Return a manifest with the autoencoder only."""
    networks = {name: full.networks[name] for name in ("encoder", "decoder")}
    spaces = {"autoencoder": full.spaces["autoencoder"]}
    files = [graph.file for network in networks.values() for graph in network.formats.values()]
    files.append(spaces["autoencoder"].reference)
    return Manifest(
        image=full.image,
        networks=networks,
        spaces=spaces,
        samplers={},
        provenance=full.provenance,
        files={name: full.files[name] for name in files},
    )


def publish_small(store: Path, number: int) -> Bundle:
    """Publish a small version from one of two sources alternately; delete old versions."""
    source = find_bundle(SOURCES[number % 2])
    manifest = reduce_manifest(parse_manifest((source / "manifest.json").read_bytes()))
    with stage(store, NAME) as folder:
        for name in manifest.files:
            shutil.copyfile(source / name, folder / name)
        write_manifest(folder, manifest)
        bundle = publish(folder, store, NAME)
    old = store / NAME / str(bundle.version - _KEPT_VERSIONS)
    if old.exists():
        shutil.rmtree(old)
    return bundle


@dataclass(slots=True)
class Reloader:
    """Reloads the models of a server and counts the statuses."""

    server: Server
    store: Path
    warm_up: int
    """Reloads before the first measurement of memory."""
    statuses: Counter[int] = field(default_factory=Counter)
    rss_before: float = 0.0

    async def reload(self, client: Client) -> None:
        """Request a reload; measure memory after the warm-up."""
        if self.statuses.total() == self.warm_up:
            self.rss_before = self.server.rss
        self.statuses[(await client.send(_LOAD)).status] += 1

    async def reload_sequentially(self, times: int) -> None:
        """Publish and load versions one after the other."""
        client = Client(self.server.port)
        for number in range(times):
            await asyncio.to_thread(publish_small, self.store, number)
            await self.reload(client)
        client.close()

    async def reload_concurrently(self, clients: int, times: int) -> None:
        """Reload with many clients while versions are published; then load the last version."""

        async def repeat() -> None:
            client = Client(self.server.port)
            for _ in range(times):
                await self.reload(client)
            client.close()

        reloading = asyncio.gather(*(repeat() for _ in range(clients)))
        number = 0
        while not reloading.done():
            await asyncio.to_thread(publish_small, self.store, number := number + 1)
            await asyncio.sleep(0.2)
        await reloading
        client = Client(self.server.port)
        await self.reload(client)
        client.close()


async def send_during(server: Server, rate: float, reloads: Awaitable[None]) -> list[Response]:
    """Send images at a rate until the reloads end; return the responses."""
    reloading = asyncio.ensure_future(reloads)
    client = Client(server.port, rotate=True)
    responses: list[Response] = []
    while not reloading.done():
        responses += await send_open_loop(client, itertools.repeat(REQUEST), rate, 1)
    client.close()
    await reloading
    return responses


async def find_responses(reloader: Reloader) -> dict[str, bytes]:
    """Publish a small version of each source; return the correct body by digest."""
    client = Client(reloader.server.port)
    expected = {}
    for number, source in enumerate(SOURCES):
        bundle = await asyncio.to_thread(publish_small, reloader.store, number)
        expected[bundle.digest] = (await client.send(make_request(source))).body
    await client.send(_LOAD)
    client.close()
    return expected


async def measure(
    reloader: Reloader, title: str, rate: float, reloads: Awaitable[None]
) -> list[Cell]:
    """Return the row of a case."""
    expected = await find_responses(reloader)
    responses = await send_during(reloader.server, rate, reloads)
    before, after = reloader.rss_before, reloader.server.rss
    client = Client(reloader.server.port)
    last = await client.send(REQUEST)
    client.close()
    newest = max(int(folder.name) for folder in (reloader.store / NAME).iterdir())
    successes = [one for one in responses if one.status == OK]
    statuses = reloader.statuses
    return [
        *(title, statuses.total(), statuses.total() - statuses[OK] - statuses[_CONFLICT]),
        *(len(responses), len(responses) - len(successes)),
        sum(expected.get(get_digest(one)) != one.body for one in successes),
        round(1000 * percentile([one.seconds for one in successes], 0.99), 1),
        *(round(before, 1), round(after, 1), round(100 * (after / before - 1), 1)),
        "yes" if get_version(last) == newest else "no",
    ]


def run(title: str, rate: float, clients: int, times: int) -> list[Cell]:
    """Serve a temporary store, reload it `times` times with each client, and return the row."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        copy_sources(store)
        publish_small(store, 0)
        flags = ["--models-store", folder, "--repository-control", "--watch-seconds", "0"]
        with run_latentd([*flags, "--log-level", "warning"]) as server:
            reloader = Reloader(server, store, int(_WARM_UP_SHARE * clients * times))
            reloads = (
                reloader.reload_sequentially(times)
                if clients == 1
                else reloader.reload_concurrently(clients, times)
            )
            return asyncio.run(measure(reloader, title, rate, reloads))


def make_record(rows: Sequence[Sequence[Cell]], arguments: str) -> Record:
    """Return the record of both cases, sequential reloads first."""
    sequential = (*_BOUNDS, Bound("growth %", _MAX_GROWTH))
    return Record(
        name="repeated_reloads",
        title="Repeated and concurrent reloads",
        command=f"python -m benchmarks.reliability.repeated_reloads {arguments}",
        goal="No reload and no inference fails, each response comes from the model that it names, "
        "and the last published version is served at the end. During sequential reloads, after a "
        f"warm-up of {_WARM_UP_SHARE:.0%} of them, memory grows by at most {_MAX_GROWTH:g} %.",
        columns=COLUMNS,
        rows=rows,
        bounds=[sequential, *(_BOUNDS for _ in rows[1:])],
        remark="Small bundles (autoencoder only) are published alternately from two sources and "
        "loaded on request. A failed reload is a status other than 200 and 409. With many clients "
        "most reloads leave the models unchanged. Publisher, load generators and service share the "
        "CPUs.",
    )


def main() -> int:
    """Measure, write the record, and return 1 if a row violates its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reloads", type=int, default=1000, help="sequential reloads")
    parser.add_argument("--clients", type=int, default=32, help="concurrent clients")
    parser.add_argument("--times", type=int, default=100, help="reloads by each client")
    parser.add_argument("--rate", type=float, default=40, help="inferences per second")
    parser.add_argument("--output", type=Path, default=RELIABILITY, help="folder of the record")
    parsed = parser.parse_args()
    concurrent = f"{parsed.clients} clients x {parsed.times} reloads"
    rows = [
        run(f"{parsed.reloads} sequential reloads", parsed.rate, 1, parsed.reloads),
        run(concurrent, parsed.rate, parsed.clients, parsed.times),
    ]
    arguments = (
        f"--reloads {parsed.reloads} --clients {parsed.clients} --times {parsed.times} "
        f"--rate {parsed.rate:g}"
    )
    return conclude(make_record(rows, arguments), parsed.output)


if __name__ == "__main__":
    raise SystemExit(main())
