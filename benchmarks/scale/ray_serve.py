"""Verify that Ray Serve loses no request when a replica dies, is added or is removed.

    pip install . 'ray[serve]' && python -m benchmarks.scale.ray_serve

Starts a local cluster of this machine. Needs neither a dashboard nor the Internet.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import

import ray
from ray import serve
from ray.util.state import list_actors

from benchmarks.harness.http_load import Request
from benchmarks.harness.records import Bound, Cell, Record, conclude
from benchmarks.scale import SCALE
from benchmarks.scale.retried_load import Outcomes, sending

_ROOT = Path(__file__).parents[2]
_STORE = _ROOT / "models_store"
_PORT = 8610
_SAMPLE = Request("sample", "/v1/sample", b'{"count": 4}')
_SECONDS_LIMIT = 180.0


def main() -> int:
    """Run the three cases, write the record, and return 1 if a request was lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=20.0, help="requests per second")
    flags = parser.parse_args()
    sys.path.insert(0, str(_ROOT))
    variables = {
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
        "LATENTD_MODELS_STORE": str(_STORE),
        "LATENTD_THREADS": "1",
    }
    # RAY_ADDRESS names a cluster that runs; otherwise this starts one.
    new = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": 4, "include_dashboard": False}
    ray.init(log_to_driver=False, runtime_env={"env_vars": variables}, **new)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": _PORT})
        rows = [
            measure("kill one of two replicas", 2, flags.rate, kill_replica),
            measure("scale from 1 to 3 replicas", 1, flags.rate, lambda: deploy(3)),
            measure("scale from 3 to 1 replica", 3, flags.rate, lambda: deploy(1)),
        ]
    finally:
        serve.shutdown()
        ray.shutdown()
    return conclude(make_record(rows, flags.rate), SCALE)


def deploy(replicas: int) -> None:
    """Deploy the application, and wait until it has this number of replicas."""
    from deploy.ray.application import Latentd  # noqa: PLC0415 - imports the service

    latentd = Latentd.options(autoscaling_config=None, num_replicas=replicas)
    serve.run(latentd.bind(), name="latentd")
    wait_until(lambda: len(list_replicas()) == replicas)


def list_replicas() -> list[int]:
    """Return the process ids of the running replicas."""
    actors = list_actors(filters=[("state", "=", "ALIVE")], detail=True)
    return [actor.pid for actor in actors if "ServeReplica" in actor.class_name and actor.pid]


def kill_replica() -> None:
    """Kill a replica, and wait until another one has replaced it."""
    before = list_replicas()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(list_replicas()) - {before[0]}) == len(before))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it does not hold in time.
    """
    deadline = time.monotonic() + _SECONDS_LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The condition does not hold after {_SECONDS_LIMIT:g} s.")
        time.sleep(0.5)


def measure(name: str, replicas: int, rate: float, change: Callable[[], None]) -> list[Cell]:
    """Return the row of a change under load, with a pause before and after it."""
    deploy(replicas)
    with sending(_PORT, _SAMPLE, rate) as outcomes:
        time.sleep(5)
        started = time.monotonic()
        change()
        seconds = time.monotonic() - started
        time.sleep(5)
    row = to_row(name, outcomes, seconds)
    print(row, flush=True)
    return row


def to_row(name: str, outcomes: Outcomes, seconds: float) -> list[Cell]:
    """Return a row of the table."""
    durations = sorted(outcomes.seconds)
    p99_ms = round(1000 * durations[int(0.99 * (len(durations) - 1))])
    return [name, outcomes.sent, outcomes.retried, outcomes.lost, round(seconds, 1), p99_ms]


def make_record(rows: list[list[Cell]], rate: float) -> Record:
    """Return the record."""
    return Record(
        name="ray_serve",
        title="Ray Serve: a killed replica, and more and fewer replicas",
        command=f"python -m benchmarks.scale.ray_serve --rate {rate:g}",
        goal="No request is lost after one repetition.",
        columns=(
            "case",
            "requests",
            "repeated",
            "lost",
            "until the change is complete s",
            "p99 ms",
        ),
        rows=rows,
        bounds=[[Bound("lost", 0)] for _ in rows],
        remark=(
            f"Ray {ray.__version__} on one machine, without a dashboard and usage statistics. "
            "Requests for four samples, each over a new connection; a request that fails is "
            "repeated once after 0.2 s. SIGKILL of a replica's process."
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
