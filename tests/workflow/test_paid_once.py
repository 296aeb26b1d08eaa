"""Attempts of one task after another: what is paid for is found again, and what is not known is not paid again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_nanostt._compat import NEVER_EXPIRE, AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.conftest import TEXT, Memory
from tests.outside import failing, killed, output, record, request

INTENDED, SUBMITTED, WRITTEN = "intended", "submitted", "written"
ASYNC = "Elevenlabs-STT"
SYNC = "Whisper-Large-V3"
URL = "https://bucket.example.com/calls/note.mp3"


def operator(memory: Memory | None = None, **arguments: Any) -> TranscribeOperator:
    remembering = memory.arguments if memory else {}
    return TranscribeOperator(
        task_id="transcribe", **{"model": ASYNC, "poll_interval": 0.03, **remembering, **arguments}
    )


@pytest.fixture(autouse=True)
def at_once(no_pauses):
    """No pauses in this module."""


@pytest.fixture
def attempt(memory: Memory, run_task: Any) -> Any:
    """Run one attempt of the task to its end, through the triggerer."""

    def run(instance: dict[str, Any] | None = None, **arguments: Any) -> Any:
        context = memory.context(**(instance or {}))
        return run_task(lambda: operator(memory, **{"deferrable": True, **arguments}), context)

    return run


def text_of(result: dict[str, Any]) -> str:
    """Return the text of a result, from its file if it has one."""
    if "files" in result:
        return str(json.loads(Path(result["files"]["json"]).read_text())["text"])
    return str(result["transcription"])


def submits(emulator: Emulator) -> int:
    return sum(request.endpoint == "/transcribe" for request in emulator.requests)


# Killed


@pytest.mark.parametrize("before", [True, False], ids=["before the submit", "after the charge"])
def test_killed_around_the_submit_the_next_attempt_fails_with_the_facts(
    emulator: Emulator, memory, attempt, wav, before
):
    """Nobody knows whether it was charged, so it says what was submitted, for how much, and both balances."""
    arguments = {"audio_path": str(wav), "actual_duration": 2}
    with killed(**{"before" if before else "after": request("/transcribe")}):
        attempt(**arguments)
    charged = len(emulator.charges)
    assert charged == (0 if before else 1)
    with pytest.raises(AirflowFailException) as caught:
        attempt(**arguments)
    assert isinstance(caught.value.error, errors.OrphanedSubmit)
    told = str(caught.value)
    now = "$100.00" if before else "$99.98"
    for word in ("note.wav", ASYNC, "likely $0.06", "before: $100.00", f"now: {now}", "resubmit", "force=True"):
        assert word in told
    assert len(emulator.charges) == charged
    assert memory.record["state"] == INTENDED


def test_killed_once_the_ticket_is_recorded_the_retry_attaches(emulator: Emulator, attempt, wav, logged):
    """The job that was paid for is picked up, and the log names it."""
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav))
    result = attempt(audio_path=str(wav))
    assert text_of(result) == TEXT
    (charge,) = emulator.charges
    assert result["run_id"] == charge.run_id
    told = "\n".join(logged())
    assert f"Already submitted and paid for: run {charge.run_id}" in told
    assert "$0.015" in told


def test_killed_between_answer_and_ticket_nothing_is_paid_again(emulator: Emulator, attempt, wav):
    """The gap between answer and record is the one place where a person has to look."""
    with killed(before=record("submitted")):
        attempt(audio_path=str(wav))
    with pytest.raises(AirflowFailException, match="never recorded an answer"):
        attempt(audio_path=str(wav))
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("model", [SYNC, ASYNC])
def test_killed_while_landing_the_retry_lands_complete_files(emulator: Emulator, files, wav, model):
    """Also an answer that the service gives only once is still there, and no part of a file is ever seen."""
    arguments = {"audio_path": str(wav), "model": model}
    with killed(before=output()):
        operator(files, **arguments).execute(files.context())
    assert [path for path in files.folder.iterdir() if path.name != ".nanostt"] == []
    result = operator(files, **arguments).execute(files.context())
    assert text_of(result) == TEXT
    assert result["cost_usd"] == pytest.approx(emulator.charges[0].cost)
    assert len(emulator.charges) == 1


def test_killed_before_a_synchronous_answer_has_landed(emulator: Emulator, memory, attempt, wav, logged):
    """Its record keeps the answer until then, and the retry says that nothing is paid."""
    with killed(after=record("answered")):
        attempt(audio_path=str(wav), model=SYNC)
    result = attempt(audio_path=str(wav), model=SYNC)
    assert text_of(result) == TEXT
    assert (len(emulator.charges), memory.record["state"], memory.record["answer"]) == (1, WRITTEN, None)
    assert any("Already answered and paid for" in line for line in logged())


def test_killed_while_an_intent_is_recorded_nothing_is_submitted(emulator: Emulator, attempt, wav):
    """Without an intent on record no submit goes out."""
    with killed(before=record("intended")):
        attempt(audio_path=str(wav))
    assert submits(emulator) == 0
    attempt(audio_path=str(wav))
    assert len(emulator.charges) == 1


# The same input again


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_that_still_runs_is_waited_for(emulator: Emulator, memory, run_task, wav, logged, deferrable):
    """The deadline begins anew, and the log says so."""
    make = lambda **more: operator(memory, audio_path=str(wav), deferrable=deferrable, **more)  # noqa: E731
    emulator.fail("/transcribe/status", body='{"status": "In Progress"}', status=200, times=2)
    with killed(after=record("submitted")):
        run_task(make, memory.context())
    result = run_task(make, memory.context())
    assert text_of(result) == TEXT
    assert len(emulator.charges) == 1
    assert any("still In Progress; waiting on, with the whole timeout from now" in line for line in logged())


def test_a_wait_that_timed_out_goes_on_in_the_retry(emulator: Emulator, attempt, wav):
    """The failure is open to a retry, which waits for the same job."""
    emulator.fail("/transcribe/status", body='{"status": "processing"}', status=200, times=50)
    with pytest.raises(errors.TranscriptionTimeout, match="paid for"):
        attempt(audio_path=str(wav), timeout=0.2)
    emulator.clear_faults()
    assert text_of(attempt(audio_path=str(wav))) == TEXT
    assert len(emulator.charges) == 1


def test_weather_at_the_first_look_does_not_give_up_a_paid_job(emulator: Emulator, attempt, wav, logged):
    """A service in trouble costs no attempt: the job counts as running, and is waited for."""
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav))
    emulator.fail("/transcribe/status", status=502, times=6)
    assert text_of(attempt(audio_path=str(wav))) == TEXT
    assert len(emulator.charges) == 1
    assert any("counts as still running" in line for line in logged())


def test_a_refused_question_tells_of_the_paid_job(emulator: Emulator, attempt, wav, logged):
    """A wrong key fails for good, and the log says what stays paid for."""
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav))
    emulator.fail("/transcribe/status", status=401)
    with pytest.raises(AirflowFailException, match="401"):
        attempt(audio_path=str(wav))
    run_id = emulator.charges[0].run_id
    assert any(f"Run {run_id} stays paid for" in line and "$0.015" in line for line in logged())


def test_a_clear_after_landing_returns_the_same_result(emulator: Emulator, attempt, wav):
    """It asks and pays nothing where the result lies in its place, for either kind of model."""
    for model in (ASYNC, SYNC):
        task = {"task_id": model}
        first = attempt(task, audio_path=str(wav), model=model)
        charges = emulator.charges
        assert attempt(task, audio_path=str(wav), model=model) == first
        assert emulator.charges == charges
    assert len(emulator.charges) == 2


def test_deleted_results_are_fetched_again(emulator: Emulator, files, run_task, wav, logged):
    """A job's transcript costs nothing the second time."""
    make = lambda: operator(files, audio_path=str(wav), deferrable=True)  # noqa: E731
    first = run_task(make, files.context())
    Path(first["files"]["json"]).unlink()
    assert run_task(make, files.context()) == first
    assert text_of(first) == TEXT
    assert len(emulator.charges) == 1
    assert any("The recorded result is gone" in line for line in logged())


