"""The alert rules, the dashboard and the runbook agree with the metrics."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.observability import metrics

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana.json").read_text())
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
ADDED_BY_PROMETHEUS = {"instance", "job", "le"}


def list_series() -> set[str]:
    """Return the names of all time series, such as `latentd_request_seconds_bucket`."""
    suffixes = {
        "counter": ("_total",),
        "gauge": ("",),
        "histogram": ("_bucket", "_sum", "_count"),
    }
    return {
        f"{family.name}{suffix}"
        for family in metrics.REGISTRY.collect()
        for suffix in suffixes[family.type]
    }


def list_labels() -> set[str]:
    """Return the label names of all metrics, and those that Prometheus adds."""
    page = (ROOT / "docs" / "observability.md").read_text()
    columns = re.findall(r"^\| `latentd_\w+` \| \w+ \| (.*?) \|", page, re.MULTILINE)
    return {label for column in columns for label in re.findall(r"\w+", column)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_queries_existing_metrics(rule: dict[str, Any]) -> None:
    """Each metric and label in the expression of an alert exists."""
    expression = rule["expr"]
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    for group in re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", expression):
        labels |= set(re.findall(r"\w+", group))

    assert set(re.findall(r"latentd_\w+", expression)) <= list_series()
    assert labels <= list_labels() | ADDED_BY_PROMETHEUS


def test_dashboard_queries_existing_metrics() -> None:
    """Each metric in a query of the dashboard exists."""
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    queried = set(re.findall(r"latentd_\w+", " ".join(queries)))

    assert queried
    assert queried <= list_series()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_is_complete(rule: dict[str, Any]) -> None:
    """Each alert has a severity, a summary, and a runbook section with checks and a remedy."""
    section = re.search(
        rf"^## {rule['alert']}\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL
    )

    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert section
    assert re.findall(r"^(\d)\. ", section[1], re.MULTILINE) == ["1", "2", "3"]
    assert "**Remedy.**" in section[1]


def test_runbook_has_no_obsolete_sections() -> None:
    """Each section of the runbook belongs to an alert."""
    sections = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)

    assert sections == [rule["alert"] for rule in RULES]


def test_prometheus_loads_the_rules() -> None:
    """deploy/prometheus.yml names the rule file next to it, and the job of the alerts."""
    configuration = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())

    assert configuration["rule_files"] == ["alerts.yaml"]
    assert [job["job_name"] for job in configuration["scrape_configs"]] == ["latentd"]
