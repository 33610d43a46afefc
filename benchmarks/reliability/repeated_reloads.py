"""Models are reloaded a thousand times, and by many clients at once: does memory grow, is any lost?

    python benchmarks/reloads.py

A real service, with `repository_control`, serves a small bundle that is published again and again
and loaded by request. Meanwhile an open loop sends a picture; each answer is compared with what the
bundle that it names is known to answer.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

import swaps
from endings import conclude
from loads import Request, Sender, percentile
from publishing import NAME, SOURCES, find_shipped
from records import RELIABILITY, Cell, Record
from servers import Server, run_latentd

from service.artifact import Bundle, publish, stage, write_manifest
from service.artifact.manifest import parse_manifest

_LOAD = Request("load", f"/v2/repository/models/{NAME}/load")
_OK, _CONFLICT = 200, 409
_KEPT = 3
"""Versions left in the store: two are served."""
_WARM_SHARE = 0.1
"""Of the reloads, before memory is first looked at."""
_MOST_GROWTH = 5.0
COLUMNS = (
    *("what", "reloads", "other than 200 or 409", "inferences", "failed", "wrong"),
    *("p99 ms", "RSS before MB", "RSS after MB", "growth %", "last published is served"),
)


def publish_small(store: Path, number: int) -> Bundle:
    """Publish an autoencoder and nothing else, in turn of two sources; drop what is old."""
    source = find_shipped(SOURCES[number % 2])
    full = parse_manifest((source / "manifest.json").read_bytes())
    networks = {name: full.networks[name] for name in ("encoder", "decoder")}
    spaces = {"autoencoder": full.spaces["autoencoder"]}
    wanted = [graph.file for network in networks.values() for graph in network.formats.values()]
    wanted.append(spaces["autoencoder"].reference)
    small = full.model_copy(
        update={
            "networks": networks,
            "spaces": spaces,
            "samplers": {},
            "default_source": None,
            "maps": {},
            "report": None,
            "files": {name: full.files[name] for name in wanted},
        }
    )
    with stage(store, NAME) as folder:
        for name in wanted:
            shutil.copyfile(source / name, folder / name)
        write_manifest(folder, small)
        bundle = publish(folder, store, NAME)
    old = store / NAME / str(bundle.version - _KEPT)
    if old.exists():
        shutil.rmtree(old)
    return bundle


@dataclass(slots=True)
class Work:
    """What is done to a service, and what it said."""

    server: Server
    store: Path
    warm: int
    """Reloads before memory is first looked at."""
    statuses: Counter[int] = field(default_factory=Counter)
    before: float = 0.0

    async def reload(self, sender: Sender) -> None:
        """Ask for what the store holds; note the memory once the service is warm."""
        if self.statuses.total() == self.warm:
            self.before = self.server.rss
        answer = await sender.send(_LOAD, _LOAD.pack(), time.monotonic())
        self.statuses[answer.status] += 1

    async def reload_often(self, times: int) -> None:
        """Publish and load one version after the other."""
        sender = Sender(self.server.port)
        for number in range(times):
            await asyncio.to_thread(publish_small, self.store, number)
            await self.reload(sender)
        await sender.close()

    async def reload_together(self, clients: int, times: int) -> None:
        """Have many clients load all the time, while versions are published."""

        async def repeat() -> None:
            sender = Sender(self.server.port)
            for _ in range(times):
                await self.reload(sender)
            await sender.close()

        asking = asyncio.gather(*(repeat() for _ in range(clients)))
        number = 0
        while not asking.done():
            await asyncio.to_thread(publish_small, self.store, number := number + 1)
            await asyncio.sleep(0.2)
        await asking
        sender = Sender(self.server.port)
        await self.reload(sender)
        await sender.close()


async def send_while(server: Server, rate: float, work: Awaitable[None]) -> list[swaps.Answer]:
    """Send pictures at a rate until work is done; return the answers."""
    doing = asyncio.ensure_future(work)
    sender = swaps.Sender(server.port)
    answers: list[swaps.Answer] = []
    while not doing.done():
        answers += await swaps.send_open_loop(sender, rate, time.monotonic() + 1)
    sender.close()
    await doing
    return answers


async def measure(work: Work, title: str, rate: float, doing: Awaitable[None]) -> list[Cell]:
    """Return the row of what is done."""
    sender = swaps.Sender(work.server.port)
    known = {}
    for number, source in enumerate(SOURCES):
        digest = (await asyncio.to_thread(publish_small, work.store, number)).digest
        known[digest] = (await sender.send(source, time.monotonic())).body
    setup = Sender(work.server.port)
    await setup.send(_LOAD, _LOAD.pack(), time.monotonic())
    await setup.close()
    answers = await send_while(work.server, rate, doing)
    after = work.server.rss
    sender.close()  # its connections have been idle for too long
    sender = swaps.Sender(work.server.port)
    last = await sender.send(NAME, time.monotonic())
    sender.close()
    newest = max(int(folder.name) for folder in (work.store / NAME).iterdir())
    good = [one for one in answers if one.status == _OK]
    statuses = work.statuses
    return [
        *(title, statuses.total(), statuses.total() - statuses[_OK] - statuses[_CONFLICT]),
        *(len(answers), len(answers) - len(good)),
        sum(known.get(one.digest) != one.body for one in good),
        round(1000 * percentile([one.came - one.sent for one in good], 0.99), 1),
        *(round(work.before, 1), round(after, 1), round(100 * (after / work.before - 1), 1)),
        "yes" if last.version == newest else "no",
    ]


def run(title: str, rate: float, clients: int, times: int) -> list[Cell]:
    """Serve a store of its own, reload so often by so many clients, and return the row."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        for source in SOURCES:
            shutil.copytree(find_shipped(source), store / source / "1")
        publish_small(store, 0)
        flags = ["--models-store", folder, "--repository-control", "--watch-seconds", "0"]
        with run_latentd([*flags, "--log-level", "warning"]) as server:
            work = Work(server, store, int(_WARM_SHARE * clients * times))
            doing = (
                work.reload_often(times) if clients == 1 else work.reload_together(clients, times)
            )
            return asyncio.run(measure(work, title, rate, doing))


