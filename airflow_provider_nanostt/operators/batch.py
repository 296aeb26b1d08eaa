"""The operator for many recordings in one task, with one trigger and one manifest."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.operators._arguments import none_if_blank, parse_bool, parse_number
from airflow_provider_nanostt.operators.transcribe import TranscribeOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt._compat import Context, ObjectStoragePath
    from airflow_provider_nanostt.api.models import Job
    from airflow_provider_nanostt.operators._base import WaitSettings
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.workflow.batch import Item
    from airflow_provider_nanostt.workflow.batch.checkpoint import Checkpoint
    from airflow_provider_nanostt.workflow.batch.item import Pending
    from airflow_provider_nanostt.workflow.batch.run import BatchRun
    from airflow_provider_nanostt.workflow.request import Order

_ONE_ONLY = ("audio_path", "audio_url", "wait", "xcom_limit")
_ON_ITEM_ERROR = ("fail", "continue")


class TranscribeBatchOperator(TranscribeOperator):
    """Transcribe any number of recordings in one task; all of them wait in one trigger and hold no worker slot.

    Each recording has its own record beside the results, so retries, kills and clears pay for none of them twice. What
    becomes of each stands in a manifest in ``output``, one row for each input.

    :param audio: recordings, as a list; a pattern such as ``s3://conn@bucket/calls/{{ ds }}/*.mp3``; or a list of both
        and of mappings with ``audio`` and what this one says for itself: ``name``, ``model``, ``language``,
        ``diarize``, ``tag_audio_events``, ``actual_duration``, ``speaker_names``. (templated)
    :param output: the folder for results, ledger and manifest. (templated)
    :param manifest: name of the manifest in ``output``, without suffix; one of that name is replaced. (templated)
    :param manifest_formats: any of ``jsonl``, ``csv``, ``parquet``; the last needs the extra ``[parquet]``.
    :param on_item_error: when some recordings fail, land the others and then ``fail`` the task, naming them, or
        ``continue``: succeed, and leave it to the manifest to tell. Trouble with the key, the account or the service
        fails the task either way.
    :param skip_existing: leave alone what any run of any task has landed in ``output`` with the same audio and options;
        for a folder that grows.
    :param max_parallel: how many recordings are looked at, made ready and submitted at once.
    :param max_cost: USD for the whole batch; it stops before the recording that would exceed it. (templated)
    :param kwargs: what else :class:`~airflow_provider_nanostt.operators.TranscribeOperator` takes, for all of them.
    :return: ``manifest`` (addresses by format), ``total``, ``landed``, ``skipped``, ``duplicate``, ``failed``,
        ``left`` (counts), ``cost_usd``, ``charged_minutes``, ``words``, ``languages`` (counts), ``failed_audio``.
    """

    template_fields: Sequence[str] = (
        *(name for name in TranscribeOperator.template_fields if name not in _ONE_ONLY),
        "manifest",
        "skip_existing",
    )

    _not_here: tuple[str, ...] = _ONE_ONLY
    _read_from: Sequence[str] = ()

    def __init__(
        self,
        *,
        audio: Any,
        output: str | None,
        manifest: str = "manifest",
        manifest_formats: Sequence[str] = ("jsonl",),
        on_item_error: str = "fail",
        skip_existing: bool | str = False,
        max_parallel: int = 8,
        **kwargs: Any,
    ) -> None:
        if here := [name for name in self._not_here if name in kwargs]:
            raise TypeError(f"{type(self).__name__} has no argument {here[0]!r}")
        super().__init__(output=output, **kwargs)
        self.audio = audio
        self.manifest = manifest
        self.manifest_formats = manifest_formats
        self.on_item_error = on_item_error
        self.skip_existing = skip_existing
        self.max_parallel = max_parallel

    def _execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_nanostt.workflow.batch import expand

        wait = self._wait_settings()
        run, folder, state = self._batch(context, wait)
        items = expand(self.audio)
        if not items:
            self.log.warning("audio=%r names no recording; there is nothing to do", self.audio)
        pending = run.begin(items)
        if pending:
            self.log.info("%d of %d recordings are submitted and have to be waited for", len(pending), len(items))
            self._wait_for_all(run, state, pending, wait)
        return self._finish(run, folder)

    def _resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        run, folder, state = self._batch(context, self._wait_settings())
        batch = event.get("batch") if isinstance(event, Mapping) else None
        if not isinstance(batch, Mapping) or not isinstance(batch.get("not_completed"), Mapping):
            raise errors.LedgerError("The trigger's event cannot be read; a retry finds all that is paid for")
        run.resume(state.load(), batch["not_completed"])
        return self._finish(run, folder)

    def _batch(self, context: Context, wait: WaitSettings) -> tuple[BatchRun, ObjectStoragePath, Checkpoint]:
        """Return the batch, the folder for its results, and the file that a resume reads; every argument checked."""
        from airflow_provider_nanostt.common import object_storage
        from airflow_provider_nanostt.ledger.task_identity import task_identity_of
        from airflow_provider_nanostt.workflow.batch.checkpoint import Checkpoint
        from airflow_provider_nanostt.workflow.batch.run import Plan

        output = none_if_blank(self.output_location)
        instance = task_identity_of(context)
        self._check(output)
        if not output or instance is None:
            raise errors.InvalidInput("output is needed: a folder for the transcripts, the ledger and the manifest")
        folder = object_storage.resolve(output)
        self._remembers = True
        output_settings = self._output_settings()
        plan = Plan(
            output=output,
            rules=self._rules(),
            order=lambda item: self._order_of(item, wait, output_settings),
            settings=output_settings,
            budget=self._budget(),
            staging=none_if_blank(self.staging),
            skip_existing=parse_bool("skip_existing", self.skip_existing),
            max_parallel=self.max_parallel,
            worth_a_retry=self._is_worth_a_retry,
        )
        state = Checkpoint(folder, instance)
        return self._run_class()(self.hook, context, plan, state.handover, self.log), folder, state

    def _inputs(self) -> list[object]:
        return list(self._read_from)

    def _run_class(self) -> type[BatchRun]:
        from airflow_provider_nanostt.workflow.batch.run import BatchRun

        return BatchRun

    def _order_of(self, item: Item, wait: WaitSettings, settings: OutputSettings) -> Order:
        order = self._order(wait, audio=item.audio, own=item.options)
        settings.check_model(order.options.model)
        return order

    def _check(self, output: Any) -> None:
        from airflow_provider_nanostt.workflow.batch.manifest import check_formats

        if not output:
            raise errors.InvalidInput("output is needed: a folder for the transcripts, the ledger and the manifest")
        if self.on_item_error not in _ON_ITEM_ERROR:
            raise errors.InvalidInput(f"on_item_error={self.on_item_error!r}; it is one of {', '.join(_ON_ITEM_ERROR)}")
        if not 1 <= self.max_parallel <= 64:
            raise errors.InvalidInput(f"max_parallel={self.max_parallel!r}; it is a number from 1 to 64")
        if not str(self.manifest) or "/" in str(self.manifest):
            raise errors.InvalidInput(f"manifest={self.manifest!r} is no name of a file in output")
        if parse_bool("skip_existing", self.skip_existing) and parse_bool("force", self.force):
            raise errors.InvalidInput("skip_existing and force contradict each other")
        check_formats(self.manifest_formats)

    def _budget(self) -> Any:
        from airflow_provider_nanostt.workflow.batch import BatchBudget

        return BatchBudget(
            parse_number("max_cost", self.max_cost, "USD"), self.max_cost_unknown, self.check_balance_above
        )

    def _wait_for_all(
        self, run: BatchRun, state: Checkpoint, pending: Sequence[Pending], settings: WaitSettings
    ) -> None:
        """Wait in the triggerer, or here where that is shorter or the user wants it."""
        deadline = time.time() + settings.timeout
        left = list(pending)
        if self.deferrable and _are_short([job for one in left for job in one.jobs], settings):
            soon = min(deadline, time.time() + 2.0 * settings.defer_after)
            often = min(settings.poll_interval, settings.defer_after / 4.0)
            left = run.wait(left, deadline=soon, poll_interval=often, to_the_end=False)
        if not left:
            return
        jobs = [job for one in left for job in one.jobs]
        if self.deferrable and jobs:
            from airflow_provider_nanostt.triggers import BatchTrigger

            state.save(run.standing())
            tickets = [job.to_json() for job in jobs]
            answers = state.handover.open()
            self._defer_to(BatchTrigger, deadline, settings.poll_interval, jobs=tickets, answers=answers)
        run.wait(left, deadline=deadline, poll_interval=settings.poll_interval)

    def _finish(self, run: BatchRun, folder: ObjectStoragePath) -> dict[str, Any]:
        """End the task: the manifest in its place, then success, or the names of what is missing."""
        from airflow_provider_nanostt.workflow.batch import manifest, manifest_row

        run.settle()
        formats = manifest.check_formats(self.manifest_formats)
        written = manifest.write(folder, str(self.manifest), run.rows, formats)
        run.tidy()
        result = manifest_row.summary(run.rows, written)
        self._read_from = manifest_row.folders(run.rows)
        told = ", ".join(
            f"{result[status]} {status}" for status in ("written", "skipped", "duplicate", "failed", "left")
        )
        self.log.info(
            "%d recordings: %s; %s in all. Manifest: %s",
            result["total"],
            told,
            errors.usd(result["cost_usd"]),
            ", ".join(written.values()),
        )
        missing = [row for row in run.rows if row.is_missing]
        stopped = manifest_row.stopped(missing)
        if missing and (stopped or self.on_item_error == "fail"):
            raise errors.BatchIncomplete(
                len(missing),
                len(run.rows),
                manifest_row.told(missing),
                manifest=next(iter(written.values())),
                retry=all(row.retry for row in stopped) and any(row.retry for row in missing),
            ) from run.brake.error
        if missing:
            self.log.warning("%d recordings have no transcript:\n%s", len(missing), manifest_row.told(missing))
        return result


def _are_short(jobs: Sequence[Job], settings: WaitSettings) -> bool:
    """Whether all jobs are expected so soon that a resume, which costs a new task process, would take longer."""
    from airflow_provider_nanostt.polling import expected_seconds

    now = time.time()
    return all(job.submitted_at + expected_seconds(job.charged_minutes) - now < settings.defer_after for job in jobs)
