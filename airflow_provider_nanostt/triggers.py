"""The deferred wait: a trigger that asks for a job's status without holding a worker slot, and reports an outcome.

Its arguments and events are stored and logged in plain text, so they hold ids, words and numbers: no key, no URL
with a signature, no transcript. It never submits anything: Airflow may run one trigger twice at the same time. The
dotted path of the class is kept in users' databases and does not change.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import weakref
import zlib
from datetime import UTC, datetime
from logging import DEBUG, INFO
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.polling import COMPLETED, REFUSED, LogLine, Outcome, expected_seconds, format_duration
from airflow_provider_nanostt.polling.transcript_spool import SpoolWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from airflow_provider_nanostt.api.config import Config
    from airflow_provider_nanostt.api.models import Transcript

EARLIEST_EVENT = 12.0
"""Seconds after deferring before which no event is fired.

A worker lingers for up to 5 s after it deferred a task. Airflow fails a task that is queued again by the same round of
the scheduler that hears of the worker's end; the rest is for rounds that take long. With 6 s and a busy scheduler, on
PostgreSQL too, 3 of 40 tasks failed for nothing.
"""

_MAX_UNPACKED_JOBS = 20
_PACKED_VERSION = 1

_CONNECTION_SECONDS = 60.0
"""How long a connection that was read is good for triggers that start later."""


class _WaitingTrigger(BaseTrigger):
    """What all triggers here have in common; the arguments are those of :class:`TranscriptionTrigger`."""

    def __init__(self, *, nanogpt_conn_id: str, poll_interval: float, deadline: float, not_before: float = 0.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base classes are partly untyped
        self.nanogpt_conn_id = nanogpt_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.not_before = not_before

    def own_arguments(self) -> dict[str, object]:
        """Return the arguments that only this kind of trigger has, as plain JSON."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, object]]:
        """Return the class path and every argument, as plain JSON."""
        return (
            f"airflow_provider_nanostt.triggers.{type(self).__name__}",
            {
                **self.own_arguments(),
                "nanogpt_conn_id": self.nanogpt_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "not_before": self.not_before,
            },
        )

    async def _event(self, data: dict[str, object]) -> TriggerEvent:
        """Return an event when one may be fired."""
        await asyncio.sleep(max(0.0, self.not_before - time.time()))
        return TriggerEvent(data)  # type: ignore[no-untyped-call]


