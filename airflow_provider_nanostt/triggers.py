"""The deferred wait: a trigger that asks for a job's status without holding a worker slot, and reports an outcome.

Its arguments and events are stored and logged in plain text, so they hold ids, words and numbers: no key, no URL
with a signature, no transcript. It never submits anything: Airflow may run one trigger twice at the same time. The
dotted path of the class is kept in users' databases and does not change.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_nanostt.api import errors, protocol
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.polling import REFUSED, Outcome, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from airflow_provider_nanostt.poller import SharedClient

EARLIEST_EVENT = 6.0
"""Seconds after deferring before which no event is fired.

A worker lingers for up to 5 s after it deferred a task, and Airflow may fail a task whose event comes in that window.
"""


class TranscriptionTrigger(BaseTrigger):
    """Wait for one transcription job.

    :param job: the ticket, as :meth:`~airflow_provider_nanostt.api.models.Job.to_json` gives it.
    :param nanogpt_conn_id: the connection that submitted the job.
    :param poll_interval: seconds between two questions.
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
        try:
            outcome = await self._wait(job)
        except Exception as error:
            self.log.exception("Run %s: the trigger cannot go on", job.run_id)
            outcome = Outcome(REFUSED, job.run_id, message=str(error), error=type(error).__name__)
        await asyncio.sleep(max(0.0, self.not_before - time.time()))
        yield TriggerEvent(outcome.to_event(job))  # type: ignore[no-untyped-call]

    async def _wait(self, job: Job) -> Outcome:
        from airflow_provider_nanostt.hooks import NanoGPTHook
        from airflow_provider_nanostt.poller import shared_client

        config = await NanoGPTHook(self.nanogpt_conn_id).aget_config()
        watch = Watch(job, poll_interval=self.poll_interval, deadline=self.deadline)
        async with shared_client(config) as client:
            while True:
                step = watch.heard(await _ask(client, job), time.time())
                if watch.remark:
                    self.log.warning(watch.remark)
                if isinstance(step, Outcome):
                    return step
                await asyncio.sleep(max(0.0, step - time.time()))


async def _ask(client: SharedClient, job: Job) -> Any:
    try:
        return await client.ask(protocol.status(job))
    except errors.NanoGPTError as error:
        return error
