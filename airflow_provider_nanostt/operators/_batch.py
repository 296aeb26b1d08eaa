"""The work of a task that has many recordings: submit all, wait, write a manifest. Its arguments are an operator's.

Imported when a task runs, not when a DAG file is read.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.numbers import amount
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.ledger import FOLDER
from airflow_provider_nanostt.ledger.task_identity import SHELL, day_of, task_identity_of
from airflow_provider_nanostt.operators._approval import Asking
from airflow_provider_nanostt.operators._arguments import Arguments, read_arguments
from airflow_provider_nanostt.operators._base import NanoGPTOperator, TaskResult, push
from airflow_provider_nanostt.operators._single import request_of
from airflow_provider_nanostt.polling import describe_wait, is_short, job_list
from airflow_provider_nanostt.triggers import BatchTrigger, PauseTrigger, is_pause
from airflow_provider_nanostt.workflow.batch import Item, collect, expand, look, manifest, manifest_row, settled
from airflow_provider_nanostt.workflow.batch.run import BatchRun
from airflow_provider_nanostt.workflow.batch.tables import BatchTables

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.workflow.attempt import Log
    from airflow_provider_nanostt.workflow.batch.item import Pending
    from airflow_provider_nanostt.workflow.request import TranscriptionRequest

_MAX_NAMED = 10
_UNREADABLE = (
    "The triggerer cannot read which jobs to wait for (%s). Going on with as many at a time as fit into a trigger, "
    "which takes longer and loses nothing. Let triggerers read and write output_path as workers do"
)


def run_batch(
    operator: NanoGPTOperator, context: Context, audio: object, *, event: Mapping[str, object] | None = None
) -> TaskResult:
    """Submit all, then wait: in the triggerer, or here where that is shorter or the user wants it.

    :param event: what Airflow says of a person's answer, if one was asked; the trigger's, if files were given the time
        to become whole; None at first.
    """
    arguments = read_arguments(operator)
    run = open_batch(operator, arguments, context)
    if arguments.approval.approve_above is not None:
        asking = Asking.open(operator, context, arguments.approval, run.folder)
        if event is not None and not is_pause(event):
            asking = asking.take_answer(event)
        run.allow = asking.allow
    items, growing = _settled(operator, arguments, run, audio, is_resumed=event is not None)
    if growing:
        names = ", ".join([item.shown for item in growing[:_MAX_NAMED]] + ["..."] * (len(growing) > _MAX_NAMED))
        operator.log.warning("%d recordings are still being written, and left for a later run: %s", len(growing), names)
    elif not items:
        operator.log.warning("audio names no recording; there is nothing to do")
    run.tables.begin(time.time() + arguments.timeout)
    pending = run.submit_all(items)
    if pending:
        operator.log.info("%d of %d recordings are submitted and have to be waited for", len(pending), len(items))
        jobs = [job for one in pending for job in one.jobs]
        push(operator, context, waiting=describe_wait(jobs, str(run.folder / FOLDER), len(items)))
        _wait(operator, arguments, run, pending)
    return finish_batch(operator, arguments, context, run)


def _settled(
    operator: NanoGPTOperator, arguments: Arguments, run: BatchRun, audio: object, *, is_resumed: bool
) -> tuple[list[Item], list[Item]]:
    """Return the items that were the same in two looks, and those that are still being written.

    The time between is spent here if it is short, else in the triggerer. Who comes back from there, or from a person's
    answer, compares with the first look, which the worker that made it has left in the folder.
    """
    earlier = run.checkpoint.look() if arguments.settle and is_resumed else None
    items = expand(audio)
    if not arguments.settle:
        return items, []
    if earlier is None:
        earlier = look(items)
        run.checkpoint.save_look(earlier)  # an empty one, too: a person may be asked about what is not listed
        if not earlier:  # nothing can have changed
            return items, []
        if arguments.deferrable and arguments.settle > arguments.max_worker_wait:
            operator.log.info("Looking again in %.0f s, for files that are still being written", arguments.settle)
            operator.defer_to(PauseTrigger, arguments, time.time() + arguments.settle)
        time.sleep(arguments.settle)
        items = expand(audio)
    return settled(items, earlier)


def estimate_batch(operator: NanoGPTOperator, audio: object) -> None:
    """Log what a list would cost, recording by recording and in all, as if nothing of it were paid for.

    Nothing is submitted or written.
    """
    arguments = read_arguments(operator)
    job, preparation, costs = arguments.job, arguments.preparation, arguments.costs
    found = NanoGPTHook(arguments.nanogpt_conn_id).estimate_list(
        audio,
        model=job.model,
        diarize=job.diarize,
        actual_duration=job.actual_duration,
        staging_path=preparation.staging_path,
        oversize=preparation.oversize,
        unknown_length=costs.unknown_length,
    )
    operator.log.info(
        "%d recordings with %.1f minutes: expected cost %s, less what is paid for already. Others: %s",
        len(found.costing),
        found.minutes,
        errors.usd(found.new_usd),
        ", ".join(f"{count} {status}" for status, count in sorted(found.free.items())) or "none",
    )
    if costs.max_cost_usd is not None and found.new_usd > costs.max_cost_usd:
        operator.log.warning("That is more than max_cost_usd, %s", errors.usd(costs.max_cost_usd))


def resume_batch(operator: NanoGPTOperator, context: Context, event: Mapping[str, object]) -> TaskResult:
    """Write what the trigger has waited for."""
    arguments = read_arguments(operator)
    run = open_batch(operator, arguments, context)
    batch = event.get("batch") if isinstance(event, Mapping) else None
    not_completed = batch.get("not_completed") if isinstance(batch, Mapping) else None
    if not isinstance(batch, Mapping) or not isinstance(not_completed, Mapping):
        raise errors.LedgerError("The trigger's event cannot be read; a retry finds all that is paid for")
    until_row, more = batch.get("until_row"), batch.get("more")
    run.resume()
    run.tables.begin(time.time() + arguments.timeout)
    if reason := batch.get("unreadable"):
        operator.log.warning(_UNREADABLE, reason)
    collect.collect_jobs(
        run,
        not_completed,
        more=more if isinstance(more, int) else 0,
        until_row=until_row if isinstance(until_row, int) else None,
    )
    deadline = amount(batch.get("deadline")) or time.time() + arguments.timeout
    _defer_some(operator, arguments, run, deadline)
    return finish_batch(operator, arguments, context, run)


FROM_THE_SHELL: Context = {"ti": SHELL}  # type: ignore[typeddict-item]  # of it, a batch needs the names only
"""What the command line has in place of Airflow's context."""


