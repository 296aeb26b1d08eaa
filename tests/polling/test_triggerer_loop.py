"""One polling loop for many waits: what is shared, what is closed, and that nobody is left waiting."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from contextvars import ContextVar

import pytest

from airflow_provider_nanostt.api import transport
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.polling import COMPLETED, TIMED_OUT, Outcome, Schedule, schedule, triggerer_loop

pytestmark = pytest.mark.airflow

ASYNC = "Elevenlabs-STT"


@pytest.fixture
def job_seconds() -> float:
    """Long enough to be asked for while they run."""
    return 0.2


def submit(wav, count: int) -> list[Job]:
    hook = NanoGPTHook()
    return [hook.transcribe(wait_for_completion=False, audio_path=wav, model=ASYNC) for _ in range(count)]


def config(emulator: Emulator, **changes) -> Config:
    return Config(emulator.api_key, base_url=emulator.url, **changes)


async def outcome(
    shared: triggerer_loop.Poller, job: Job, *, poll_interval: float = 0.1, patience: float = 30.0
) -> Outcome:
    found, _ = await shared.wait(job, poll_interval=poll_interval, deadline=time.time() + patience)
    return found


class Counts:
    """A meter that keeps its counts."""

    def __init__(self) -> None:
        self.counted: dict[str, float] = {}
        self.gauged: list[tuple[str, float]] = []

    def incr(self, name: str, count: int) -> None:
        self.counted[name] = self.counted.get(name, 0) + count

    def gauge(self, name: str, value: float) -> None:
        self.gauged.append((name, value))

    def timing(self, name: str, seconds: float) -> None:
        self.counted[name] = seconds


def test_many_waits_share_few_connections(emulator: Emulator, wav):
    """Thirty jobs are waited for over connections that are used again and again."""
    jobs = submit(wav, 30)
    before = len(emulator.requests)

    async def run() -> list[Outcome]:
        async with triggerer_loop.shared_poller(config(emulator)) as shared:
            return await asyncio.gather(*(outcome(shared, job) for job in jobs))

    outcomes = asyncio.run(run())
    assert [found.kind for found in outcomes] == [COMPLETED] * 30
    asked = [request for request in list(emulator.requests)[before:] if request.endpoint == "/transcribe/status"]
    assert len({request.connection for request in asked}) <= 5
    assert len(asked) >= 30


def test_the_last_one_out_closes_everything(emulator: Emulator, wav):
    """When nobody waits any more, no task or session is left and nothing is asked; cancelled waits included."""
    jobs = submit(wav, 6)

    async def run() -> None:
        pollers: set[triggerer_loop.Poller] = set()

        async def wait(job: Job) -> None:
            async with triggerer_loop.shared_poller(config(emulator)) as shared:
                pollers.add(shared)
                await outcome(shared, job, poll_interval=0.3)

        waits = [asyncio.create_task(wait(job)) for job in jobs]
        await asyncio.sleep(0.1)
        for cancelled in waits[:3]:
            cancelled.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        (shared,) = pollers
        assert asyncio.all_tasks() == {asyncio.current_task()}
        asked = len(emulator.requests)
        await asyncio.sleep(0.4)
        assert len(emulator.requests) == asked
        async with triggerer_loop.shared_poller(config(emulator)) as another:
            assert another is not shared

    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always", ResourceWarning)
        asyncio.run(run())
        gc.collect()
    assert [one for one in unclosed if issubclass(one.category, ResourceWarning)] == []


def test_a_refusal_slows_everybody_and_loses_nobody(emulator: Emulator, wav):
    """A 429 is waited out by all who share the key, and counts for no job as an answer."""
    jobs = submit(wav, 3)
    emulator.fail("/transcribe/status", status=429, retry_after=0.3, times=2)
    counts = Counts()

    async def run() -> tuple[list[Outcome], float]:
        async with triggerer_loop.shared_poller(config(emulator), counts) as shared:
            outcomes = await asyncio.gather(*(outcome(shared, job) for job in jobs))
            return outcomes, shared.limiter.rate

    outcomes, rate = asyncio.run(run())
    assert [found.kind for found in outcomes] == [COMPLETED] * 3
    assert rate < 20.0
    statuses = [request.status for request in emulator.requests if request.endpoint == "/transcribe/status"]
    assert statuses.count(429) == 2


def test_each_line_is_logged_where_its_trigger_logs(emulator: Emulator, wav):
    """Airflow finds the log of a trigger by its context, which is not that of the loop that all share."""
    jobs = submit(wav, 2)
    emulator.fail("/transcribe/status", status=503, times=2)
    trigger: ContextVar[str] = ContextVar("trigger", default="nobody")
    lines: list[tuple[str, str]] = []

    class Log:
        def log(self, _level: int, text: str) -> None:
            lines.append((trigger.get(), text))

    async def wait(shared: triggerer_loop.Poller, job: Job) -> None:
        trigger.set(job.run_id)
        await shared.wait(job, poll_interval=0.1, deadline=time.time() + 30.0, log=Log())

    async def run() -> None:
        async with triggerer_loop.shared_poller(config(emulator)) as shared:
            await asyncio.gather(*(wait(shared, job) for job in jobs))

    asyncio.run(run())
    assert {run_id for run_id, _ in lines} == {job.run_id for job in jobs}
    assert all(run_id in text for run_id, text in lines if "asked for again" in text)


def test_it_counts_what_it_does(emulator: Emulator, wav):
    """Jobs waiting, questions, refusals and how closely an end was noticed are counted."""
    jobs = submit(wav, 2)
    emulator.fail("/transcribe/status", status=429, retry_after=0)
    counts = Counts()

    async def run() -> None:
        async with triggerer_loop.shared_poller(config(emulator), counts) as shared:
            await asyncio.gather(*(outcome(shared, job) for job in jobs))

    asyncio.run(run())
    assert counts.counted["refusals"] == 1
    assert counts.counted["polls"] >= 3
    waiting = [value for name, value in counts.gauged if name == "jobs_waiting"]
    assert max(waiting) == 2
    assert waiting[-1] == 0
    assert 0.0 <= counts.counted["noticed_within"] < 30.0


def test_a_service_that_hangs_does_not_outlast_the_deadline(monkeypatch, wav):
    """When the last question gets no answer, the wait ends all the same, a second after its deadline."""
    with Emulator(processing_seconds=60.0) as emulator:
        emulator.script("note.wav", text="x", duration=30.0)
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", emulator.connection_json)
        (job,) = submit(wav, 1)
        emulator.fail("/transcribe/status", kind="hang", times=10)

        async def run() -> Outcome:
            async with triggerer_loop.shared_poller(config(emulator)) as shared:
                return await outcome(shared, job, patience=0.5)

        monkeypatch.setattr(schedule, "LATE_GRACE_SECONDS", 1.0)
        found = asyncio.run(run())
    assert (found.kind, found.message) == (TIMED_OUT, "no answer came in time")


def test_a_fault_in_the_loop_ends_every_wait(emulator: Emulator, wav, monkeypatch):
    """Should the loop itself fail, every wait ends with the reason instead of hanging."""
    (job,) = submit(wav, 1)

    async def run() -> None:
        async with triggerer_loop.shared_poller(config(emulator)) as shared:
            monkeypatch.setattr(Schedule, "next", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await outcome(shared, job)

    asyncio.run(run())


def test_a_fault_in_one_question_ends_that_wait_alone(emulator: Emulator, wav, monkeypatch):
    """An unforeseen exception while asking for one job ends that wait alone."""
    one, other = submit(wav, 2)
    send = transport.AsyncClient.send

    async def broken(client, call, **options):
        if one.run_id.encode() in call.request.body:
            raise LookupError("unforeseen")
        return await send(client, call, **options)

    monkeypatch.setattr(transport.AsyncClient, "send", broken)

    async def run() -> list[object]:
        async with triggerer_loop.shared_poller(config(emulator)) as shared:
            return await asyncio.gather(outcome(shared, one), outcome(shared, other), return_exceptions=True)

    failed, found = asyncio.run(run())
    assert isinstance(failed, LookupError)
    assert isinstance(found, Outcome)
    assert found.kind == COMPLETED
