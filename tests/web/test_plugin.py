"""How Airflow finds the tab, on every version, and what finding it costs those who do not serve pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from airflow_provider_nanostt import TAB_ROUTE, _compat, get_provider_info
from airflow_provider_nanostt.decorators import TranscribeDecoratedOperator
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator, YouTubeTranscribeOperator
from airflow_provider_nanostt.sensors import TranscriptionSensor
from airflow_provider_nanostt.web import OPERATORS
from airflow_provider_nanostt.web.plugin import NanoSTTPlugin

pytestmark = pytest.mark.airflow

LOAD = """
import json, sys
from airflow import plugins_manager, settings
import airflow.configuration
before = set(sys.modules)
import airflow_provider_nanostt.web.plugin
from airflow_provider_nanostt.web.plugin import NanoSTTPlugin
plugin = NanoSTTPlugin()
views, apps = getattr(plugin, "external_views", []), getattr(plugin, "fastapi_apps", [])
mounts = [{**app, "app": None} for app in apps]
print(json.dumps({"loaded": sorted(set(sys.modules) - before), "views": views, "apps": mounts}))
"""

FOUND = """
import json, logging, sys
from airflow import plugins_manager
plugins_manager.integrate_macros_plugins()
known = getattr(plugins_manager, "_get_plugins", None)
plugins, errors = known() if known else (plugins_manager.plugins, plugins_manager.import_errors)
print(json.dumps({"names": [str(one.name) for one in plugins], "errors": errors, "modules": sorted(sys.modules)}))
"""


def run(script: str, **variables: str) -> tuple[dict, str]:
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    *printed, report = done.stdout.splitlines()
    return json.loads(report), "\n".join(printed) + done.stderr


@pytest.fixture(scope="module")
def found():
    return run(FOUND)


def test_airflow_finds_it_by_its_entry_point_without_a_word(found):
    """No error, no warning, on a version with tabs and on one without."""
    report, printed = found
    assert "nanostt" in report["names"]
    assert not any("nanostt" in f"{where} {what}" for where, what in report["errors"].items())
    assert not [line for line in printed.splitlines() if "nanostt" in line.lower()]


def test_finding_it_imports_nothing_that_serves_pages(found):
    """Scheduler, workers, triggerer and DAG processor look for plugins, too."""
    report, _ = found
    ours = [name for name in report["modules"] if name.startswith("airflow_provider_nanostt")]
    assert sorted(ours) == [
        "airflow_provider_nanostt",
        "airflow_provider_nanostt.web",
        "airflow_provider_nanostt.web.plugin",
    ]


def test_it_loads_no_library():
    """Neither FastAPI nor a template engine, nor anything of ours that reads or renders."""
    report, _ = run(LOAD)
    assert [name for name in report["loaded"] if not name.startswith("airflow_provider_nanostt")] == []


@pytest.mark.skipif(not _compat.HAS_TABS, reason="this Airflow has no tabs")
@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("http://localhost:8080", ""),
        ("https://example.com/air/flow/", "/air/flow"),
        pytest.param("https://example.com/air/flow", "/air/flow", marks=pytest.mark.long),
        pytest.param("", "", marks=pytest.mark.long),
    ],
)
def test_its_address_is_below_airflows_own(base, path):
    """Whatever path a proxy has put Airflow below; the placeholders are in the path, where none is decoded twice."""
    report, _ = run(LOAD, AIRFLOW__API__BASE_URL=base)
    (view,) = report["views"]
    assert view["href"] == f"{path}/nanostt/tab/{{DAG_ID}}/{{RUN_ID}}/{{TASK_ID}}/{{MAP_INDEX}}"
    assert (view["destination"], view["url_route"]) == ("task_instance", TAB_ROUTE)
    assert view["applies_to"] == {"operator_name": list(OPERATORS)}
    (app,) = report["apps"]
    assert app["url_prefix"] == "/nanostt"


@pytest.mark.skipif(_compat.HAS_TABS, reason="this Airflow has tabs")
def test_an_airflow_without_tabs_gets_nothing():
    """Neither a view nor routes."""
    report, _ = run(LOAD)
    assert (report["views"], report["apps"]) == ([], [])


def test_it_names_every_task_of_ours():
    """By what Airflow shows as the name of a task's operator."""
    kinds = [TranscribeOperator, TranscribeBatchOperator, YouTubeTranscribeOperator, TranscriptionSensor]
    assert [*(kind.__name__ for kind in kinds), TranscribeDecoratedOperator.custom_operator_name] == list(OPERATORS)


def test_the_metadata_names_the_same_plugin():
    """Where the entry point does."""
    (entry,) = (entry for entry in entry_points(group="airflow.plugins") if entry.name == "nanostt")
    assert entry.load() is NanoSTTPlugin
    (named,) = get_provider_info()["plugins"]
    assert named["plugin-class"] == entry.value.replace(":", ".")
    assert named["name"] == NanoSTTPlugin.name
