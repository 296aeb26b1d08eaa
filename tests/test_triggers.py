"""The deferred wait: what it stores, what it fires, and that it shares one client and never blocks."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from airflow_provider_nanostt.api import transport
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.polling import COMPLETED, FAILED, REFUSED, TIMED_OUT, Outcome, triggerer_loop
from airflow_provider_nanostt.triggers import BatchTrigger, TranscriptionTrigger
from tests.conftest import TEXT, fire


@pytest.fixture
def job_seconds() -> float:
    """Long enough to be asked for while they run."""
    return 0.2


@pytest.fixture
def job(emulator: Emulator, wav) -> Job:
    answer = NanoGPTHook().transcribe(wait_for_completion=False, audio_path=wav, model="Elevenlabs-STT")
    assert isinstance(answer, Job)
    return answer


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Config], list[Config]]:
    """The settings of every asynchronous client that is made, and of every one that is closed."""
    made: list[Config] = []
    closed: list[Config] = []

    class Client(transport.AsyncClient):
        def __init__(self, config: Config, **how: Any) -> None:
            made.append(config)
            super().__init__(config, **how)

        async def close(self) -> None:
            closed.append(self.config)
            await super().close()

    monkeypatch.setattr(transport, "AsyncClient", Client)
    return made, closed


def trigger(job: Job, **changes) -> TranscriptionTrigger:
    arguments = {
        "job": job.to_json(),
        "nanogpt_conn_id": "nanogpt_default",
        "poll_interval": 0.1,
        "deadline": time.time() + 30,
    }
    return TranscriptionTrigger(**{**arguments, **changes})


def test_it_stores_plain_json_under_a_path_that_stays(emulator: Emulator, job):
    """Every argument survives storage, none of them is a secret, and the class path is public API."""
    path, kwargs = trigger(job, not_before=5.0).serialize()
    assert path == "airflow_provider_nanostt.triggers.TranscriptionTrigger"
    stored = json.dumps(kwargs)
    assert json.loads(stored) == kwargs
    assert emulator.api_key not in stored
    assert TranscriptionTrigger(**json.loads(stored)).serialize() == (path, kwargs)


def test_it_fires_one_outcome_without_the_text(emulator: Emulator, job):
    """The event says that the job is done, with the ticket, and no word of the transcript."""
    event = fire(trigger(job))
    outcome, ticket = Outcome.from_event(event)
    assert (outcome.kind, outcome.run_id) == (COMPLETED, job.run_id)
    assert ticket == job
    assert TEXT not in json.dumps(event)
    assert emulator.api_key not in json.dumps(event)


def test_a_failed_job_is_an_outcome(emulator: Emulator, wav):
    """The service's reason travels in the event."""
    emulator.script("note.wav", status="failed", error="no speech was found", duration=30.0)
    answer = NanoGPTHook().transcribe(wait_for_completion=False, audio_path=wav, model="Elevenlabs-STT")
    assert isinstance(answer, Job)
    outcome, _ = Outcome.from_event(fire(trigger(answer)))
    assert (outcome.kind, outcome.message) == (FAILED, "no speech was found")


def test_a_deadline_in_the_past_still_asks_once(emulator: Emulator, job):
    """A triggerer that comes back late takes a finished job, and gives up on an unfinished one."""
    emulator.fail("/transcribe/status", status=200, body='{"status": "processing"}')
    outcome, _ = Outcome.from_event(fire(trigger(job, deadline=time.time() - 60)))
    assert outcome.kind == TIMED_OUT
    while emulator.jobs[0].finished is None:
        time.sleep(0.01)
    outcome, _ = Outcome.from_event(fire(trigger(job, deadline=time.time() - 60)))
    assert outcome.kind == COMPLETED


def test_transient_errors_are_waited_out(emulator: Emulator, job):
    """Errors, resets and nonsense on the way do not give up a paid job."""
    for fault in ({"status": 503}, {"kind": "html"}, {"kind": "broken_json"}, {"kind": "reset"}):
        emulator.fail("/transcribe/status", **fault)
    outcome, _ = Outcome.from_event(fire(trigger(job, poll_interval=0.02)))
    assert outcome.kind == COMPLETED


