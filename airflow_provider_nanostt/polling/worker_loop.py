"""Waiting for jobs in this thread: asks for them in turn, as ``polling`` says, and hands over each as it ends.

For workers and scripts; triggers wait in ``triggerer_loop``. No Airflow in here.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import endpoints, errors, transport
from airflow_provider_nanostt.api.models import Job, JobStatus, Transcript
from airflow_provider_nanostt.polling import JobMonitor, Outcome, RateLimiter, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_nanostt.metrics import StatsMeter

log = logging.getLogger(__name__)


def as_completed(
    client: transport.Client,
    limiter: RateLimiter,
    jobs: Mapping[str, Job],
    *,
    deadline: float,
    poll_interval: float,
    at_once: bool,
    recovery_hint: Callable[[Job], str],
) -> Iterator[tuple[str, Transcript | errors.JobError]]:
    """Wait for jobs until a moment in epoch seconds, and yield each with its name as soon as it has ended.

    :param at_once: ask before waiting, whatever the age of a job.
    :param recovery_hint: says how to get the transcript of a job that nobody waits for any more.
    :return: for each job its transcript, or the error it has ended with; nothing is asked while the caller has one.
    :raises DailyLimitReached: rather than to sleep until the day is over.
    """
    schedule = Schedule(limiter)
    watches = {key: JobMonitor(job, poll_interval=poll_interval, deadline=deadline) for key, job in jobs.items()}
    for key, job in jobs.items():
        schedule.add(key, job, poll_interval=poll_interval, deadline=deadline, now=time.time(), at_once=at_once)
    while watches:
        chosen, pause = schedule.next(time.time())
        if chosen is None:
            time.sleep(pause)
            continue
        watch = watches[chosen]
        answer, now = _ask(client, watch.job, limiter), time.time()
        step = watch.on_response(answer, now)
        if watch.log_line:
            log.log(*watch.log_line)
        if isinstance(step, Outcome):
            del watches[chosen]
            schedule.finished(chosen, now)
            yield chosen, _ended(step, watch.job, answer, recovery_hint)
        elif step is None:
            schedule.running(chosen, now)
        else:
            schedule.postpone(chosen, step)


@contextmanager
def heeding_refusals(*limiters: RateLimiter, meter: StatsMeter | None = None) -> Iterator[None]:
    """Let a refusal (429) of what is sent in the block slow down all that share these limiters, and count it."""
    sent_at = time.time()
    try:
        yield
    except errors.RateLimited as error:
        if meter is not None:
            meter.incr("refusals")
        for limiter in limiters:
            if limiter.on_rejected(sent_at, time.time(), error.retry_after):
                log.info("NanoGPT refused a request (429); asking %.1f times a second now", limiter.rate)
        raise


def _ask(client: transport.Client, job: Job, limiter: RateLimiter) -> JobStatus | errors.NanoGPTError:
    """Make one attempt; a refusal slows everything that shares the pace, and the end of a day is not slept for."""
    try:
        with heeding_refusals(limiter):
            return client.send(endpoints.status(job), retry=transport.ONCE)
    except errors.DailyLimitReached:
        raise  # the triggerer waits for midnight, a worker's slot does not
    except errors.NanoGPTError as error:
        return error


def _ended(
    outcome: Outcome, job: Job, answer: JobStatus | errors.NanoGPTError, recovery_hint: Callable[[Job], str]
) -> Transcript | errors.JobError:
    if isinstance(answer, JobStatus) and answer.transcript is not None:
        return answer.transcript
    error = outcome.as_error(job, waited=time.time() - job.submitted_at, recovery_hint=recovery_hint(job))
    if isinstance(answer, errors.NanoGPTError):
        error.__cause__ = answer
    return error
