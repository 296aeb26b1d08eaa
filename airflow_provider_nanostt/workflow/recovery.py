"""What an earlier attempt has left, and what follows from it. Nothing is submitted here.

The record is read, :func:`~airflow_provider_nanostt.ledger.decide` says what follows, and that is carried out: reuse
the result, look at the job that is paid for, read a recorded answer again. What is left is to submit.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.http import is_transient
from airflow_provider_nanostt.api.responses import stored_answer, stored_status
from airflow_provider_nanostt.audio.inspect.probe import identify_and_probe
from airflow_provider_nanostt.audio.sources import LocalFile, SourceVersion, StoredObject
from airflow_provider_nanostt.ledger import RequestFingerprint, decide, keep_recording
from airflow_provider_nanostt.ledger.decision import REATTACH, RESUME_PARTS, REUSE, VERIFY, WRITE_ANSWER
from airflow_provider_nanostt.ledger.record import total_spent
from airflow_provider_nanostt.metrics import StatsMeter
from airflow_provider_nanostt.outputs import WrittenFiles, check_existing
from airflow_provider_nanostt.polling.outcome import NOT_FOUND_TRIES
from airflow_provider_nanostt.workflow.request import Identified
from airflow_provider_nanostt.workflow.submit import balance_now

if TYPE_CHECKING:
    from airflow_provider_nanostt.api.models import Job, JobStatus, Transcript
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import Ledger, Record
    from airflow_provider_nanostt.outputs import TranscriptResult
    from airflow_provider_nanostt.workflow.attempt import Attempt
    from airflow_provider_nanostt.workflow.request import TranscriptionRequest


_LOOKS = 20
_PAUSE_SECONDS = 0.25
"""How often a record is looked at that another attempt is about to change: for five seconds."""

_NOT_FOUND_PAUSE_SECONDS = 2.0

FETCH_SECONDS = 300.0
"""How long a transcript that is known to be there is asked for."""


@dataclass(frozen=True, slots=True)
class ReusedResult:
    """A result that an earlier attempt has written: what the task returns."""

    result: TranscriptResult


class Part(NamedTuple):
    """A recording, or one part of it: where it begins, seconds, and its transcript or job."""

    start: float
    found: Transcript | Job


class ResumeParts(NamedTuple):
    """The recording was split: go on with its parts, of which some are paid for.

    :param record: of the whole.
    """

    record: Record


def read_record(attempt: Attempt, ledger: Ledger) -> tuple[Attempt, Record | None]:
    """Read a record; return the attempt without a ``force`` that an earlier try of the same clear has applied.

    An intent whose sender may still be at work is looked at again for a few seconds, since its job may come. A record
    that is damaged gives way to ``force``, and to nothing else. A storage that does not answer does not: it
    may hold what an earlier try of this clear has forced.

    :raises SubmittedElsewhere: if another attempt is submitting for longer than is worth waiting here.
    """
    try:
        record = ledger.load()
        for left in reversed(range(_LOOKS)):
            if record is None or (claim := record.open_claim(time.time())) is None:
                break
            if not left:
                text = f"Another attempt is submitting {record.source}: {claim.describe()}"
                raise errors.SubmittedElsewhere(text, until=claim.until)
            time.sleep(_PAUSE_SECONDS)
            record = ledger.load(again=True)
    except errors.LedgerError as error:
        if not (attempt.rules.force and error.damaged):
            raise
        attempt.log.error("%s force is set, so this submits all the same", error)
        return attempt, None
    forced = record.forced if record else None
    is_complete = record is not None and record.written_at is not None
    if attempt.rules.force and forced and attempt.task_try.is_of_same_clear(forced, is_complete=is_complete):
        attempt.log.info("force was already applied by an earlier try of this clear; not resubmitting")
        attempt = replace(attempt, rules=replace(attempt.rules, force=False))
    return attempt, record


def identify(attempt: Attempt, request: TranscriptionRequest, record: Record | None) -> Identified:
    """Return what is asked for; of a recording that can no longer be read, what the record says was asked for.

    A local file whose path, size and time are those on record is not read again. A retry may run where the file is not,
    or after it was moved; what was paid for is worth having all the same.
    """
    known = SourceVersion.from_json(record.source_version) if record else None
    source, info = request.source, None
    try:
        if isinstance(source, LocalFile):
            version, info = (known, None) if known and source.has_version(known) else identify_and_probe(source)
        else:
            source = source.with_info() if isinstance(source, StoredObject) else source
            version = source.version()
    except (errors.InvalidInput, errors.StorageUnavailable) as error:
        is_named = record is not None and (record.source, record.model) == (request.source.name, request.options.model)
        if record is None or not is_named or attempt.rules.force:
            raise
        attempt.log.warning("%s; using its record: %s", error, record.describe())
        fingerprint = RequestFingerprint(record.fingerprint, record.source, record.model)
        return Identified(fingerprint, known, request.source)
    fingerprint = RequestFingerprint.of(version.key, source.name, request.options)
    return Identified(fingerprint, version, source, info)


def recover(
    attempt: Attempt, ledger: Ledger, record: Record | None, wanted: RequestFingerprint
) -> ReusedResult | Transcript | Job | ResumeParts | None:
    """Decide what follows from a record, log the reason, and do it.

    :return: what the record leads to; None if there is nothing left but to submit.
    :raises OrphanedSubmit: see :func:`~airflow_provider_nanostt.ledger.decide`.
    :raises InputChanged: likewise.
    """
    try:
        decision = decide(record, wanted.digest, attempt.rules)
        if record is not None and decision.action == VERIFY:
            attempt.uncertain.check(record, attempt.records)
    except errors.OrphanedSubmit as error:
        StatsMeter().incr("uncertain_submits")
        raise error.replace(now=balance_now(attempt) if error.now is None else error.now) from None
    if decision.reason:
        attempt.log.info("%s", decision.reason)
    if record is None:
        return None
    if decision.action == REUSE and (reused := _reuse(attempt, ledger, record)) is not None:
        return reused
    if decision.action in (REATTACH, REUSE) and record.job is not None:
        return _reattach(attempt, record, record.job)
    if decision.action == WRITE_ANSWER and record.answer is not None:
        return stored_answer(record.answer, model=record.model)
    if decision.action in (RESUME_PARTS, REUSE) and record.split_points:
        return ResumeParts(record)
    return None


def take_over(attempt: Attempt, ledger: Ledger, wanted: RequestFingerprint) -> ReusedResult | Transcript | Job:
    """Return what another attempt has come to that was quicker to submit the same.

    :raises SubmittedElsewhere: if there is nothing to be had from it yet.
    """
    ledger.load(again=True)
    attempt, record = read_record(attempt, ledger)
    found = recover(attempt, ledger, record, wanted)
    if found is None or isinstance(found, ResumeParts):
        raise errors.SubmittedElsewhere(f"Another attempt at {wanted.source} is under way")
    attempt.log.info("Another attempt was quicker to submit %s; waiting for its job", wanted.source)
    return found


def spent_so_far(attempt: Attempt, record: Record | None) -> float:
    """Return USD that earlier attempts of this task instance have spent on the recording, as far as is recorded.

    :param record: of the recording.
    :raises LedgerError: if the records of its parts cannot be read.
    """
    return total_spent(record, attempt.records()[1:], attempt.owner) if record is not None else 0.0


def find_jobs(attempt: Attempt) -> list[Part]:
    """Return the job or the recorded answer of each part, as the ledger has them.

    :raises LedgerMissing: if it has not.
    """
    record = attempt.ledger.load()
    if record is None or not (record.job or record.split_points):
        raise errors.LedgerMissing(attempt.ledger.path)
    if record.job is not None:
        return [Part(0.0, record.job)]
    starts = enumerate([0.0, *record.split_points], 1)
    return [Part(start, _job_of(attempt.part_ledger(number))) for number, start in starts]


def prefetched(attempt: Attempt, job: Job) -> Transcript | None:
    """Return the transcript of a job that the triggerer has left, None if it has not."""
    data = attempt.spool.take(job.run_id) if attempt.spool else None
    if data is not None:
        with suppress(errors.NanoGPTError):  # then the service has to be asked
            return stored_status(job, data).transcript
    return None


def ask_status(service: NanoGPTHook, job: Job) -> JobStatus:
    """Ask for a job once; a few times if the service says that it does not know it, as one of its replicas may.

    :raises NanoGPTError: if the service refuses or does not answer.
    """
    for _ in range(NOT_FOUND_TRIES - 1):
        try:
            return service.status(job)
        except errors.NotFound:
            time.sleep(_NOT_FOUND_PAUSE_SECONDS)
    return service.status(job)


def _job_of(ledger: Ledger) -> Transcript | Job:
    record = ledger.load()
    if record is not None and record.job is not None:
        return record.job
    if record is not None and record.answer is not None:
        return stored_answer(record.answer, model=record.model)
    raise errors.LedgerMissing(ledger.path)


def _reuse(attempt: Attempt, ledger: Ledger, record: Record) -> ReusedResult | None:
    """Return the recorded result if its files are still there, still its own, and where they are wanted."""
    target, result = attempt.target, dict(record.result or {})
    files = result.get("files")
    uris = list(files.values()) if isinstance(files, dict) else []
    root = None if target.folder is None else str(target.folder).rstrip("/") + "/"
    moved = not all(root is not None and uri.startswith(root) for uri in uris)
    if record.job is not None and moved:
        attempt.log.info("The recorded result is in another folder than output_path; fetching it again costs nothing")
        return None
    found = check_existing(
        result,
        WrittenFiles.from_json(record.written),
        listing=target.listing() if target.listing else None,
        folder=target.folder,
        source=record.source,
        identity=attempt.identity,
        settings=target.settings,
        moved=moved,
    )
    if found.lost:
        attempt.log.warning("The recorded result is %s (%s)", found.lost, ", ".join(uris[:1]))
        return None
    if found.rewritten:
        attempt.log.info("Writing the recorded result again: its files, or the settings for them, have changed")
    written = found.written.to_json() if found.written else None
    if found.rewritten or written != record.written:
        keep_recording(attempt.log.error, "the result", lambda: ledger.record_result(found.result, written=written))
    return ReusedResult(found.result)


def _reattach(attempt: Attempt, record: Record, job: Job) -> Transcript | Job | None:
    """Look at a paid job: its transcript, the job itself if it still runs, None if it must be submitted anew."""
    if (transcript := prefetched(attempt, job)) is not None:
        return transcript
    try:
        status = _status(attempt, job)
    except errors.NotFound as error:
        if attempt.rules.on_lost_job == "fail":
            raise errors.JobLost(job=job, record=record.describe()) from error
        attempt.log.warning("NanoGPT no longer knows run %s (%s); submitting anew", job.run_id, record.describe())
        return None
    except errors.NanoGPTError:
        attempt.log.error("Run %s stays paid for, and cannot be fetched: %s", job.run_id, record.describe())
        raise
    if status is None:
        return job
    if status.transcript is not None:
        attempt.log.info("Run %s is done; fetching it costs nothing", job.run_id)
        return status.transcript
    if status.is_failed:
        attempt.log.warning(
            "Run %s failed at the service (%s); submitting anew; before: %s",
            job.run_id,
            status.error,
            record.describe(),
        )
        return None
    attempt.log.info("Run %s is still %s; waiting on, with the whole timeout from now", job.run_id, status.raw_status)
    return job


def _status(attempt: Attempt, job: Job) -> JobStatus | None:
    """Ask how a paid job stands; None if the service answers no questions just now, so that it has to be waited for."""
    breaker = attempt.breaker
    if breaker.status_unavailable:
        return None
    if not breaker.may_ask:
        breaker.raise_if_open()
    try:
        return ask_status(attempt.service, job)
    except errors.NanoGPTError as error:
        if not is_transient(error):
            raise
        if not breaker.status_unavailable:  # said once for all
            breaker.status_unavailable = True
            attempt.log.warning("%s; run %s counts as still running; waiting on, from now", error, job.run_id)
        return None