def test_deleted_results_of_a_synchronous_answer_are_paid_for_again(emulator: Emulator, files, wav, logged):
    """The service does not give such an answer twice; the log says why it submits, and both costs are told."""
    first = operator(files, audio_path=str(wav), model=SYNC).execute(files.context())
    Path(first["files"]["json"]).unlink()
    second = operator(files, audio_path=str(wav), model=SYNC).execute(files.context())
    assert text_of(second) == TEXT
    assert len(emulator.charges) == 2
    assert second["cost_usd"] == pytest.approx(2 * first["cost_usd"])
    assert any("The recorded result is gone" in line for line in logged())


@pytest.mark.parametrize(("model", "charges"), [(ASYNC, 1), (SYNC, 2)])
def test_an_overwritten_result_is_not_taken_for_ones_own(emulator: Emulator, files, wav, logged, model, charges):
    """What another task has put in the place of the transcript is neither returned nor overwritten."""
    make = lambda: operator(files, audio_path=str(wav), model=model)  # noqa: E731
    first = make().execute(files.context())
    Path(first["files"]["json"]).write_text(json.dumps({"written_by": "another", "text": "secret"}))
    second = make().execute(files.context())
    assert text_of(second) == TEXT
    assert text_of(first) == "secret"
    assert len(emulator.charges) == charges
    assert any("overwritten by another task" in line for line in logged())


def test_results_that_cannot_be_looked_for_are_not_gone(emulator: Emulator, files, wav):
    """A storage in trouble is no reason to pay again."""
    first = operator(files, audio_path=str(wav), model=SYNC).execute(files.context())
    place = Path(first["files"]["json"])
    place.unlink()
    place.mkdir()
    with pytest.raises(errors.LedgerError, match=r"note\.json cannot be read"):
        operator(files, audio_path=str(wav), model=SYNC).execute(files.context())
    assert len(emulator.charges) == 1


def test_a_new_signature_is_no_new_input(emulator: Emulator, attempt):
    """A presigned URL is another one on every try, and the recording the same."""
    first = attempt(audio_url=f"{URL}?X-Amz-Signature=abcdef0123")
    assert attempt(audio_url=f"{URL}?X-Amz-Signature=9876543210") == first
    assert len(emulator.charges) == 1


def test_no_signature_is_stored(emulator: Emulator, memory, attempt, logged):
    """Record, result and log hold the address without its signature, user and password."""
    result = attempt(audio_url="https://me:pass-word@bucket.example.com/note.mp3?X-Amz-Signature=abcdef0123")
    everything = json.dumps([memory.record, result]) + "\n".join(logged())
    if "files" in result:
        everything += Path(result["files"]["json"]).read_text()
    assert "bucket.example.com/note.mp3" in everything
    for secret in ("abcdef0123", "pass-word", emulator.api_key):
        assert secret not in everything


# What became of the job


def test_a_job_that_failed_at_the_service_is_submitted_afresh(emulator: Emulator, attempt, wav, logged):
    """The failure is open to a retry, which submits anew and counts both costs."""
    emulator.script("note.wav", status="failed", error="no speech was found", duration=30.0)
    with pytest.raises(errors.TranscriptionFailed, match="no speech was found"):
        attempt(audio_path=str(wav))
    emulator.script("note.wav", text=TEXT, duration=30.0)
    result = attempt(audio_path=str(wav))
    assert text_of(result) == TEXT
    one, two = emulator.charges
    assert result["cost_usd"] == pytest.approx(one.cost + two.cost)
    assert any(f"Run {one.run_id} failed at the service (no speech was found)" in line for line in logged())


