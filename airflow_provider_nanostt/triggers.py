"""The deferred wait: a trigger that asks for a job's status without holding a worker slot, and reports an outcome.

Its arguments and events are stored and logged in plain text, so they hold ids, words and numbers: no key, no URL
with a signature, no transcript. It never submits anything: Airflow may run one trigger twice at the same time. The
dotted path of the class is kept in users' databases and does not change.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from itertools import accumulate
from logging import DEBUG, INFO
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_nanostt._compat import without_loggers
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.polling import COMPLETED, REFUSED, Outcome, expected_seconds, job_list
from airflow_provider_nanostt.polling.transcript_spool import SpoolWriter, load_jobs

if TYPE_CHECKING:
    from airflow_provider_nanostt.api.config import Config
    from airflow_provider_nanostt.polling.job_list import JobsAsJson
    from airflow_provider_nanostt.polling.triggerer_loop import Poller

EARLIEST_EVENT = 12.0
"""Seconds after deferring before which no event is fired.

A worker lingers for up to 5 s after it deferred a task. Airflow fails a task that is queued again by the same round of
the scheduler that hears of the worker's end; the rest is for rounds that take long. With 6 s and a busy scheduler, on
PostgreSQL too, 3 of 40 tasks failed for nothing.
"""

_MAX_NAMED_CHARS = 4_000
"""Of the run ids in an event, which is stored and logged."""
_STARTED_AT_ONCE = 50

_CONNECTION_SECONDS = 60.0
"""How long a connection that was read is good for triggers that start later."""


class _WaitingTrigger(BaseTrigger):
    """What all triggers here have in common; the arguments are those of :class:`TranscriptionTrigger`."""

    arguments: ClassVar[tuple[str, ...]] = ("nanogpt_conn_id", "poll_interval", "deadline", "not_before")

    def __init__(self, *, nanogpt_conn_id: str, poll_interval: float, deadline: float, not_before: float = 0.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base classes are partly untyped
        self.nanogpt_conn_id = nanogpt_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.not_before = not_before

    async def wait(self) -> dict[str, object]:
        """Wait for all jobs, and return the event: outcomes, never a text."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, object]]:
        """Return the class path and every argument, as plain JSON."""
        path = f"airflow_provider_nanostt.triggers.{type(self).__name__}"
        return path, {name: getattr(self, name) for name in self.arguments}

    def __getstate__(self) -> dict[str, Any]:
        return without_loggers(self.__dict__)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire exactly one event when one may be fired."""
        event = await self.wait()
        await asyncio.sleep(max(0.0, self.not_before - time.time()))
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait_for(self, job: Job, level: int = INFO) -> tuple[Outcome, bytes | None]:
        """Wait for one job; whatever goes wrong is an outcome, too.

        :param level: of the lines about its beginning and its end.
        :return: the outcome, and the service's answer if the job is completed.
        """
        try:
            async with await _poller(self.nanogpt_conn_id) as poller:
                self.log.log(
                    level,
                    "Waiting for run %s: submitted %s ago, such a job takes about %s; at the latest until %s",
                    job.run_id,
                    errors.format_duration(time.time() - job.submitted_at),
                    errors.format_duration(expected_seconds(job.charged_minutes)),
                    self._deadline_text(),
                )
                outcome, answer = await poller.wait(
                    job, poll_interval=self.poll_interval, deadline=self.deadline, log=self.log
                )
        except Exception as error:  # noqa: BLE001  whatever goes wrong is an outcome
            message = errors.describe_exception(error)
            self.log.error("Run %s: the trigger cannot go on: %s", job.run_id, errors.format_traceback(error))
            return Outcome(REFUSED, job.run_id, message=message, error=type(error).__name__), None
        if outcome.error == errors.AuthError.__name__:
            _configs[asyncio.get_running_loop()].pop(self.nanogpt_conn_id, None)
        age = errors.format_duration(time.time() - job.submitted_at)
        self.log.log(level, "Run %s: %s after %s", job.run_id, outcome.kind, age)
        return outcome, answer

    def _deadline_text(self) -> str:
        return datetime.fromtimestamp(self.deadline, UTC).isoformat(timespec="seconds")


class TranscriptionTrigger(_WaitingTrigger):
    """Wait for one transcription job.

    :param job: as :meth:`~airflow_provider_nanostt.api.models.Job.to_json` gives it.
    :param nanogpt_conn_id: the connection that submitted the job.
    :param poll_interval: seconds; the longest gap between two questions for a lone young job.
    :param deadline: epoch seconds after which a job that still runs is left alone. Absolute, so that a restart neither
        extends nor cuts the wait.
    :param not_before: epoch seconds before which no event is fired.
    """

    arguments = ("job", *_WaitingTrigger.arguments)

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

    async def wait(self) -> dict[str, object]:
        """Return the outcome, with the job."""
        job = Job.from_json(self.job)
        outcome, _ = await self._wait_for(job)
        return outcome.to_event(job)


class PartsTrigger(_WaitingTrigger):
    """Wait for all the jobs that the parts of one recording have become.

    :param parts: each with ``job`` and ``start``, where the part begins in the recording, in seconds.
    :param how: the other arguments of :class:`TranscriptionTrigger`.
    """

    arguments = ("parts", *_WaitingTrigger.arguments)

    def __init__(self, *, parts: Sequence[Mapping[str, object]], **how: Any) -> None:
        super().__init__(**how)
        self.parts = parts

    async def wait(self) -> dict[str, object]:
        """Return the outcome of every part, with its job and its start."""
        jobs = [Job.from_json(part["job"]) for part in self.parts]
        ended = zip(self.parts, jobs, await asyncio.gather(*map(self._wait_for, jobs)), strict=True)
        return {"parts": [{**outcome.to_event(job), "start": part["start"]} for part, job, (outcome, _) in ended]}


class PauseTrigger(_WaitingTrigger):
    """Wait until the deadline, for no job: files are given the time to become whole."""

    async def wait(self) -> dict[str, object]:
        """Return that the time is over."""
        await asyncio.sleep(max(0.0, self.deadline - time.time()))
        return {"paused_until": self.deadline}


def is_pause(event: object) -> bool:
    """Return whether an event is one of :class:`PauseTrigger`."""
    return isinstance(event, Mapping) and "paused_until" in event


class BatchTrigger(_WaitingTrigger):
    """Wait for all the jobs of a batch.

    Its event holds counts, and the run ids of jobs that are not completed: the resume knows the jobs from the ledger.

    :param jobs: as JSON; as :meth:`serialize` packs more of them; or what names a file in the folder of ``answers``, as
        :meth:`~airflow_provider_nanostt.polling.transcript_spool.TranscriptSpool.leave_jobs` returns it. If that file
        cannot be read here, an event says so at once, and the worker goes on in another way.
    :param answers: where to leave the service's answers for the worker that resumes, as
        :meth:`~airflow_provider_nanostt.polling.transcript_spool.TranscriptSpool.open` returns it; None for nowhere.
    :param until_row: the jobs are those of rows below this number; None for all. The event has it, too.
    :param how: the other arguments of :class:`TranscriptionTrigger`.
    """

    arguments = ("jobs", "answers", "until_row", *_WaitingTrigger.arguments)

    def __init__(
        self,
        *,
        jobs: JobsAsJson | Mapping[str, object] | str,
        answers: Mapping[str, str] | None = None,
        until_row: int | None = None,
        **how: Any,
    ) -> None:
        super().__init__(**how)
        self.jobs = jobs if isinstance(jobs, Mapping) else job_list.from_argument(jobs)
        self.answers = answers
        self.until_row = until_row
        self._done = 0

    def serialize(self) -> tuple[str, dict[str, object]]:
        """Return the class path and every argument; the jobs are compressed if they are many."""
        path, arguments = super().serialize()
        arguments["jobs"] = self.jobs if isinstance(self.jobs, Mapping) else job_list.as_argument(self.jobs)
        if self.until_row is None:  # triggerers of an earlier version do not know it
            del arguments["until_row"]
        return path, arguments

    async def wait(self) -> dict[str, object]:
        """Return how many jobs there were, and by run id how those ended that are not completed."""
        event: dict[str, object] = {"until_row": self.until_row, "deadline": self.deadline}
        try:
            jobs = await self._load()
        except errors.StorageUnavailable as error:
            self.log.warning("The jobs to wait for are unknown here, so the worker takes over: %s", error)
            return {"batch": {**event, "jobs": 0, "not_completed": {}, "until_row": 0, "unreadable": str(error)}}
        self.log.info("Waiting for %d jobs; at the latest until %s", len(jobs), self._deadline_text())
        async with SpoolWriter(self.answers, self.log) as spool:
            outcomes = await self._wait_for_all(jobs, spool)
        missing = [outcome for outcome in outcomes if outcome.kind != COMPLETED]
        chars = accumulate(len(one.run_id) + len(one.kind) for one in missing)
        named = {one.run_id: one.kind for one, used in zip(missing, chars, strict=True) if used <= _MAX_NAMED_CHARS}
        return {"batch": {**event, "jobs": len(jobs), "not_completed": named, "more": len(missing) - len(named)}}

    async def _load(self) -> list[Job]:
        if isinstance(self.jobs, Mapping):
            return await load_jobs(self.answers, self.jobs)
        return [Job.from_json(job) for job in self.jobs]

    async def _wait_for_all(self, jobs: Sequence[Job], spool: SpoolWriter) -> list[Outcome]:
        """Wait for jobs; begin with a few at a time, since other triggers share the event loop."""
        waits = []
        async with AsyncExitStack() as held, asyncio.TaskGroup() as group:
            with suppress(Exception):  # every job's own wait will say so
                # Ready before the first begins: all that wait for the same thing would go on in the same moment.
                await (await held.enter_async_context(await _poller(self.nanogpt_conn_id))).open()
            for number, job in enumerate(jobs):
                if number % _STARTED_AT_ONCE == 0:
                    await asyncio.sleep(0)
                waits.append(group.create_task(self._spooled(job, spool, len(jobs))))
        return [wait.result() for wait in waits]

    async def _spooled(self, job: Job, spool: SpoolWriter, total: int) -> Outcome:
        """Wait for a job and leave its answer; log how many are done at each tenth of them."""
        outcome, answer = await self._wait_for(job, DEBUG)
        if answer is not None:
            await spool.keep(job.run_id, answer)
        self._done += 1
        if self._done * 10 // total > (self._done - 1) * 10 // total:
            self.log.info("%d of %d jobs are done", self._done, total)
        return outcome


async def _poller(conn_id: str) -> Poller:
    """Return the poller of those in the event loop who use a connection."""
    from airflow_provider_nanostt.metrics import StatsMeter
    from airflow_provider_nanostt.polling.triggerer_loop import shared_poller

    return shared_poller(await _config(conn_id), StatsMeter(in_triggerer=True))


_configs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Future[Config]]] = (
    weakref.WeakKeyDictionary()
)


async def _config(conn_id: str) -> Config:
    """Read a connection once for all triggers that start together: each reading is a round trip through a thread."""
    from airflow_provider_nanostt.hooks import NanoGPTHook

    loop = asyncio.get_running_loop()
    known = _configs.setdefault(loop, {})
    reading = known.get(conn_id)
    if reading is None or (reading.done() and (reading.cancelled() or reading.exception())):
        reading = known[conn_id] = asyncio.ensure_future(NanoGPTHook(conn_id).aget_config())
        loop.call_later(_CONNECTION_SECONDS, known.pop, conn_id, None)
    return await asyncio.shield(reading)  # the first to ask may be cancelled; the others still need it
