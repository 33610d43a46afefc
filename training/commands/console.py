"""Console output and exit statuses of the commands."""

import sys
from collections.abc import Callable, Mapping, Sequence

from service.artifact import Bundle, Metric, Store
from service.errors import LatentdError
from training.errors import RecipeError, TrainingError


def run_command(command: Callable[[], None]) -> int:
    """Run a command; print an expected exception as one line, and return the exit status."""
    try:
        command()
    except RecipeError as error:
        print(f"latentd: {error}", file=sys.stderr)
        return 2
    except (TrainingError, LatentdError, OSError) as error:
        print(f"latentd: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlatentd: interrupted; repeat the command to resume", file=sys.stderr)
        return 130
    return 0


def print_metrics(metrics: Mapping[str, Metric]) -> None:
    """Print a table of test metrics."""
    count = next(iter(metrics.values())).count
    print(f"\nmetrics on {count} test images:")
    width = max(len(name) for name in metrics)
    for name, metric in metrics.items():
        print(f"  {name:{width}}  {metric.value:10.5g}  {metric.unit}")


def print_verdict(sentences: Sequence[str]) -> None:
    """Print the verdict of a training."""
    print("\nresult:")
    for sentence in sentences:
        print(f"  {sentence}")


def print_bundle(bundle: Bundle, store: Store) -> None:
    """Print the version, place and size of a bundle that was published in a store."""
    size = sum(entry.bytes for entry in bundle.manifest.files.values())
    parity = max(
        graph.parity
        for network in bundle.manifest.networks.values()
        for graph in network.formats.values()
    )
    print(f"\nmaximum difference of a graph from the original network: {parity:.2g}")
    place = f"{store}/{bundle.name}/{bundle.version}"
    print(f"published {bundle.name}, version {bundle.version}: {place} ({size:,} bytes)")
