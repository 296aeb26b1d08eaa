"""The sensor: waits for a job that somebody else submitted, and never submits anything itself."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt._compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.operators._arguments import none_if_blank, parse_seconds
from airflow_provider_nanostt.operators._base import WaitsForJob
from airflow_provider_nanostt.polling import REFUSED, Outcome, is_transient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.api.models import JobStatus


class TranscriptionSensor(WaitsForJob, BaseSensorOperator):
    """Wait for a transcription job, for example one of ``TranscribeOperator(wait=False)``.

    Exactly one of ``run_id`` and ``job`` is needed. The ticket is the better one: the service wants to hear again what
    it said when it accepted the job, and a bare run id does not have that.

    :param run_id: the service's id of the job. (templated)
    :param job: the ticket, or the whole dict that ``TranscribeOperator(wait=False)`` returns, also as JSON text.
        (templated)
    :param output: where the transcript goes as a file; None puts the text into XCom. (templated)
    :param formats: what to write into ``output``: any of ``json``, ``txt``, ``srt``, ``vtt``, ``html``; ``json`` is
        always written. (templated)
    :param speaker_names: new names for speakers, as in ``{"Speaker 1": "Agent"}``. (templated)
    :param captions: the reading rules of ``srt`` and ``vtt``, by the names in
        :class:`~airflow_provider_nanostt.outputs.style.CaptionStyle`.
    :param estimated_captions: guess the times of captions if the model gives none.
    :param xcom_limit: bytes of JSON that may go to XCom when ``output`` is None.
    :param name: pattern of the files' names, with ``{name}``, ``{run_id}``, ``{model}``, ``{language}`` and
        ``{map_index}``. (templated)
    :param nanogpt_conn_id: the connection that submitted the job. (templated)
    :param deferrable: wait in the triggerer; default from ``[operators] default_deferrable``.
    :param kwargs: what every sensor takes; ``poke_interval`` and ``timeout`` are in seconds.
    :return: what :class:`~airflow_provider_nanostt.operators.TranscribeOperator` returns.
    """

    template_fields: Sequence[str] = (
        "run_id",
        "job",
        "output_location",
        "formats",
        "speaker_names",
        "name",
        "nanogpt_conn_id",
    )
    ui_color = "#e8f0d9"

    def __init__(
        self,
        *,
        run_id: str | None = None,
        job: Mapping[str, Any] | str | Any = None,  # or what another task returns
        output: str | None = None,
        formats: Sequence[str] | str = ("json",),
        speaker_names: Mapping[str, str] | str | None = None,
        captions: Mapping[str, Any] | None = None,
        estimated_captions: bool = False,
        xcom_limit: int = 48_000,
        name: str = "{name}",
        nanogpt_conn_id: str = "nanogpt_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"poke_interval": 10.0, **kwargs})
        self.run_id = run_id
        self.job = job
        self.output_location = output
        self.formats = formats
        self.speaker_names = speaker_names
        self.captions = captions
        self.estimated_captions = estimated_captions
        self.xcom_limit = xcom_limit
        self.name = name
        self.nanogpt_conn_id = nanogpt_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once, then wait in the triggerer, or as sensors do."""
        if self.deferrable:
            try:
                return self._finished(context, self._explained(lambda: self._look_and_defer(context)))
            except AirflowFailException as error:
                # Airflow sees to this after a poke and after a resume, and not here.
                if self.soft_fail or self.never_fail:
                    raise AirflowSkipException(str(error)) from error
                raise
        try:
            return self._finished(context, super().execute(context))
        except AirflowSensorTimeout:
            job = self._ticket()
            self.log.warning("Run %s stays paid for and may still finish. %s", job.run_id, self.hook.recovery_hint(job))
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once; done is done with the result as XCom."""
        return self._explained(lambda: self._poke(context))

    def _poke(self, context: Context) -> PokeReturnValue:
        self._output_settings()  # a mistake is told now, not when the job is done
        landed = self._landed()
        if landed is not None:
            self.log.info("What was submitted has been answered already")
            return PokeReturnValue(is_done=True, xcom_value=landed)
        job = self._ticket()
        status = self._ask(job)
        if status is None:
            return PokeReturnValue(is_done=False)
        if status.is_failed:
            raise errors.TranscriptionFailed(status.error or "no reason given", job=job)
        if status.transcript is None:
            self.log.info("Run %s is %s", job.run_id, status.raw_status)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._land(self._attempt(context), status.transcript, job))

    def _ask(self, job: Job) -> JobStatus | None:
        """Ask for the job; None if there is no answer just now, which gives up no paid job."""
        from airflow_provider_nanostt.workflow.recovery import ask

        try:
            return ask(self.hook, job)
        except errors.NanoGPTError as error:
            if is_transient(error) or isinstance(error, errors.DailyLimitReached):
                self.log.warning("%s; run %s is asked for again", error, job.run_id)
                return None
            waited = time.time() - job.submitted_at
            outcome = Outcome(REFUSED, job.run_id, message=str(error), error=type(error).__name__)
            raise outcome.as_error(job, waited=waited, recovery_hint=self.hook.recovery_hint(job)) from error

    def _is_worth_a_retry(self, error: errors.NanoGPTError) -> bool:  # noqa: ARG002
        return False  # every other ending is final, as a sensor's timeout is; none of them pays again

    def _after_kill(self) -> str:
        return "the next attempt of this sensor waits on for it."

    def _look_and_defer(self, context: Context) -> Any:
        timeout = parse_seconds("timeout", self.timeout)
        poll_interval = parse_seconds("poke_interval", self.poke_interval)
        seen = self._poke(context)
        if not seen.is_done:
            self._defer(self._ticket(), poll_interval=poll_interval, deadline=time.time() + timeout)
        return seen.xcom_value

    def _landed(self) -> dict[str, Any] | None:
        """Return the result if the submitting task has it already, as from a model that answers at once."""
        given = self._given() if none_if_blank(self.job) else {}
        return dict(given) if "job" not in given and ("files" in given or "transcription" in given) else None

    def _ticket(self) -> Job:
        run_id, job = none_if_blank(self.run_id), none_if_blank(self.job)
        if bool(run_id) == bool(job):
            raise errors.InvalidInput("exactly one of run_id and job is needed; got " + ("both" if job else "neither"))
        if run_id:
            return Job(run_id=str(run_id), model="unknown", submitted_at=time.time())
        given = self._given()
        return Job.from_json(given.get("job", given))

    def _given(self) -> Mapping[str, Any]:
        job: Any = self.job
        if isinstance(job, str):
            try:
                job = json.loads(job)
            except ValueError as error:
                raise errors.InvalidInput(
                    "job is neither a ticket nor JSON; pass the submitting task's output, or use the filter tojson"
                ) from error
        if not isinstance(job, Mapping):
            raise errors.InvalidInput(f"job is of type {type(job).__name__}, not a ticket")
        return job