class TranscriptionTrigger(_WaitingTrigger):
    """Wait for one transcription job.

    :param job: as :meth:`~airflow_provider_nanostt.api.models.Job.to_json` gives it.
    :param nanogpt_conn_id: the connection that submitted the job.
    :param poll_interval: seconds; the longest gap between two questions for a lone young job.
    :param deadline: epoch seconds after which a job that still runs is left alone. Absolute, so that a restart neither
        extends nor cuts the wait.
    :param not_before: epoch seconds before which no event is fired.
    """

    def __init__(
        self,
        *,
        job: Mapping[str, object],
        nanogpt_conn_id: str,
        poll_interval: float,
        deadline: float,
        not_before: float = 0.0,
    ) -> None:
        super().__init__(
            nanogpt_conn_id=nanogpt_conn_id, poll_interval=poll_interval, deadline=deadline, not_before=not_before
        )
        self.job = job

    def own_arguments(self) -> dict[str, object]:
        """Return the job."""
        return {"job": dict(self.job)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire exactly one event: an :class:`~airflow_provider_nanostt.polling.Outcome`, never a text."""
        job = Job.from_json(self.job)
        outcome = await _waited(self, job)
        yield await self._event(outcome.to_event(job))


class PartsTrigger(_WaitingTrigger):
    """Wait for all the jobs that the parts of one recording have become.

    :param parts: each with ``job`` and ``start``, where the part begins in the recording, in seconds.
    :param how: the other arguments of :class:`TranscriptionTrigger`.
    """

    def __init__(self, *, parts: Sequence[Mapping[str, object]], **how: Any) -> None:
        super().__init__(**how)
        self.parts = parts

    def own_arguments(self) -> dict[str, object]:
        """Return the parts."""
        return {"parts": [dict(part) for part in self.parts]}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for every part, then fire exactly one event with all their outcomes."""
        jobs = [Job.from_json(part["job"]) for part in self.parts]
        outcomes = await asyncio.gather(*(_waited(self, job) for job in jobs))
        ended = zip(self.parts, jobs, outcomes, strict=True)
        yield await self._event(
            {"parts": [{**outcome.to_event(job), "start": part["start"]} for part, job, outcome in ended]}
        )


class BatchTrigger(_WaitingTrigger):
    """Wait for all the jobs of a batch.

    Its event holds a count, and the run ids of jobs that are not completed: the resume knows the jobs from the ledger.

    :param jobs: as JSON, or as :meth:`serialize` packs many of them: compressed, an eighth of the size, since the
        column for a trigger's arguments ends at 64 KiB on MySQL.
    :param answers: where to leave the service's answers for the worker that resumes, as
        :meth:`~airflow_provider_nanostt.polling.transcript_spool.TranscriptSpool.open` returns it; None for nowhere.
    :param how: the other arguments of :class:`TranscriptionTrigger`.
    """

    def __init__(
        self,
        *,
        jobs: Sequence[Mapping[str, object]] | str,
        answers: Mapping[str, str] | None = None,
        **how: Any,
    ) -> None:
        super().__init__(**how)
        self.jobs: Sequence[Mapping[str, object]] = _unpacked(jobs) if isinstance(jobs, str) else jobs
        self.answers = answers

    def own_arguments(self) -> dict[str, object]:
        """Return the jobs, compressed if they are many, and where to leave answers."""
        jobs = [dict(job) for job in self.jobs]
        return {
            "jobs": jobs if len(jobs) <= _MAX_UNPACKED_JOBS else _packed(jobs),
            "answers": dict(self.answers) if self.answers else None,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for every job, then fire exactly one event."""
        jobs = [Job.from_json(job) for job in self.jobs]
        self.log.info(
            "Waiting for %d jobs; at the latest until %s",
            len(jobs),
            datetime.fromtimestamp(self.deadline, UTC).isoformat(timespec="seconds"),
        )
        progress = _Progress(len(jobs), self.log)
        async with SpoolWriter(self.answers, self.log) as keeper:
            outcomes = await asyncio.gather(*(progress.of(self._one(job, keeper)) for job in jobs))
        open_jobs = {outcome.run_id: outcome.kind for outcome in outcomes if outcome.kind != COMPLETED}
        yield await self._event({"batch": {"jobs": len(jobs), "not_completed": open_jobs}})

    async def _one(self, job: Job, keeper: SpoolWriter) -> Outcome:
        answers: list[Mapping[str, object]] = []
        keep = (lambda transcript: answers.append(transcript.raw)) if keeper.is_open else None
        outcome = await _waited(self, job, quiet=True, keep=keep)
        if answers:
            await keeper.keep(job.run_id, answers.pop())
        return outcome


def _packed(jobs: Sequence[Mapping[str, object]]) -> str:
    packed = {"version": _PACKED_VERSION, "jobs": jobs}
    return base64.b85encode(zlib.compress(json.dumps(packed).encode(), 9)).decode()


def _unpacked(text: str) -> list[dict[str, object]]:
    """Return the jobs of a batch.

    :raises ValueError: if a later version of the provider has packed them.
    """
    packed: dict[str, Any] = json.loads(zlib.decompress(base64.b85decode(text)))
    if packed["version"] != _PACKED_VERSION:
        raise ValueError(f"the jobs are packed in version {packed['version']}; this provider knows {_PACKED_VERSION}")
    jobs: list[dict[str, object]] = packed["jobs"]
    return jobs


class _Progress:
    """Logs how many jobs of a batch are done: at each tenth of them, not at each."""

    def __init__(self, total: int, log: Any) -> None:
        self._total = total
        self._log = log
        self._done = 0

    async def of(self, waiting: Awaitable[Outcome]) -> Outcome:
        outcome = await waiting
        self._done += 1
        if self._done * 10 // self._total > (self._done - 1) * 10 // self._total:
            self._log.info("%d of %d jobs are done", self._done, self._total)
        return outcome


async def _waited(
    trigger: _WaitingTrigger, job: Job, *, quiet: bool = False, keep: Callable[[Transcript], object] | None = None
) -> Outcome:
    """Wait for a job; whatever goes wrong is an outcome, too.

    :param quiet: log only what is out of the ordinary.
    :param keep: called with the transcript, if there is one.
    """
    try:
        return await _wait(trigger, job, INFO if not quiet else DEBUG, keep)
    except Exception as error:
        trigger.log.exception("Run %s: the trigger cannot go on", job.run_id)
        return Outcome(REFUSED, job.run_id, message=str(error), error=type(error).__name__)


async def _wait(trigger: _WaitingTrigger, job: Job, level: int, keep: Callable[[Transcript], object] | None) -> Outcome:
    from airflow_provider_nanostt.metrics import StatsMeter
    from airflow_provider_nanostt.polling.triggerer_loop import shared_poller

    config = await _config(trigger.nanogpt_conn_id)
    trigger.log.log(
        level,
        "Waiting for run %s: submitted %s ago, such a job takes about %s; at the latest until %s",
        job.run_id,
        format_duration(time.time() - job.submitted_at),
        format_duration(expected_seconds(job.charged_minutes)),
        datetime.fromtimestamp(trigger.deadline, UTC).isoformat(timespec="seconds"),
    )
    async with (
        shared_poller(config, StatsMeter()) as poller,
        poller.waiting(job, poll_interval=trigger.poll_interval, deadline=trigger.deadline, keep=keep) as wait,
    ):
        while isinstance(news := await wait.next(), LogLine):
            trigger.log.log(news.level, news.text)
    if news.error == errors.AuthError.__name__:
        _forget(trigger.nanogpt_conn_id)
    trigger.log.log(
        level, "Run %s: %s after %s", job.run_id, news.kind, format_duration(time.time() - job.submitted_at)
    )
    return news


_configs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, tuple[float, asyncio.Future[Config]]]] = (
    weakref.WeakKeyDictionary()
)


async def _config(conn_id: str) -> Config:
    """Read a connection once for all triggers that start together: each reading is a round trip through a thread."""
    from airflow_provider_nanostt.hooks import NanoGPTHook

    loop = asyncio.get_running_loop()
    known = _configs.setdefault(loop, {})
    read_at, reading = known.get(conn_id, (float("-inf"), None))
    if reading is None or loop.time() - read_at > _CONNECTION_SECONDS:
        reading = asyncio.ensure_future(NanoGPTHook(conn_id).aget_config())
        reading.add_done_callback(lambda done: _forget_failed(known, conn_id, done))
        known[conn_id] = (loop.time(), reading)
    return await asyncio.shield(reading)  # the first to ask may be cancelled; the others still need it


def _forget_failed(
    known: dict[str, tuple[float, asyncio.Future[Config]]], conn_id: str, done: asyncio.Future[Config]
) -> None:
    if (done.cancelled() or done.exception() is not None) and known.get(conn_id, (0, None))[1] is done:
        del known[conn_id]


def _forget(conn_id: str) -> None:
    _configs.get(asyncio.get_running_loop(), {}).pop(conn_id, None)
