"""Jobs that end at every moment after the submit: Airflow's handling of early events must not fail a task."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_airflow import LocalAirflow
from local_postgres import LocalPostgres

from airflow_provider_nanostt.emulator import Emulator
from tests.e2e.stage import DAGS, KEY, NEWEST, OLDEST, WHOLE, python_of, recording, text_of

pytestmark = [pytest.mark.e2e, pytest.mark.long]

JOBS = 60 if WHOLE else 12
LATEST = 12.0  # seconds after the submit


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator(keys=[KEY], recogniser="none") as running:
        yield running


@pytest.fixture(
    params=[
        (NEWEST, "sqlite"),  # where it was seen most
        *(pytest.param((version, "postgresql"), marks=pytest.mark.long) for version in (NEWEST, OLDEST)),
    ],
    ids="-".join,
)
def airflow(
    request: pytest.FixtureRequest, service: Emulator, postgres: LocalPostgres, tmp_path: Path
) -> Iterator[LocalAirflow]:
    version, kind = request.param
    database = postgres.create_database(f"race_{version}".replace(".", "_")) if kind == "postgresql" else None
    python = Path(sys.executable) if version == NEWEST else python_of(OLDEST)
    env = {
        "AIRFLOW_CONN_NANOGPT_DEFAULT": service.connection_json,
        "E2E_FILES": str(tmp_path / "results"),
        "E2E_LEDGER": "task state" if version == NEWEST else "files",
    }
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(DAGS / "paid_once.py", dags)
    with LocalAirflow(python, tmp_path / "home", dags, database=database, env=env, parallelism=4) as running:
        yield running


def test_no_moment_of_the_end_fails_a_task(airflow: LocalAirflow, service: Emulator):
    """Jobs that take from 0 to 12 s all land in their first try, each for one charge and with its own words."""
    urls = [recording(f"race-{number}") for number in range(JOBS)]
    for number, url in enumerate(urls):
        seconds = LATEST * number / (JOBS - 1)
        service.script(url, text=text_of(url), duration=60.0, processing_seconds=seconds)
    api = airflow.api
    api.wait_for_dag("each", 120)
    run_id = api.trigger_dag("each", {"urls": urls})
    assert api.wait_for_run("each", run_id, 400) == "success"
    found = [one for one in api.task_instances("each", run_id) if one.task_id == "transcribe"]
    assert {(one.map_index, one.state, one.try_number) for one in found} == {(i, "success", 1) for i in range(JOBS)}
    assert sorted(charge.source for charge in service.charges) == sorted(urls)
    by_run = {charge.run_id: charge.source for charge in service.charges}
    results = [api.xcom("each", run_id, "transcribe", map_index=i) for i in range(JOBS)]
    assert [by_run[result["run_id"]] for result in results] == urls
