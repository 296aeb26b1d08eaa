"""The other faces in a real Airflow: a page with its link and asset events, functions that say what to transcribe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from local_airflow import LocalAirflow

from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.lineage import plain
from airflow_provider_nanostt.links import tab_of

pytestmark = pytest.mark.e2e
pytest.importorskip("pocketsphinx")


def text_of(uri: str) -> str:
    return Path(uri.removeprefix("file://")).read_text()


@pytest.fixture(scope="module")
def run(airflow: LocalAirflow, service: Emulator, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One run of the DAG, which has to succeed."""
    api = airflow.api
    api.wait_for_dag("faces")
    run_id = api.trigger_dag("faces", conf={"output": str(tmp_path_factory.mktemp("files"))})
    state = api.wait_for_run("faces", run_id)
    assert state == "success", [
        api.task_log("faces", run_id, one.task_id) for one in api.task_instances("faces", run_id) if one.state != state
    ]
    return run_id


def test_the_link_on_the_tasks_page_opens_the_tab(airflow: LocalAirflow, run):
    """Airflow's own API gives the address of the tab; the HTML file is there."""
    told = airflow.api.get(f"/dags/faces/dagRuns/{run}/taskInstances/to_a_page/links")
    links = told["extra_links"]
    files = airflow.api.xcom("faces", run, "to_a_page")["files"]
    assert links == {"Transcript": tab_of("faces", run, "to_a_page")}
    assert "Service" in text_of(files["html"])


def test_each_file_is_an_asset_event_with_its_cost(airflow: LocalAirflow, run):
    """Whatever listens for the alias hears of every file, and what the transcript has cost."""
    result = airflow.api.xcom("faces", run, "to_a_page")
    events = [
        event
        for event in airflow.api.get("/assets/events", source_dag_id="faces", source_task_id="to_a_page")[
            "asset_events"
        ]
        if event["source_run_id"] == run
    ]
    assert {event["uri"] for event in events} == {plain(uri) for uri in result["files"].values()}
    assert all(event["extra"]["cost_usd"] == result["cost_usd"] for event in events)


def test_a_function_that_returns_a_list_is_a_batch(airflow: LocalAirflow, run):
    """Both recordings land, the manifest has a row for each, and the declared asset hears the sums."""
    batch = airflow.api.xcom("faces", run, "all_notes")
    assert (batch["total"], batch["written"]) == (2, 2)
    rows = [
        json.loads(line) for line in Path(batch["manifest"]["jsonl"].removeprefix("file://")).read_text().splitlines()
    ]
    assert [
        "office" in json.loads(Path(row["files"]["json"].removeprefix("file://")).read_text())["text"] for row in rows
    ]
    (event,) = airflow.api.get("/assets/events", source_dag_id="faces", source_task_id="all_notes")["asset_events"]
    assert (event["extra"]["written"], event["extra"]["cost_usd"]) == (2, batch["cost_usd"])


def test_a_folder_that_another_task_names_is_waited_for(airflow: LocalAirflow, run):
    """Mapped tasks whose output_path comes from upstream run after it, and write there."""
    folder = airflow.api.xcom("faces", run, "folder")
    assert sorted(path.suffix for path in Path(folder).iterdir() if path.is_file()) == [".json", ".json"]


def test_a_function_that_returns_one_recording_has_its_text_in_xcom(airflow: LocalAirflow, run, service: Emulator):
    """As from the operator; and everything together was charged once for each recording."""
    assert "questions before friday" in airflow.api.xcom("faces", run, "one_note")["transcription"]
    assert len(service.charges) == 6