def test_an_unknown_run_is_an_outcome(emulator: Emulator, job):
    """A run the service does not know ends the wait, without an exception."""
    lost = Job("no-such-run", job.model, job.submitted_at)
    outcome, _ = Outcome.from_event(fire(trigger(lost, poll_interval=0.02)))
    assert (outcome.kind, outcome.error) == (REFUSED, "NotFound")


@pytest.mark.parametrize("connection", [None, json.dumps({"conn_type": "nanogpt", "password": ""})])
def test_a_connection_that_cannot_be_used_is_an_outcome(emulator: Emulator, job, monkeypatch, connection):
    """A missing or broken connection is reported with the run id; nothing escapes the trigger."""
    if connection is None:
        monkeypatch.delenv("AIRFLOW_CONN_NANOGPT_DEFAULT")
    else:
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", connection)
    outcome, _ = Outcome.from_event(fire(trigger(job)))
    assert (outcome.kind, outcome.run_id) == (REFUSED, job.run_id)
    assert "nanogpt_default" in outcome.message


def test_no_event_before_its_time(emulator: Emulator, job):
    """An event is held back until the moment Airflow can take it."""
    held_until = time.time() + 1.0
    fire(trigger(job, not_before=held_until))
    assert time.time() >= held_until


def test_all_triggers_of_a_loop_share_one_client_and_leave_nothing_behind(emulator: Emulator, job, clients):
    """Thirty waits use few connections, and the last one to leave closes them, cancelled ones included."""

    async def many() -> None:
        async def wait(one: TranscriptionTrigger) -> None:
            async for _ in one.run():
                pass

        waits = [asyncio.create_task(wait(trigger(job, poll_interval=0.5))) for _ in range(30)]
        await asyncio.sleep(0.1)
        for cancelled in waits[:10]:
            cancelled.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    opened, closed = clients
    asyncio.run(many())
    assert len(opened) == 1
    assert closed == opened


def test_two_keys_share_nothing(emulator: Emulator, job, monkeypatch, clients):
    """Each credential has a client of its own."""
    other = emulator.add_key()
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({**emulator.connection, "password": other}))

    async def both() -> None:
        one, two = await NanoGPTHook().aget_config(), await NanoGPTHook("other").aget_config()
        async with triggerer_loop.shared_poller(one) as mine, triggerer_loop.shared_poller(two) as theirs:
            assert mine is not theirs

    asyncio.run(both())
    opened, closed = clients
    assert {config.api_key for config in opened} == {emulator.api_key, other}
    assert len(closed) == len(opened) == 2


@pytest.mark.parametrize("count", [1, 20, 21, 600])
def test_a_batch_travels_whole_and_fits_mysql(job, count):
    """Whatever is stored is read again; 600 encrypted tickets stay below the 64 KiB that MySQL's column holds."""
    jobs = [{**job.to_json(), "run_id": f"run-{number}-{job.run_id}"} for number in range(count)]
    how = {"nanogpt_conn_id": "nanogpt_default", "poll_interval": 0.1, "deadline": time.time() + 30}
    path, stored = BatchTrigger(jobs=jobs, **how).serialize()
    assert path == "airflow_provider_nanostt.triggers.BatchTrigger"
    text = json.dumps(stored)
    assert BatchTrigger(**json.loads(text)).jobs == jobs
    assert len(text) * 4 / 3 < 65_535


def test_the_event_of_a_batch_has_counts_and_no_jobs(emulator: Emulator, job):
    """The event names the jobs that are not completed, and nothing else of them."""
    gone = {**job.to_json(), "run_id": "nobody-knows-it"}
    event = fire(
        BatchTrigger(
            jobs=[job.to_json(), gone], nanogpt_conn_id="nanogpt_default", poll_interval=0.1, deadline=9e9, until_row=7
        )
    )
    counts = {"jobs": 2, "not_completed": {"nobody-knows-it": REFUSED}, "more": 0}
    assert event == {"batch": {**counts, "deadline": 9e9, "until_row": 7}}