def test_a_service_that_gives_up_at_once_may_be_asked_again(emulator: Emulator, attempt, wav, logged):
    """A failure in the place of an answer is open to a retry, which names it."""
    emulator.fail("/transcribe", body='{"status": "failed", "error": "no speech"}', status=200)
    with pytest.raises(errors.TranscriptionFailed, match="no speech"):
        attempt(audio_path=str(wav))
    assert text_of(attempt(audio_path=str(wav))) == TEXT
    assert any("The service gave up on it, so this submits anew" in line for line in logged())


@pytest.mark.parametrize("times", [1, 2])
def test_a_replica_that_lags_behind_loses_no_job(emulator: Emulator, attempt, wav, times):
    """A few answers of "unknown run" are not believed."""
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav))
    emulator.fail("/transcribe/status", status=404, times=times)
    assert text_of(attempt(audio_path=str(wav))) == TEXT
    assert len(emulator.charges) == 1


def test_a_lost_job_fails_by_default(emulator: Emulator, attempt, wav):
    """The message names run, cost and the two ways on; nothing is paid."""
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav))
    emulator.fail("/transcribe/status", status=404, times=100)
    with pytest.raises(AirflowFailException) as caught:
        attempt(audio_path=str(wav))
    assert isinstance(caught.value.error, errors.JobLost)
    for word in (emulator.charges[0].run_id, "$0.015", "on_lost_job='submit'", "force=True"):
        assert word in str(caught.value)
    assert len(emulator.charges) == 1


def test_a_lost_job_is_submitted_anew_on_demand(emulator: Emulator, attempt, wav, logged):
    """With on_lost_job='submit' it is paid for again, and the log says which run was lost."""
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav))
    emulator.fail("/transcribe/status", status=404, times=3)
    result = attempt(audio_path=str(wav), recovery_policy={"on_lost_job": "submit"})
    assert text_of(result) == TEXT
    one, two = emulator.charges
    assert result["cost_usd"] == pytest.approx(one.cost + two.cost)
    assert any(f"no longer knows run {one.run_id}" in line for line in logged())


def test_a_job_lost_while_deferred_is_open_to_a_retry(emulator: Emulator, attempt, wav):
    """So that on_lost_job has its say: without it the wait alone would decide."""
    emulator.fail("/transcribe/status", status=404, times=3)
    with pytest.raises(errors.JobError, match="is paid for"):
        attempt(audio_path=str(wav), recovery_policy={"on_lost_job": "submit"})
    emulator.fail("/transcribe/status", status=404, times=3)
    assert text_of(attempt(audio_path=str(wav), recovery_policy={"on_lost_job": "submit"})) == TEXT
    assert len(emulator.charges) == 2


# Another input


def test_a_changed_input_is_submitted_and_names_the_old_run(emulator: Emulator, attempt, wav, logged):
    """The log tells what was paid before, and the result's cost is of both."""
    first = attempt(audio_path=str(wav))
    second = attempt(audio_path=str(wav), diarize=True)
    assert second["cost_usd"] == pytest.approx(first["cost_usd"] + emulator.charges[1].cost)
    (line,) = {line for line in logged() if "have changed" in line and line.count("have changed") == 1}
    assert first["run_id"] in line
    assert "$0.015" in line


def test_a_changed_input_can_fail(emulator: Emulator, attempt, wav):
    """With on_changed_input='fail' nothing is submitted, and the message names the old run and its cost."""
    first = attempt(audio_path=str(wav))
    with pytest.raises(AirflowFailException) as caught:
        attempt(audio_path=str(wav), language="de", recovery_policy={"on_changed_input": "fail"})
    assert isinstance(caught.value.error, errors.InputChanged)
    assert first["run_id"] in str(caught.value)
    assert "$0.015" in str(caught.value)
    assert len(emulator.charges) == 1


def test_a_changed_input_that_is_refused_keeps_the_paid_job(emulator: Emulator, attempt, wav):
    """Changed back, the task finds what it paid for at first."""
    first = attempt(audio_path=str(wav))
    emulator.fail("/transcribe", status=402)
    with pytest.raises(AirflowFailException, match="402"):
        attempt(audio_path=str(wav), language="de")
    assert attempt(audio_path=str(wav)) == first
    assert len(emulator.charges) == 1


# Force


@pytest.mark.parametrize("force", [True, "True", "yes"])
def test_force_submits_afresh(emulator: Emulator, attempt, wav, logged, force):
    """As a flag or as the text of a template; the log names what was paid before."""
    first = attempt(audio_path=str(wav))
    second = attempt({"max_tries": 4}, audio_path=str(wav), force=force)
    assert second["run_id"] != first["run_id"]
    assert second["cost_usd"] == pytest.approx(2 * first["cost_usd"])
    assert len(emulator.charges) == 2
    assert any("force is set" in line and first["run_id"] in line for line in logged())


def test_a_retry_does_not_repeat_force(emulator: Emulator, attempt, wav, logged):
    """The flag stays in the DAG run's conf; only a clear, which raises max_tries, makes it count again."""
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav), force=True)
    first = attempt(audio_path=str(wav), force=True)
    assert len(emulator.charges) == 1
    assert any("force was already applied" in line for line in logged())
    assert attempt({"max_tries": 5}, audio_path=str(wav), force=True)["run_id"] != first["run_id"]
    assert len(emulator.charges) == 2


def test_a_forced_submit_of_unknown_end_is_not_forced_again_by_a_retry(emulator: Emulator, attempt, wav):
    """An automatic retry must not pay over an unknown submit; a person's clear may."""
    with killed(after=request("/transcribe")):
        attempt(audio_path=str(wav), force=True)
    with pytest.raises(AirflowFailException, match="never recorded an answer"):
        attempt(audio_path=str(wav), force=True)
    assert text_of(attempt({"max_tries": 5}, audio_path=str(wav), force=True)) == TEXT
    assert len(emulator.charges) == 2