class BatchOwner(Protocol):
    """What a batch needs of whoever runs it: an operator, or the command line."""

    @property
    def log(self) -> Log:
        """Where the batch says what is out of the ordinary."""

    def is_retryable(self, error: errors.NanoGPTError, context: Context) -> bool:
        """Return whether another try is worth it, and pays for nothing twice."""


def open_batch(operator: BatchOwner, arguments: Arguments, context: Context) -> BatchRun:
    """Check what the arguments of a batch mean together, and return the batch.

    :raises InvalidInput: naming the argument that is wrong.
    """
    task = task_identity_of(context)
    if not arguments.output_path or task is None:
        raise errors.InvalidInput("output_path is needed: a folder for the transcripts, the ledger and the manifest")
    if arguments.skip_existing and arguments.rules.force:
        raise errors.InvalidInput("skip_existing and force contradict each other")
    if not arguments.manifest or "/" in arguments.manifest:
        raise errors.InvalidInput(f'manifest must be a file name without "/", got {arguments.manifest!r}')
    hook, folder = NanoGPTHook(arguments.nanogpt_conn_id), object_storage.resolve_folder(arguments.output_path)
    # From the shell, every command has the same name, and two at once must not write one file.
    of_tables = replace(task, run_id=f"{task.run_id} {uuid.uuid4()}") if task == SHELL else task

    def request(item: Item) -> TranscriptionRequest:
        return request_of(arguments, hook, operator.log, [item.audio], own=item.options, info=item.info)

    return BatchRun(
        service=hook,
        context={"task": operator, **context},
        log=operator.log,
        folder=folder,
        checkpoint=manifest.Checkpoint(folder, task),
        rules=arguments.rules,
        costs=arguments.costs,
        request=request,
        settings=arguments.settings,
        tables=BatchTables(
            folder, arguments.tables, of_tables, day=day_of(context), rules=arguments.settings.chunks, log=operator.log
        ),
        is_retryable=partial(operator.is_retryable, context=context),
        staging_path=arguments.preparation.staging_path,
        skip_existing=arguments.skip_existing,
        max_parallel=arguments.max_parallel,
        on_no_match=arguments.on_no_match,
    )


