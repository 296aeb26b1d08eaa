"""Accepting a submission: money is taken, a job begins, and script or recogniser brings it to its end.

No HTTP: `server` asks, this decides and works.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
import uuid
from typing import TYPE_CHECKING

from airflow_provider_nanostt.emulator.bodies import Refused
from airflow_provider_nanostt.emulator.jobs import Job
from airflow_provider_nanostt.emulator.limits import seconds_to_midnight
from airflow_provider_nanostt.emulator.recogniser import NOT_INSTALLED, Recogniser, RecogniserError
from airflow_provider_nanostt.emulator.records import Charge
from airflow_provider_nanostt.emulator.transcript import Script, Transcript, transcribe

if TYPE_CHECKING:
    from airflow_provider_nanostt.emulator.state import Account, State
    from airflow_provider_nanostt.emulator.submissions import Submission


class Workshop:
    """Where accepted jobs are worked on."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.settings = state.settings
        self.recogniser = Recogniser(enabled=self.settings.recogniser != "none")
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Stop all work; jobs stay as they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self.recogniser.close)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, account: Account, asked: Submission) -> Job:
        """Charge for an async job and let it run.

        :raises Refused: 402 or a day limit; then nothing was charged.
        """
        job = self._accept(account, asked, sync=False)
        if asked.script is not None and asked.script.status == "completed":
            self._follow_script(job, asked.script)  # no task: thousands of these may be waiting
            return job
        task = asyncio.get_running_loop().create_task(self._work(job, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def run(self, account: Account, asked: Submission) -> Job:
        """Charge for a synchronous transcription and return it when it has ended.

        :raises Refused: 402, a day limit, or 500 where nothing could transcribe; then nothing was charged.
        """
        if asked.script is None and not self.recogniser.available:
            raise Refused(500, NOT_INSTALLED)
        job = self._accept(account, asked, sync=True)
        await self._work(job, asked)
        return job

    def afford(self, account: Account, cost: float) -> None:
        """Refuse what the key cannot pay.

        :raises Refused: 402 with `requiredBalance`, or 429 for the day's limit.
        """
        now = dt.datetime.now(dt.UTC)
        if not account.day.affords(cost, now):
            raise day_over("daily_usd_limit_exceeded", "Daily spending limit of this API key reached", now)
        if cost > account.balance + 1e-9:
            raise Refused(402, "Insufficient balance", extra={"requiredBalance": cost})

    def _accept(self, account: Account, asked: Submission, *, sync: bool) -> Job:
        """Make a submission a job and charge for it; there is no way back from here but a refund."""
        self.afford(account, asked.cost)
        now = time.monotonic()
        queued, total = self.state.draw_times(asked.seconds, asked.script, sync=sync)
        job = Job(
            run_id=uuid.uuid4().hex,
            key=account.key,
            model=asked.model,
            source=asked.source,
            file_name=asked.file_name,
            size=asked.size,
            seconds=asked.seconds,
            minutes=asked.minutes,
            cost=asked.cost,
            diarize=asked.diarize,
            events=asked.events,
            created=time.time(),
            started=now,
            queued_until=now + queued,
            due=now + total,
        )
        charge = Charge(
            time=job.created,
            key=job.key,
            endpoint="/transcribe",
            model=job.model.id,
            run_id=job.run_id,
            minutes=job.minutes,
            cost=job.cost,
            source=job.source,
            size=job.size,
        )
        self.state.charge(account, charge)
        if not sync:
            self.state.keep_job(job)
        return job

    async def _work(self, job: Job, asked: Submission) -> None:
        """Bring a job to its end: script or recognition, the rest of its time, and a refund if it failed."""
        if asked.script is not None:
            self._follow_script(job, asked.script)
        else:
            await self._recognise(job, asked)
        await asyncio.sleep(max(0.0, job.due - time.monotonic()))
        if job.outcome == "failed" and self.settings.refund_failed:
            self.state.refund(job.run_id)

    def _follow_script(self, job: Job, script: Script) -> None:
        transcript = script.transcript(
            job.seconds, diarize=job.diarize, events=job.events, label=self.settings.label_transcription
        )
        error = script.error or ("The transcription failed" if script.status == "failed" else None)
        job.settle(transcript, error, script.status, time.monotonic())

    async def _recognise(self, job: Job, asked: Submission) -> None:
        transcript: Transcript | None = None
        error = asked.problem if self.recogniser.available else NOT_INSTALLED
        if error is None:
            try:
                words = await self.recogniser.words(asked.sound.channels if asked.sound else ())
                label = self.settings.label_transcription
                transcript = transcribe(words, diarize=job.diarize, events=job.events, label=label)
            except RecogniserError as failure:
                error = str(failure)
        job.settle(transcript, error, "failed" if error else "completed", time.monotonic())


def day_over(code: str, message: str, now: dt.datetime) -> Refused:
    """Return the refusal for a day limit, which ends at midnight UTC."""
    return Refused(429, message, code=code, headers={"Retry-After": str(seconds_to_midnight(now))})