def test_a_force_that_was_refused_is_not_used_up(emulator: Emulator, attempt, wav):
    """A retry after a refusal still submits afresh."""
    first = attempt(audio_path=str(wav))
    emulator.fail("/transcribe", status=429, retry_after=1000)
    with pytest.raises(errors.RateLimited):
        attempt({"max_tries": 4}, audio_path=str(wav), force=True)
    assert attempt({"max_tries": 4}, audio_path=str(wav), force=True)["run_id"] != first["run_id"]
    assert len(emulator.charges) == 2


def tried(try_number: int, max_tries: int, retries: int, clears: int | None) -> dict:
    """What Airflow says of a try, and of the task and the run it belongs to."""
    run = {} if clears is None else {"dag_run": SimpleNamespace(clear_number=clears)}
    return {"ti": {"try_number": try_number, "max_tries": max_tries}, "retries": retries, "run": run}


RETRIES = {
    "the same retries": (tried(1, 2, 2, 0), tried(2, 2, 2, 0)),
    "another task of the run was cleared": (tried(1, 2, 2, 0), tried(2, 2, 2, 1)),
    "in the second round": (tried(2, 2, 1, 1), tried(3, 2, 1, 1)),
    "a resume of the same try": (tried(1, 2, 2, 0), tried(1, 2, 2, 1)),
}
CLEARS = {
    "the same retries": (tried(1, 2, 2, 0), tried(2, 3, 2, 1)),
    "more retries": (tried(1, 1, 1, 0), tried(2, 4, 3, 1)),
    "2 retries, then 1": (tried(1, 2, 2, 0), tried(2, 2, 1, 1)),
    "1 retry, then none": (tried(1, 1, 1, 0), tried(2, 1, 0, 1)),
    "none in the second round": (tried(2, 2, 1, 1), tried(3, 2, 0, 2)),
    "an Airflow that does not count clears": (tried(1, 2, 2, None), tried(2, 2, 0, None)),
}


@pytest.mark.parametrize("tries", RETRIES.values(), ids=RETRIES)
def test_force_acts_once_for_each_clear_whatever_the_retry(emulator: Emulator, files: Memory, wav, run_task, tries):
    """A retry never pays again, whether the try before it has come to its end or not."""
    for one in tries:
        context = {**files.context(**one["ti"]), **one["run"]}
        made = partial(operator, audio_path=str(wav), force=True, retries=one["retries"], **files.arguments)
        run_task(made, context)
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("tries", CLEARS.values(), ids=CLEARS)
def test_force_acts_for_every_clear_whatever_the_retries(emulator: Emulator, files: Memory, wav, run_task, tries):
    """A clear counts as one also when the task has fewer retries since, so that max_tries comes out the same."""
    for one in tries:
        context = {**files.context(**one["ti"]), **one["run"]}
        made = partial(operator, audio_path=str(wav), force=True, retries=one["retries"], **files.arguments)
        run_task(made, context)
    assert len(emulator.charges) == 2


def test_a_job_in_flight_is_not_paid_again_by_a_retry_with_fewer_retries(emulator: Emulator, files: Memory, wav):
    """A deploy that lowers retries while a job runs is no clear."""
    for one, ends in ((tried(1, 2, 2, 0), killed(after=record("submitted"))), (tried(2, 2, 1, 0), nullcontext())):
        context = {**files.context(**one["ti"]), **one["run"]}
        with ends:
            operator(audio_path=str(wav), force=True, retries=one["retries"], **files.arguments).execute(context)
    assert len(emulator.charges) == 1


def test_a_submit_after_a_failed_one_is_still_the_same_clears(emulator: Emulator, attempt, wav):
    """What force has submitted may fail at the service; the submit that follows is found by the next retry."""
    emulator.script("note.wav", status="failed", error="no", duration=30.0)
    with pytest.raises(errors.TranscriptionFailed):
        attempt(audio_path=str(wav), force=True)
    emulator.script("note.wav", text=TEXT, duration=5.0)
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav), force=True)
    paid = len(emulator.charges)
    assert text_of(attempt(audio_path=str(wav), force=True)) == TEXT
    assert len(emulator.charges) == paid


# Whose record it is


def test_mapped_items_of_one_url_are_paid_each(emulator: Emulator, attempt):
    """Two items are two jobs, and each finds its own again."""
    results = [attempt({"map_index": index}, audio_url=URL) for index in (0, 1)]
    assert results[0]["run_id"] != results[1]["run_id"]
    assert results[0].get("files", 0) != results[1].get("files", 1)
    assert [attempt({"map_index": index}, audio_url=URL) for index in (0, 1)] == results
    assert len(emulator.charges) == 2


def test_a_list_in_another_order_gives_no_item_anothers_transcript(emulator: Emulator, attempt):
    """The record goes by position, and the fingerprint notices that the item is another."""
    for name in ("one", "two"):
        emulator.script(f"https://example.com/{name}.mp3", text=f"This is {name}.", duration=6.0)
    for order in (("one", "two"), ("two", "one")):
        for index, name in enumerate(order):
            result = attempt({"map_index": index}, audio_url=f"https://example.com/{name}.mp3")
            assert text_of(result) == f"This is {name}."


@pytest.mark.parametrize("other", [{"dag_id": "d"}, {"task_id": "t"}, {"run_id": "r"}])
def test_another_dag_task_or_run_pays_for_itself(emulator: Emulator, attempt, wav, other):
    """What one task instance has paid for is not another's."""
    first = attempt(audio_path=str(wav))
    second = attempt(other, audio_path=str(wav))
    assert first["run_id"] != second["run_id"]
    assert text_of(first) == text_of(second) == TEXT


