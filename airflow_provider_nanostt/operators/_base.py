"""What every task that waits for a job shares: how it waits, how it resumes, how it ends and how it fails.

A base for operators and sensors, without arguments of its own. What a status means is decided in ``polling``, what has
been paid for in ``ledger``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from airflow_provider_nanostt._compat import AirflowFailException, BaseOperator
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.links import TranscriptLink
from airflow_provider_nanostt.operators._arguments import none_if_blank, parse_bool, parse_mapping, parse_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.api.models import Job, Transcript
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import RecoveryPolicy
    from airflow_provider_nanostt.lineage import LineageRecord
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.workflow.transcribe import Part, RecordingAttempt

T = TypeVar("T")

_BACKSTOP = timedelta(minutes=1)
_FETCH_SECONDS = 300.0

_WORTH_A_RETRY = (
    errors.TransportError,
    errors.RateLimited,
    errors.DailyLimitReached,
    errors.ServiceUnavailable,
    errors.StorageUnavailable,
    errors.FileChanged,
    errors.LedgerError,
)
"""Nothing was spent, and another time may go better."""

_WORTH_A_RETRY_WITH_LEDGER = errors.JobError
"""A retry looks at the same job again, or submits anew what the service failed at; without a ledger it pays blindly."""

_NEVER_WORTH_A_RETRY = (errors.OrphanedSubmit, errors.InputChanged, errors.JobLost, errors.LedgerMissing)


@dataclass(frozen=True, slots=True)
class WaitSettings:
    """How a job is waited for, all in seconds.

    ``poll_interval`` between two questions, ``timeout`` from now, ``defer_after`` the longest expected rest for which
    the worker waits itself; 0 never does.
    """

    poll_interval: float
    timeout: float
    defer_after: float = 0.0


class WaitsForJob(BaseOperator):
    """The waiting half of an operator; see the module.

    Airflow has an attribute ``output`` of its own, so the argument of that name is kept as ``output_location``.
    """

    nanogpt_conn_id: str
    deferrable: bool
    output_location: str | None
    staging: str | None = None
    formats: Sequence[str] | str
    speaker_names: Mapping[str, str] | str | None
    captions: Mapping[str, Any] | None
    estimated_captions: bool | str
    xcom_limit: int | str
    name: str
    page_audio_url: str | None = None
    operator_extra_links = (TranscriptLink(),)
    _told_of: LineageRecord | None = None
    _remembers: bool | None = None
    """Whether a retry will find what this attempt pays for; None before anything was looked at."""

    @cached_property
    def hook(self) -> NanoGPTHook:
        """The hook for ``nanogpt_conn_id``."""
        from airflow_provider_nanostt.hooks import NanoGPTHook

        return NanoGPTHook(self.nanogpt_conn_id)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Take in what the trigger reports, and fetch the transcript."""
        return self._finished(context, self._explained(lambda: self._resume(context, event)))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002  Airflow's name for it
        """Return what OpenLineage is told of the finished task."""
        from airflow_provider_nanostt.lineage import facets

        return facets(self._told_of) if self._told_of is not None else None

    def _inputs(self) -> list[object]:
        """Return the recordings, for those who hear of the finished task."""
        return []

    def _finished(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Let others hear of what has landed."""
        from airflow_provider_nanostt.lineage import LineageRecord, emit_asset_events

        try:
            self._told_of = LineageRecord.of(self._inputs(), result)
            emit_asset_events(context, self.outlets or (), self._told_of)
        except Exception:  # the transcript has landed, and is worth more than its announcement
            self.log.exception("The transcript has landed, but not everybody who listens could be told of it")
        return result

    def on_kill(self) -> None:
        """Destroy nothing: a job cannot be cancelled, and stays paid for."""
        self.log.warning(
            "The task was killed. A job that NanoGPT has accepted goes on there and stays paid for; %s",
            self._after_kill(),
        )

    def _after_kill(self) -> str:
        if self._remembers is False:
            return "nothing remembers it, so a retry or a clear of this task pays once more."
        return "the next attempt of this task looks for it before it submits anything."

    def _rules(self) -> RecoveryPolicy:
        """Return what the user wants done about the ledger's record."""
        from airflow_provider_nanostt.ledger import RecoveryPolicy

        return RecoveryPolicy()

    def _output_settings(self) -> OutputSettings:
        """Return how results are to be written, every argument checked."""
        from airflow_provider_nanostt.outputs import CaptionStyle, OutputSettings

        limit = parse_number("xcom_limit", self.xcom_limit, "bytes")
        return OutputSettings(
            formats=self.formats,
            speaker_names=parse_mapping("speaker_names", self.speaker_names),
            captions=CaptionStyle.of(parse_mapping("captions", self.captions)),
            estimated_captions=parse_bool("estimated_captions", self.estimated_captions),
            **({} if limit is None else {"xcom_limit": int(limit)}),
            name=str(self.name),
            page_audio_url=none_if_blank(self.page_audio_url),
        )

    def _attempt(self, context: Context) -> RecordingAttempt:
        from airflow_provider_nanostt.workflow.transcribe import RecordingAttempt

        attempt = RecordingAttempt(
            self.hook,
            context,
            output=none_if_blank(self.output_location),
            rules=self._rules(),
            log=self.log,
            staging=none_if_blank(self.staging),
            settings=self._output_settings(),
        )
        self._remembers = attempt.ledger.is_kept
        return attempt

    def _wait_for(self, attempt: RecordingAttempt, job: Job, settings: WaitSettings) -> dict[str, Any]:
        """Wait in the triggerer, or here; the deadline is counted from now, also when an earlier attempt submitted."""
        deadline = time.time() + settings.timeout
        if not self.deferrable:
            return self._land(attempt, self._waited(attempt, job, settings, deadline), job)
        soon = self._wait_shortly(job, settings, deadline)
        if soon is None:
            self._defer(job, poll_interval=settings.poll_interval, deadline=deadline)
        return self._land(attempt, soon, job)

    def _wait_for_parts(self, attempt: RecordingAttempt, parts: list[Part], settings: WaitSettings) -> dict[str, Any]:
        """Wait for all parts of a recording, in the triggerer if each has a ticket, else here."""
        from airflow_provider_nanostt.api.models import Job

        deadline = time.time() + settings.timeout
        running = [(part.start, part.found) for part in parts if isinstance(part.found, Job)]
        if self.deferrable and len(running) == len(parts):
            self._defer_parts(running, poll_interval=settings.poll_interval, deadline=deadline)
        done = [
            (
                part.start,
                self._waited(attempt, part.found, settings, deadline) if isinstance(part.found, Job) else part.found,
            )
            for part in parts
        ]
        return self._land_parts(attempt, done)

    def _waited(self, attempt: RecordingAttempt, job: Job, settings: WaitSettings, deadline: float) -> Transcript:
        """Wait for a job here."""
        try:
            return self.hook.wait_until(job, deadline=deadline, poll_interval=settings.poll_interval)
        except errors.TranscriptionFailed:
            attempt.clear_staging()
            raise

    def _wait_shortly(self, job: Job, settings: WaitSettings, deadline: float) -> Transcript | None:
        """Wait here for a job that is expected within ``defer_after``: the resume would cost a new task process.

        :return: the transcript, or None if the job is not worth waiting for here, or took longer than expected.
        """
        from airflow_provider_nanostt.polling import expected_seconds

        now = time.time()
        rest = job.submitted_at + expected_seconds(job.charged_minutes) - now
        if not 0.0 < rest < settings.defer_after:
            return None
        self.log.info("Run %s is expected in %.0f s; waiting for it here", job.run_id, rest)
        try:
            return self.hook.wait_until(
                job,
                deadline=min(deadline, now + 2.0 * settings.defer_after),
                poll_interval=min(settings.poll_interval, settings.defer_after / 4.0),
            )
        except (errors.TranscriptionTimeout, errors.DailyLimitReached):
            return None  # the triggerer waits for either

    def _defer(self, job: Job, *, poll_interval: float, deadline: float) -> NoReturn:
        from airflow_provider_nanostt.triggers import TranscriptionTrigger

        self._defer_to(TranscriptionTrigger, deadline, poll_interval, job=job.to_json())

    def _defer_parts(self, jobs: list[tuple[float, Job]], *, poll_interval: float, deadline: float) -> NoReturn:
        from airflow_provider_nanostt.triggers import PartsTrigger

        parts = [{"start": start, "job": job.to_json()} for start, job in jobs]
        self._defer_to(PartsTrigger, deadline, poll_interval, parts=parts)

    def _defer_to(self, kind: Callable[..., Any], deadline: float, poll_interval: float, **what: Any) -> NoReturn:
        from airflow_provider_nanostt.triggers import EARLIEST_EVENT

        now = time.time()
        self.defer(
            trigger=kind(
                **what,
                nanogpt_conn_id=self.nanogpt_conn_id,
                poll_interval=poll_interval,
                deadline=deadline,
                not_before=now + EARLIEST_EVENT,
            ),
            method_name="execute_complete",
            # The trigger keeps the deadline; Airflow's own timeout only stands behind it.
            timeout=timedelta(seconds=max(0.0, deadline - now) + EARLIEST_EVENT) + _BACKSTOP,
        )

    def _resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        attempt = self._attempt(context)
        attempt.resume()
        parts = event.get("parts") if isinstance(event, dict) else None
        if parts is None:
            transcript, job = self._fetched(attempt, event)
            return self._land(attempt, transcript, job)
        done = [(float(part["start"]), self._fetched(attempt, part)[0]) for part in parts]
        return self._land_parts(attempt, done)

    def _fetched(self, attempt: RecordingAttempt, event: dict[str, Any]) -> tuple[Transcript, Job]:
        """Fetch what the trigger reports as completed.

        The event carries no text: it would be stored and logged. The service is asked once more, which is free.
        """
        from airflow_provider_nanostt.polling import COMPLETED, FAILED, Outcome

        outcome, job = Outcome.from_event(event)
        if outcome.kind == FAILED:
            attempt.clear_staging()
        if outcome.kind != COMPLETED:
            raise outcome.as_error(
                job, waited=time.time() - job.submitted_at, recovery_hint=self.hook.recovery_hint(job)
            )
        return self.hook.wait_until(job, deadline=time.time() + _FETCH_SECONDS, at_once=True), job

    def _land_parts(self, attempt: RecordingAttempt, parts: list[tuple[float, Transcript]]) -> dict[str, Any]:
        """End the task with the parts put together."""
        result = attempt.land_parts(parts)
        self.log.info(
            "Transcribed in %d parts: runs %s, %s in all",
            len(parts),
            ", ".join(transcript.run_id or "(answered at once)" for _, transcript in parts),
            errors.usd(result["cost_usd"]),
        )
        return self._told(result)

    def _land(self, attempt: RecordingAttempt, transcript: Transcript, job: Job | None = None) -> dict[str, Any]:
        """End the task: results in their place, recorded, told in the log."""
        result = attempt.land(transcript, job)
        self.log.info(
            "Transcribed: run %s, model %s, %s minutes charged, %s, language %s, %d segments, %d characters",
            transcript.run_id or "(answered at once)",
            transcript.model,
            "unknown" if transcript.charged_minutes is None else f"{transcript.charged_minutes:g}",
            errors.usd(transcript.cost),
            transcript.language or "unknown",
            len(transcript.segments),
            len(transcript.text),
        )
        return self._told(result)

    def _told(self, result: dict[str, Any]) -> dict[str, Any]:
        for uri in result.get("files", {}).values():
            self.log.info("Wrote %s", uri)
        return result

    def _explained(self, step: Callable[[], T]) -> T:
        """Turn errors that a retry cannot mend, or would pay for again, into a failure without retry."""
        try:
            return step()
        except errors.NanoGPTError as error:
            if self._is_worth_a_retry(error):
                raise
            raise AirflowFailException(str(error)) from error

    def _is_worth_a_retry(self, error: errors.NanoGPTError) -> bool:
        if isinstance(error, _NEVER_WORTH_A_RETRY):
            return False
        if isinstance(error, errors.BatchIncomplete):
            return error.retry
        if isinstance(error, errors.AmbiguousSubmit):
            return self._rules().on_ambiguous_submit == "resubmit"
        if isinstance(error, _WORTH_A_RETRY_WITH_LEDGER):
            return bool(self._remembers)
        return isinstance(error, _WORTH_A_RETRY)
