"""The operator for many recordings in one task: its arguments. The work is in ``_batch``, which others share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_nanostt._compat import conf
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL
from airflow_provider_nanostt.common.parsing import as_mapping
from airflow_provider_nanostt.operators._base import NanoGPTOperator, TaskResult, arguments_of

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.operators.options import (
        ApprovalOptions,
        AudioPreparation,
        CostLimits,
        OutputOptions,
        RecoveryPolicy,
    )


class TranscribeBatchOperator(NanoGPTOperator):
    """Transcribe any number of recordings in one task; all of them wait in one trigger and hold no worker slot.

    Each recording has its own record beside the results, so retries, kills and clears pay for none of them twice. The
    manifest in ``output_path`` has one row for each input.

    :param audio: recordings, as a list; a pattern such as ``s3://conn@bucket/calls/{{ ds }}/*.mp3``; or a list of both
        and of mappings with ``audio`` and what this one says for itself: ``name``, ``model``, ``language``,
        ``diarize``, ``tag_audio_events``, ``actual_duration``, ``speaker_names``, ``page_audio_url``. (templated)
    :param output_path: the folder for results, ledger and manifest. (templated)
    :param manifest: name of the manifest in ``output_path``, without suffix; one of that name is replaced. (templated)
    :param manifest_formats: any of ``jsonl``, ``csv``, ``parquet``; the last needs the extra ``[parquet]``. (templated)
    :param tables: any of ``segments``, ``words``, ``chunks``; the first two need the extra ``[parquet]``: a folder for
        each in ``output_path``, to which each run adds one file with the rows of what it has written. (templated)
    :param on_item_error: when some recordings fail, write the others and then ``fail`` the task, naming them, or
        ``continue``: succeed, and leave them to the manifest. Trouble with the key, the account or the service fails
        the task either way. (templated)
    :param on_no_match: what an item that matches no recording is: ``warn`` for a row ``no_match`` and a warning in the
        log, ``fail`` for a failed row. (templated)
    :param skip_existing: leave alone what any run of any task has written in ``output_path`` with the same recording
        and options; for a folder that grows. (templated)
    :param settle: seconds between two looks at what patterns find, 600 at most: a file that is still being written is
        left for a later run. No slot is held for more than ``max_worker_wait`` of them. None looks once. (templated)
    :param max_parallel: how many recordings are looked at, prepared and submitted at once, 1 to 64; None for 8, and up
        to 32 while storage and service are so slow that request slots stay unused. (templated)
    :param max_cost_usd: for the whole batch; it stops before the recording that would exceed it. (templated)
    :param approve_above: USD; if the whole list is expected to cost more, a person is asked in Airflow's *Required
        actions* before anything is submitted, and no slot is held meanwhile; ``0`` asks for whatever costs anything.
        Needs Airflow 3.1 or newer. (templated)
    :param approval_options: who may answer, for how long to wait, and what a rejection does: see
        :class:`~airflow_provider_nanostt.operators.options.ApprovalOptions`. (templated)

    The other arguments are as for :class:`~airflow_provider_nanostt.operators.TranscribeOperator`.

    :return: ``manifest`` (URIs by format), ``tables`` (URIs of this run's files by table), ``total``, ``written``,
        ``skipped``, ``duplicate``, ``failed``, ``not_started``, ``no_match`` (counts), ``cost_usd``,
        ``charged_minutes``, ``words``, ``languages`` (counts), ``failed_audio``.
    """

    ui_color = "#d9e8f6"

    def __init__(
        self,
        *,
        audio: object,
        output_path: str | None,
        manifest: str = "manifest",
        manifest_formats: Sequence[Literal["jsonl", "csv", "parquet"]] | str = ("jsonl",),
        tables: Sequence[Literal["segments", "words", "chunks"]] | str = (),
        on_item_error: Literal["fail", "continue"] | str = "fail",
        on_no_match: Literal["warn", "fail"] | str = "warn",
        skip_existing: bool | str = False,
        settle: float | str | timedelta | None = None,
        max_parallel: int | str | None = None,
        model: str = DEFAULT_MODEL,
        language: str = "auto",
        diarize: bool | str = False,
        tag_audio_events: bool | str = False,
        extra_parameters: Mapping[str, object] | str | None = None,
        actual_duration: float | str | None = None,
        formats: Sequence[str] | str = ("json",),
        filename: str = "{name}",
        max_cost_usd: float | str | None = None,
        approve_above: float | str | None = None,
        nanogpt_conn_id: str = "nanogpt_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | str = 5.0,
        timeout: float | str | timedelta = timedelta(hours=6),
        max_worker_wait: float | str = 5.0,
        force: bool | str = False,
        audio_preparation: AudioPreparation | Mapping[str, object] | None = None,
        output_options: OutputOptions | Mapping[str, object] | None = None,
        recovery_policy: RecoveryPolicy | Mapping[str, object] | None = None,
        cost_limits: CostLimits | Mapping[str, object] | None = None,
        approval_options: ApprovalOptions | Mapping[str, object] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audio = audio
        self.output_path = output_path
        self.manifest = manifest
        self.manifest_formats = manifest_formats
        self.tables = tables
        self.on_item_error = on_item_error
        self.on_no_match = on_no_match
        self.skip_existing = skip_existing
        self.settle = settle
        self.max_parallel = max_parallel
        self.model = model
        self.language = language
        self.diarize = diarize
        self.tag_audio_events = tag_audio_events
        self.extra_parameters = extra_parameters
        self.actual_duration = actual_duration
        self.formats = formats
        self.filename = filename
        self.max_cost_usd = max_cost_usd
        self.approve_above = approve_above
        self.nanogpt_conn_id = nanogpt_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_worker_wait = max_worker_wait
        self.force = force
        self.audio_preparation = as_mapping(audio_preparation)
        self.output_options = as_mapping(output_options)
        self.recovery_policy = as_mapping(recovery_policy)
        self.cost_limits = as_mapping(cost_limits)
        self.approval_options = as_mapping(approval_options)

    template_fields: Sequence[str] = arguments_of(__init__)

    def run_task(self, context: Context, event: Mapping[str, object] | None = None) -> TaskResult:
        """Transcribe the recordings.

        :param event: what came before anything was submitted: a person's answer, or the end of a pause.
        """
        from airflow_provider_nanostt.operators._batch import run_batch

        return run_batch(self, context, self.audio, event=event)

    def execute_answered(self, context: Context, event: Mapping[str, object]) -> dict[str, object]:
        """Go on once a person has answered whether the list may cost what it would."""
        done = self._run(context, partial(self.run_or_estimate, partial(self.run_task, event=event)))
        if isinstance(done, Exception):
            raise done
        return done

    def estimate_task(self, context: Context) -> None:  # noqa: ARG002  a list is estimated as if nothing were paid for
        """Log what the list would cost."""
        from airflow_provider_nanostt.operators._batch import estimate_batch

        estimate_batch(self, self.audio)

    def resume_task(self, context: Context, event: Mapping[str, object]) -> TaskResult:
        """Write the transcripts, or begin after a pause."""
        from airflow_provider_nanostt.operators._batch import resume_batch
        from airflow_provider_nanostt.triggers import is_pause

        if is_pause(event):
            return self.run_or_estimate(partial(self.run_task, event=event), context)
        return resume_batch(self, context, event)
