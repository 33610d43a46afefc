"""The rows' pictures: drawn by their runs' reports and searches, and the sweep drawn here."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from training.fitting.checkpoints import replace_file
from training.report.plots import draw_sweeps, write_png
from training.reproduction.results import Outcome, locate_study
from training.reproduction.rows import SIDES, Row, Side, Trial

_SWEEP = "sweep"
_NAMES: dict[Side, str] = {"same_net": "the report's net", "best": "best recipe"}


def locate_picture(row: Row, name: str) -> str:
    """Return a picture's path beside the page."""
    return f"reproduction/{row.id}-{name}.png"


def collect_pictures(
    rows: Iterable[Row], runs: Path, out: Path, find: Callable[[Trial], Outcome | None]
) -> list[str]:
    """Put the rows' pictures beside the page; return the paths of those that nobody has drawn."""
    missing = []
    (out / "reproduction").mkdir(parents=True, exist_ok=True)
    for row in rows:
        for name in row.pictures:
            target = out / locate_picture(row, name)
            found = [path for path in _list_places(row, name, runs) if path.exists()]
            if name == _SWEEP:
                _draw_sweep(row, target, find)
            elif found:
                shutil.copyfile(found[0], target)
            if not target.exists():
                missing.append(locate_picture(row, name))
    return missing


def _list_places(row: Row, name: str, runs: Path) -> list[Path]:
    """Return where a picture may lie."""
    places = [runs / trial.run_name / "report" / f"{name}.png" for trial in row.trials().values()]
    return places + ([locate_study(row.study, runs) / f"{name}.png"] if row.study else [])


def _draw_sweep(row: Row, target: Path, find: Callable[[Trial], Outcome | None]) -> None:
    """Draw the row's figure against the latent size, over the row and its parts (report 002)."""
    panels = {}
    for side in SIDES:
        points = sorted(_list_points(row, side, find))
        if len(points) > 1:
            sizes, errors = zip(*points, strict=True)
            panels[f"numbers a code, {_NAMES[side]}"] = (sizes, {"test images": errors})
    if panels:
        content = write_png(draw_sweeps(panels))
        replace_file(target, lambda path: path.write_bytes(content))


def _list_points(
    row: Row, side: Side, find: Callable[[Trial], Outcome | None]
) -> list[tuple[int, float]]:
    """Return the latent size and the figure of each trial on one side that was measured."""
    points = []
    for part in (row, *row.part):
        trial = part.trials().get(side)
        outcome = find(trial) if trial else None
        if trial and outcome and part.metric in outcome.figures:
            size = trial.settle().autoencoder.latent_size
            points.append((size, outcome.figures[part.metric]))
    return points
