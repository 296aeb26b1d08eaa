"""Waiting for a job that another task has submitted, in every way Airflow knows."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException, AirflowSensorTimeout
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.sensors import TranscriptionSensor
from tests.conftest import TEXT, Memory

ASYNC = "Elevenlabs-STT"


@pytest.fixture(autouse=True)
def at_once(no_pauses):
    """No pauses in this module."""


@pytest.fixture
def job_seconds() -> float:
    """Long enough to be asked for while they run."""
    return 0.2


@pytest.fixture
def submitted(emulator: Emulator, wav) -> dict[str, Any]:
    """The result of the submitting task, as XCom has it."""
    ticket = TranscribeOperator(task_id="submit", audio_path=str(wav), model=ASYNC, wait_for_completion=False).execute(
        {}
    )
    return dict(json.loads(json.dumps(ticket)))


def sensor(**arguments: Any) -> TranscriptionSensor:
    return TranscriptionSensor(task_id="wait", **{"poke_interval": 0.1, "timeout": 60.0, **arguments})


def context() -> dict[str, Any]:
    instance = SimpleNamespace(
        dag_id="calls",
        task_id="wait",
        run_id="manual__1",
        map_index=-1,
        max_tries=0,
        try_number=1,
        get_first_reschedule_date=lambda _: None,
    )
    return {"ti": instance}


def submits(emulator: Emulator) -> int:
    return sum(request.endpoint == "/transcribe" for request in emulator.requests)


def still(emulator: Emulator, times: int) -> None:
    emulator.fail("/transcribe/status", body='{"status": "processing"}', status=200, times=times)


def test_what_the_submitting_task_returns(emulator: Emulator, submitted):
    """wait_for_completion=False returns the job at once, without asking for it."""
    (charge,) = emulator.charges
    assert submitted["job"]["run_id"] == submitted["run_id"] == charge.run_id
    assert (submitted["model"], submitted["cost_usd"]) == (ASYNC, charge.cost)
    assert submitted["job"]["body"]["runId"] == charge.run_id
    assert not any(request.endpoint == "/transcribe/status" for request in emulator.requests)


@pytest.mark.parametrize("form", ["result", "job", "result as text", "job as text"])
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_may_come_in_any_form(emulator: Emulator, submitted, run_task, form, deferrable):
    """As XCom gives it, or as a template renders it with tojson."""
    job = submitted if "result" in form else submitted["job"]
    job = json.dumps(job) if "text" in form else job
    result = run_task(lambda: sensor(job=job, deferrable=deferrable), context())
    result = result if isinstance(result, dict) else result.xcom_value
    assert result["transcription"] == TEXT
    assert result["run_id"] == submitted["run_id"]
    assert submits(emulator) == len(emulator.charges) == 1


def test_a_bare_run_id_works_where_the_service_takes_it(monkeypatch, wav, run_task):
    """For jobs that nobody has kept; the service may ask for more."""
    with Emulator(processing_seconds=0.1, strict_echo=False) as emulator:
        emulator.script("note.wav", text=TEXT, duration=30.0)
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", emulator.connection_json)
        ticket = TranscribeOperator(
            task_id="submit", audio_path=str(wav), model=ASYNC, wait_for_completion=False
        ).execute({})
        result = run_task(lambda: sensor(run_id=ticket["run_id"], deferrable=True), context())
    assert (result["transcription"], result["run_id"]) == (TEXT, ticket["run_id"])


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_that_still_runs_is_waited_for(emulator: Emulator, submitted, run_task, deferrable):
    """In the triggerer, or by poking."""
    still(emulator, 3)
    result = run_task(lambda: sensor(job=submitted, deferrable=deferrable), context())
    assert result["transcription"] == TEXT
    assert submits(emulator) == 1


def test_in_reschedule_mode_no_worker_is_held(emulator: Emulator, submitted):
    """Between two looks the task is given back to the scheduler, and the last look returns the result."""
    still(emulator, 1)
    with pytest.raises(Exception) as caught:  # noqa: PT011  a class of Airflow whose place depends on the version
        sensor(job=submitted, mode="reschedule").execute(context())
    assert type(caught.value).__name__ == "AirflowRescheduleException"
    while emulator.jobs[0].finished is None:
        pass
    assert sensor(job=submitted, mode="reschedule").execute(context())["transcription"] == TEXT


@pytest.mark.parametrize("deferrable", [True, False])
def test_results_may_go_to_files(emulator: Emulator, submitted, run_task, tmp_path, deferrable):
    """With an output_path the text stays out of XCom, as with the operator."""
    result = run_task(lambda: sensor(job=submitted, output_path=str(tmp_path), deferrable=deferrable), context())
    (file,) = result["files"].values()
    assert file == str(tmp_path / "note.json")
    assert "transcription" not in result


def test_a_result_that_is_there_already_is_passed_on(emulator: Emulator, wav):
    """A model that answers at once leaves no job to wait for; the DAG is the same for every model."""
    result = TranscribeOperator(task_id="submit", audio_path=str(wav), wait_for_completion=False).execute({})
    assert "job" not in result
    asked = len(emulator.requests)
    assert sensor(job=result).execute(context()) == result
    assert sensor(job=json.dumps(result), deferrable=True).execute(context()) == result
    assert len(emulator.requests) == asked


@pytest.mark.parametrize("processing_seconds", [0.0, 30.0])
def test_a_cleared_submitting_task_returns_the_same_job(emulator: Emulator, wav, files, processing_seconds):
    """Also when the job is done by then: the sensor downstream needs it, and nothing is paid again."""
    emulator.script("note.wav", text=TEXT, duration=30.0, processing_seconds=processing_seconds)
    make = lambda: TranscribeOperator(  # noqa: E731
        task_id="submit", audio_path=str(wav), model=ASYNC, wait_for_completion=False, **files.arguments
    )
    first = make().execute(files.context())
    assert make().execute(files.context()) == first
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    "fault", [{"status": 503, "times": 6}, {"kind": "html", "times": 6}, {"kind": "reset", "times": 6}]
)
def test_transient_errors_give_up_no_paid_job(emulator: Emulator, submitted, run_task, deferrable, fault, logged):
    """A look that fails is one look less, not a failed task."""
    emulator.fail("/transcribe/status", **fault)
    result = run_task(lambda: sensor(job=submitted, deferrable=deferrable), context())
    assert result["transcription"] == TEXT
    assert any("is asked for again" in line for line in logged())


def test_a_day_limit_gives_up_no_paid_job(emulator: Emulator, submitted):
    """The next look comes, and with it the answer."""
    emulator.fail(
        "/transcribe/status", status=429, code="daily_rpd_limit_exceeded", envelope="error_object", retry_after=0
    )
    assert sensor(job=submitted).poke(context()).is_done is False
    while emulator.jobs[0].finished is None:
        pass
    assert sensor(job=submitted).poke(context()).is_done


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_failed_job_says_why(emulator: Emulator, wav, run_task, deferrable):
    """Run, cost and the service's reason; no retry of a sensor fixes it."""
    emulator.script("note.wav", status="failed", error="no speech was found", duration=30.0)
    ticket = TranscribeOperator(task_id="submit", audio_path=str(wav), model=ASYNC, wait_for_completion=False).execute(
        {}
    )
    with pytest.raises(AirflowFailException, match="no speech was found") as caught:
        run_task(lambda: sensor(job=ticket, deferrable=deferrable), context())
    assert isinstance(caught.value.error, errors.TranscriptionFailed)
    assert ticket["run_id"] in str(caught.value)