def test_the_try_number_is_nobodys_identity(emulator: Emulator, attempt, wav):
    """A later try, also after a clear, is the same task instance."""
    first = attempt({"try_number": 1}, audio_path=str(wav))
    assert attempt({"try_number": 7, "max_tries": 9}, audio_path=str(wav)) == first
    assert len(emulator.charges) == 1


# What the service says to the submit


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 307])
def test_a_refusal_leaves_nothing_to_explain(emulator: Emulator, attempt, wav, status):
    """It was certainly not charged, so the next attempt submits as if there had been none."""
    emulator.fail("/transcribe", status=status)
    with pytest.raises(AirflowFailException):
        attempt(audio_path=str(wav))
    assert text_of(attempt(audio_path=str(wav))) == TEXT
    assert len(emulator.charges) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 503, "times": 1000}, errors.ServiceUnavailable),
        ({"status": 429, "times": 1000}, errors.RateLimited),
        ({"status": 429, "code": "daily_rpd_limit_exceeded", "envelope": "error_object"}, errors.DailyLimitReached),
    ],
)
def test_a_door_that_stays_shut_is_open_to_a_retry(emulator: Emulator, attempt, wav, hours_pass, fault, error):
    """Said at the door, it was not charged; after minutes the attempt gives up, and the retry submits."""
    emulator.fail("/transcribe", **fault)
    with pytest.raises(error):
        attempt(audio_path=str(wav))
    emulator.clear_faults()
    assert text_of(attempt(audio_path=str(wav))) == TEXT
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_in_the_pause_after_a_refusal_nothing_is_on_its_way(
    emulator: Emulator, memory, attempt, wav, hours_pass, status
):
    """A worker killed before it sends again leaves no doubt: what was refused was certainly not charged."""
    emulator.fail("/transcribe", status=status, retry_after=3)
    with killed(before=record("intended"), nth=2):
        attempt(audio_path=str(wav))
    assert memory.record["state"] == "withdrawn"
    assert text_of(attempt(audio_path=str(wav))) == TEXT
    assert len(emulator.charges) == 1


def test_a_submit_is_repeated_for_minutes(emulator: Emulator, memory, attempt, wav, hours_pass):
    """More refusals than anybody counts: one charge in the end, and a history without the refused intents."""
    emulator.fail("/transcribe", status=429, retry_after=15, times=12)
    emulator.fail("/transcribe", status=503, times=4)
    assert text_of(attempt(audio_path=str(wav))) == TEXT
    assert len(emulator.charges) == 1
    assert memory.record.get("history", []) == []


def test_a_request_that_is_repeated_never_sends_other_bytes(emulator: Emulator, memory, attempt, wav):
    """Turned away once, the file is another one the second time: nothing is sent, and the retry pays for what it is."""
    other = wav.read_bytes()[:44] + wav.read_bytes()[:43:-1]

    def exchange() -> None:
        while not any(request.endpoint == "/transcribe" for request in emulator.requests):
            time.sleep(0.01)
        wav.write_bytes(other)

    emulator.fail("/transcribe", status=503, delay=1.0)
    thread = threading.Thread(target=exchange)
    thread.start()
    with pytest.raises(errors.FileChanged):
        attempt(audio_path=str(wav))
    thread.join()
    assert emulator.charges == []
    assert text_of(attempt(audio_path=str(wav))) == TEXT
    recorded = memory.record["source_version"]["key"]
    assert (recorded, len(emulator.charges)) == (hashlib.sha256(other).hexdigest(), 1)


def test_a_service_that_cannot_be_reached_is_open_to_a_retry(emulator: Emulator, memory, attempt, wav, monkeypatch):
    """Nothing was sent, so nothing has to be explained."""
    dead = json.dumps({**emulator.connection, "host": "http://127.0.0.1:9/api"})
    with monkeypatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", dead)
        with pytest.raises(errors.ConnectError):
            attempt(audio_path=str(wav))
    assert memory.record["balance_before"] is None
    assert text_of(attempt(audio_path=str(wav))) == TEXT


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 502, "envelope": "html"},
        {"status": 504},
        {"status": 408},
        {"kind": "reset"},
        {"kind": "html"},
        {"kind": "broken_json"},
        {"kind": "empty"},
        {"body": '{"status": "accepted"}', "status": 200},
    ],
    ids=str,
)
def test_an_answer_that_was_lost_is_told_with_the_facts(emulator: Emulator, memory, attempt, wav, fault):
    """This attempt and the next fail for good with balance and ways on; 'resubmit' goes on, at the user's word."""
    emulator.fail("/transcribe", after_charge=True, **fault)
    with pytest.raises(AirflowFailException) as caught:
        attempt(audio_path=str(wav))
    assert isinstance(caught.value.error, errors.AmbiguousSubmit)
    for word in ("note.wav", ASYNC, "before: $100.00", "now: $99.98", "'resubmit'", "force=True"):
        assert word in str(caught.value)
    with pytest.raises(AirflowFailException, match="never recorded an answer"):
        attempt(audio_path=str(wav))
    assert len(emulator.charges) == 1
    assert memory.record["state"] == INTENDED
    assert text_of(attempt(audio_path=str(wav), recovery_policy={"on_ambiguous_submit": "resubmit"})) == TEXT
    assert len(emulator.charges) == 2


def test_with_resubmit_a_lost_answer_is_open_to_a_retry(emulator: Emulator, attempt, wav, logged):
    """The user's choice holds for automatic retries, which say that they submit again."""
    emulator.fail("/transcribe", kind="broken_json", after_charge=True)
    with pytest.raises(errors.AmbiguousSubmit):
        attempt(audio_path=str(wav), recovery_policy={"on_ambiguous_submit": "resubmit"})
    attempt(audio_path=str(wav), recovery_policy={"on_ambiguous_submit": "resubmit"})
    assert len(emulator.charges) == 2
    assert any("on_ambiguous_submit is 'resubmit', so this submits again" in line for line in logged())


