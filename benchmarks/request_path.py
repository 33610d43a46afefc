"""Count what one request executes in our code, and time requests in process.

    python benchmarks/request_path.py                        # count, this checkout
    python benchmarks/request_path.py --tree OTHER --time    # compare with another checkout

One `POST /v1/classify` with a 28 x 28 PNG is sent through the ASGI callable, without sockets, after
warm-up. `sys.setprofile` observes the event loop's thread and all threads that the application
starts. The three metrics cover only functions defined in the package `service`:

modules: files whose functions run.
calls: call events. A resumed coroutine and each step of a generator count again.
nested frames: most of our frames on one Python stack.

`--time` measures requests per second with 1 and 64 concurrent requests. Both checkouts run on the
same CPU and alternate in each round; the ratio is the median of the ratios within each round.
"""

import argparse
import asyncio
import io
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parents[1]
CONCURRENCIES = (1, 64)
_OK = 200
_WARM_UP_REQUESTS = 200

Call = Callable[[], Awaitable[None]]


def draw_digit() -> bytes:
    """Return a 28 x 28 grey PNG of a seven."""
    image = Image.new("L", (28, 28))
    ImageDraw.Draw(image).line([(7, 7), (20, 7), (12, 22)], fill=255, width=3)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


class PathProfile:
    """Records calls of functions defined in a folder while `active`."""

    def __init__(self, folder: Path) -> None:
        """Observe no call until `active` is set."""
        self.active = False
        self.calls: Counter[str] = Counter()
        self.modules: set[str] = set()
        self.nesting = 0
        self._prefix = f"{folder}{os.sep}"

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Record a call event; this is the function that `sys.setprofile` takes."""
        file = frame.f_code.co_filename
        if not (self.active and event == "call" and file.startswith(self._prefix)):
            return
        module = file.removeprefix(self._prefix)
        self.modules.add(module)
        self.calls[f"{module}:{frame.f_code.co_qualname}"] += 1
        self.nesting = max(self.nesting, self._count_nested(frame))

    def _count_nested(self, frame: FrameType | None) -> int:
        count = 0
        while frame is not None:
            count += frame.f_code.co_filename.startswith(self._prefix)
            frame = frame.f_back
        return count


def make_call(app: Callable[..., Awaitable[None]], body: bytes) -> Call:
    """Return a function that sends one classify request to an ASGI application.

    Its call raises RuntimeError for any status but 200.
    """
    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"image/png"),
        (b"content-length", str(len(body)).encode()),
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/classify",
        "raw_path": b"/v1/classify",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
    }

    async def call() -> None:
        requests = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            message = next(requests, None)
            if message is None:
                await asyncio.Event().wait()  # the client stays connected
            return message or {}

        async def send(message: dict[str, Any]) -> None:
            if message.get("status", _OK) != _OK:
                raise RuntimeError(f"Expected status {_OK}, got {message['status']}.")

        await app({**scope, "state": {}}, receive, send)

    return call


async def count(call: Call, profile: PathProfile) -> dict[str, Any]:
    """Return the metrics of one request, and its calls by function."""
    sys.setprofile(profile)
    profile.active = True
    try:
        await call()
    finally:
        profile.active = False
        sys.setprofile(None)
    return {
        "modules": len(profile.modules),
        "calls": profile.calls.total(),
        "nested frames": profile.nesting,
        "functions": dict(profile.calls),
    }


async def measure_rate(call: Call, concurrency: int, seconds: float) -> float:
    """Return requests per second with a constant number of requests in flight."""
    finished = 0
    start = time.perf_counter()

    async def send_requests() -> None:
        nonlocal finished
        while time.perf_counter() - start < seconds:
            await call()
            finished += 1
            await asyncio.sleep(0)  # a real client's response also passes through the event loop

    await asyncio.gather(*(send_requests() for _ in range(concurrency)))
    return finished / (time.perf_counter() - start)


async def run_probe(profile: PathProfile | None) -> None:
    """Start the application and execute commands from standard input, one JSON list per line."""
    from service.app import create_app  # noqa: PLC0415 - from the checkout in PYTHONPATH

    app = create_app()
    call = make_call(app, draw_digit())
    async with app.router.lifespan_context(app):
        for _ in range(_WARM_UP_REQUESTS):
            await call()
        for line in sys.stdin:  # blocks the idle event loop, which is intended
            arguments = json.loads(line)
            if profile is None:
                result: Any = await measure_rate(call, *arguments)
            else:
                result = await count(call, profile)
            print(json.dumps(result), flush=True)


def start_profile() -> PathProfile:
    """Return a profile of the package `service` that all later threads report to."""
    import service  # noqa: PLC0415 - from the checkout in PYTHONPATH

    folder = Path(service.__file__).resolve().parent
    if folder.parent != Path(os.environ["PYTHONPATH"]):
        raise RuntimeError(f"Expected service in {os.environ['PYTHONPATH']}, got {folder}.")
    profile = PathProfile(folder)
    threading.setprofile(profile)
    return profile


class Probe:
    """A child process that runs one checkout's application.

    It counts or measures, but not both: threads that report to a profile are slower.
    """

    def __init__(self, tree: Path, command: str) -> None:
        """Start the process for `count` or `time`, with `service` from `tree`."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LATENTD_")}
        environment |= {
            "PYTHONPATH": str(tree),
            "LATENTD_MODELS_STORE": str(tree / "models_store"),
            "LATENTD_WATCH_SECONDS": "0",
        }
        self._process = subprocess.Popen(  # noqa: S603 - this file
            [sys.executable, __file__, "--probe", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, *arguments: float) -> Any:  # noqa: ANN401 - JSON
        """Return the result of one measurement."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("The probe has no pipes.")
        stdin.write(json.dumps(arguments) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"The probe ended with status {self._process.wait()}.")
        return json.loads(line)

    def __enter__(self) -> Self:
        """Return this probe."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """End the process."""
        self._process.communicate()


def print_counts(probes: dict[str, Probe], *, list_functions: bool) -> None:
    """Print each checkout's metrics, and its calls by function where requested."""
    for name, probe in probes.items():
        result = probe.run()
        functions = result.pop("functions")
        print(f"{name}: " + ", ".join(f"{value} {metric}" for metric, value in result.items()))
        if list_functions:
            print("\n".join(f"  {calls:3} {function}" for function, calls in functions.items()))


def print_rates(probes: dict[str, Probe], rounds: int, seconds: float) -> None:
    """Print requests per second, and the ratio of this checkout to the other one."""
    for concurrency in CONCURRENCIES:
        rates: dict[str, list[float]] = {name: [] for name in probes}
        for _ in range(rounds):
            for name, probe in probes.items():
                rates[name].append(probe.run(concurrency, seconds))
        medians = [f"{name} {statistics.median(of):,.0f}/s" for name, of in rates.items()]
        line = f"{concurrency} concurrent: {', '.join(medians)}"
        if len(rates) > 1:
            ours, theirs = rates.values()
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
            line += f", ratio {statistics.median(ratios):.3f}"
            line += f" ({min(ratios):.3f} to {max(ratios):.3f})"
        print(line, flush=True)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tree", type=Path, help="another checkout to compare with")
    parser.add_argument("--list", action="store_true", help="list the functions that run")
    parser.add_argument("--time", action="store_true", help="also measure requests per second")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds of --time")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of one measurement")
    parser.add_argument("--probe", choices=("count", "time"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = parse_arguments()
    if options.probe:
        asyncio.run(run_probe(start_profile() if options.probe == "count" else None))
        return
    trees = {"this checkout": HERE}
    if options.tree is not None:
        trees["other checkout"] = options.tree.resolve()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for command in ("count", "time") if options.time else ("count",):
        with ExitStack() as stack:
            probes = {
                name: stack.enter_context(Probe(tree, command)) for name, tree in trees.items()
            }
            if command == "count":
                print_counts(probes, list_functions=options.list)
            else:
                print_rates(probes, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
