"""Write the tables of docs/settings.md and docs/observability.md from the code.

usage: python docs/tables.py
"""

import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from service.observability import metrics
from service.settings import Settings

DOCS = Path(__file__).parent


def write_settings_table() -> str:
    """Return the table of settings: variable, default and description."""
    rows = [
        (
            f"`LATENTD_{name.upper()}`",
            f"`{'' if field.default is None else field.default}`",
            str(field.description),
        )
        for name, field in Settings.model_fields.items()
    ]
    return write_table(("variable", "default", "meaning"), rows)


def write_metrics_table() -> str:
    """Return the table of metrics: name, type, labels and help text."""
    wrappers = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    return write_table(("metric", "type", "labels", "meaning"), map(_describe, wrappers))


def _describe(metric: MetricWrapperBase) -> tuple[str, str, str, str]:
    """Return the row of one metric; its labels are only in a private attribute."""
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001
    return f"`{name}`", family.type, labels, family.documentation


def write_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def replace_table(page: str, first_column: str, table: str) -> str:
    """Return a page with the table whose first column has this heading replaced."""
    pattern = rf"^\| {first_column} \|.*\n(?:\|.*\n)+"
    replaced, count = re.subn(pattern, lambda _: table, page, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"Expected one table with the first column {first_column!r}, got {count}.")
    return replaced


def main() -> None:
    """Replace both tables."""
    for name, column, table in (
        ("settings.md", "variable", write_settings_table()),
        ("observability.md", "metric", write_metrics_table()),
    ):
        path = DOCS / name
        path.write_text(replace_table(path.read_text(), column, table))
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
