"""The plots of the rows: copied from run folders and searches; sweeps are drawn here."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from training.files import replace_bytes
from training.report.plots.curves import draw_sweeps
from training.report.plots.style import write_png
from training.reproduction.results import Result, locate_study
from training.reproduction.rows import SIDES, Row, Side, Target

_SWEEP = "sweep"
_NAMES: dict[Side, str] = {"same_net": "the report's network", "best": "best recipe"}


def locate_plot(row: Row, name: str) -> str:
    """Return the path of a plot, relative to the page."""
    return f"reproduction/{row.id}-{name}.png"


def collect_plots(
    rows: Iterable[Row], runs: Path, out: Path, find: Callable[[Target], Result | None]
) -> list[str]:
    """Copy or draw the plots of all rows into `out`; return the paths of missing plots."""
    missing = []
    (out / "reproduction").mkdir(parents=True, exist_ok=True)
    for row in rows:
        for name in row.plots:
            target = out / locate_plot(row, name)
            existing = [path for path in _list_candidates(row, name, runs) if path.exists()]
            if name == _SWEEP:
                _draw_sweep(row, target, find)
            elif existing:
                shutil.copyfile(existing[0], target)
            if not target.exists():
                missing.append(locate_plot(row, name))
    return missing


def _list_candidates(row: Row, name: str, runs: Path) -> list[Path]:
    """Return the possible paths of a plot."""
    names = [target.run_name for target in row.targets().values()]
    paths = [runs / run_name / "report" / f"{name}.png" for run_name in names]
    return paths + ([locate_study(row.study, runs) / f"{name}.png"] if row.study else [])


def _draw_sweep(row: Row, path: Path, find: Callable[[Target], Result | None]) -> None:
    """Plot the metric of a row and its parts against the latent size (report 002)."""
    panels = {}
    for side in SIDES:
        points = sorted(_list_points(row, side, find))
        if len(points) > 1:
            sizes, errors = zip(*points, strict=True)
            panels[f"latent size, {_NAMES[side]}"] = (sizes, {"test images": errors})
    if panels:
        replace_bytes(path, write_png(draw_sweeps(panels)))


def _list_points(
    row: Row, side: Side, find: Callable[[Target], Result | None]
) -> list[tuple[int, float]]:
    """Return the latent size and the metric of each measured target on one side."""
    points = []
    for part in row.parts():
        target = part.targets().get(side)
        result = find(target) if target else None
        if target and result and part.metric in result.metrics:
            size = target.resolve().autoencoder.latent_size
            points.append((size, result.metrics[part.metric]))
    return points
