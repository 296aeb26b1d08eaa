"""The operators: what a DAG author writes. Thin; each step lives in the module named after it.

Fields are only assigned in ``__init__``, since templates are rendered later; everything is checked when the task runs,
before anything is paid for. ``execute`` and ``execute_complete`` end in the same method.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt._compat import AirflowFailException, BaseOperator, conf
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL, KNOWN_MODELS
from airflow_provider_nanostt.api.models import Submission, Transcript, number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.api.models import Job
    from airflow_provider_nanostt.hooks import NanoGPTHook

_BACKSTOP = timedelta(minutes=1)
_FAIR_FOR_RETRY = (errors.NoAnswer, errors.RateLimited, errors.DailyLimitReached, errors.ServiceUnavailable)


class TranscribeOperator(BaseOperator):
    """Transcribe one recording; waiting happens in the triggerer and holds no worker slot.

    Exactly one of ``audio_path`` and ``audio_url`` is needed.

    :param audio_path: a file on the worker's disk, at most 3 MB. (templated)
    :param audio_url: an address the service can fetch, up to 500 MB. (templated)
    :param model: the service's model id; ``Elevenlabs-STT`` knows speakers and times. (templated)
    :param language: ISO 639-1 or 639-3 code, or ``auto``. (templated)
    :param diarize: tell speakers apart, with a model that can. (templated)
    :param tag_audio_events: mark laughter, applause and the like, with a model that can. (templated)
    :param actual_duration: length of the audio in minutes, for accurate billing. (templated)
    :param nanogpt_conn_id: the connection with the API key. (templated)
    :param deferrable: wait in the triggerer rather than in the worker; default from ``[operators] default_deferrable``.
    :param poll_interval: seconds between two questions for the status. (templated)
    :param timeout: seconds, or a timedelta, to wait for a job from its submission; the job itself goes on, paid for,
        when this is over. (templated)
    :return: a dict; see :func:`~airflow_provider_nanostt.outputs.xcom_value`.
    """

    template_fields: Sequence[str] = (
        "audio_path",
        "audio_url",
        "model",
        "language",
        "diarize",
        "tag_audio_events",
        "actual_duration",
        "nanogpt_conn_id",
        "poll_interval",
        "timeout",
    )
    ui_color = "#d9e8f6"

    def __init__(
        self,
        *,
        audio_path: str | Path | None = None,
        audio_url: str | None = None,
        model: str = DEFAULT_MODEL,
        language: str = "auto",
        diarize: bool | str = False,
        tag_audio_events: bool | str = False,
        actual_duration: float | str | None = None,
        nanogpt_conn_id: str = "nanogpt_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | str = 5.0,
        timeout: float | str | timedelta = timedelta(hours=6),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audio_path = audio_path
        self.audio_url = audio_url
        self.model = model
        self.language = language
        self.diarize = diarize
        self.tag_audio_events = tag_audio_events
        self.actual_duration = actual_duration
        self.nanogpt_conn_id = nanogpt_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout

    @cached_property
    def hook(self) -> NanoGPTHook:
        """The hook for ``nanogpt_conn_id``."""
        from airflow_provider_nanostt.hooks import NanoGPTHook

        return NanoGPTHook(self.nanogpt_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit, then wait: not at all for a synchronous answer, else in the triggerer or here."""
        return self._explained(self._execute)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Take in what the trigger reports, and fetch the transcript."""
        return self._explained(lambda: self._resume(event))

    def on_kill(self) -> None:
        """Destroy nothing: a job cannot be cancelled, and stays paid for."""
        self.log.warning("The task was killed. A job that NanoGPT has accepted goes on there and stays paid for.")

    def _execute(self) -> dict[str, Any]:
        submission = self._submission()
        poll_interval, timeout = self._waiting()
        self.log.info("Submitting %s to NanoGPT, model %s", submission.name, submission.model)
        answer = self.hook.submit_prepared(submission)
        if isinstance(answer, Transcript):
            return self._land(answer)
        self._log_ticket(answer)
        deadline = answer.submitted_at + timeout
        if self.deferrable:
            self._defer(answer, poll_interval=poll_interval, deadline=deadline)
        return self._land(self.hook.wait_until(answer, deadline=deadline, poll_interval=poll_interval))

    def _resume(self, event: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_nanostt.polling import COMPLETED, Outcome

        outcome, job = Outcome.from_event(event)
        if outcome.kind != COMPLETED:
            waited = time.time() - job.submitted_at
            raise outcome.as_error(job, waited=waited, pick_up=self.hook.pick_up(job))
        # The event carries no text: it would be stored and logged. The service is asked once more, which is free.
        return self._land(self.hook.wait_until(job, deadline=time.time() + _BACKSTOP.total_seconds()))

    def _defer(self, job: Job, *, poll_interval: float, deadline: float) -> None:
        from airflow_provider_nanostt.triggers import EARLIEST_EVENT, TranscriptionTrigger

        now = time.time()
        self.defer(
            trigger=TranscriptionTrigger(
                job=job.to_json(),
                nanogpt_conn_id=self.nanogpt_conn_id,
                poll_interval=poll_interval,
                deadline=deadline,
                not_before=now + EARLIEST_EVENT,
            ),
            method_name="execute_complete",
            # The trigger keeps the deadline; Airflow's own timeout only stands behind it.
            timeout=timedelta(seconds=max(0.0, deadline - now) + EARLIEST_EVENT) + _BACKSTOP,
        )

    def _land(self, transcript: Transcript) -> dict[str, Any]:
        from airflow_provider_nanostt.outputs import xcom_value

        self.log.info(
            "Transcribed: run %s, model %s, %s minutes charged, %s, language %s, %d segments, %d characters",
            transcript.run_id or "(synchronous)",
            transcript.model,
            "unknown" if transcript.charged_minutes is None else f"{transcript.charged_minutes:g}",
            errors.usd(transcript.cost),
            transcript.language or "unknown",
            len(transcript.segments),
            len(transcript.text),
        )
        return xcom_value(transcript)

    def _submission(self) -> Submission:
        from airflow_provider_nanostt import audio

        minutes = None
        if self.actual_duration not in (None, "", "None"):
            minutes = number(self.actual_duration)
            if minutes is None:
                raise errors.InvalidInput(f"actual_duration={self.actual_duration!r} is not a number of minutes")
        model = str(self.model)
        if model not in KNOWN_MODELS:
            self.log.info("Model %r is not in this provider's table; the service decides whether it exists", model)
        return Submission(
            audio=audio.resolve(_unrendered(self.audio_path), _unrendered(self.audio_url), model=model),
            model=model,
            language=str(self.language),
            diarize=_boolean("diarize", self.diarize),
            tag_audio_events=_boolean("tag_audio_events", self.tag_audio_events),
            actual_minutes=minutes,
        )

    def _waiting(self) -> tuple[float, float]:
        """Return poll interval and timeout in seconds, however they were given."""
        found = []
        for name in ("poll_interval", "timeout"):
            value = getattr(self, name)
            seconds = value.total_seconds() if isinstance(value, timedelta) else number(value)
            if seconds is None or seconds <= 0:
                raise errors.InvalidInput(f"{name}={value!r} is not a positive number of seconds")
            found.append(seconds)
        return found[0], found[1]

    def _log_ticket(self, job: Job) -> None:
        self.log.info(
            "NanoGPT accepted run %s: model %s, %s minutes charged, %s",
            job.run_id,
            job.model,
            "unknown" if job.charged_minutes is None else f"{job.charged_minutes:g}",
            errors.usd(job.cost),
        )

    def _explained(self, step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Turn errors that a retry cannot mend, or that a retry would pay for again, into a failure without retry."""
        try:
            return step()
        except _FAIR_FOR_RETRY:
            raise
        except errors.NanoGPTError as error:
            raise AirflowFailException(str(error)) from error


def _unrendered(value: Any) -> Any:
    """Treat what a template renders from nothing as nothing."""
    return None if value in ("", "None") else value


def _boolean(name: str, value: object) -> bool:
    """Read a flag that a template may have turned into text."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off", "", "none"):
        return False
    raise errors.InvalidInput(f"{name}={value!r} is neither true nor false")
