"""The table in docs/importing.md."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "importing.md"
RECORD = Path(__file__).with_name("rows.json")
BEGIN, END = "<!-- table of benchmarks/import -->", "<!-- end of the table -->"
_HEAD = (
    "| model | images | code | sources | codes differ | images differ | import | CPU time | date |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


def write_rows(measured: Mapping[str, Mapping[str, Any]], peers: Mapping[str, Any]) -> None:
    """Replace the measured rows of the record, and write the table of all rows."""
    rows: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    rows |= {name: row for name, row in measured.items() if "error" not in row}
    ordered = {name: rows[name] for name in peers if name in rows}
    RECORD.write_text(json.dumps(ordered, indent=1) + "\n")
    lines = [*_HEAD, *(_write_row(peers[name], row) for name, row in ordered.items())]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    table, after = "\n".join(lines), rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")


def _write_row(peer: Any, row: Mapping[str, Any]) -> str:  # noqa: ANN401 - a `peers.Peer`
    title = f"{peer.title} ({peer.note})" if peer.note else peer.title
    code = f"{row['codes']:.1e} of {row['largest_code']:.3g}"
    differs = f"{max(row['images'], row['both']):.1e}"
    cells = (title, row["image"], row["code"], str(row["sources"]), code, differs)
    return f"| {' | '.join(cells)} | {row['seconds']} s | {row['cpu_seconds']} s | {row['date']} |"