@pytest.mark.parametrize("status", [401, 404])
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_service_that_will_not_tell(emulator: Emulator, submitted, run_task, status, deferrable):
    """The message says that the job is paid for, and how to pick it up."""
    emulator.fail("/transcribe/status", status=status, times=100)
    with pytest.raises(AirflowFailException) as caught:
        run_task(lambda: sensor(job=submitted, deferrable=deferrable), context())
    for word in (submitted["run_id"], "is paid for ($0.015)", str(status), "wait(Job.from_json("):
        assert word in str(caught.value)
    assert submits(emulator) == 1


def test_a_replica_that_lags_behind_loses_no_job(emulator: Emulator, submitted):
    """A few answers of "unknown run" are not believed."""
    emulator.fail("/transcribe/status", status=404, times=2)
    assert sensor(job=submitted).execute(context())["transcription"] == TEXT


def test_a_poking_sensor_that_times_out_names_the_way_back(emulator: Emulator, submitted, logged):
    """Airflow's own error says nothing of the money, so the log and XCom do."""
    still(emulator, 1000)
    pushed: dict[str, Any] = {}
    given = context()
    given["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    with pytest.raises(AirflowSensorTimeout):
        sensor(job=submitted, timeout=0.2).execute(given)
    log = "\n".join(logged())
    assert f"Run {submitted['run_id']} is still billed and may still finish" in log
    assert "wait(Job.from_json(" in log
    assert (pushed["run_id"], pushed["cost_usd"]) == (submitted["run_id"], submitted["cost_usd"])
    assert pushed["next_step"]


def test_a_deferred_sensor_leaves_in_xcom_what_it_waits_for(emulator: Emulator, submitted):
    """As the task does that waits for its own job."""
    still(emulator, 1000)
    pushed: dict[str, Any] = {}
    given = context()
    given["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    with pytest.raises(BaseException) as caught:  # noqa: PT011  TaskDeferred is not an Exception, and moves about
        sensor(job=submitted, deferrable=True).execute(given)
    assert type(caught.value).__name__ == "TaskDeferred"
    assert pushed["waiting"]["run_ids"] == [submitted["run_id"]]
    assert pushed["waiting"]["cost_usd"] == submitted["cost_usd"]


def test_a_deferred_sensor_that_times_out_names_the_way_back(emulator: Emulator, submitted, run_task):
    """It ends for good, as sensors do that ran out of time."""
    still(emulator, 1000)
    with pytest.raises(AirflowFailException, match="was not finished") as caught:
        run_task(lambda: sensor(job=submitted, timeout=0.3, deferrable=True), context())
    for word in (submitted["run_id"], "$0.015", "wait(Job.from_json("):
        assert word in str(caught.value)


@pytest.mark.parametrize("deferrable", [True, False])
def test_soft_fail_skips(emulator: Emulator, submitted, run_task, deferrable):
    """As with every sensor: a failure may be a skip."""
    emulator.fail("/transcribe/status", status=401, times=100)
    with pytest.raises(Exception) as caught:  # noqa: PT011  a class of Airflow whose place depends on the version
        run_task(lambda: sensor(job=submitted, soft_fail=True, deferrable=deferrable), context())
    assert type(caught.value).__name__ == "AirflowSkipException"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "got neither"),
        ({"run_id": "", "job": "None"}, "got neither"),
        ({"run_id": "run-1", "job": {"run_id": "run-1"}}, "got both"),
        ({"job": "{'run_id': "}, "use the filter tojson"),
        ({"job": "[1]"}, "job must be a mapping, got list"),
        ({"job": 7}, "job must be a mapping, got int"),
        ({"job": {"model": ASYNC}}, "has no 'run_id'"),
        ({"job": {"job": "run-1"}}, "has no 'run_id'"),
    ],
)
@pytest.mark.parametrize("deferrable", [True, False])
def test_bad_input_fails_for_good_before_any_request(emulator: Emulator, arguments, words, deferrable):
    """The message says what to pass instead."""
    with pytest.raises(AirflowFailException, match=words):
        sensor(deferrable=deferrable, **arguments).execute(context())
    assert list(emulator.requests) == []