def judge(rows: list[list[Cell]]) -> list[str]:
    """Return what does not hold."""
    findings = {
        "a reload failed": any(row[2] for row in rows),
        "an inference failed": any(row[4] for row in rows),
        "an answer was wrong": any(row[5] for row in rows),
        "memory grew": float(rows[0][9]) > _MOST_GROWTH,
        "the last version is not served": any(row[10] != "yes" for row in rows),
    }
    return [text for text, is_so in findings.items() if is_so]


def main() -> int:
    """Measure, write the record, and return 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reloads", type=int, default=1000, help="one after the other")
    parser.add_argument("--clients", type=int, default=32, help="that reload at once")
    parser.add_argument("--times", type=int, default=100, help="that each of them does")
    parser.add_argument("--rate", type=float, default=40, help="inferences a second")
    parser.add_argument("--output", type=Path, default=RELIABILITY)
    given = parser.parse_args()
    several = f"{given.clients} clients x {given.times} reloads"
    rows = [
        run(f"{given.reloads} versions, one after the other", given.rate, 1, given.reloads),
        run(several, given.rate, given.clients, given.times),
    ]
    findings = judge(rows)
    print(*rows, sep="\n")
    record = Record(
        name="reloads",
        title="A thousand reloads, and many at once",
        command=f"python benchmarks/reloads.py --reloads {given.reloads} "
        f"--clients {given.clients} --times {given.times} --rate {given.rate:g}",
        goal="no reload and no inference fails, none is answered by another model than the one "
        "it names, and at the end the last version published is served; from the first tenth of "
        f"the reloads one after the other memory grows by at most {_MOST_GROWTH:g} %.",
        columns=COLUMNS,
        rows=rows,
        remark="Small bundles (an autoencoder alone), published in turn of two sources and "
        "loaded by request. With many clients most reloads find nothing new. Publisher, "
        "senders and service share the CPUs.",
    )
    return conclude(record, findings, given.output)


if __name__ == "__main__":
    raise SystemExit(main())
