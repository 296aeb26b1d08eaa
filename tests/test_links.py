"""The link on a task's page."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_nanostt import _compat
from airflow_provider_nanostt.links import TranscriptLink, address_in, tab_of
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from airflow_provider_nanostt.sensors import TranscriptionSensor


@pytest.mark.parametrize(
    ("result", "address"),
    [
        ({"files": {"json": "s3://b/call.json", "html": "s3://b/call.html"}}, "s3://b/call.html"),
        ({"files": {"json": "s3://b/call.json", "srt": "s3://b/call.srt"}}, "s3://b/call.json"),
        ({"manifest": {"jsonl": "s3://b/manifest.jsonl", "csv": "s3://b/manifest.csv"}}, "s3://b/manifest.jsonl"),
        ({"transcription": "in XCom", "segments": []}, ""),
        (None, ""),
        ("nothing of ours", ""),
    ],
)
def test_it_leads_to_the_page_or_to_the_first_file(result, address):
    """The page first, else the first file, of a batch the manifest; nothing where there is no file."""
    assert address_in(result) == address


def test_the_result_is_read_from_xcom_before_airflow_has_tabs(monkeypatch):
    """The link asks for what the task has returned, and for nothing else."""
    monkeypatch.setattr(_compat, "HAS_TABS", False)
    asked = []

    def get_value(*, ti_key, key):
        asked.append((ti_key, key))
        return {"files": {"json": "s3://b/call.json"}}

    monkeypatch.setattr(_compat, "XCom", SimpleNamespace(get_value=get_value), raising=False)
    operator = TranscribeOperator(task_id="t", audio="call.wav")
    assert TranscriptLink().get_link(operator, ti_key="key") == "s3://b/call.json"
    assert asked == [("key", "return_value")]


@pytest.mark.skipif(not _compat.HAS_TABS, reason="this Airflow has no tabs")
@pytest.mark.parametrize("map_index", [-1, None])
def test_it_leads_to_the_tab_of_the_task(map_index):
    """Relative to Airflow's root, whatever is in the names; it asks for nothing."""
    key = SimpleNamespace(
        dag_id="calls", run_id="manual__2026-01-01T00:00:00+00:00", task_id="a/b?", map_index=map_index
    )
    address = TranscriptLink().get_link(TranscribeOperator(task_id="t", audio="call.wav"), ti_key=key)
    run = "manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    assert address == f"dags/calls/runs/{run}/tasks/a%2Fb%3F/plugin/nanostt-transcript"


def test_a_mapped_task_has_the_tab_of_its_index():
    """Airflow shows each instance on a page of its own."""
    assert tab_of("d", "r", "t", 3) == "dags/d/runs/r/tasks/t/mapped/3/plugin/nanostt-transcript"


@pytest.mark.parametrize("kind", [TranscribeOperator, TranscribeBatchOperator, TranscriptionSensor])
def test_every_task_has_it(kind):
    """Whatever ends with a transcript shows the way to it."""
    assert [type(link) for link in kind.operator_extra_links] == [TranscriptLink]