def finish_batch(operator: NanoGPTOperator, arguments: Arguments, context: Context, run: BatchRun) -> TaskResult:
    """End the task: manifest and tables written, then success, or the names of what is missing."""
    collect.resolve_duplicates(run)
    in_tables = run.tables.assign(run.rows, run.open_items)
    written = manifest.write(run.folder, arguments.manifest, run.rows, arguments.manifest_formats)
    tables = run.tables.write(run.rows, in_tables)
    collect.cleanup(run)
    if arguments.settle:
        run.checkpoint.forget_look()
    result = manifest_row.summary(run.rows, written, tables)
    counts = ", ".join(f"{result[status]} {status}" for status in manifest_row.ENDS)
    cost, files = errors.usd(result["cost_usd"]), ", ".join(written.values())
    operator.log.info("%d recordings: %s; %s in all. Manifest: %s", result["total"], counts, cost, files)
    missing = [row for row in run.rows if row.is_missing]
    stopped = manifest_row.stopped(missing)
    if missing and (stopped or arguments.on_item_error == "fail"):
        costs = {name: result[name] for name in ("cost_usd", "charged_minutes")}
        push(operator, context, **costs, manifest=written, tables=tables or None)
        raise errors.BatchIncomplete(
            len(missing),
            len(run.rows),
            manifest_row.describe(missing),
            manifest=next(iter(written.values())),
            retry="yes" if all(row.retry for row in stopped) and any(row.retry for row in missing) else "no",
        ) from run.breaker.error
    if missing:
        operator.log.warning("%d recordings have no transcript:\n%s", len(missing), manifest_row.describe(missing))
    return TaskResult(result, manifest_row.folders(run.rows))


def _wait(operator: NanoGPTOperator, arguments: Arguments, run: BatchRun, pending: Sequence[Pending]) -> None:
    """Wait in the triggerer, or here where that is shorter or the user wants it."""
    now = time.time()
    deadline = now + arguments.timeout
    if not arguments.deferrable:
        collect.wait(run, pending, deadline=deadline, poll_interval=arguments.poll_interval)
        return
    if is_short([job for one in pending for job in one.jobs], now, arguments.max_worker_wait):
        soon, often = arguments.short_wait(deadline)
        pending = collect.wait(run, pending, deadline=soon, poll_interval=often, to_the_end=False)
    if jobs := [job.to_json() for one in pending for job in one.jobs]:
        answers = run.hand_over()
        given = jobs if job_list.fits(jobs) else run.checkpoint.spool.leave_jobs(jobs) if answers else None
        if given is not None:
            operator.defer_to(partial(BatchTrigger, jobs=given, answers=answers), arguments, deadline)
        _defer_some(operator, arguments, run, deadline)


def _defer_some(operator: NanoGPTOperator, arguments: Arguments, run: BatchRun, deadline: float) -> None:
    """Wait in the triggerer for as many jobs as its arguments hold; return if none is left to be waited for."""
    jobs, until_row = collect.some_jobs(run)
    if jobs:
        trigger = partial(BatchTrigger, jobs=jobs, answers=run.hand_over(), until_row=until_row)
        operator.defer_to(trigger, arguments, deadline)
    collect.collect_jobs(run, {}, until_row=until_row)
