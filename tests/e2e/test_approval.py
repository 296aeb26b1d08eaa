"""A batch that asks in a real Airflow: nothing is submitted and no slot is held before a person answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow_api import AirflowApi, AirflowApiError, TaskInstance, wait_for
from local_airflow import LocalAirflow

from airflow_provider_nanostt._compat import can_ask_people
from airflow_provider_nanostt.emulator import Emulator
from tests.e2e.conftest import DAGS

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not can_ask_people(), reason="needs Airflow 3.1")]
DAG, TASK = "approval", "transcribe"
EXAMPLES = DAGS.parents[2] / "example_dags"
NAMES = ("weekly-note.wav", "delivery-call.wav")
WAITS = ("awaiting_input", "deferred")


@dataclass
class Run:
    """One run of the DAG.

    :param api: of whoever looks and answers.
    :param asks: the task that asks.
    """

    airflow: LocalAirflow
    service: Emulator
    api: AirflowApi
    folder: Path
    run_id: str
    dag: str = DAG
    asks: str = TASK

    @property
    def path(self) -> str:
        return f"/dags/{self.dag}/dagRuns/{self.run_id}/taskInstances/{self.asks}"

    @property
    def instance(self) -> TaskInstance:
        return self.api.task_instance(self.dag, self.run_id, TASK)

    def question(self) -> dict[str, Any]:
        """Wait until a person is asked, and return the question."""
        self.api.wait_for_task(self.dag, self.run_id, self.asks, WAITS, timeout=90)
        self.wait_left()
        found: dict[str, Any] = self.api.get(f"{self.path}/-1/hitlDetails")
        return found

    def wait_left(self) -> None:
        """Wait until the scheduler knows that the worker has left the task; an earlier answer makes it fail the try."""
        key, log = f"TaskInstanceKey(dag_id='{self.dag}', task_id='{self.asks}'", self.airflow.home / "scheduler.log"
        wait_for(
            lambda: any(
                key in line and self.run_id in line and "Received executor event" in line
                for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
            ),
            "the scheduler's knowing",
            20,
        )

    def answer(self, word: str, api: AirflowApi | None = None) -> None:
        body = {"chosen_options": [word], "params_input": {}}
        (api or self.api).request("PATCH", f"{self.path}/-1/hitlDetails", json=body)

    def end(self) -> str | None:
        """Wait for the end of the run, and return the state of the task."""
        self.api.wait_for_run(self.dag, self.run_id)
        return self.instance.state

    @property
    def record(self) -> dict[str, Any]:
        (path,) = (self.folder / ".nanostt").glob("*.approval")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    @property
    def submits(self) -> int:
        return sum(request.endpoint == "/transcribe" for request in self.service.requests)


Start = Callable[..., Run]


@pytest.fixture
def start(airflow: LocalAirflow, running_service: Emulator, tmp_path: Path) -> Start:
    """Start a run of the DAG; its jobs take a moment."""

    def started(*, on: LocalAirflow = airflow, **conf: Any) -> Run:
        running_service.reset()
        for name in NAMES:
            running_service.script(name, text="Good morning.", duration=12.0, processing_seconds=0.5)
        on.api.wait_for_dag(DAG)
        run_id = on.api.trigger_dag(DAG, conf={"output": str(tmp_path / "results"), **conf})
        return Run(on, running_service, on.api, tmp_path / "results", run_id)

    return started


def test_approved_in_required_actions(start: Start):
    """The figures are shown, nothing is held or paid meanwhile; then all is paid for once, and a clear asks nobody."""
    run = start()
    question = run.question()
    assert "2 recordings" in question["subject"]
    assert "| **all** | 2 |" in question["body"]
    wait_for(lambda: not run.airflow.task_pids(run.instance), "the worker's process being gone", 10)
    waiting = run.api.get(run.path)
    if waiting["state"] == "awaiting_input":
        assert (waiting["trigger"], waiting["triggerer_job"]) == (None, None)
        # Tasks of other tests may still be ending: a slot of this one would be held until somebody answers.
        pool = partial(run.api.get, "/pools/default_pool")
        wait_for(lambda: pool()["occupied_slots"] == 0, "no slot being held", 60)
    assert (run.submits, run.service.charges) == (0, [])
    run.answer("Approve")
    assert run.end() == "success"
    assert sorted(charge.source for charge in run.service.charges) == sorted(NAMES)
    approved = run.record["approved"]
    assert approved["user_id"]
    assert approved["usd"] >= sum(charge.cost for charge in run.service.charges)
    run.api.clear_task(DAG, run.run_id, TASK)
    assert run.end() == "success"
    assert len(run.service.charges) == 2


@pytest.mark.long
@pytest.mark.parametrize(("on_reject", "state"), [("fail", "failed"), ("skip", "skipped")])
@pytest.mark.parametrize("seconds", [None, 5])
def test_rejected_or_not_answered_in_time(start: Start, on_reject, state, seconds):
    """Nothing was submitted, there is no retry, and the log says so."""
    run = start(on_reject=on_reject, seconds=seconds)
    run.question()
    if seconds is None:
        run.answer("Reject")
    assert run.end() == state
    assert (run.submits, run.instance.try_number) == (0, 1)
    log = run.api.task_log(DAG, run.run_id, TASK)
    assert "so nothing was submitted" in log
    assert run.record["history"][0]["answer"] == ("rejected" if seconds is None else "timed_out")


@pytest.mark.long
def test_a_try_that_is_killed_after_the_approval_does_not_ask_again(start: Start):
    """The next one goes on with what was approved, and pays for nothing twice."""
    run = start(deferrable=False)
    for name in NAMES:
        run.service.script(name, text="Good morning.", duration=12.0, processing_seconds=8)
    run.question()
    run.answer("Approve")
    wait_for(lambda: run.submits == 2, "both being submitted", 60)
    wait_for(lambda: run.airflow.kill_task(run.instance), "the task being killed", 10)
    assert run.end() == "success"
    assert run.instance.try_number == 2
    assert len(run.service.charges) == 2
    assert "Waiting for an approval" not in run.api.task_log(DAG, run.run_id, TASK, try_number=2)


@pytest.mark.long
def test_only_those_who_may_answer_and_who_it_was(start: Start, running_service: Emulator, tmp_path_factory):
    """With real logins: a viewer and somebody who is not assigned are refused; the record names who has approved."""
    home = tmp_path_factory.mktemp("logins")
    users = {"ada": "admin", "max": "user", "vic": "viewer"}
    env = {"AIRFLOW_CONN_NANOGPT_DEFAULT": running_service.connection_json}
    with LocalAirflow(Path(sys.executable), home, DAGS, env=env, users=users) as airflow:
        run = start(on=airflow, users=["ada"])
        run.question()
        for name in ("max", "vic"):
            other = AirflowApi(airflow.url, airflow.major, name)
            with pytest.raises(AirflowApiError, match="403"):
                run.answer("Approve", other)
            other.close()
        assert run.submits == 0
        run.answer("Approve")
        assert run.end() == "success"
        assert (run.record["approved"]["user_id"], run.record["approved"]["user_name"]) == ("ada", "ada")


@pytest.mark.long
def test_asked_by_airflows_own_operator(running_service: Emulator, tmp_path_factory, tmp_path: Path):
    """The example as it stands: rejected, nothing is submitted; approved, each recording is paid for once."""
    running_service.reset()
    for name in NAMES:
        running_service.script(name, text="Good morning.", duration=12.0, processing_seconds=0.5)
    env = {"AIRFLOW_CONN_NANOGPT_DEFAULT": running_service.connection_json, "NANOSTT_OUTPUT": str(tmp_path)}
    with LocalAirflow(Path(sys.executable), tmp_path_factory.mktemp("example"), EXAMPLES, env=env) as airflow:
        airflow.api.wait_for_dag("example_approve")
        for word, state in (("Reject", "skipped"), ("Approve", "success")):
            run_id = airflow.api.trigger_dag("example_approve")
            run = Run(airflow, running_service, airflow.api, tmp_path / "approve", run_id, "example_approve", "approve")
            assert "recordings" in run.question()["subject"]
            assert run.submits == 0
            run.answer(word)
            assert run.end() == state
    assert sorted(charge.source for charge in running_service.charges) == sorted(NAMES)
