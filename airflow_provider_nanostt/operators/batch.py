"""The operator for many recordings in one task, with one trigger and one manifest, and the task behind it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_nanostt._compat import conf
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL
from airflow_provider_nanostt.operators._arguments import parse_bool, parse_choice, parse_whole, text_or_none
from airflow_provider_nanostt.operators._base import NanoGPTOperator, TaskResult, WaitSettings, push
from airflow_provider_nanostt.operators._single import ITEM_OPTIONS, request_of
from airflow_provider_nanostt.operators.options import (
    as_template,
    read_costs,
    read_preparation,
    read_rules,
    read_settings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.operators.options import AudioPreparation, CostLimits, OutputOptions, RecoveryPolicy
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.workflow.batch import Item
    from airflow_provider_nanostt.workflow.batch.checkpoint import Checkpoint
    from airflow_provider_nanostt.workflow.batch.item import Pending
    from airflow_provider_nanostt.workflow.batch.run import BatchRun
    from airflow_provider_nanostt.workflow.request import TranscriptionRequest

    Format = Literal["json", "txt", "srt", "vtt", "html"]

_ON_ITEM_ERROR = ("fail", "continue")
_NEEDS_OUTPUT = "output_path is needed: a folder for the transcripts, the ledger and the manifest"


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
    :param on_item_error: when some recordings fail, write the others and then ``fail`` the task, naming them, or
        ``continue``: succeed, and leave them to the manifest. Trouble with the key, the account or the service fails
        the task either way. (templated)
    :param skip_existing: leave alone what any run of any task has written in ``output_path`` with the same recording
        and options; for a folder that grows. (templated)
    :param max_parallel: how many recordings are looked at, prepared and submitted at once, 1 to 64. (templated)
    :param max_cost_usd: for the whole batch; it stops before the recording that would exceed it. (templated)

    The other arguments are as for :class:`~airflow_provider_nanostt.operators.TranscribeOperator`.

    :return: ``manifest`` (URIs by format), ``total``, ``written``, ``skipped``, ``duplicate``, ``failed``,
        ``not_started`` (counts), ``cost_usd``, ``charged_minutes``, ``words``, ``languages`` (counts),
        ``failed_audio``.
    """

    template_fields: Sequence[str] = (
        "audio",
        "output_path",
        "manifest",
        "manifest_formats",
        "on_item_error",
        "skip_existing",
        "max_parallel",
        "model",
        "language",
        "diarize",
        "tag_audio_events",
        "actual_duration",
        "formats",
        "filename",
        "max_cost_usd",
        "nanogpt_conn_id",
        "poll_interval",
        "timeout",
        "max_worker_wait",
        "force",
        "audio_preparation",
        "output_options",
        "recovery_policy",
        "cost_limits",
    )
    ui_color = "#d9e8f6"

    def __init__(
        self,
        *,
        audio: Any,
        output_path: str | None,
        manifest: str = "manifest",
        manifest_formats: Sequence[Literal["jsonl", "csv", "parquet"]] | str = ("jsonl",),
        on_item_error: Literal["fail", "continue"] | str = "fail",
        skip_existing: bool | str = False,
        max_parallel: int | str = 8,
        model: str = DEFAULT_MODEL,
        language: str = "auto",
        diarize: bool | str = False,
        tag_audio_events: bool | str = False,
        actual_duration: float | str | None = None,
        formats: Sequence[Format] | str = ("json",),
        filename: str = "{name}",
        max_cost_usd: float | str | None = None,
        nanogpt_conn_id: str = "nanogpt_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | str = 5.0,
        timeout: float | str | timedelta = timedelta(hours=6),
        max_worker_wait: float | str = 5.0,
        force: bool | str = False,
        audio_preparation: AudioPreparation | Mapping[str, Any] | None = None,
        output_options: OutputOptions | Mapping[str, Any] | None = None,
        recovery_policy: RecoveryPolicy | Mapping[str, Any] | None = None,
        cost_limits: CostLimits | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audio = audio
        self.output_path = output_path
        self.manifest = manifest
        self.manifest_formats = manifest_formats
        self.on_item_error = on_item_error
        self.skip_existing = skip_existing
        self.max_parallel = max_parallel
        self.model = model
        self.language = language
        self.diarize = diarize
        self.tag_audio_events = tag_audio_events
        self.actual_duration = actual_duration
        self.formats = formats
        self.filename = filename
        self.max_cost_usd = max_cost_usd
        self.nanogpt_conn_id = nanogpt_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_worker_wait = max_worker_wait
        self.force = force
        self.audio_preparation = as_template(audio_preparation)
        self.output_options = as_template(output_options)
        self.recovery_policy = as_template(recovery_policy)
        self.cost_limits = as_template(cost_limits)

    def run_task(self, context: Context) -> TaskResult:
        """Transcribe the recordings."""
        return BatchTask(self).run(context, self.audio)

    def resume_task(self, context: Context, event: dict[str, Any]) -> TaskResult:
        """Write the transcripts."""
        return BatchTask(self).resume(context, event)


class BatchTask:
    """The work of a task that has many recordings.

    :param operator: its arguments, its log, and its way to defer.
    """

    def __init__(self, operator: Any) -> None:
        self._operator = operator
        self._log = operator.log

    def run(self, context: Context, audio: Any) -> TaskResult:
        """Submit all, then wait: in the triggerer, or here where that is shorter or the user wants it."""
        from airflow_provider_nanostt.workflow.batch import expand

        wait = self._wait_settings()
        run, checkpoint = self.open(context, wait)
        items = expand(audio)
        if not items:
            self._log.warning("audio=%r names no recording; there is nothing to do", audio)
        pending = run.submit_all(items)
        if pending:
            self._log.info("%d of %d recordings are submitted and have to be waited for", len(pending), len(items))
            self._wait(run, checkpoint, pending, wait)
        return self.finish(run, context)

    def resume(self, context: Context, event: Any) -> TaskResult:
        """Write what the trigger has waited for."""
        run, checkpoint = self.open(context, self._wait_settings())
        batch = event.get("batch") if isinstance(event, Mapping) else None
        if not isinstance(batch, Mapping) or not isinstance(batch.get("not_completed"), Mapping):
            raise errors.LedgerError("The trigger's event cannot be read; a retry finds all that is paid for")
        run.resume(checkpoint.load(), batch["not_completed"])
        return self.finish(run, context)

    def open(self, context: Context, wait: WaitSettings) -> tuple[BatchRun, Checkpoint]:
        """Return the batch, and the file that a resume reads; every argument checked."""
        from airflow_provider_nanostt.common import object_storage
        from airflow_provider_nanostt.hooks import NanoGPTHook
        from airflow_provider_nanostt.ledger.task_identity import task_identity_of
        from airflow_provider_nanostt.workflow.batch import manifest
        from airflow_provider_nanostt.workflow.batch.checkpoint import Checkpoint
        from airflow_provider_nanostt.workflow.batch.run import BatchPlan, BatchRun

        operator = self._operator
        output_path, task = text_or_none(operator.output_path), task_identity_of(context)
        if not output_path or task is None:
            raise errors.InvalidInput(_NEEDS_OUTPUT)
        settings = read_settings(operator.output_options, formats=operator.formats, filename=operator.filename)
        rules = read_rules(operator.recovery_policy, force=operator.force)
        skip_existing = parse_bool("skip_existing", operator.skip_existing)
        if skip_existing and rules.force:
            raise errors.InvalidInput("skip_existing and force contradict each other")
        parse_choice("on_item_error", operator.on_item_error, _ON_ITEM_ERROR)
        manifest.check_name(operator.manifest)
        manifest.check_formats(operator.manifest_formats)
        hook, folder = NanoGPTHook(operator.nanogpt_conn_id), object_storage.resolve(output_path)
        plan = BatchPlan(
            folder=folder,
            rules=rules,
            costs=read_costs(operator.cost_limits, operator.max_cost_usd),
            request=lambda item: self._request(hook, wait, settings, item),
            settings=settings,
            is_retryable=lambda error: operator.is_retryable(error, context),
            staging_path=read_preparation(operator.audio_preparation, wait.timeout)[0].staging_path,
            skip_existing=skip_existing,
            max_parallel=parse_whole("max_parallel", operator.max_parallel, 1, 64),
        )
        checkpoint = Checkpoint(folder, task)
        return BatchRun(hook, context, plan, checkpoint.spool, self._log), checkpoint

    def finish(self, run: BatchRun, context: Context) -> TaskResult:
        """End the task: the manifest written, then success, or the names of what is missing."""
        from airflow_provider_nanostt.workflow.batch import manifest, manifest_row

        operator = self._operator
        run.resolve_duplicates()
        formats = manifest.check_formats(operator.manifest_formats)
        written = manifest.write(run.plan.folder, str(operator.manifest), run.rows, formats)
        run.cleanup()
        result = manifest_row.summary(run.rows, written)
        counts = ", ".join(f"{result[status]} {status}" for status in manifest_row.ENDS)
        self._log.info(
            "%d recordings: %s; %s in all. Manifest: %s",
            result["total"],
            counts,
            errors.usd(result["cost_usd"]),
            ", ".join(written.values()),
        )
        missing = [row for row in run.rows if row.is_missing]
        stopped = manifest_row.stopped(missing)
        if missing and (stopped or parse_choice("on_item_error", operator.on_item_error, _ON_ITEM_ERROR) == "fail"):
            if operator.do_xcom_push:
                push(context, cost_usd=result["cost_usd"], charged_minutes=result["charged_minutes"], manifest=written)
            raise errors.BatchIncomplete(
                len(missing),
                len(run.rows),
                manifest_row.describe(missing),
                manifest=next(iter(written.values())),
                retry="yes" if all(row.retry for row in stopped) and any(row.retry for row in missing) else "no",
            ) from run.breaker.error
        if missing:
            self._log.warning("%d recordings have no transcript:\n%s", len(missing), manifest_row.describe(missing))
        return TaskResult(result, manifest_row.folders(run.rows))

    def _wait_settings(self) -> WaitSettings:
        operator = self._operator
        return WaitSettings.read(operator.poll_interval, operator.timeout, operator.max_worker_wait)

    def _request(
        self, hook: NanoGPTHook, wait: WaitSettings, settings: OutputSettings, item: Item
    ) -> TranscriptionRequest:
        own = {name: value for name, value in item.options.items() if name in ITEM_OPTIONS}
        request = request_of(self._operator, hook, wait, item.audio, own=own, info=item.info)
        settings.check_model(request.options.model)
        return request

    def _wait(self, run: BatchRun, checkpoint: Checkpoint, pending: Sequence[Pending], wait: WaitSettings) -> None:
        """Wait in the triggerer, or here where that is shorter or the user wants it."""
        from airflow_provider_nanostt.polling import is_short
        from airflow_provider_nanostt.triggers import BatchTrigger

        now = time.time()
        deadline, left = now + wait.timeout, list(pending)
        deferrable = parse_bool("deferrable", self._operator.deferrable)
        if deferrable and is_short([job for one in left for job in one.jobs], now, wait.max_worker_wait):
            soon = min(deadline, now + 2.0 * wait.max_worker_wait)
            often = min(wait.poll_interval, wait.max_worker_wait / 4.0)
            left = run.wait(left, deadline=soon, poll_interval=often, to_the_end=False)
        jobs = [job.to_json() for one in left for job in one.jobs]
        if deferrable and jobs:
            checkpoint.save(run.checkpoint())
            self._operator.defer_to(
                BatchTrigger,
                deadline=deadline,
                poll_interval=wait.poll_interval,
                jobs=jobs,
                answers=checkpoint.spool.open(),
            )
        if left:
            run.wait(left, deadline=deadline, poll_interval=wait.poll_interval)