def test_a_bad_flag_fails_for_good(emulator: Emulator, submitted):
    """As every other mistake does."""
    with pytest.raises(AirflowFailException, match="deferrable must be true or false, got 'perhaps'"):
        sensor(job=submitted, deferrable="perhaps").execute(context())


@pytest.mark.parametrize("nothing", [None, "", "None", "{{ params.nothing }}"])
@pytest.mark.parametrize("deferrable", [True, False, None, "{{ params.nothing }}"])
def test_nothing_is_the_default(emulator: Emulator, submitted, run_task, nothing, deferrable):
    """A parameter that was not filled in names no connection, and no way to wait."""
    still(emulator, 2)
    made = sensor(job=submitted, nanogpt_conn_id=nothing, deferrable=deferrable)
    made.render_template_fields({"params": {"nothing": None}})
    assert run_task(lambda: made, context())["transcription"] == TEXT


def test_a_bad_timeout_fails_when_it_is_used(emulator: Emulator, submitted):
    """A deferred wait needs a length of time."""
    still(emulator, 10)
    made = sensor(job=submitted, deferrable=True)
    made.timeout = "soon"
    with pytest.raises(AirflowFailException, match="timeout must be a positive number of seconds, got 'soon'"):
        made.execute(context())


def test_its_fields_are_templates(emulator: Emulator, submitted, tmp_path):
    """A job comes from another task's XCom."""
    made = sensor(job="{{ params.job | tojson }}", run_id="{{ params.none }}", output_path="{{ params.folder }}")
    made.render_template_fields({"params": {"job": submitted, "none": "", "folder": str(tmp_path)}})
    assert json.loads(made.job) == submitted
    assert made.execute(context())["files"] == {"json": str(tmp_path / "note.json")}


def test_it_writes_no_record(emulator: Emulator, submitted, run_task, tmp_path):
    """It pays nothing, so the ledger has nothing of it."""
    memory = Memory("task state", tmp_path)
    run_task(lambda: sensor(job=submitted, deferrable=True), memory.context())
    (state,) = memory.states.values()
    assert state.values == {}


def test_a_killed_sensor_says_that_the_next_one_waits_on(emulator: Emulator, logged):
    """Killing what only waits costs nothing."""
    sensor(run_id="run-1").on_kill()
    assert any("the next try of this sensor waits on" in line for line in logged())


def test_a_result_too_large_for_xcom_names_the_way_to_the_job(emulator: Emulator, submitted, tmp_path):
    """A sensor has no record to point at, so the message has the line that picks the job up."""
    context = Memory("task state", tmp_path).context()
    while emulator.jobs[0].finished is None:
        pass
    with pytest.raises(AirflowFailException, match="xcom_limit allows 10") as caught:
        sensor(job=submitted, output_options={"xcom_limit": 10}).poke(context)
    assert "wait(Job.from_json(" in str(caught.value)
    assert "has its record" not in str(caught.value)
