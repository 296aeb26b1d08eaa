"""The deferred wait: a trigger that asks for a job's status without holding a worker slot, and reports an outcome.

Its arguments and events are stored and logged in plain text, so they hold ids, words and numbers: no key, no URL
with a signature, no transcript. It never submits anything: Airflow may run one trigger twice at the same time. The
dotted path of the class is kept in users' databases and does not change.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.polling import REFUSED, Outcome, Remark, expected_seconds, length

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from airflow_provider_nanostt.api.config import Config

EARLIEST_EVENT = 12.0
"""Seconds after deferring before which no event is fired.

A worker lingers for up to 5 s after it deferred a task. Airflow fails a task that is queued again by the same round of
the scheduler that hears of the worker's end; the rest is for rounds that take long. With 6 s and a busy scheduler, on
PostgreSQL too, 3 of 40 tasks failed for nothing.
"""

_CONNECTION_SECONDS = 60.0
"""How long a connection that was read is good for triggers that start later."""


class TranscriptionTrigger(BaseTrigger):
    """Wait for one transcription job.

    :param job: the ticket, as :meth:`~airflow_provider_nanostt.api.models.Job.to_json` gives it.
    :param nanogpt_conn_id: the connection that submitted the job.
    :param poll_interval: seconds; the longest gap between two questions for a lone young job.
    :param deadline: epoch seconds after which a job that still runs is left alone. Absolute, so that a restart neither
        extends nor cuts the wait.
    :param not_before: epoch seconds before which no event is fired.
    """

    def __init__(
        self,
        *,
        job: Mapping[str, Any],
        nanogpt_conn_id: str,
        poll_interval: float,
        deadline: float,
        not_before: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base classes are partly untyped
        self.job = job
        self.nanogpt_conn_id = nanogpt_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and every argument, as plain JSON."""
        return (
            "airflow_provider_nanostt.triggers.TranscriptionTrigger",
            {
                "job": dict(self.job),
                "nanogpt_conn_id": self.nanogpt_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "not_before": self.not_before,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire exactly one event: an :class:`~airflow_provider_nanostt.polling.Outcome`, never a text."""
        job = Job.from_json(self.job)
        outcome = await _waited(self, job)
        await asyncio.sleep(max(0.0, self.not_before - time.time()))
        yield TriggerEvent(outcome.to_event(job))  # type: ignore[no-untyped-call]


class PartsTrigger(BaseTrigger):
    """Wait for all the jobs that the parts of one recording have become.

    :param parts: each with ``job``, the ticket, and ``start``, where the part begins in the recording, in seconds.
    :param nanogpt_conn_id: as in :class:`TranscriptionTrigger`, like the other arguments.
    """

    def __init__(
        self,
        *,
        parts: Sequence[Mapping[str, Any]],
        nanogpt_conn_id: str,
        poll_interval: float,
        deadline: float,
        not_before: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base classes are partly untyped
        self.parts = parts
        self.nanogpt_conn_id = nanogpt_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and every argument, as plain JSON."""
        return (
            "airflow_provider_nanostt.triggers.PartsTrigger",
            {
                "parts": [dict(part) for part in self.parts],
                "nanogpt_conn_id": self.nanogpt_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "not_before": self.not_before,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for every part, then fire exactly one event with all their outcomes."""
        jobs = [Job.from_json(part["job"]) for part in self.parts]
        outcomes = await asyncio.gather(*(_waited(self, job) for job in jobs))
        await asyncio.sleep(max(0.0, self.not_before - time.time()))
        told = zip(self.parts, jobs, outcomes, strict=True)
        event = {"parts": [{**outcome.to_event(job), "start": part["start"]} for part, job, outcome in told]}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]


async def _waited(trigger: TranscriptionTrigger | PartsTrigger, job: Job) -> Outcome:
    """Wait for a job; whatever goes wrong is an outcome, too."""
    try:
        return await _wait(trigger, job)
    except Exception as error:
        trigger.log.exception("Run %s: the trigger cannot go on", job.run_id)
        return Outcome(REFUSED, job.run_id, message=str(error), error=type(error).__name__)


async def _wait(trigger: TranscriptionTrigger | PartsTrigger, job: Job) -> Outcome:
    from airflow_provider_nanostt.metrics import StatsMeter
    from airflow_provider_nanostt.poller import shared_poller

    config = await _config(trigger.nanogpt_conn_id)
    trigger.log.info(
        "Waiting for run %s: submitted %s ago, such a job takes about %s; at the latest until %s",
        job.run_id,
        length(time.time() - job.submitted_at),
        length(expected_seconds(job.charged_minutes)),
        datetime.fromtimestamp(trigger.deadline, UTC).isoformat(timespec="seconds"),
    )
    async with (
        shared_poller(config, StatsMeter()) as poller,
        poller.waiting(job, poll_interval=trigger.poll_interval, deadline=trigger.deadline) as wait,
    ):
        while isinstance(news := await wait.next(), Remark):
            trigger.log.log(news.level, news.text)
    if news.error == errors.AuthError.__name__:
        _forget(trigger.nanogpt_conn_id)
    trigger.log.info("Run %s: %s after %s", job.run_id, news.kind, length(time.time() - job.submitted_at))
    return news


_configs: weakref.WeakKeyDictionary[Any, dict[str, tuple[float, asyncio.Future[Config]]]] = weakref.WeakKeyDictionary()


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
    return await asyncio.shield(reading)  # whoever came first may be cancelled; the others still need it


def _forget_failed(known: dict[str, Any], conn_id: str, done: asyncio.Future[Config]) -> None:
    if (done.cancelled() or done.exception() is not None) and known.get(conn_id, (0, None))[1] is done:
        del known[conn_id]


def _forget(conn_id: str) -> None:
    _configs.get(asyncio.get_running_loop(), {}).pop(conn_id, None)
