"""The work of a task that has one recording: find or submit, wait, write. Its arguments are an operator's.

Imported when a task runs, not when a DAG file is read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.errors import DailyLimitReached, TranscriptionFailed, TranscriptionTimeout, usd
from airflow_provider_nanostt.api.models import Job, Options, Transcript
from airflow_provider_nanostt.audio.sources import locate_source
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.parsing import none_if_null
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.ledger import decide
from airflow_provider_nanostt.ledger.decision import SUBMIT
from airflow_provider_nanostt.operators._arguments import Arguments, read_arguments
from airflow_provider_nanostt.operators._base import NanoGPTOperator, push
from airflow_provider_nanostt.polling import COMPLETED, FAILED, Outcome, describe_wait, is_short
from airflow_provider_nanostt.triggers import PartsTrigger, TranscriptionTrigger
from airflow_provider_nanostt.workflow import recovery, transcribe
from airflow_provider_nanostt.workflow.attempt import Attempt, Log, Target, open_attempt
from airflow_provider_nanostt.workflow.budget import Budget
from airflow_provider_nanostt.workflow.pricing import check_limit
from airflow_provider_nanostt.workflow.recovery import FETCH_SECONDS, ReusedResult
from airflow_provider_nanostt.workflow.request import TranscriptionRequest, look_at

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import Context

_PROGRESS_SECONDS = 15.0


def run_single(operator: NanoGPTOperator, context: Context, *recording: object) -> dict[str, object]:
    """Find or submit, then wait: in the triggerer, or here where that is shorter or the user wants it.

    :param recording: as :func:`request_of` takes it.
    """
    # 1. Check every argument, before anything is asked or paid for.
    arguments, attempt = _open(operator, context)
    request = request_of(arguments, attempt.service, operator.log, recording)
    # 2. Find what is paid for, or submit.
    found = transcribe.find(attempt, request)
    if isinstance(found, transcribe.ToSubmit):
        found = transcribe.submit(attempt, found, may_split=arguments.wait_for_completion)
    if isinstance(found, ReusedResult):
        return dict(found.result)
    jobs = [part.found for part in found if isinstance(part.found, Job)]
    push(operator, context, [part.found for part in found], waiting=describe_wait(jobs, attempt.ledger.path))
    # 3. Wait for it, unless that is another task's matter.
    job = None if arguments.wait_for_completion else transcribe.job_of(attempt, found[0].found)
    if job is not None:
        operator.log.info("Not waiting for run %s: wait_for_completion is False", job.run_id)
        return {"run_id": job.run_id, "model": job.model, "cost_usd": job.cost, "job": job.to_json()}
    return _wait(operator, arguments, attempt, found)


def estimate_single(operator: NanoGPTOperator, context: Context, *recording: object) -> None:
    """Log what a recording would cost and how it would be sent, or what is paid for. Nothing is sent or written.

    :param context: of the task instance; without one, no record is looked for.
    """
    arguments, attempt = _open(operator, context)
    request = request_of(arguments, attempt.service, operator.log, recording)
    attempt, record = recovery.read_record(attempt, attempt.ledger)
    wanted = recovery.identify(attempt, request, record)
    decision = decide(record, wanted.request.digest, attempt.rules)
    if decision.reason:
        operator.log.info("%s", decision.reason)
    if decision.action != SUBMIT:
        return
    look = look_at(attempt.service, request, operator.log, wanted)
    arguments.settings.check_model(request.options.model, look.known)
    check_limit(look.estimate, arguments.costs, spent=recovery.spent_so_far(attempt, record))


def resume_single(operator: NanoGPTOperator, context: Context, event: Mapping[str, object]) -> dict[str, object]:
    """Fetch what the trigger reports as completed, and write it.

    The event carries no text: it would be stored and logged. The service is asked once more, which is free.
    """
    attempt = _reopen(operator, context)
    parts = event.get("parts") if isinstance(event, Mapping) else None
    if not isinstance(parts, list):
        transcript, job = _fetched(attempt, event)
        push(operator, None, [transcript])
        return _finish(attempt, [(0.0, transcript)], job)
    fetched = [(float(part["start"]), _fetched(attempt, part)[0]) for part in parts]
    push(operator, None, [transcript for _, transcript in fetched])
    return _finish(attempt, fetched)


def write_single(operator: NanoGPTOperator, context: Context, transcript: Transcript, job: Job) -> dict[str, object]:
    """Write the transcript of a job that another task submitted."""
    return _finish(_reopen(operator, context), [(0.0, transcript)], job)


def request_of(
    arguments: Arguments,
    hook: NanoGPTHook,
    log: Log,
    recording: Sequence[object],
    *,
    own: Mapping[str, object] | None = None,
    info: Mapping[str, object] | None = None,
) -> TranscriptionRequest:
    """Return the request for a recording.

    :param recording: what was given as ``audio``, ``audio_path`` and ``audio_url``; the last two may be left out.
    :param own: what an item of a batch says for itself, in place of what the operator says.
    :param info: what a listing said of the recording.
    """
    job = arguments.job.with_own(own) if own else arguments.job
    config = hook.get_conn().config
    source = locate_source(
        *map(none_if_null, recording),  # type: ignore[arg-type]  # checked there
        allow_private=config.allow_private_addresses,
        base_url=config.base_url,
        info=info,
    )
    return TranscriptionRequest(
        source,
        Options(job.model, job.language, job.diarize, job.tag_audio_events, job.extra_parameters),
        job.actual_duration,
        arguments.preparation,
        arguments.presign_seconds,
        ProgressLog(log),
    )


@dataclass
class ProgressLog:
    """Logs now and then how far long work on a recording has come."""

    log: Log
    logged_at: float = field(default_factory=time.monotonic)

    def __call__(self, seconds: float) -> None:
        """Take in how many seconds of sound are done."""
        if time.monotonic() - self.logged_at >= _PROGRESS_SECONDS:
            self.logged_at = time.monotonic()
            self.log.info("Processed %.0f minutes of audio", seconds / 60)


def _open(operator: NanoGPTOperator, context: Context) -> tuple[Arguments, Attempt]:
    """Return the arguments and the attempt; its record is not read yet."""
    arguments = read_arguments(operator)
    hook = NanoGPTHook(arguments.nanogpt_conn_id)
    folder = object_storage.resolve_folder(arguments.output_path) if arguments.output_path else None
    return arguments, open_attempt(
        hook,
        {"task": operator, **context},
        Budget(arguments.costs, hook.try_balance),
        Target(folder, arguments.settings),
        rules=arguments.rules,
        log=operator.log,
        staging_path=arguments.preparation.staging_path,
    )


def _reopen(operator: NanoGPTOperator, context: Context) -> Attempt:
    """Return the attempt at a job that is known already, with its record."""
    _, attempt = _open(operator, context)
    transcribe.load_for_resume(attempt, attempt.ledger)
    return attempt


def _wait(
    operator: NanoGPTOperator, arguments: Arguments, attempt: Attempt, parts: Sequence[recovery.Part]
) -> dict[str, object]:
    """Wait for all parts of a recording; the deadline is counted from now, also when an earlier try submitted."""
    now = time.time()
    deadline = now + arguments.timeout
    jobs = [part.found for part in parts if isinstance(part.found, Job)]
    done = None
    if not arguments.deferrable or len(jobs) < len(parts):
        done = _wait_here(attempt, parts, deadline, arguments.poll_interval)
    elif is_short(jobs, now, arguments.max_worker_wait):
        longest = arguments.max_worker_wait
        attempt.log.info("Run %s is expected within %.0f s; waiting here", jobs[0].run_id, longest)
        with suppress(TranscriptionTimeout, DailyLimitReached):  # the triggerer waits for either
            done = _wait_here(attempt, parts, *arguments.short_wait(deadline))
    if done is None:
        tickets = [{"start": part.start, "job": job.to_json()} for part, job in zip(parts, jobs, strict=True)]
        whole = partial(TranscriptionTrigger, job=jobs[0].to_json())
        trigger = whole if len(tickets) == 1 else partial(PartsTrigger, parts=tickets)
        operator.defer_to(trigger, arguments, deadline)
    return _finish(attempt, done, jobs[0] if len(parts) == len(jobs) == 1 else None)


def _wait_here(
    attempt: Attempt, parts: Sequence[recovery.Part], deadline: float, poll_interval: float
) -> list[tuple[float, Transcript]]:
    """Wait for the parts that have no transcript yet."""
    wait = partial(attempt.service.wait_until, deadline=deadline, poll_interval=poll_interval)
    try:
        return [(part.start, wait(part.found) if isinstance(part.found, Job) else part.found) for part in parts]
    except TranscriptionFailed:
        transcribe.clear_staging(attempt)
        raise


def _fetched(attempt: Attempt, event: object) -> tuple[Transcript, Job]:
    """Fetch one job that the trigger reports as completed."""
    outcome, job = Outcome.from_event(event)
    if outcome.kind == FAILED:
        transcribe.clear_staging(attempt)
    service, now = attempt.service, time.time()
    if outcome.kind != COMPLETED:
        raise outcome.as_error(job, waited=now - job.submitted_at, recovery_hint=service.recovery_hint(job))
    return service.wait_until(job, deadline=now + FETCH_SECONDS, at_once=True), job


def _finish(attempt: Attempt, parts: Sequence[tuple[float, Transcript]], job: Job | None = None) -> dict[str, object]:
    """End the task: the result written, recorded and logged."""
    result = transcribe.finish(attempt, parts, job=job)
    minutes = result.get("charged_minutes")
    attempt.log.info(
        "Transcribed: run %s, model %s, %s minutes charged, %s, language %s",
        ", ".join(transcript.run_id or "(answered at once)" for _, transcript in parts),
        result.get("model"),
        "unknown" if minutes is None else f"{minutes:g}",
        usd(result.get("cost_usd")),
        result.get("language") or "unknown",
    )
    return dict(result)