def test_a_resubmit_that_is_refused_leaves_the_unknown_one_unknown(emulator: Emulator, attempt, wav):
    """A refusal of the second submit says nothing about the first."""
    emulator.fail("/transcribe", kind="reset", after_charge=True)
    with pytest.raises(AirflowFailException):
        attempt(audio_path=str(wav))
    emulator.fail("/transcribe", status=402)
    with pytest.raises(AirflowFailException, match="402"):
        attempt(audio_path=str(wav), recovery_policy={"on_ambiguous_submit": "resubmit"})
    with pytest.raises(AirflowFailException, match="never recorded an answer"):
        attempt(audio_path=str(wav))
    assert len(emulator.charges) == 1


# Trouble with the record


def test_an_unwritable_folder_fails_before_anything_is_submitted(emulator: Emulator, files, wav):
    """Where no intent can be recorded, nothing is paid for, and the failure is open to a retry."""
    files.folder.write_text("a file where the folder should be")
    with pytest.raises(errors.LedgerError, match="Nothing more is submitted"):
        operator(files, audio_path=str(wav)).execute(files.context())
    assert submits(emulator) == 0


def test_a_relative_folder_fails_before_any_request(emulator: Emulator, wav):
    """From where it counts is another thing on another worker, so the record would not be found."""
    with pytest.raises(AirflowFailException, match="relative path"):
        operator(audio_path=str(wav), output_path="results").execute(Memory("files", Path()).context())
    assert list(emulator.requests) == []


@pytest.mark.parametrize("model", [ASYNC, SYNC])
def test_a_folder_that_a_uri_cannot_name_is_refused_or_pays_once(emulator: Emulator, files, wav, tmp_path, model):
    """From Airflow 3.2 on, what is joined to ``::`` lies elsewhere, where a result was not found again."""
    for _ in range(2):
        with suppress(AirflowFailException):
            operator(audio=str(wav), model=model, output_path=f"file://{tmp_path}/a::b/out").execute(files.context())
    assert len(emulator.charges) <= 1
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("mode", ["rb", "wb"])
@pytest.mark.parametrize(
    "error", [PermissionError("403 AccessDenied"), OSError("503 Slow Down"), RuntimeError("no credentials")], ids=str
)
def test_object_storage_in_trouble_fails_before_anything_is_submitted(emulator: Emulator, files, bucket, mode, error):
    """Whatever a storage raises, it is neither "nothing recorded" nor a record that is in its place."""
    bucket.trouble[mode] = error
    with pytest.raises(errors.LedgerError, match=rf"s3://calls/july/\.nanostt/.* cannot be .*{error}"):
        operator(audio_url=URL, output_path="s3://calls/july").execute(files.context())
    assert submits(emulator) == 0


def test_force_does_not_go_past_a_storage_in_trouble(emulator: Emulator, files, bucket):
    """A retry cannot tell then whether force has done its work already, so it does not pay once more."""
    make = lambda: operator(audio_url=URL, output_path="s3://calls/july", force=True)  # noqa: E731
    with killed(after=record("submitted")):
        make().execute(files.context())
    bucket.trouble["rb"] = OSError("503 Slow Down")
    with pytest.raises(errors.LedgerError, match="503 Slow Down"):
        make().execute(files.context())
    bucket.trouble.clear()
    assert make().execute(files.context())["run_id"] == emulator.charges[0].run_id
    assert len(emulator.charges) == 1


def test_object_storage_remembers(emulator: Emulator, files, bucket, run_task):
    """Result and record lie beside each other there, and the next attempt finds both."""
    make = lambda: operator(audio_url=URL, output_path="s3://calls/july", deferrable=True)  # noqa: E731
    first = run_task(make, files.context())
    assert first["files"] == {"json": "s3://calls/july/note.json"}
    assert run_task(make, files.context()) == first
    assert len(emulator.charges) == 1
    assert len(bucket.store) == 2


@pytest.mark.parametrize("damage", [{"version": 99}, {"state": "paid"}, {"job": None}, {"intended_at": None}])
def test_a_record_that_cannot_be_read_fails_before_any_request(emulator: Emulator, memory, attempt, wav, damage):
    """It is never taken for "nothing recorded"."""
    attempt(audio_path=str(wav))
    memory.record = {**memory.record, "state": SUBMITTED, **damage}
    before = len(emulator.requests)
    with pytest.raises(errors.LedgerError, match="cannot be read"):
        attempt(audio_path=str(wav))
    assert len(emulator.requests) == before


def test_a_record_that_has_become_unreadable_keeps_no_transcript_back(
    emulator: Emulator, memory, run_task, wav, logged
):
    """The trigger's event has the ticket, so the transcript lands, and the log says that it is not recorded."""
    made = []

    def make() -> TranscribeOperator:
        if made:
            memory.record = {**memory.record, "version": 99}
        made.append(operator(memory, audio_path=str(wav), deferrable=True))
        return made[-1]

    assert text_of(run_task(make, memory.context())) == TEXT
    assert any("Fetching the transcript anyway" in line for line in logged())


SLOW_DOWN = OSError("503 Slow Down")


def test_a_ticket_is_written_again_if_it_failed(emulator: Emulator, memory, attempt, wav):
    """A storage that is away for a minute does not lose it."""
    with failing(record("submitted"), SLOW_DOWN, times=6):
        ticket = attempt(audio_path=str(wav), wait_for_completion=False)
    assert (memory.record["state"], memory.record["job"]) == (SUBMITTED, ticket["job"])


def test_a_ticket_that_cannot_be_written_is_used_and_told(emulator: Emulator, memory, attempt, wav, logged):
    """The job is waited for all the same, and the log has the line that picks it up; once landed it is on record."""
    with failing(record("submitted"), SLOW_DOWN, times=7):
        result = attempt(audio_path=str(wav))
    assert text_of(result) == TEXT
    (line,) = {line for line in logged() if "Going on without having recorded the job" in line}
    assert f"'run_id': '{result['run_id']}'" in line
    kept = memory.record
    assert (kept["state"], kept["job"]["run_id"]) == (WRITTEN, result["run_id"])
    assert attempt(audio_path=str(wav)) == result
    assert len(emulator.charges) == 1


