"""The series of `/metrics` as numbers."""

import re

import httpx


def read_series(client: httpx.Client) -> dict[str, float]:
    """Return the value of every series, by its name and labels as in the text format."""
    rows = [row for row in client.get("/metrics").text.splitlines() if not row.startswith("#")]
    return {row.rpartition(" ")[0]: float(row.rpartition(" ")[2]) for row in rows}


def sum_series(series: dict[str, float], name: str, **labels: object) -> float:
    """Return the sum of the series with this name and these labels, 0 without any."""
    required = {f'{label}="{value}"' for label, value in labels.items()}
    return sum(
        value
        for row, value in series.items()
        if row.partition("{")[0] == name and required <= set(re.findall(r'\w+="[^"]*"', row))
    )
