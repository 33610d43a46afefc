"""The table of what was reproduced, as JSON and as a page of Markdown."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from training.fitting.checkpoints import replace_file
from training.reproduction.plots import locate_picture
from training.reproduction.results import Outcome
from training.reproduction.rows import SIDES, Part, Row, Side, Trial

Find: TypeAlias = Callable[[Trial], Outcome | None]
Entry: TypeAlias = dict[str, Any]

_TITLES: dict[Side, str] = {"same_net": "same net", "best": "best recipe"}
_HEAD = """\
# Every system of the reports

Written by `latentd reproduce`; each figure was measured once, on the test images, by the run that
its row names. Every choice (epochs, rates, bandwidths, default sources) was made on validation
images. "Same net" is the report's own layers and latent size, "best recipe" any net at that
latent size that is small enough to serve. MSE is per pixel of images in [0, 1]; shares and
accuracies are in percent; bounds and divergences are nats an image (an evidence lower bound with
a Gaussian likelihood is a density and may be positive). Recognisable samples are those to which a
judge network, trained on real images only, gives a class with probability 0.9 or more: the
reports' own shares were counted by eye. Minutes are those of the epochs, whatever else the
machine did.

"""
_COLUMNS = (
    "row",
    "report",
    "system",
    "figure",
    "its figure",
    "same net",
    "goal",
    "best recipe",
    "goal",
)


def describe_rows(rows: Iterable[Row], find: Find) -> list[Entry]:
    """Return one object a row, as docs/reproduction.json holds them.

    Each has `id`, `source`, `dataset`, `system`, `metric`, `report` (the report's figure),
    `same_net` and `best` (ours, or null), their `goals` and whether they are `met`, `runs` (of
    each side: command, seed, epochs, minutes, day), `pictures`, and `parts` (further figures).
    """
    return [
        _describe_part(row, find)
        | {
            "id": row.id,
            "source": row.source,
            "dataset": row.dataset,
            "pictures": [locate_picture(row, name) for name in row.pictures],
            "parts": [_describe_part(part, find) for part in row.part],
        }
        for row in rows
    ]


def write_page(entries: list[Entry], out: Path) -> None:
    """Write reproduction.json and reproduction.md into a folder, each in one step."""
    text = json.dumps(entries, indent=1) + "\n"
    replace_file(out / "reproduction.json", lambda path: path.write_text(text))
    page = _HEAD + _make_table(entries) + _list_runs(entries) + _show_pictures(entries)
    replace_file(out / "reproduction.md", lambda path: path.write_text(page))


def _describe_part(part: Part, find: Find) -> Entry:
    trials = part.trials()
    outcomes = {side: find(trial) for side, trial in trials.items()}
    figures: Entry = {side: _read_figure(part, outcomes.get(side)) for side in SIDES}
    goals = {side: trials[side].goal if side in trials else None for side in SIDES}
    return {
        "system": part.system,
        "metric": part.metric,
        "report": part.report,
        **figures,
        "goals": goals,
        "met": {side: _is_met(part.metric, figures[side], goals[side]) for side in SIDES},
        "runs": {
            side: _describe_run(part.metric, outcome)
            for side, outcome in outcomes.items()
            if outcome is not None
        },
    }


def _read_figure(part: Part, outcome: Outcome | None) -> float | None:
    if part.metric is None or outcome is None:
        return None
    return outcome.figures.get(part.metric)


def _is_met(metric: str | None, figure: float | None, goal: float | None) -> bool | None:
    if metric is None or figure is None or goal is None:
        return None
    return figure <= goal if "mse" in metric else figure >= goal


def _describe_run(metric: str | None, outcome: Outcome) -> Entry:
    network = _name_network(metric)
    return {
        "command": outcome.command,
        "seed": outcome.seed,
        "epochs": outcome.epochs.get(network),
        "minutes": outcome.minutes.get(network),
        "images": outcome.images,
        "measured": outcome.measured,
    }


def _name_network(metric: str | None) -> str:
    """Return the network that gives a metric."""
    if metric is None:
        return "autoencoder"
    source = metric.removeprefix("source.")
    for name, prefixes in {
        "denoiser": ("denoise",),
        "classifier": ("classifier",),
        "vae": ("vae", "prior"),
        "gan": ("gan",),
    }.items():
        if source.startswith(prefixes):
            return name
    return "autoencoder"


def _make_table(entries: list[Entry]) -> str:
    lines = [_make_line(_COLUMNS), _make_line("---" for _ in _COLUMNS)]
    for entry in entries:
        lines += [_make_row(entry["id"], entry["source"], entry)]
        lines += [_make_row("", "", part) for part in entry["parts"]]
    return "\n".join(lines) + "\n"


def _make_row(name: str, source: str, entry: Entry) -> str:
    cells = [name, source, entry["system"], _show_metric(entry), _show(entry["report"])]
    for side in SIDES:
        figure, goal = _show(entry[side]), _show(entry["goals"][side])
        cells += [f"**{figure}**" if entry["met"][side] else figure, goal]
    return _make_line(cells)


def _show_metric(entry: Entry) -> str:
    return "picture" if entry["metric"] is None else f"`{entry['metric']}`"


def _show(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4g}"


def _make_line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _list_runs(entries: list[Entry]) -> str:
    lines = [
        "\nA figure in bold meets its goal.\n",
        "## Runs\n",
        _make_line(
            ("row", "net", "command", "seed", "epochs", "minutes", "test images", "measured")
        ),
        _make_line(["---"] * 8),
    ]
    for entry in entries:
        for side, run in entry["runs"].items():
            cells = [str("" if run[key] is None else run[key]) for key in list(run)[1:]]
            lines.append(_make_line([entry["id"], _TITLES[side], f"`{run['command']}`", *cells]))
    return "\n".join(lines) + "\n"


def _show_pictures(entries: list[Entry]) -> str:
    lines = ["\n## Pictures\n"]
    for entry in entries:
        if entry["pictures"]:
            lines.append(f"### {entry['id']}: {entry['system']}\n")
            lines += [
                f"![{entry['id']}: {entry['system']}]({path})\n" for path in entry["pictures"]
            ]
    return "\n".join(lines)
