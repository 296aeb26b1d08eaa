"""Where a job is waited for: in the worker if it is expected soon, else in the triggerer; one rule for all."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_nanostt._compat import ObjectStoragePath
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from airflow_provider_nanostt.polling import describe_wait
from tests.conftest import TEXT, Memory

ASYNC = "Elevenlabs-STT"


@pytest.fixture
def job_seconds() -> float:
    """Longer than any test waits."""
    return 60.0


def operator(kind: str, wav: Any, files: Memory, **arguments: Any) -> Any:
    given = {"task_id": "t", "model": ASYNC, "deferrable": True, "poll_interval": 0.05, **files.arguments, **arguments}
    if kind == "single":
        return TranscribeOperator(audio=str(wav), **given)
    return TranscribeBatchOperator(audio=[str(wav)], **given)


def deferral(made: Any, context: Any) -> Any:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  TaskDeferred is not an Exception, and moves about
        made.execute(context)
    assert type(caught.value).__name__ == "TaskDeferred"
    return caught.value


def questions(emulator: Emulator) -> int:
    return sum(request.endpoint == "/transcribe/status" for request in emulator.requests)


def age(files: Memory, seconds: float) -> None:
    """Let the recorded job be so many seconds older."""
    for file in (files.folder / ".nanostt").glob("*.json"):
        record = json.loads(file.read_text())
        record["job"]["submitted_at"] -= seconds
        file.write_text(json.dumps(record))


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_an_overdue_short_job_is_left_to_the_triggerer(emulator: Emulator, wav, files, kind):
    """More than twice as old as expected, nobody knows how long it takes: it is looked at once, and no slot is held."""
    emulator.script("note.wav", text=TEXT, duration=5.0)
    deferral(operator(kind, wav, files, max_worker_wait=0), files.context())
    age(files, 3600.0)
    before = questions(emulator)
    deferral(operator(kind, wav, files, max_worker_wait=0.5), files.context())
    assert questions(emulator) == before + 1
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_a_young_short_job_is_waited_for_in_the_worker(emulator: Emulator, wav, files, kind):
    """A resume would take longer."""
    emulator.script("note.wav", text=TEXT, duration=5.0, processing_seconds=0.05)
    result = operator(kind, wav, files, max_worker_wait=30).execute(files.context())
    assert result.get("files") or result["written"] == 1
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_a_task_that_waits_leaves_in_xcom_what_it_waits_for(emulator: Emulator, wav, files, kind):
    """The run id, when it was submitted and is expected, what it has cost, and where the record is; small JSON."""
    pushed: dict[str, Any] = {}
    context = files.context()
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    before = time.time()
    deferral(operator(kind, wav, files, max_worker_wait=0), context)
    (charge,) = emulator.charges
    waiting = json.loads(json.dumps(pushed["waiting"]))
    assert waiting["run_ids"] == [charge.run_id]
    assert waiting["model"] == ASYNC
    assert waiting["cost_usd"] == pytest.approx(charge.cost)
    assert waiting["charged_minutes"] == pytest.approx(charge.minutes)
    assert before - 1 <= waiting["submitted_at"] < waiting["expected_at"]
    assert waiting["items"] == (1 if kind == "batch" else None)
    assert waiting["record"].startswith(str(ObjectStoragePath(str(files.folder / ".nanostt"))))


def test_ten_thousand_jobs_leave_no_more_in_xcom_than_one():
    """XCom is a column in Airflow's database."""
    jobs = [Job(f"run-{number}", ASYNC, submitted_at=1.0 + number, cost=0.5) for number in range(10_000)]
    waiting = describe_wait(jobs, "s3://bucket/out/.nanostt", len(jobs))
    assert len(json.dumps(waiting)) < 1_000
    assert waiting["cost_usd"] == pytest.approx(5_000.0)
