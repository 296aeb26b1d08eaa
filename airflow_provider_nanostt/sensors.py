"""The sensor: waits for a job that another task submitted, and never submits anything itself."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
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
from airflow_provider_nanostt.api.http import is_transient
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.common.parsing import (
    as_mapping,
    none_if_null,
    parse_mapping,
    parse_seconds,
)
from airflow_provider_nanostt.operators._base import NanoGPTOperator, TaskResult, arguments_of, push
from airflow_provider_nanostt.polling import REFUSED, Outcome, describe_wait

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.operators._arguments import Arguments
    from airflow_provider_nanostt.operators.options import OutputOptions


class TranscriptionSensor(NanoGPTOperator, BaseSensorOperator):
    """Wait for a transcription job, for example one of ``TranscribeOperator(wait_for_completion=False)``.

    Exactly one of ``run_id`` and ``job`` is needed. The job is the better one: the service wants to read again what it
    said when it accepted the job, and a bare run id does not have that.

    :param run_id: the service's id of the job. (templated)
    :param job: the job, or the whole dict that ``TranscribeOperator(wait_for_completion=False)`` returns, also as JSON
        text. (templated)
    :param output_path: the folder for the transcript's files; None puts the text into XCom. (templated)
    :param formats: files to write into ``output_path``, by the names in
        :data:`~airflow_provider_nanostt.outputs.FORMATS`; ``json`` is always written. (templated)
    :param filename: pattern of the files' names, with ``{name}``, ``{run_id}``, ``{model}``, ``{language}`` and
        ``{map_index}``. (templated)
    :param nanogpt_conn_id: the connection that submitted the job. (templated)
    :param deferrable: wait in the triggerer; default from ``[operators] default_deferrable``. (templated)
    :param output_options: how results are written, as
        :class:`~airflow_provider_nanostt.operators.options.OutputOptions` or a dict. (templated)
    :param kwargs: what every sensor takes; ``poke_interval`` and ``timeout`` are in seconds.
    :return: what :class:`~airflow_provider_nanostt.operators.TranscribeOperator` returns.
    """

    ui_color = "#e8f0d9"

    def __init__(
        self,
        *,
        run_id: str | None = None,
        job: Mapping[str, object] | str | object = None,  # or what another task returns
        output_path: str | None = None,
        formats: Sequence[str] | str = ("json",),
        filename: str = "{name}",
        nanogpt_conn_id: str = "nanogpt_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        output_options: OutputOptions | Mapping[str, object] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"poke_interval": 10.0, **kwargs})
        self.run_id = run_id
        self.job = job
        self.output_path = output_path
        self.formats = formats
        self.filename = filename
        self.nanogpt_conn_id = nanogpt_conn_id
        self.deferrable = deferrable
        self.output_options = as_mapping(output_options)

    template_fields: Sequence[str] = arguments_of(__init__)

    def execute(self, context: Context) -> Any:
        """Look once, then wait in the triggerer, or as sensors do."""
        is_deferrable = True
        with suppress(errors.InvalidInput):  # what is wrong is said as soon as one looks
            is_deferrable = self._arguments().deferrable
        try:
            if is_deferrable:
                return super().execute(context)
            result = BaseSensorOperator.execute(self, context)
        except AirflowFailException as error:
            # Airflow does this after a poke and after a resume, and not here.
            if is_deferrable and (self.soft_fail or self.never_fail):
                raise AirflowSkipException(str(error)) from None
            raise error.with_traceback(None)  # noqa: B904  it is the same one
        except AirflowSensorTimeout:
            from airflow_provider_nanostt.hooks import NanoGPTHook

            job = self._given_job()
            self.report_failure(context, job, is_retryable=False)
            hint = NanoGPTHook(self._arguments().nanogpt_conn_id).recovery_hint(job)
            self.log.warning("Run %s is still billed and may still finish. %s", job.run_id, hint)
            raise
        self.emit_lineage(context, TaskResult(result or {}))
        return result

    def run_task(self, context: Context) -> TaskResult:
        """Look once, then defer."""
        arguments = self._arguments()
        arguments = replace(arguments, poll_interval=parse_seconds("poke_interval", self.poke_interval))
        seen = self._look(context, arguments)
        if not seen.is_done:
            from airflow_provider_nanostt.triggers import TranscriptionTrigger

            job = self._given_job()
            push(self, context, waiting=describe_wait([job]))
            trigger = partial(TranscriptionTrigger, job=job.to_json())
            self.defer_to(trigger, arguments, time.time() + arguments.timeout)
        return TaskResult(dict(seen.xcom_value or {}))

    def resume_task(self, context: Context, event: Mapping[str, object]) -> TaskResult:
        """Write the transcript."""
        from airflow_provider_nanostt.operators._single import resume_single

        return TaskResult(resume_single(self, context, event))

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once; a finished job is done with the result as XCom."""
        try:
            return self._look(context, self._arguments())
        except errors.NanoGPTError as error:
            failure = self.as_failure(context, error)
        raise failure

    def is_retryable(self, error: errors.NanoGPTError, context: Context) -> bool:  # noqa: ARG002
        """Return False: every ending is final, as a sensor's timeout is; none of them pays again."""
        return False

    def on_kill(self) -> None:
        """Destroy nothing."""
        self.log.warning("The sensor was killed. The job goes on; the next try of this sensor waits on for it.")

    def _look(self, context: Context, arguments: Arguments) -> PokeReturnValue:
        from airflow_provider_nanostt.hooks import NanoGPTHook
        from airflow_provider_nanostt.workflow.recovery import ask_status

        given = parse_mapping("job", self.job)
        if "job" not in given and ("files" in given or "transcription" in given):  # from a model that answers at once
            self.log.info("The submitting task already has the result")
            return PokeReturnValue(is_done=True, xcom_value=dict(given))
        hook, job = NanoGPTHook(arguments.nanogpt_conn_id), self._given_job()
        try:
            status = ask_status(hook, job)
        except errors.NanoGPTError as error:
            if is_transient(error) or isinstance(error, errors.DailyLimitReached):
                self.log.warning("%s; run %s is asked for again", error, job.run_id)
                return PokeReturnValue(is_done=False)
            waited = time.time() - job.submitted_at
            outcome = Outcome(REFUSED, job.run_id, message=str(error), error=type(error).__name__)
            raise outcome.as_error(job, waited=waited, recovery_hint=hook.recovery_hint(job)) from error
        if status.is_failed:
            raise errors.TranscriptionFailed(status.error or "no reason given", job=job)
        if status.transcript is None:
            self.log.info("Run %s is %s", job.run_id, status.raw_status)
            return PokeReturnValue(is_done=False)
        from airflow_provider_nanostt.operators._single import write_single

        return PokeReturnValue(is_done=True, xcom_value=write_single(self, context, status.transcript, job))

    def _arguments(self) -> Arguments:
        """Read all of them, so that a mistake is reported now, not when the job is done."""
        from airflow_provider_nanostt.operators._arguments import read_arguments

        return read_arguments(self)

    def _given_job(self) -> Job:
        run_id, job = none_if_null(self.run_id), none_if_null(self.job)
        if bool(run_id) == bool(job):
            raise errors.InvalidInput("exactly one of run_id and job is needed; got " + ("both" if job else "neither"))
        if run_id:
            return Job(run_id=str(run_id), model="unknown", submitted_at=time.time())
        given = parse_mapping("job", job)
        return Job.from_json(given.get("job", given))
