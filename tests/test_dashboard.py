"""The Grafana dashboard: it is one by Grafana's own model, and every metric that it asks for is really sent."""

from __future__ import annotations

import importlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt.metrics import METRICS, StatsMeter

ROOT = Path(__file__).parents[1]
DASHBOARD = json.loads((ROOT / "docs" / "dashboards" / "nanostt.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}


def lost(written: Any, read: Any, place: str = "") -> list[str]:
    """What of a value is not in what was made of it, by where it is; what Grafana adds by itself is no matter."""
    if isinstance(written, dict) and isinstance(read, dict):
        return [one for name in written for one in lost(written[name], read.get(name), f"{place}.{name}")]
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        return [one for n in range(len(written)) for one in lost(written[n], read[n], f"{place}.{n}")]
    return [] if written == read else [place.removeprefix(".")]


def as_grafana_reads(dashboard: dict[str, Any]) -> Any:
    """Read a dashboard by Grafana Labs' own model of it, and write that down again."""
    model = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    encoder = importlib.import_module("grafana_foundation_sdk.cog.encoder").JSONEncoder()
    importlib.import_module("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    return json.loads(encoder.encode(model.Dashboard.from_json(dashboard)))


def test_it_is_a_dashboard_for_grafana():
    """Its model knows every name in the whole, in the panels' options and in their queries, and keeps each value."""
    assert lost(DASHBOARD, as_grafana_reads(DASHBOARD)) == []


@pytest.mark.parametrize(
    "broken",
    ["refresh_every", "templating.lists", "panels.0.typ", "panels.0.gridPos.wide", "panels.0.options.legends",
     "panels.0.fieldConfig.defaults.custom.filling", "panels.0.targets.0.expression"],
)  # fmt: skip
def test_a_name_that_grafana_does_not_know_is_noticed(broken):
    """Wherever it is, so the right ones are known."""
    wrong = json.loads(json.dumps(DASHBOARD))
    *path, name = broken.split(".")
    place = wrong
    for key in path:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[name] = "x"
    assert lost(wrong, as_grafana_reads(wrong)) == [broken]


def test_the_panels_are_those_that_operators_need():
    """Jobs waiting, lag, refusals, cost and uncertain submits; each says what it shows, and none hides another."""
    assert list(PANELS) == ["Jobs waiting", "Lag", "Refusals", "Cost per hour", "Uncertain submits"]
    assert all(panel["description"] for panel in PANELS.values())
    places = [tuple(panel["gridPos"][side] for side in "xy") for panel in PANELS.values()]
    assert len(set(places)) == len(places)


def asked_for(panel: dict[str, Any]) -> set[str]:
    """The names that a panel's queries ask Prometheus for."""
    return {name for target in panel["targets"] for name in re.findall(r"\bairflow_\w+", target["expr"])}


SEND = """
import sys
from airflow_provider_nanostt.metrics import METRICS, StatsMeter
home, in_triggerer = sys.argv[1], sys.argv[2] == "triggerer"
from importlib import import_module
stats = import_module(f"{home}.observability.stats")
utils = import_module(f"{home}.observability.metrics.stats_utils")
stats.initialize(factory=utils.get_stats_factory(), export_legacy_names=False)  # as such a process does when it starts
meter = StatsMeter(in_triggerer=in_triggerer)
for name, kind in METRICS.items():
    {"counter": meter.incr, "gauge": lambda name: meter.gauge(name, 7), "timer": lambda name: meter.timing(name, 1.5)}[
        kind
    ](name)
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A StatsD server, as far as receiving goes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        yield server


@pytest.mark.parametrize(("kind", "home"), [("task", "airflow.sdk"), ("triggerer", "airflow")])
def test_statsd_hears_of_every_metric(listener, monkeypatch, kind, home):
    """From the process of a task as from a triggerer's, of which Airflow sets up one kind of metrics each."""
    pytest.importorskip("statsd")
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(listener.getsockname()[1]))
    done = subprocess.run([sys.executable, "-c", SEND, home, kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = {
        {"counter": f"airflow.nanostt.{name}:1|c", "gauge": f"airflow.nanostt.{name}:7|g"}.get(
            sort, f"airflow.nanostt.{name}:1500.000000|ms"
        )
        for name, sort in METRICS.items()
    }
    heard: set[str] = set()
    while len(heard) < len(expected):  # Airflow counts things of its own, too
        heard |= {line for line in [listener.recv(1000).decode()] if line.startswith("airflow.nanostt.")}
    assert heard == expected


def statsd_names() -> set[str]:
    """What the StatsD exporter makes of them with its own settings: dots become underscores, a timer is a summary."""
    return {f"airflow_nanostt_{name}" for name in METRICS}


@pytest.fixture
def otel_names(monkeypatch) -> set[str]:
    """What Prometheus gets of them by OpenTelemetry's rules, from Airflow's own logger of that kind."""
    logger = pytest.importorskip("airflow.sdk._shared.observability.metrics.otel_logger")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    from airflow.sdk.observability import stats
    from opentelemetry.sdk.metrics import MeterProvider

    if not hasattr(stats, "initialize"):
        pytest.skip("Airflow 3.2 has it in another form")
    reader = export.InMemoryMetricReader()
    made = logger.SafeOtelLogger(MeterProvider([reader]))
    stats.initialize(factory=lambda: made, export_legacy_names=False)
    try:
        meter = StatsMeter()
        for name, kind in METRICS.items():
            if kind == "counter":
                meter.incr(name)
            else:
                (meter.gauge if kind == "gauge" else meter.timing)(name, 1.0)
    finally:
        stats.initialize(factory=usual_factory(), export_legacy_names=False)
    names = set()
    for resource in reader.get_metrics_data().resource_metrics:
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            plain = metric.name.replace(".", "_")
            if isinstance(metric.data, export.Sum):
                assert metric.data.is_monotonic
                names.add(f"{plain}_total")
            elif isinstance(metric.data, export.Histogram):
                names |= {f"{plain}_{part}" for part in ("bucket", "sum", "count")}
            else:
                names.add(plain)
    return names


def usual_factory() -> Any:
    from airflow.sdk.observability.metrics import stats_utils

    return stats_utils.get_stats_factory()


def test_every_panel_has_data_either_way(otel_names):
    """What a panel asks for is sent by StatsD or by OpenTelemetry, and each panel has something from both."""
    for title, panel in PANELS.items():
        asked = asked_for(panel)
        assert asked <= statsd_names() | otel_names, title
        assert asked & statsd_names(), title
        assert asked & otel_names, title
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"\bairflow_nanostt_\w+", page)) <= statsd_names() | otel_names


def test_the_page_names_every_metric():
    """Name and kind are those of the code, in the order of the page."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    named = dict(re.findall(r"^\| `nanostt\.(\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert named == METRICS
