"""Taking in what a batch has submitted: waited for in this worker, or left by the triggerer. Nothing is submitted here.

The functions work on a :class:`~airflow_provider_nanostt.workflow.batch.run.BatchRun`, whose rows say what is waited
for; what is paid for is in the ledger.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Transcript
from airflow_provider_nanostt.polling import job_list
from airflow_provider_nanostt.workflow import recovery
from airflow_provider_nanostt.workflow.batch.item import Pending
from airflow_provider_nanostt.workflow.batch.manifest_row import DUPLICATE, WAITING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_nanostt.workflow.attempt import Attempt
    from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow
    from airflow_provider_nanostt.workflow.batch.run import BatchRun


def wait(
    run: BatchRun, pending: Sequence[Pending], *, deadline: float, poll_interval: float, to_the_end: bool = True
) -> list[Pending]:
    """Wait here for what ``submit_all`` has left, and write each as it ends.

    :param deadline: epoch seconds; ``poll_interval`` is in seconds.
    :param to_the_end: what is not done by the deadline has failed.
    :return: what is still waited for.
    """
    waiting = {one.number: one for one in pending}
    jobs = {
        f"{one.number} {index}": found
        for one in pending
        for index, (_, found) in enumerate(one.parts)
        if isinstance(found, Job)
    }
    try:
        for key, answer in run.service.as_completed(jobs, deadline=deadline, poll_interval=poll_interval):
            number, index = map(int, key.split())
            if not isinstance(answer, errors.TranscriptionTimeout) or to_the_end:
                _take_in(run, waiting[number], index, answer)
    except errors.NanoGPTError as error:  # such as the end of a day, for which the triggerer waits
        for one in pending if to_the_end else ():
            if run.rows[one.number].status == WAITING:
                run.record_error(one.number, error, one.attempt)
    return [one for one in pending if run.rows[one.number].status == WAITING]


def _take_in(run: BatchRun, one: Pending, index: int, answer: Transcript | errors.JobError) -> None:
    """Take in how a job has ended."""
    if run.rows[one.number].status != WAITING:  # another part of it has failed
        return
    with run.recording_errors(one.attempt):
        if isinstance(answer, errors.JobError):
            raise answer
        one.parts[index] = one.parts[index]._replace(found=answer)
        if not one.jobs:
            run.write(one)


def collect_jobs(
    run: BatchRun, not_completed: Mapping[str, object], *, more: int = 0, until_row: int | None = None
) -> None:
    """Write what the triggerer has waited for.

    :param not_completed: the outcomes of jobs that are not completed, by run id.
    :param more: how many others are not; which ones is not known.
    :param until_row: the row before which it has waited for all; None if there is none.
    """
    waiting = [row for row in _waiting(run) if until_row is None or row.number < until_row]
    ready = sum(_is_prefetched(run, row) for row in waiting)
    if waiting:
        run.log.info("Writing %d transcripts (%d already fetched by the triggerer)", len(waiting), ready)
    ended = frozenset(not_completed) if not more else None
    for attempt in run.open_items(row.number for row in waiting):
        with run.recording_errors(attempt):
            _fetch(run, attempt, ended)


def some_jobs(run: BatchRun) -> tuple[list[dict[str, object]], int]:
    """Return the jobs of the next items to be waited for, as JSON, and the row behind these items.

    :return: as many as fit into a trigger's arguments, but those of one item at least; none if none is left.
    """
    jobs: list[dict[str, object]] = []
    for attempt in run.open_items(row.number for row in _waiting(run)):
        with run.recording_errors(attempt):
            found = [one.to_json() for _, one in recovery.find_jobs(attempt) if isinstance(one, Job)]
            if jobs and not job_list.fits([*jobs, *found]):
                return jobs, attempt.number
            jobs += found
    return jobs, len(run.rows)


def resolve_duplicates(run: BatchRun) -> None:
    """Give duplicates the outcome of the item they repeat."""
    by_key = {row.key: row for row in run.rows if row.status != DUPLICATE}
    for number, row in enumerate(run.rows):
        if row.status == DUPLICATE:
            first = by_key.get(row.key, row)
            status = DUPLICATE if first.files else first.status
            run.rows[number] = replace(
                first, number=number, audio=row.audio, status=status, cost_usd=0.0, charged_minutes=0.0
            )


def cleanup(run: BatchRun) -> None:
    """Remove what the triggerer has left, unless a retry has a use for some of it."""
    spool = run.checkpoint.spool
    if not any(row.is_missing and any(map(spool.has, row.run_ids)) for row in run.rows):
        spool.clear()


def _waiting(run: BatchRun) -> list[ManifestRow]:
    return [row for row in run.rows if row.status == WAITING]


def _fetch(run: BatchRun, attempt: Attempt, ended: frozenset[str] | None) -> None:
    """Fetch and write one item, whose jobs are in the ledger."""
    if not _is_prefetched(run, run.rows[attempt.number]):
        run.breaker.raise_if_open()  # it will have to be asked for
    one = Pending(attempt, recovery.find_jobs(attempt))
    for index, part in enumerate(one.parts):
        if isinstance(part.found, Job):
            one.parts[index] = part._replace(found=_fetched(run, attempt, part.found, ended))
    run.write(one)
    run.breaker.record_success()


def _fetched(run: BatchRun, attempt: Attempt, job: Job, ended: frozenset[str] | None) -> Transcript:
    if (transcript := recovery.prefetched(attempt, job)) is not None:
        return transcript
    # One that is not completed is asked once more: it may be by now, and its error is raised in full.
    patience = 0.0 if ended is None or job.run_id in ended else recovery.FETCH_SECONDS
    return run.service.wait_until(job, deadline=time.time() + patience, at_once=True)


def _is_prefetched(run: BatchRun, row: ManifestRow) -> bool:
    return bool(row.run_ids) and all(map(run.checkpoint.spool.has, row.run_ids))
