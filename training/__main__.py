"""The command line: `latentd train`, `tune`, `evaluate` and `export`.

Each command is a function from its arguments to an exit status: 0; 1 if it failed; 2 if the
recipe or a flag is wrong; 130 if it was interrupted.
"""

import argparse
import sys
from collections.abc import Callable

from service.artifact import Bundle, Metric
from service.errors import LatentdError
from training.commands.flags import (
    describe_command,
    find_run,
    make_evaluate_parser,
    make_export_parser,
    make_report_parser,
    make_train_parser,
    make_tune_parser,
    name_study,
    settle_recipe,
    settle_search,
)
from training.errors import RecipeError, TrainingError
from training.fitting.loop import choose_device
from training.fitting.run_folders import Run, start_run
from training.pipeline import complete_run, fit_run, measure_run, reopen_run
from training.publishing.bundle import publish_bundle
from training.report.page import write_report


def train(arguments: list[str]) -> int:
    """Train everything that a recipe names, and publish it as the bundle's next version."""
    return _guard(lambda: _train(make_train_parser().parse_args(arguments)))


def tune(arguments: list[str]) -> int:
    """Search for the best values of a recipe's keys, on training and validation images."""
    return _guard(lambda: _tune(make_tune_parser().parse_args(arguments)))


def evaluate(arguments: list[str]) -> int:
    """Measure a finished run on its test images again."""
    return _guard(lambda: _evaluate(make_evaluate_parser().parse_args(arguments)))


def export(arguments: list[str]) -> int:
    """Export a finished run again, and publish it as the bundle's next version."""
    return _guard(lambda: _export(make_export_parser().parse_args(arguments)))


def report(arguments: list[str]) -> int:
    """Write a finished run's figures, and a page with them all."""
    return _guard(lambda: _report(make_report_parser().parse_args(arguments)))


def reproduce(arguments: list[str]) -> int:
    """Reproduce the systems of the source reports, and write the table of what came out."""
    from training.reproduction.command import (  # noqa: PLC0415 - matplotlib, for this command only
        make_reproduce_parser,
        reproduce_rows,
    )

    return _guard(lambda: reproduce_rows(make_reproduce_parser().parse_args(arguments)))


def main() -> int:
    """Run `python -m training COMMAND ...`."""
    commands = {
        "train": train,
        "tune": tune,
        "evaluate": evaluate,
        "export": export,
        "report": report,
        "reproduce": reproduce,
    }
    parser = argparse.ArgumentParser("python -m training")
    parser.add_argument("command", choices=commands)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    return commands[given.command](given.arguments)


def _train(flags: argparse.Namespace) -> None:
    recipe = settle_recipe(flags)
    device = choose_device(flags.device)
    wanted = Run(flags.runs / recipe.name, recipe, describe_command(flags), str(flags.data_root))
    run = start_run(wanted, fresh=flags.fresh)
    print(f"training {recipe.name} on {device}; progress is kept in {run.folder}")
    trained = complete_run(fit_run(run, device, print))
    _print_metrics(trained.measures.metrics)
    if flags.publish:
        _print_bundle(publish_bundle(trained, flags.store))
    else:
        print(f"not published: `latentd export {run.folder}` does so")


def _tune(flags: argparse.Namespace) -> None:
    from training.search.tune import Task, run_search  # noqa: PLC0415 - optuna, for this command only

    study, device = name_study(flags), choose_device(flags.device)
    folder = flags.runs / "tune" / study
    storage = flags.storage or f"sqlite:///{folder / 'study.db'}"
    search = settle_search(flags)
    task = Task(search, study, folder, storage, flags.data_root, device, keep=flags.keep)
    print(f"searching {search.network} on {device}; results are kept in {folder}")
    best = run_search(task, print)
    print(f"\nbest: trial {best.number}, validation loss {best.values[0]:.6g}")
    for key, value in search.read(best.params).items():
        print(f"  {key} = {value}")
    print(f"`latentd train {folder / 'best.toml'}` trains it")


def _evaluate(flags: argparse.Namespace) -> None:
    run = find_run(flags)
    prepared = reopen_run(run, choose_device(flags.device), print)
    _print_metrics(measure_run(prepared).metrics)


def _export(flags: argparse.Namespace) -> None:
    run = find_run(flags)
    trained = complete_run(reopen_run(run, choose_device(flags.device), print))
    _print_metrics(trained.measures.metrics)
    _print_bundle(publish_bundle(trained, flags.store))


def _report(flags: argparse.Namespace) -> None:
    run = find_run(flags)
    trained = complete_run(reopen_run(run, choose_device(flags.device), print))
    page = write_report(trained, flags.out or run.folder / "report")
    print(f"wrote {page} ({page.stat().st_size:,} bytes), and its figures beside it")


def _guard(command: Callable[[], None]) -> int:
    """Run a command; turn what it raises on purpose into one line and an exit status."""
    try:
        command()
    except RecipeError as error:
        print(f"latentd: {error}", file=sys.stderr)
        return 2
    except (TrainingError, LatentdError, OSError) as error:
        print(f"latentd: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nlatentd: stopped; the same command goes on where this one was",
            file=sys.stderr,
        )
        return 130
    return 0


def _print_metrics(metrics: dict[str, Metric]) -> None:
    count = next(iter(metrics.values())).count
    print(f"\nmeasured on the {count} test images:")
    width = max(len(name) for name in metrics)
    for name, metric in metrics.items():
        print(f"  {name:{width}}  {metric.value:10.5g}  {metric.unit}")


def _print_bundle(bundle: Bundle) -> None:
    size = sum(entry.bytes for entry in bundle.manifest.files.values())
    parity = max(
        graph.parity
        for network in bundle.manifest.networks.values()
        for graph in network.formats.values()
    )
    print(f"\nlargest difference of an exported graph from PyTorch: {parity:.2g}")
    print(f"published {bundle.name}, version {bundle.version}: {bundle.folder} ({size:,} bytes)")


if __name__ == "__main__":
    sys.exit(main())
