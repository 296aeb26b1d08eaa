"""The work of a task that has one recording: find or submit, wait, write. Its arguments are an operator's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_nanostt.common.parsing import none_if_null
from airflow_provider_nanostt.operators._arguments import read_arguments
from airflow_provider_nanostt.operators._base import push

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.api.models import Job, Transcript
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.operators._arguments import Arguments
    from airflow_provider_nanostt.operators._base import NanoGPTOperator
    from airflow_provider_nanostt.workflow.attempt import Attempt, Log
    from airflow_provider_nanostt.workflow.recovery import Part
    from airflow_provider_nanostt.workflow.request import TranscriptionRequest

_PROGRESS_SECONDS = 15.0


def run_single(
    operator: NanoGPTOperator, context: Context, audio: object, audio_path: object = None, audio_url: object = None
) -> dict[str, object]:
    """Find or submit, then wait: in the triggerer, or here where that is shorter or the user wants it."""
    from airflow_provider_nanostt.api.models import Job
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.polling import describe_wait
    from airflow_provider_nanostt.workflow import transcribe
    from airflow_provider_nanostt.workflow.recovery import ReusedResult

    # 1. Check every argument, before anything is asked or paid for.
    arguments = read_arguments(operator)
    hook = NanoGPTHook(arguments.nanogpt_conn_id)
    request = request_of(arguments, hook, operator.log, audio, audio_path, audio_url)
    # 2. Find what is paid for, or submit.
    attempt = _open(operator, arguments, hook, context)
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


def estimate_single(
    operator: NanoGPTOperator, context: Context, audio: object, audio_path: object = None, audio_url: object = None
) -> None:
    """Log what a recording would cost and how it would be sent, or what is paid for. Nothing is sent or written.

    :param context: of the task instance; without one, no record is looked for.
    """
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import decide
    from airflow_provider_nanostt.ledger.decision import SUBMIT
    from airflow_provider_nanostt.workflow import recovery
    from airflow_provider_nanostt.workflow.pricing import check_limit
    from airflow_provider_nanostt.workflow.request import look_at

    arguments = read_arguments(operator)
    hook = NanoGPTHook(arguments.nanogpt_conn_id)
    request = request_of(arguments, hook, operator.log, audio, audio_path, audio_url)
    attempt = _open(operator, arguments, hook, context)
    attempt, record = recovery.read_record(attempt, attempt.ledger)
    wanted = recovery.identify(attempt, request, record)
    decision = decide(record, wanted.request.digest, attempt.rules)
    if decision.reason:
        operator.log.info("%s", decision.reason)
    if decision.action != SUBMIT:
        return
    look = look_at(hook, request, operator.log, wanted)
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


def request_of(  # noqa: PLR0917  the three names of a recording
    arguments: Arguments,
    hook: NanoGPTHook,
    log: Log,
    audio: object,
    audio_path: object = None,
    audio_url: object = None,
    own: Mapping[str, object] | None = None,
    info: Mapping[str, object] | None = None,
) -> TranscriptionRequest:
    """Return the request for a recording.

    :param own: what an item of a batch says for itself, in place of what the operator says.
    :param info: what a listing said of the recording.
    """
    from airflow_provider_nanostt.api.models import Options
    from airflow_provider_nanostt.audio.sources import locate_source
    from airflow_provider_nanostt.workflow.request import TranscriptionRequest

    job = arguments.job.with_own(own) if own else arguments.job
    config = hook.get_conn().config
    source = locate_source(
        *map(none_if_null, (audio, audio_path, audio_url)),  # type: ignore[arg-type]  # checked there
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


def _open(operator: NanoGPTOperator, arguments: Arguments, hook: NanoGPTHook, context: Context) -> Attempt:
    """Return the attempt; its record is not read yet."""
    from airflow_provider_nanostt.common import object_storage
    from airflow_provider_nanostt.workflow.attempt import Target, open_attempt
    from airflow_provider_nanostt.workflow.budget import Budget

    folder = object_storage.resolve(arguments.output_path) if arguments.output_path else None
    return open_attempt(
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
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.workflow.transcribe import load_for_resume

    arguments = read_arguments(operator)
    attempt = _open(operator, arguments, NanoGPTHook(arguments.nanogpt_conn_id), context)
    load_for_resume(attempt, attempt.ledger)
    return attempt


def _wait(
    operator: NanoGPTOperator, arguments: Arguments, attempt: Attempt, parts: Sequence[Part]
) -> dict[str, object]:
    """Wait for all parts of a recording; the deadline is counted from now, also when an earlier try submitted."""
    from airflow_provider_nanostt.api.models import Job
    from airflow_provider_nanostt.polling import is_short
    from airflow_provider_nanostt.triggers import PartsTrigger, TranscriptionTrigger

    now = time.time()
    deadline = now + arguments.timeout
    jobs = [part.found for part in parts if isinstance(part.found, Job)]
    done: list[Transcript] | None = None
    if arguments.deferrable and len(jobs) == len(parts):
        if is_short(jobs, now, arguments.max_worker_wait):
            done = _wait_shortly(arguments, attempt, jobs, deadline)
        if done is None:
            whole = partial(TranscriptionTrigger, job=jobs[0].to_json())
            tickets = [{"start": part.start, "job": job.to_json()} for part, job in zip(parts, jobs, strict=True)]
            trigger = whole if len(tickets) == 1 else partial(PartsTrigger, parts=tickets)
            operator.defer_to(trigger, deadline=deadline, poll_interval=arguments.poll_interval)
    if done is None:
        found = [part.found for part in parts]
        done = [_waited(arguments, attempt, one, deadline) if isinstance(one, Job) else one for one in found]
    starts = [part.start for part in parts]
    return _finish(attempt, list(zip(starts, done, strict=True)), jobs[0] if len(parts) == len(jobs) == 1 else None)


def _waited(arguments: Arguments, attempt: Attempt, job: Job, deadline: float) -> Transcript:
    """Wait here for one job."""
    from airflow_provider_nanostt.api.errors import TranscriptionFailed
    from airflow_provider_nanostt.workflow.transcribe import clear_staging

    try:
        return attempt.service.wait_until(job, deadline=deadline, poll_interval=arguments.poll_interval)
    except TranscriptionFailed:
        clear_staging(attempt)
        raise


def _wait_shortly(
    arguments: Arguments, attempt: Attempt, jobs: Sequence[Job], deadline: float
) -> list[Transcript] | None:
    """Wait here for jobs that are expected so soon that a resume would cost more.

    :return: the transcripts, or None if they have taken longer than expected.
    """
    from airflow_provider_nanostt.api.errors import DailyLimitReached, TranscriptionTimeout

    longest = arguments.max_worker_wait
    attempt.log.info("Run %s is expected within %.0f s; waiting here", jobs[0].run_id, longest)
    often = min(arguments.poll_interval, longest / 4.0)
    until = min(deadline, time.time() + 2.0 * longest)
    try:
        return [attempt.service.wait_until(job, deadline=until, poll_interval=often) for job in jobs]
    except (TranscriptionTimeout, DailyLimitReached):
        return None  # the triggerer waits for either


def _fetched(attempt: Attempt, event: object) -> tuple[Transcript, Job]:
    """Fetch one job that the trigger reports as completed."""
    from airflow_provider_nanostt.polling import COMPLETED, FAILED, Outcome
    from airflow_provider_nanostt.workflow.recovery import FETCH_SECONDS
    from airflow_provider_nanostt.workflow.transcribe import clear_staging

    outcome, job = Outcome.from_event(event)
    if outcome.kind == FAILED:
        clear_staging(attempt)
    service, now = attempt.service, time.time()
    if outcome.kind != COMPLETED:
        raise outcome.as_error(job, waited=now - job.submitted_at, recovery_hint=service.recovery_hint(job))
    return service.wait_until(job, deadline=now + FETCH_SECONDS, at_once=True), job


def _finish(attempt: Attempt, parts: Sequence[tuple[float, Transcript]], job: Job | None = None) -> dict[str, object]:
    """End the task: the result written, recorded and logged."""
    from airflow_provider_nanostt.api.errors import usd
    from airflow_provider_nanostt.workflow.transcribe import finish

    result = finish(attempt, parts, job=job)
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
