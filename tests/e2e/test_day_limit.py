"""A day limit on Airflow 3.4: waited for without using a try, and not for ever."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_api import wait_for
from local_airflow import LocalAirflow

from airflow_provider_nanostt.emulator import Emulator
from tests.e2e.stage import DAGS, KEY, python_of, recording, text_of

# A reset is waited for with a minute of margin.
pytestmark = [pytest.mark.e2e, pytest.mark.long]

URL = recording("limit")


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator(keys=[KEY], recogniser="none") as running:
        running.script(URL, text=text_of(URL), duration=60.0, processing_seconds=1.0)
        yield running


@pytest.fixture
def airflow(service: Emulator, tmp_path: Path) -> Iterator[LocalAirflow]:
    env = {"AIRFLOW_CONN_NANOGPT_DEFAULT": service.connection_json, "E2E_TOLD": str(tmp_path)}
    (tmp_path / "dags").mkdir()
    shutil.copy(DAGS / "day_limit.py", tmp_path / "dags")
    with LocalAirflow(python_of("3.4"), tmp_path / "home", tmp_path / "dags", env=env) as running:
        yield running


def test_a_day_limit_uses_no_try_and_is_bounded(airflow: LocalAirflow, service: Emulator, tmp_path: Path):
    """The first limit is a reschedule of the same try, the second, past the bound, a retry; one submit is paid for."""
    service.fail(
        "/transcribe", status=429, envelope="error_object", code="daily_rpd_limit_exceeded", retry_after=0, times=2
    )
    api = airflow.api
    api.wait_for_dag("day_limit", 180)
    run_id = api.trigger_dag("day_limit")

    def rescheduled() -> bool:
        one = api.task_instance("day_limit", run_id, "transcribe")
        return (one.state, one.try_number) == ("up_for_reschedule", 1)

    wait_for(rescheduled, "the task waiting for the reset", 180)
    assert (list(service.charges), tmp_path.joinpath("retried").exists()) == ([], False)
    assert api.wait_for_run("day_limit", run_id, 400) == "success"
    # The second limit was met in the first try: what is retried is that one.
    assert tmp_path.joinpath("retried").read_text() == "1\n"
    assert api.task_instance("day_limit", run_id, "transcribe").try_number == 2
    assert [charge.source for charge in service.charges] == [URL]
    sent = [one for one in service.requests if one.path.endswith("/transcribe")]
    assert [one.fault for one in sent] == ["429", "429", None]
