"""Asking before spending where something is paid for already, decided already, or different from what was looked at."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException, AirflowSkipException
from airflow_provider_nanostt.decorators import transcribe_task
from tests.outside import killed, record
from tests.workflow.batch.conftest import Batch
from tests.workflow.batch.required_actions import APPROVE, NOBODY, REJECT, Task
from tests.workflow.batch.test_approval import EACH, needs_people

pytestmark = needs_people


def decorate(batch: Batch, function: Any) -> None:
    """Make the batch's tasks by the decorator, around a function."""

    def make(_audio: object, **arguments: Any) -> Any:
        return transcribe_task(function, task_id="transcribe", **{**batch.usual, **arguments})().operator

    batch.make = make  # type: ignore[method-assign]


def test_a_function_that_returns_one_recording_spends_nothing_unasked(task: Task, batch: Batch):
    """approve_above asks for lists: one recording is refused with a word on how to ask for it."""
    (audio,) = batch.recordings(1)
    decorate(batch, lambda: audio)
    with pytest.raises(AirflowFailException, match="approve_above asks for a list"):
        task.run(None, approve_above=0)
    assert batch.submits == 0


def test_a_function_that_returns_a_list_goes_on_after_the_answer(task: Task, batch: Batch):
    """The function is called again, and what it returns is transcribed."""
    audio = batch.recordings(2)
    decorate(batch, lambda: audio)
    assert task.run(None, APPROVE, approve_above=0)["written"] == 2
    assert len(task.actions.asked) == 1


@pytest.mark.parametrize("word", [REJECT, NOBODY])
@pytest.mark.parametrize("on_reject", ["fail", "skip"])
def test_whoever_declines_more_leaves_what_is_paid_for(task: Task, batch: Batch, word, on_reject):
    """Two were submitted without asking, below the threshold, and are written, whatever becomes of the others."""
    audio = batch.recordings(4, processing_seconds=3.0)
    with killed(after=record("submitted"), nth=2):
        task.run(audio[:2], approve_above=2.5 * EACH, max_parallel=1)
    options = {"approval_options": {"on_reject": on_reject}, "on_item_error": "continue"}
    result = task.run(audio, word, approve_above=2.5 * EACH, **options)
    assert (result["written"], result["not_started"], batch.submits) == (2, 2, 2)


def test_a_dry_run_that_begins_while_somebody_is_asked(task: Task, batch: Batch, monkeypatch):
    """What is approved meanwhile is not submitted either."""
    task.before_answer = lambda: monkeypatch.setenv("NANOSTT_DRY_RUN", "1")
    with pytest.raises(AirflowSkipException):
        task.run(batch.recordings(2), APPROVE, approve_above=0)
    assert batch.submits == 0


def test_who_may_cost_any_amount_is_asked_for_again(task: Task, batch: Batch):
    """Lengths that were known when somebody was asked, and are not any more, are not covered."""
    task.before_answer = lambda: batch.usual.update(actual_duration=None)
    options = {"approve_above": 0, "cost_limits": {"unknown_length": "allow"}}
    task.run(batch.urls(2), APPROVE, APPROVE, **options)
    assert len(task.actions.asked) == 2


def test_an_approval_is_no_limit_for_other_recordings(task: Task, batch: Batch):
    """Another list, below the threshold, has the threshold as its limit, whatever was approved before."""
    with killed(before=record("intended"), nth=1):
        task.run(batch.recordings(20), APPROVE, approve_above=3 * EACH, max_parallel=1)
    dearer = [batch.recording(f"other-{number}.wav", duration=300.0) for number in range(3)]  # ten times what it seems
    task.run(dearer, approve_above=3 * EACH, max_parallel=1, on_item_error="continue")
    assert len(batch.emulator.charges) == 1


def test_only_those_who_are_to_be_asked_approve(task: Task, batch: Batch):
    """Also where Airflow still lets those answer whom an earlier try of the task named."""
    audio = batch.recordings(2)
    with pytest.raises(AirflowFailException, match="ada is not one of those to ask"):
        task.run(audio, APPROVE, approve_above=0, approval_options={"assigned_users": ["8"]})
    assert batch.submits == 0


@pytest.mark.parametrize("word", [REJECT, NOBODY])
def test_the_row_of_what_may_not_be_submitted_again_names_the_job_that_failed(task: Task, batch: Batch, word):
    """That job was paid for, and its run id is what to ask the service with."""
    failed = batch.script("https://192.0.2.7/bad.mp3", status="failed", error="noise", processing_seconds=0.0)
    audio = [failed, *batch.urls(1, processing_seconds=3.0)]
    with killed(after=record("submitted"), nth=2):
        task.run(audio, approve_above=9 * EACH, max_parallel=1)
    task.run(audio, word, approve_above=0, on_item_error="continue")
    row = batch.rows[0]
    assert (row["status"], row["model"]) == ("not_started", "Elevenlabs-STT")
    assert row["run_id"]
