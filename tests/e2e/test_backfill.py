"""A backfill in a real Airflow: what it pays for, and what a repetition does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_api import wait_for
from local_airflow import LocalAirflow
from local_postgres import LocalPostgres

from airflow_provider_nanostt.emulator import Emulator
from tests.e2e.stage import DAGS, KEY, recording, text_of

# Airflow looks every half minute whether a backfill has ended.
pytestmark = [pytest.mark.e2e, pytest.mark.long]

DATES = ("2026-01-02", "2026-01-03")


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator(keys=[KEY], recogniser="none") as running:
        yield running


@pytest.fixture
def airflow(service: Emulator, postgres: LocalPostgres, tmp_path: Path) -> Iterator[LocalAirflow]:
    """One with a database that the command can write to beside it."""
    env = {"AIRFLOW_CONN_NANOGPT_DEFAULT": service.connection_json, "E2E_TOLD": str(tmp_path)}
    home, database = tmp_path / "home", postgres.create_database("backfill")
    with LocalAirflow(Path(sys.executable), home, DAGS, database=database, env=env) as running:
        yield running


def backfill(airflow: LocalAirflow, *options: str) -> str:
    dates = ("--from-date", DATES[0], "--to-date", DATES[-1])
    done = airflow.cli("backfill", "create", "--dag-id", "by_date", *dates, *options)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def wait_for_backfill(airflow: LocalAirflow, tries: int) -> None:
    def ended() -> bool:
        found = airflow.api.get("/backfills", dag_id="by_date")["backfills"]
        return len(found) == tries and all(one["completed_at"] for one in found)

    wait_for(ended, f"the end of backfill {tries}", 180)


def test_a_backfill_pays_once_and_a_repetition_nothing(airflow: LocalAirflow, service: Emulator):
    """A dry run pays nothing, a date is one charge, and one that is run again finds what is paid for."""
    urls = [recording(date) for date in DATES]
    for url in urls:
        service.script(url, text=text_of(url), duration=60.0)
    airflow.api.wait_for_dag("by_date")
    assert DATES[0] in backfill(airflow, "--dry-run")
    assert [charge.source for charge in service.charges if charge.source in urls] == []
    for tries in (1, 2):
        backfill(airflow, *(("--reprocess-behavior", "completed") if tries > 1 else ()))
        wait_for_backfill(airflow, tries)
        assert sorted(charge.source for charge in service.charges if charge.source in urls) == urls
        runs = airflow.api.get("/dags/by_date/dagRuns")["dag_runs"]
        found = [one for run in runs for one in airflow.api.task_instances("by_date", run["dag_run_id"])]
        assert [(one.state, one.try_number) for one in found] == [("success", tries)] * len(DATES)
