"""The story of one recording: :func:`find` what is paid for or :func:`submit` it, :func:`finish` writes the transcript.

A recording that is too long for one submit becomes parts, each with a record, a job and a charge of its own; the record
of the whole says where it was split, so every attempt splits in the same places. How a wait is held (worker or
triggerer) is not decided here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Transcript
from airflow_provider_nanostt.audio.prepare.prepare import prepared_audio
from airflow_provider_nanostt.ledger import keep_recording
from airflow_provider_nanostt.outputs import save_locally, write_outputs
from airflow_provider_nanostt.outputs.merge import merge
from airflow_provider_nanostt.workflow import recovery
from airflow_provider_nanostt.workflow.recovery import Part, ResumeParts, ReusedResult
from airflow_provider_nanostt.workflow.request import look_at
from airflow_provider_nanostt.workflow.submit import submit as submit_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt.api.models import Submission
    from airflow_provider_nanostt.audio.prepare.prepare import AudioPart
    from airflow_provider_nanostt.ledger import Ledger, Record, RequestFingerprint
    from airflow_provider_nanostt.outputs import TranscriptResult
    from airflow_provider_nanostt.workflow.attempt import Attempt
    from airflow_provider_nanostt.workflow.pricing import Estimate
    from airflow_provider_nanostt.workflow.request import Identified, Look, TranscriptionRequest


@dataclass(frozen=True, slots=True)
class ToSubmit:
    """A recording that is not paid for, or not all of it: how it would get to the service, and what that may cost.

    :param known: of a recording that was split before: its parts, of which some are paid for.
    """

    request: TranscriptionRequest
    wanted: Identified
    look: Look
    known: Sequence[_KnownPart] | None = None

    @property
    def estimate(self) -> Estimate:
        """The expected cost of what is not paid for."""
        if self.known is None:
            return self.look.estimate
        ends = [*(part.start for part in self.known[1:]), self.look.info.length.played.seconds]
        missing = [
            None if end is None else max(0.0, end - part.start)
            for part, end in zip(self.known, ends, strict=True)
            if part.found is None
        ]
        return self.look.estimate.of_parts(missing)


def find(attempt: Attempt, request: TranscriptionRequest) -> ReusedResult | list[Part] | ToSubmit:
    """Find what an earlier attempt has left, else look at the recording; nothing is submitted, prepared or staged.

    :return: an earlier result, or the parts of the recording, which mostly is one, or what is left to be submitted.
    :raises LedgerError: if it cannot be read what has been paid for.
    :raises OrphanedSubmit: see :func:`~airflow_provider_nanostt.ledger.decide`.
    :raises InputChanged: likewise.
    :raises JobLost: if the service no longer knows the recorded job and the rules say to fail.
    """
    # 1. Read what earlier attempts have recorded.
    of_whole, record = recovery.read_record(attempt, attempt.ledger)
    # 2. Identify the recording.
    wanted = recovery.identify(of_whole, request, record)
    # 3. Decide what follows from the record, and use what is paid for already.
    found = recovery.recover(of_whole, attempt.ledger, record, wanted.request)
    if isinstance(found, ReusedResult):
        return found
    if isinstance(found, Transcript | Job):
        return [Part(0.0, found)]
    # 4. Count what earlier attempts have spent; of a batch, that was done before its first item began.
    if record is not None and not attempt.is_item:
        attempt.budget.add_earlier(recovery.spent_so_far(attempt, record))
    known = None
    if isinstance(found, ResumeParts):
        known = _find_parts(attempt, wanted, [0.0, *found.record.split_points])
        if all(part.found for part in known):
            return [Part(part.start, part.found) for part in known if part.found]
    # 5. Look at the recording, and choose how it gets to the service.
    attempt.breaker.raise_if_open()
    look = look_at(attempt.service, request, attempt.log, wanted, staging=attempt.staging)
    attempt.target.settings.check_model(request.options.model, look.known)
    return ToSubmit(request, wanted, look, known)


def submit(attempt: Attempt, found: ToSubmit, *, may_split: bool = True) -> ReusedResult | list[Part]:
    """Submit what is not paid for.

    :param found: by :func:`find`, in this attempt.
    :param may_split: False refuses a recording that would become several jobs.
    :return: the parts of the recording, or the result of another attempt that was quicker.
    :raises CostLimit: if it would cost more than the user allows, or has.
    :raises LedgerError: if it cannot be recorded what has been paid for; nothing is submitted then.
    """
    request, wanted, look, known = found.request, found.wanted, found.look, found.known
    # 6. Refuse what may not be paid for, before the work of preparing it.
    if known is None:
        attempt.budget.check(attempt.number, look.estimate)
    # 7. Prepare it: as it is, converted, compressed, staged, signed or split; what is half paid for stays split.
    plan = look.plan
    if known is not None and plan.method != "split":
        plan = replace(plan, method="split", reason="it was split before")
    split_points = None if known is None else [part.start for part in known[1:]]
    with prepared_audio(wanted.source, look.info, plan, look.options, split_points) as parts:
        # 8. Submit each part, once.
        if known is None and len(parts) == 1:
            minutes = request.minutes or parts[0].minutes
            submission = request.options.submission(parts[0].audio, minutes, known=look.known)
            return _submit_whole(attempt, wanted, submission, look.estimate)
        if known is None:
            _record_split(attempt, request, wanted, parts, may_split=may_split)
            known = _find_parts(attempt, wanted, [part.start for part in parts])
        return _submit_missing(attempt, request, known, parts, look)


def _submit_whole(
    attempt: Attempt, wanted: Identified, submission: Submission, estimate: Estimate
) -> ReusedResult | list[Part]:
    """Submit a recording in one piece, or take over what another attempt has come to that was quicker."""
    version = wanted.version.to_json() if wanted.version else None
    try:
        found = submit_once(attempt, attempt.ledger, wanted.request, submission, estimate, source_version=version)
        return [Part(0.0, found)]
    except errors.SubmittedElsewhere:
        taken = recovery.take_over(attempt, attempt.ledger, wanted.request)
        return taken if isinstance(taken, ReusedResult) else [Part(0.0, taken)]
    finally:  # what was staged is kept for a job that may fetch it; also when the task is killed
        record = attempt.ledger.record
        if record is None or (record.job is None and record.open_claim(time.time()) is None):
            clear_staging(attempt)


def finish(attempt: Attempt, parts: Sequence[tuple[float, Transcript]], *, job: Job | None = None) -> TranscriptResult:
    """Write the transcript, record that, and return what goes to XCom; staged audio is removed.

    :param parts: (where the part begins, seconds; its transcript), in order.
    :param job: of a recording in one piece, if it is known.
    """
    clear_staging(attempt)
    if len(parts) == 1 and not (attempt.ledger.record and attempt.ledger.record.split_points):
        transcript = parts[0][1]
        return _write(attempt, transcript, job or job_of(attempt, transcript), spent_before=0.0)
    ledgers = [attempt.part_ledger(number) for number in range(1, len(parts) + 1)]
    for ledger in ledgers:
        load_for_resume(attempt, ledger)
    before = sum(ledger.record.spent_before for ledger in ledgers if ledger.record)
    result = _write(attempt, merge(parts), None, spent_before=before)
    for ledger in ledgers:
        if ledger.record is not None and ledger.record.job is not None:
            keep_recording(attempt.log.error, "that the part is written", partial(ledger.record_result, {}))
    return result


def job_of(attempt: Attempt, found: Transcript | Job) -> Job | None:
    """Return the job that a transcript came from, None where there was none."""
    if isinstance(found, Job):
        return found
    job = attempt.ledger.record.job if attempt.ledger.record else None
    return job if job is not None and job.run_id == found.run_id else None


def load_for_resume(attempt: Attempt, ledger: Ledger) -> None:
    """Read a record for a job that is known already; a record that cannot be read must not lose a transcript."""
    try:
        ledger.load()
    except errors.LedgerError as error:
        attempt.log.error("%s Fetching the transcript anyway; the ledger will not be updated", error)


def clear_staging(attempt: Attempt) -> None:
    """Remove what was staged for this recording; whatever goes wrong is only logged."""
    if attempt.staging is None:
        return
    try:
        attempt.staging.clear()
    except errors.InvalidInput as error:
        attempt.log.warning("%s", error)


def _record_split(
    attempt: Attempt, request: TranscriptionRequest, wanted: Identified, parts: Sequence[AudioPart], *, may_split: bool
) -> None:
    """Record where a recording is split, so that every attempt splits it there."""
    if not may_split:
        raise errors.InvalidInput(
            f"{request.source.name!r} has to be split into {len(parts)} parts, each with a job of its own; "
            "wait_for_completion=False can return only one"
        )
    split_points = [part.start for part in parts[1:]]
    attempt.log.info(
        "Splitting %s into %d parts at %s s", request.source.name, len(parts), [round(at, 1) for at in split_points]
    )
    try:
        attempt.ledger.record_intent(
            wanted.request,
            split_points=split_points,
            owner=attempt.owner,
            forced=attempt.forced,
            source_version=wanted.version.to_json() if wanted.version else None,
        )
    except errors.SubmittedElsewhere:
        record = attempt.ledger.load(again=True)
        if record is None or record.split_points != tuple(split_points):
            raise


@dataclass(frozen=True, slots=True)
class _KnownPart:
    """One part, its ledger, which is read, and what it has come to; None if it must be submitted."""

    start: float
    ledger: Ledger
    request: RequestFingerprint
    found: Transcript | Job | None


def _find_parts(attempt: Attempt, wanted: Identified, starts: Sequence[float]) -> list[_KnownPart]:
    """Find what each part has come to."""
    parts = []
    for number, start in enumerate(starts, 1):
        ledger, request = attempt.part_ledger(number), wanted.request.of_part(number, len(starts))
        of_part, record = recovery.read_record(attempt, ledger)
        found = recovery.recover(of_part, ledger, record, request)
        if isinstance(found, ReusedResult | ResumeParts):
            raise _not_of_part(request)
        parts.append(_KnownPart(start, ledger, request, found))
    return parts


def _not_of_part(request: RequestFingerprint) -> errors.LedgerError:
    """Return the error for a record with what a part cannot have: a result, or parts of its own."""
    return errors.LedgerError(f"the record of {request.source} is not that of a part")


def _submit_missing(
    attempt: Attempt,
    request: TranscriptionRequest,
    known: Sequence[_KnownPart],
    parts: Sequence[AudioPart],
    look: Look,
) -> list[Part]:
    """Submit the parts that are not paid for.

    :param look: at the whole.
    """
    estimate = look.estimate
    missing = [audio.seconds for part, audio in zip(known, parts, strict=True) if part.found is None]
    attempt.budget.check(attempt.number, estimate.of_parts(missing))
    done = []
    for part, audio in zip(known, parts, strict=True):
        found = part.found
        if found is None:
            submission = request.options.submission(audio.audio, audio.minutes, known=look.known)
            try:
                found = submit_once(attempt, part.ledger, part.request, submission, estimate)
            except errors.SubmittedElsewhere:
                taken = recovery.take_over(attempt, part.ledger, part.request)
                if isinstance(taken, ReusedResult):
                    raise _not_of_part(part.request) from None
                found = taken
        done.append(Part(part.start, found))
    return done


def _write(attempt: Attempt, transcript: Transcript, job: Job | None, *, spent_before: float) -> TranscriptResult:
    """Write the files, and record them."""
    ledger = attempt.ledger
    record = ledger.record
    if record and record.job and job and record.job.run_id != job.run_id:
        attempt.log.warning("The ledger belongs to run %s, not %s; not updating it", record.job.run_id, job.run_id)
        record = None
    try:
        done = write_outputs(
            transcript,
            folder=attempt.target.folder,
            source=record.source if record else _file_name(job),
            identity=attempt.identity,
            spent_before=spent_before + (record.spent_before if record else 0.0),
            settings=attempt.target.settings,
        )
    except (errors.ResultTooLarge, errors.TransformFailed) as error:
        raise error.replace(way_out=_way_out(error, attempt, transcript, job, record)) from None
    except Exception:
        attempt.log.error(
            "The transcript of %s is paid for (%s), but cannot be written to %s; a retry writes it without paying "
            "again, as long as the ledger can be read",
            f"run {transcript.run_id}" if transcript.run_id else "an answer that came at once",
            errors.usd(transcript.cost),
            attempt.target.folder,
        )
        raise
    if record:
        written, collect = done.written.to_json() if done.written else None, attempt.target.collect
        tables = collect(done.transcript, record.tables or {}) if collect and done.transcript else None
        keep_recording(
            attempt.log.error,
            "the result",
            partial(ledger.record_result, done.result, written=written, tables=tables, job=job, cost=transcript.cost),
        )
    return done.result


def _file_name(job: Job | None) -> str | None:
    name = job.body.get("fileName") if job else None
    return name if isinstance(name, str) else None


def _way_out(
    error: errors.ResultTooLarge | errors.TransformFailed,
    attempt: Attempt,
    transcript: Transcript,
    job: Job | None,
    record: Record | None,
) -> str:
    """Say how to get at a transcript that could not be written; one that nothing else keeps is saved here."""
    is_transform = isinstance(error, errors.TransformFailed)
    mend = "correct the function" if is_transform else "set output_path= to a folder"
    if record is not None and attempt.ledger.is_kept:
        place = "" if is_transform else " there"
        return (
            f"{attempt.ledger.path} has its record: {mend} and clear the task, and it is written{place} without paying "
            "again."
        )
    mend = mend.capitalize()
    if job is not None:
        return f"{attempt.service.recovery_hint(job)} {mend} before the next submit."
    settings = replace(attempt.target.settings, transform=None) if is_transform else attempt.target.settings
    path = save_locally(transcript, record.source if record else None, settings)
    return f"Nothing else keeps it, so it is {'as it came ' * is_transform}in {path} on this machine. {mend}."
