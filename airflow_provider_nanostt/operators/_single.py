"""The work of a task that has one recording: find or submit, wait, write. Its arguments are an operator's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.operators._arguments import none_if_blank, parse_bool, parse_number, text_or_none
from airflow_provider_nanostt.operators._base import WaitSettings, push_jobs
from airflow_provider_nanostt.operators.options import read_costs, read_preparation, read_rules, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.api.models import Job, Options, Transcript
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.operators._base import NanoGPTOperator
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.workflow.attempt import Attempt
    from airflow_provider_nanostt.workflow.request import TranscriptionRequest
    from airflow_provider_nanostt.workflow.transcribe import Part

_PROGRESS_SECONDS = 15.0
_FETCH_SECONDS = 300.0


class SingleTask:
    """The work of a task that has one recording.

    :param operator: its arguments, its log, and its way to defer.
    """

    def __init__(self, operator: Any) -> None:
        self._operator = operator
        self._log = operator.log

    def run(self, context: Context, audio: Any, audio_path: Any = None, audio_url: Any = None) -> dict[str, Any]:
        """Find or submit, then wait: in the triggerer, or here where that is shorter or the user wants it."""
        from airflow_provider_nanostt.hooks import NanoGPTHook
        from airflow_provider_nanostt.workflow import transcribe
        from airflow_provider_nanostt.workflow.recovery import ReusedResult

        operator = self._operator
        wait = WaitSettings.read(operator.poll_interval, operator.timeout, operator.max_worker_wait)
        is_waiting = parse_bool("wait_for_completion", operator.wait_for_completion)
        hook = NanoGPTHook(operator.nanogpt_conn_id)
        request = request_of(operator, hook, wait, audio, audio_path, audio_url)
        attempt = self._open(hook, context)
        attempt.target.settings.check_model(request.options.model)
        found = transcribe.begin(attempt, request, may_split=is_waiting)
        if isinstance(found, ReusedResult):
            return dict(found.result)
        push_jobs(operator, context, [part.found for part in found])
        job = None if is_waiting else transcribe.job_of(attempt, found[0].found)
        if job is not None:
            self._log.info("Not waiting for run %s: wait_for_completion is False", job.run_id)
            return {"run_id": job.run_id, "model": job.model, "cost_usd": job.cost, "job": job.to_json()}
        return self._wait(hook, attempt, found, wait)

    def resume(self, context: Context, event: Any) -> dict[str, Any]:
        """Fetch what the trigger reports as completed, and write it.

        The event carries no text: it would be stored and logged. The service is asked once more, which is free.
        """
        from airflow_provider_nanostt.hooks import NanoGPTHook
        from airflow_provider_nanostt.workflow import transcribe

        hook = NanoGPTHook(self._operator.nanogpt_conn_id)
        attempt = self._open(hook, context)
        transcribe.load_for_resume(attempt, attempt.ledger)
        parts = event.get("parts") if isinstance(event, Mapping) else None
        if not isinstance(parts, list):
            transcript, job = self._fetched(hook, attempt, event)
            return self._finish(attempt, [(0.0, transcript)], job)
        done = [(float(part["start"]), self._fetched(hook, attempt, part)[0]) for part in parts]
        return self._finish(attempt, done)

    def _open(self, hook: NanoGPTHook, context: Context) -> Attempt:
        """Return the attempt, every argument checked."""
        operator = self._operator
        wait = WaitSettings.read(operator.poll_interval, operator.timeout, operator.max_worker_wait)
        preparation, _ = read_preparation(operator.audio_preparation, wait.timeout)
        return open_single(operator, hook, context, preparation.staging_path)

    def _wait(self, hook: NanoGPTHook, attempt: Attempt, parts: list[Part], wait: WaitSettings) -> dict[str, Any]:
        """Wait for all parts of a recording; the deadline is counted from now, also when an earlier try submitted."""
        from airflow_provider_nanostt.api.models import Job

        now = time.time()
        deadline = now + wait.timeout
        jobs = [part.found for part in parts if isinstance(part.found, Job)]
        only = jobs[0] if len(parts) == len(jobs) == 1 else None
        deferrable = parse_bool("deferrable", self._operator.deferrable)
        if deferrable and len(jobs) == len(parts):
            done = self._wait_shortly(hook, jobs, wait, deadline)
            if done is None:
                self._defer(parts, wait, deadline)
            starts = [part.start for part in parts]
            return self._finish(attempt, list(zip(starts, done, strict=True)), only)
        ended = [
            self._wait_until(hook, attempt, part.found, wait, deadline) if isinstance(part.found, Job) else part.found
            for part in parts
        ]
        return self._finish(attempt, [(part.start, one) for part, one in zip(parts, ended, strict=True)], only)

    def _wait_until(
        self, hook: NanoGPTHook, attempt: Attempt, job: Job, wait: WaitSettings, deadline: float
    ) -> Transcript:
        from airflow_provider_nanostt.api.errors import TranscriptionFailed
        from airflow_provider_nanostt.workflow.transcribe import clear_staging

        try:
            return hook.wait_until(job, deadline=deadline, poll_interval=wait.poll_interval)
        except TranscriptionFailed:
            clear_staging(attempt)
            raise

    def _wait_shortly(
        self, hook: NanoGPTHook, jobs: list[Job], wait: WaitSettings, deadline: float
    ) -> list[Transcript] | None:
        """Wait here for jobs that are expected so soon that a resume would cost more.

        :return: the transcripts, or None if they are not worth waiting for here, or took longer than expected.
        """
        from airflow_provider_nanostt.api.errors import DailyLimitReached, TranscriptionTimeout
        from airflow_provider_nanostt.polling import is_short

        now = time.time()
        if not is_short(jobs, now, wait.max_worker_wait):
            return None
        self._log.info("Run %s is expected within %.0f s; waiting here", jobs[0].run_id, wait.max_worker_wait)
        often = min(wait.poll_interval, wait.max_worker_wait / 4.0)
        until = min(deadline, now + 2.0 * wait.max_worker_wait)
        try:
            return [hook.wait_until(job, deadline=until, poll_interval=often) for job in jobs]
        except (TranscriptionTimeout, DailyLimitReached):
            return None  # the triggerer waits for either

    def _defer(self, parts: list[Part], wait: WaitSettings, deadline: float) -> NoReturn:
        from airflow_provider_nanostt.triggers import PartsTrigger, TranscriptionTrigger

        tickets = [{"start": part.start, "job": part.found.to_json()} for part in parts]  # type: ignore[union-attr]
        how: dict[str, Any] = {"deadline": deadline, "poll_interval": wait.poll_interval}
        operator: NanoGPTOperator = self._operator
        if len(parts) == 1:
            operator.defer_to(TranscriptionTrigger, **how, job=tickets[0]["job"])
        operator.defer_to(PartsTrigger, **how, parts=tickets)

    def _fetched(self, hook: NanoGPTHook, attempt: Attempt, event: Any) -> tuple[Transcript, Job]:
        """Fetch one job that the trigger reports as completed."""
        from airflow_provider_nanostt.polling import COMPLETED, FAILED, Outcome
        from airflow_provider_nanostt.workflow.transcribe import clear_staging

        outcome, job = Outcome.from_event(event)
        if outcome.kind == FAILED:
            clear_staging(attempt)
        if outcome.kind != COMPLETED:
            raise outcome.as_error(job, waited=time.time() - job.submitted_at, recovery_hint=hook.recovery_hint(job))
        return hook.wait_until(job, deadline=time.time() + _FETCH_SECONDS, at_once=True), job

    def write(self, hook: NanoGPTHook, context: Context, transcript: Transcript, job: Job) -> dict[str, Any]:
        """Write the transcript of a job that another task submitted."""
        from airflow_provider_nanostt.workflow.transcribe import load_for_resume

        attempt = self._open(hook, context)
        load_for_resume(attempt, attempt.ledger)
        return self._finish(attempt, [(0.0, transcript)], job)

    def _finish(
        self, attempt: Attempt, parts: list[tuple[float, Transcript]], job: Job | None = None
    ) -> dict[str, Any]:
        """End the task: the result written, recorded and logged."""
        from airflow_provider_nanostt.api.errors import usd
        from airflow_provider_nanostt.workflow.transcribe import finish

        result: dict[str, Any] = dict(finish(attempt, parts, job=job))
        minutes = result.get("charged_minutes")
        self._log.info(
            "Transcribed: run %s, model %s, %s minutes charged, %s, language %s",
            ", ".join(transcript.run_id or "(answered at once)" for _, transcript in parts),
            result.get("model"),
            "unknown" if minutes is None else f"{minutes:g}",
            usd(result.get("cost_usd")),
            result.get("language") or "unknown",
        )
        return result


def request_of(  # noqa: PLR0917  the three names of a recording
    operator: Any,
    hook: NanoGPTHook,
    wait: WaitSettings,
    audio: Any,
    audio_path: Any = None,
    audio_url: Any = None,
    own: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
) -> TranscriptionRequest:
    """Return the request for a recording, every argument checked.

    :param operator: the arguments.
    :param own: what an item of a batch says for itself, in place of what the operator says.
    :param info: what a listing said of the recording.
    """
    from airflow_provider_nanostt.workflow.request import make_request

    preparation, presign_seconds = read_preparation(operator.audio_preparation, wait.timeout)
    given = {name: getattr(operator, name) for name in ITEM_OPTIONS} | dict(own or {})
    options = options_of(given)
    if options.model not in KNOWN_MODELS:
        operator.log.info("Model %r is not in this provider's table; the service decides", options.model)
    return make_request(
        hook,
        audio=none_if_blank(audio),  # type: ignore[arg-type]  # checked there
        audio_path=text_or_none(audio_path),
        audio_url=text_or_none(audio_url),
        options=options,
        minutes=parse_number("actual_duration", given["actual_duration"], "minutes"),
        preparation=preparation,
        presign_seconds=presign_seconds,
        progress=progress_log(operator.log),
        info=info,
    )


ITEM_OPTIONS = ("model", "language", "diarize", "tag_audio_events", "actual_duration")
"""What an item of a batch may say for itself."""


def options_of(given: Mapping[str, Any]) -> Options:
    """Return the checked options of a job."""
    from airflow_provider_nanostt.api.models import Options

    return Options(
        str(given["model"]),
        str(given["language"]),
        parse_bool("diarize", given["diarize"]),
        parse_bool("tag_audio_events", given["tag_audio_events"]),
    )


def open_single(operator: Any, hook: NanoGPTHook, context: Context, staging_path: str | None) -> Attempt:
    """Return an attempt at one recording, every argument that is not about the recording checked."""
    from airflow_provider_nanostt.common import object_storage
    from airflow_provider_nanostt.workflow.attempt import Target, open_attempt
    from airflow_provider_nanostt.workflow.budget import Budget
    from airflow_provider_nanostt.workflow.gate import SingleGate

    output_path = text_or_none(operator.output_path)
    settings: OutputSettings = read_settings(
        operator.output_options, formats=operator.formats, filename=operator.filename
    )
    budget = Budget(read_costs(operator.cost_limits, operator.max_cost_usd), hook.try_balance)
    return open_attempt(
        hook,
        context,
        SingleGate(hook, budget),
        Target(object_storage.resolve(output_path) if output_path else None, settings),
        rules=read_rules(operator.recovery_policy, force=operator.force),
        log=operator.log,
        staging_path=staging_path,
    )


def progress_log(log: Any) -> Callable[[float], None]:
    """Return a function that logs now and then how far long work on a recording has come."""
    logged_at = time.monotonic()

    def progress(seconds: float) -> None:
        nonlocal logged_at
        if time.monotonic() - logged_at >= _PROGRESS_SECONDS:
            logged_at = time.monotonic()
            log.info("Processed %.0f minutes of audio", seconds / 60)

    return progress
