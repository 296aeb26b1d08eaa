"""What a real Airflow tells of a task: callbacks, a missed deadline and metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow_api import wait_for
from local_airflow import LocalAirflow

from airflow_provider_nanostt.emulator import Emulator
from tests.e2e.stage import recording

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def run(airflow: LocalAirflow, service: Emulator) -> str:
    """A run whose job fails at the service, after the service was too busy once."""
    service.script(recording("told"), status="failed", error="no speech in it", duration=30.0, processing_seconds=1.0)
    service.fail("/transcribe", status=429, retry_after=0, match="told")
    airflow.api.wait_for_dag("told")
    return airflow.api.trigger_dag("told")


def told(airflow: LocalAirflow, name: str) -> object:
    file = Path(airflow.env["E2E_TOLD"], f"{name}.json")
    wait_for(file.exists, f"{file.name} being written", 120)
    return json.loads(file.read_text())


def test_a_failure_callback_knows_job_cost_minutes_and_next_step(airflow: LocalAirflow, service: Emulator, run):
    """As the page has it, in the task's process after a deferral."""
    error, left = told(airflow, "failed")
    (charge,) = [one for one in service.charges if one.source == recording("told")]
    assert error == "TranscriptionFailed"
    assert (left["run_id"], left["cost_usd"]) == (charge.run_id, pytest.approx(charge.cost))
    assert left["charged_minutes"] == pytest.approx(0.5)
    assert "the next try goes on" in left["next_step"]


def test_a_missed_deadline_knows_what_runs_and_what_it_costs(airflow: LocalAirflow, service: Emulator, run):
    """In the triggerer, from the run alone."""
    found = told(airflow, "late")
    (charge,) = [one for one in service.charges if one.source == recording("told")]
    assert (found["run_id"], found["cost_usd"]) == (charge.run_id, pytest.approx(charge.cost))
    assert found["charged_minutes"] == pytest.approx(0.5)


def test_statsd_hears_of_them(airflow: LocalAirflow, metrics, run):
    """Waiting jobs, polls and lag from the triggerer, refusals and costs from the tasks."""
    told(airflow, "failed")
    names = {f"airflow.nanostt.{name}" for name in ("jobs_waiting", "polls", "refusals", "cost_micro_usd")}
    wait_for(lambda: names <= metrics.keys(), f"{sorted(names - metrics.keys())}", 60)