def test_a_landing_that_cannot_be_recorded_is_told_without_the_text(emulator: Emulator, memory, attempt, wav, logged):
    """The result is there; the log says that the record is behind, and nothing of what was spoken."""
    with failing(record("written"), SLOW_DOWN, times=7):
        assert text_of(attempt(audio_path=str(wav))) == TEXT
    told = "\n".join(logged())
    assert "Going on without having recorded the result" in told
    assert TEXT not in told
    assert memory.record["state"] == SUBMITTED


def test_an_intent_that_cannot_be_taken_back_does_not_hide_the_refusal(emulator: Emulator, memory, attempt, wav):
    """The refusal is raised; the next attempt errs on the side of asking a person."""
    emulator.fail("/transcribe", status=402)
    with failing(record("withdrawn"), SLOW_DOWN, times=7), pytest.raises(AirflowFailException, match="402"):
        attempt(audio_path=str(wav))
    with pytest.raises(AirflowFailException, match="never recorded an answer"):
        attempt(audio_path=str(wav))


def test_a_result_that_cannot_be_written_is_written_by_the_retry(emulator: Emulator, files, wav, logged):
    """A full disk costs no second charge, and the log says so; for either kind of model."""
    for model in (ASYNC, SYNC):
        context = files.context(task_id=model)
        blocked = files.folder / "note.json"
        blocked.mkdir(parents=True)
        with pytest.raises(OSError, match=r"note\.json"):
            operator(files, audio_path=str(wav), model=model).execute(context)
        assert any("is paid for ($0.0" in line and "cannot be written" in line for line in logged())
        blocked.rmdir()
        assert text_of(operator(files, audio_path=str(wav), model=model).execute(context)) == TEXT
        (files.folder / "note.json").unlink()
    assert len(emulator.charges) == 2


def test_the_record_of_another_job_is_left_alone(emulator: Emulator, memory, wav, logged):
    """A late event of one run must not put its transcript under the fingerprint of another."""
    emulator.script("note.wav", text=TEXT, duration=30.0, processing_seconds=0.0)
    old = NanoGPTHook().transcribe(wait_for_completion=False, audio_path=wav, model=ASYNC)
    assert isinstance(old, Job)
    made = operator(memory, audio_path=str(wav), wait_for_completion=False, diarize=True)
    made.execute(memory.context())
    before = memory.record
    event = {"version": 1, "kind": "completed", "run_id": old.run_id, "job": old.to_json()}
    result = operator(memory, audio_path=str(wav)).execute_complete(memory.context(), event=event)
    assert (result["run_id"], text_of(result)) == (old.run_id, TEXT)
    assert memory.record == before
    assert any("not updating it" in line for line in logged())


def test_where_nothing_is_remembered_a_warning_says_so(emulator: Emulator, run_task, wav, logged):
    """Before the submit, with the two ways to be remembered; every attempt then pays for itself."""
    context = Memory("files", Path()).context()
    for _ in range(2):
        result = run_task(lambda: operator(audio_path=str(wav), deferrable=True), context)
        assert TEXT in result["transcription"]
    assert len(emulator.charges) == 2
    warnings = [line for line in logged() if "a retry or clear of this task will pay again" in line]
    assert warnings
    assert "output_path=" in warnings[0]
    assert "3.3" in warnings[0]


def test_without_a_record_a_failed_wait_is_final(emulator: Emulator, wav):
    """An automatic retry would pay again, so there is none."""
    emulator.script("note.wav", status="failed", error="no speech", duration=30.0)
    with pytest.raises(AirflowFailException, match="no speech"):
        operator(audio_path=str(wav)).execute(Memory("files", Path()).context())


def test_a_context_without_max_tries_is_no_reason_to_fail(emulator: Emulator, memory, attempt, wav):
    """Where rounds cannot be told apart, force counts every time."""
    for charges in (1, 2):
        attempt({"max_tries": None}, audio_path=str(wav), force=True)
        assert len(emulator.charges) == charges


def test_task_state_holds_neither_key_nor_text(emulator: Emulator, run_task, wav):
    """Airflow shows its task state: of a job that can be fetched again, not even the transcript is in it."""
    memory = Memory("task state", Path())
    run_task(lambda: operator(audio_path=str(wav), deferrable=True), memory.context())
    (state,) = memory.states.values()
    assert state.values
    assert emulator.api_key not in json.dumps(state.values)
    assert TEXT not in json.dumps(state.values)


def test_a_synchronous_transcript_is_what_it_was_after_a_kill(emulator: Emulator, memory, attempt, wav):
    """What the record gives back is equal to what the service said, to the last field."""
    undisturbed = attempt({"task_id": "undisturbed"}, audio_path=str(wav), model=SYNC)
    with killed(after=record("answered")):
        attempt(audio_path=str(wav), model=SYNC)
    result = attempt(audio_path=str(wav), model=SYNC)
    same = {*result} - {"files", "run_id"}
    assert {name: result[name] for name in same} == {name: undisturbed[name] for name in same}
    assert text_of(result) == text_of(undisturbed)
    assert len(emulator.charges) == 2


REAL = """
import pathlib, sys
import airflow.sdk
from airflow.sdk import DAG, get_current_context, task
from airflow_provider_nanostt.operators import TranscribeOperator

class Killed(BaseException):
    pass

with DAG("real_state") as dag:
    @task
    def transcribe():
        context = get_current_context()
        make = lambda: TranscribeOperator(
            task_id="inner", audio_path={audio!r}, model="Elevenlabs-STT", poll_interval=0.1, deferrable=False
        )
        accessor = type(context["task_state_store"])
        keep = accessor.set
        def dies(self, key, value, **named):
            keep(self, key, value, **named)
            if value["state"] == "submitted":
                raise Killed
        accessor.set = dies
        try:
            make().execute(context)
        except Killed:
            pass
        accessor.set = keep
        assert context["task_state_store"].get("nanostt")["state"] == "submitted"
        first = make().execute(context)
        assert context["task_state_store"].get("nanostt")["state"] == "written"
        assert make().execute(context) == first
        print("ran with", first["run_id"])
    transcribe()

if __name__ == "__main__":
    sys.exit(0 if str(dag.test().state).endswith("success") else 1)
"""


@pytest.mark.long
@pytest.mark.skipif(NEVER_EXPIRE is None, reason="Airflow has a task state since 3.3")
def test_airflows_own_task_state_remembers(emulator: Emulator, wav, tmp_path):
    """The real accessor, through the real execution API, keeps ticket and landing for the next attempt."""
    dags = tmp_path / "dags"
    dags.mkdir()
    file = dags / "real_state.py"
    file.write_text(REAL.replace("{audio!r}", repr(str(wav))))
    env = {**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(dags)}
    done = subprocess.run([sys.executable, str(file)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (charge,) = emulator.charges
    assert f"ran with {charge.run_id}" in done.stdout + done.stderr


# Changed output


@pytest.mark.parametrize(("first", "then"), [(None, "a"), ("a", "b"), ("a", None)], ids=["added", "changed", "removed"])
@pytest.mark.parametrize("landed", [True, False], ids=["landed", "open"])
def test_a_redeploy_with_another_output_finds_the_paid_job(
    emulator: Emulator, run_task, wav, tmp_path, first, then, landed
):
    """Where Airflow keeps task state, adding, changing or removing output pays nothing, and lands in the new place."""
    context = Memory("task state", tmp_path).context()

    def run(place: str | None) -> Any:
        output = str(tmp_path / place) if place else None
        return run_task(lambda: operator(audio_path=str(wav), deferrable=True, output_path=output), context)

    if landed:
        run(first)
    else:
        with killed(after=record("submitted", where="state")):
            run(first)
    result = run(then)
    assert text_of(result) == TEXT
    assert len(emulator.charges) == 1
    if then:
        assert Path(result["files"]["json"]).parent == tmp_path / then
    else:
        assert "files" not in result


@pytest.mark.parametrize(("first", "then"), [(None, "a"), ("a", "b")], ids=["added", "changed"])
def test_an_answer_that_came_at_once_lands_in_another_output(emulator: Emulator, run_task, wav, tmp_path, first, then):
    """It cannot be fetched again, so what has landed is written to the new place, and paid for once."""
    context = Memory("task state", tmp_path).context()

    def run(place: str | None) -> Any:
        output = str(tmp_path / place) if place else None
        return run_task(lambda: operator(audio_path=str(wav), model=SYNC, output_path=output), context)

    cost = run(first)["cost_usd"]
    for _ in range(2):
        result = run(then)
        assert (text_of(result), result["cost_usd"]) == (TEXT, cost)
        assert Path(result["files"]["json"]).parent == tmp_path / then
    assert len(emulator.charges) == 1


def test_force_goes_past_a_record_that_nobody_can_read(emulator: Emulator, memory, attempt, wav, logged):
    """Whoever forces a submit need not mend the old record first; without force it fails before any request."""
    attempt(audio_path=str(wav))
    memory.record = {"state": "nonsense"}
    before = len(emulator.requests)
    with pytest.raises(errors.LedgerError):
        attempt(audio_path=str(wav))
    assert len(emulator.requests) == before
    assert text_of(attempt(audio_path=str(wav), force=True)) == TEXT
    assert len(emulator.charges) == 2
    assert any("force is set, so this submits all the same" in line for line in logged())


def test_without_a_ledger_the_log_holds_the_ticket(emulator: Emulator, wav, run_task, logged):
    """Where nothing remembers the job, the line that picks it up is logged as soon as it is accepted."""
    result = run_task(lambda: operator(audio_path=str(wav), deferrable=True))
    (line, *_) = [line for line in logged() if "To fetch it later: " in line]
    assert result["run_id"] in line


# The recording is gone


def test_a_recording_that_is_gone_does_not_keep_its_transcript_back(emulator: Emulator, attempt, wav, logged):
    """A retry on another worker finds the ticket, though it does not find the file."""
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav))
    wav.unlink()
    assert text_of(attempt(audio_path=str(wav))) == TEXT
    assert len(emulator.charges) == 1
    assert "does not exist" in "\n".join(logged())


@pytest.mark.parametrize("changed", [{"model": SYNC}, {"audio_path": "elsewhere/other.wav"}, {"force": True}])
def test_another_recording_that_is_not_there_is_bad_input(emulator: Emulator, attempt, wav, changed):
    """The record of one thing is never taken for another."""
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav))
    wav.unlink()
    with pytest.raises(AirflowFailException, match="does not exist"):
        attempt(**{"audio_path": str(wav), **changed})
    assert len(emulator.charges) == 1


def test_a_gone_recording_whose_job_failed_is_bad_input(emulator: Emulator, attempt, wav):
    """There is nothing to fetch and nothing to submit."""
    emulator.script("note.wav", status="failed", error="noise", duration=30.0)
    with killed(after=record("submitted")):
        attempt(audio_path=str(wav))
    wav.unlink()
    # Whichever the retry finds: a job that is about to fail, or one that has failed and cannot be submitted anew.
    with pytest.raises((errors.TranscriptionFailed, AirflowFailException)):
        attempt(audio_path=str(wav))
    with pytest.raises(AirflowFailException, match="does not exist"):
        attempt(audio_path=str(wav))
    assert len(emulator.charges) == 1
