"""One attempt at a batch: submit every item, several at once; write results one after the other.

One item's trouble stops no other; trouble with the key, the account or the service stops the rest of them, since it
would meet each of them. What an item needs (its request, how its result is written) is handed in.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Transcript
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.urls import redact
from airflow_provider_nanostt.workflow import recovery, transcribe
from airflow_provider_nanostt.workflow.attempt import Target, open_attempt
from airflow_provider_nanostt.workflow.batch.checkpoint import CheckpointRow
from airflow_provider_nanostt.workflow.batch.circuit_breaker import CircuitBreaker
from airflow_provider_nanostt.workflow.batch.item import ItemGate, ItemLog, OnceListed, Pending, is_of_this_task
from airflow_provider_nanostt.workflow.batch.items import own_names
from airflow_provider_nanostt.workflow.batch.manifest_row import (
    DUPLICATE,
    FAILED,
    NOT_STARTED,
    RUN_ID_SEPARATOR,
    SKIPPED,
    WAITING,
    WRITTEN,
    ManifestRow,
)
from airflow_provider_nanostt.workflow.budget import Budget
from airflow_provider_nanostt.workflow.recovery import ReusedResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import RecoveryRules
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.polling.transcript_spool import TranscriptSpool
    from airflow_provider_nanostt.workflow.attempt import Attempt, Log
    from airflow_provider_nanostt.workflow.batch.items import Item
    from airflow_provider_nanostt.workflow.pricing import CostRules
    from airflow_provider_nanostt.workflow.request import TranscriptionRequest
    from airflow_provider_nanostt.workflow.transcribe import Part

FETCH_SECONDS = 300.0
"""How long a transcript that is known to be there is asked for."""

_LISTING_PAYS_FROM = 10
"""Items from which one listing of the folder is quicker than to look at each file by itself."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How a batch is to be transcribed.

    :param folder: for results and records.
    :param request: makes the request for an item.
    :param settings: how results are written; an item's own are laid over them.
    :param skip_existing: leave alone what any run has written in this folder.
    :param max_parallel: how many items are begun at once.
    :param is_retryable: whether an error may be gone the next time.
    """

    folder: ObjectStoragePath
    rules: RecoveryRules
    costs: CostRules
    request: Callable[[Item], TranscriptionRequest]
    settings: OutputSettings
    is_retryable: Callable[[errors.NanoGPTError], bool]
    staging_path: str | None = None
    skip_existing: bool = False
    max_parallel: int = 8


class BatchRun:
    """One attempt at a batch; ``rows`` has one row for each input.

    :param spool: where the triggerer leaves transcripts for the worker.
    :param log: the task's log.
    """

    def __init__(
        self, service: NanoGPTHook, context: Mapping[str, object], plan: BatchPlan, spool: TranscriptSpool, log: Log
    ) -> None:
        self.service = service
        self.plan = plan
        self.rows: list[ManifestRow] = []
        self.breaker = CircuitBreaker()
        self.budget = Budget(plan.costs, lambda: self._account)
        self._context = context
        self._spool = spool
        self._log = log
        self._account: float | None = None
        self._writing: Sequence[Mapping[str, object]] = ()
        self._write_lock = threading.Lock()
        self._listing = OnceListed(plan.folder)

    def submit_all(self, items: Sequence[Item]) -> list[Pending]:
        """Find or submit every item, and write what is there at once; ``rows`` has one for each afterwards.

        :return: those to wait for, in order.
        """
        first = self.open_rows(items)
        if not items:
            return []
        self.prepare(items)
        attempts = {number: self._try_open(number) for number in first.values()}
        with self._pool() as pool:
            # All have to be read before the first begins: a late read would overwrite what was recorded meanwhile.
            self.add_earlier(list(pool.map(self._spent_so_far, filter(None, attempts.values()))))
            begun = pool.map(lambda row: self._begin(row, items[row.number], attempts.get(row.number)), list(self.rows))
            return [one for one in begun if one is not None]

    def open_rows(self, items: Sequence[Item], *, distinct_names: bool | None = None) -> dict[str, int]:
        """Make a row for each item; return the number of the first by its key."""
        distinct_names = not self.plan.skip_existing if distinct_names is None else distinct_names
        self._writing = own_names(items, self.plan.settings.filename, distinct_names=distinct_names)
        self.rows = [
            ManifestRow(number, item.shown, name=item.name or "", key=item.key, status=NOT_STARTED)
            for number, item in enumerate(items)
        ]
        first: dict[str, int] = {}
        for row in self.rows:
            if first.setdefault(row.key, row.number) != row.number:
                self.rows[row.number] = replace(row, status=DUPLICATE)
        return first

    def prepare(self, items: Iterable[Item]) -> None:
        """Warm up shared clients before starting threads, and ask for the account: a refused key stops all submits."""
        try:
            self._account = self.service.try_balance()
            self.service.catalogue()
        except errors.AuthError as error:
            self.breaker.record_failure(error)
            self._log.error("%s. Nothing is submitted", str(error).rstrip("."))
        for uri in {item.bucket for item in items} - {""}:
            # Airflow 3.0 answers one thread at a time that asks for a connection; a failure is the item's matter.
            with contextlib.suppress(Exception):
                _ = object_storage.resolve(uri).fs

    def open_item(self, number: int) -> Attempt:
        """Return the attempt at one item; its record is not read yet."""
        row, plan = self.rows[number], self.plan
        settings = replace(plan.settings, **self._writing[number])  # type: ignore[arg-type]  # checked by the settings
        many = len(self.rows) >= _LISTING_PAYS_FROM
        return open_attempt(
            self.service,
            self._context,
            ItemGate(self.service, self.breaker, self._spool),
            self.budget,
            Target(plan.folder, settings, self._listing if many else None),
            rules=plan.rules,
            log=ItemLog(self._log, row.audio),
            staging_path=plan.staging_path,
            item=row.key,
            number=number,
            shared=plan.skip_existing,
        )

    def _try_open(self, number: int) -> Attempt | None:
        try:
            return self.open_item(number)
        except errors.InvalidInput as error:  # such as names that are not a mapping
            self.record_error(number, error, None)
            return None

    def add_earlier(self, spent: Iterable[float]) -> None:
        """Count what earlier attempts have cost."""
        self.budget.add_earlier(sum(spent))

    @contextlib.contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(self.plan.max_parallel, thread_name_prefix="nanostt-batch") as pool:
            try:
                yield pool
            except BaseException:  # the task is killed: what is under way is recorded, nothing more is begun
                self.breaker.stop(errors.NanoGPTError("The task was ended before this"))
                pool.shutdown(cancel_futures=True)
                raise

    @staticmethod
    def _spent_so_far(attempt: Attempt) -> float:
        try:
            return recovery.spent_so_far(attempt, attempt.ledger.load())
        except errors.NanoGPTError:
            return 0.0  # it will fail for the same reason in a moment

    def _begin(self, row: ManifestRow, item: Item, attempt: Attempt | None) -> Pending | None:
        try:
            if attempt is None:  # it repeats another item, or could not be opened
                return None
            if isinstance(self.breaker.error, errors.LedgerError):
                self.breaker.raise_if_open()
            pending = self.accept(row.number, attempt, transcribe.begin(attempt, self.plan.request(item)))
            self.breaker.record_success()
        except Exception as error:  # noqa: BLE001  one bad item never stops the others
            self.record_error(row.number, error, attempt)
            return None
        finally:
            self.budget.passed(row.number)
        return pending

    def accept(self, number: int, attempt: Attempt, found: ReusedResult | list[Part]) -> Pending | None:
        """Write what is there; return what has to be waited for."""
        if isinstance(found, ReusedResult):
            status = WRITTEN if is_of_this_task(attempt) else SKIPPED
            self._record_result(number, attempt, status, found.result)
            return None
        pending = Pending(number, attempt, [(part.start, part.found) for part in found])
        jobs = pending.jobs
        if not jobs:
            self._write(pending)
            return None
        known = {
            "run_id": RUN_ID_SEPARATOR.join(job.run_id for job in jobs),
            "model": jobs[0].model,
            "cost_usd": sum(job.cost or 0.0 for job in jobs),
        }
        self._record_result(number, attempt, WAITING, known)
        return pending

    def wait(
        self, pending: Sequence[Pending], *, deadline: float, poll_interval: float, to_the_end: bool = True
    ) -> list[Pending]:
        """Wait here for what :meth:`submit_all` has left, and write each as it ends.

        :param to_the_end: what is not done by the deadline has failed.
        :return: what is still waited for.
        """
        waiting = {one.number: one for one in pending}
        jobs = {
            f"{one.number} {index}": found
            for one in pending
            for index, (_, found) in enumerate(one.parts)
            if isinstance(found, Job)
        }
        try:
            for key, answer in self.service.as_completed(jobs, deadline=deadline, poll_interval=poll_interval):
                number, index = map(int, key.split())
                if not isinstance(answer, errors.TranscriptionTimeout) or to_the_end:
                    self._take_in(waiting[number], index, answer)
        except errors.NanoGPTError as error:  # such as the end of a day, for which the triggerer waits
            for one in pending if to_the_end else ():
                if self.rows[one.number].status == WAITING:
                    self.record_error(one.number, error, one.attempt)
        return [one for one in pending if self.rows[one.number].status == WAITING]

    def _take_in(self, one: Pending, index: int, answer: Transcript | errors.JobError) -> None:
        """Take in how a job has ended."""
        if self.rows[one.number].status != WAITING:  # another part of it has failed
            return
        try:
            if isinstance(answer, errors.JobError):
                raise answer
            one.parts[index] = (one.parts[index][0], answer)
            if not one.jobs:
                self._write(one)
        except Exception as error:  # noqa: BLE001  one bad item never stops the others
            self.record_error(one.number, error, one.attempt)

    def resume(self, checkpoint: Iterable[CheckpointRow], not_completed: Mapping[str, object]) -> None:
        """Write what the triggerer has waited for.

        :param not_completed: the outcomes of jobs that are not completed, by run id.
        """
        kept = list(checkpoint)
        self.rows = [one.row for one in kept]
        self._writing = [one.writing for one in kept]
        waiting = [row for row in self.rows if row.status == WAITING]
        ready = sum(self._is_prefetched(row) for row in waiting)
        self._log.info("Writing %d transcripts (%d already fetched by the triggerer)", len(waiting), ready)
        for row in waiting:
            self._fetch(row, not_completed)

    def _fetch(self, row: ManifestRow, not_completed: Mapping[str, object]) -> None:
        """Fetch and write one item, whose jobs are in the ledger."""
        attempt = None
        try:
            if not self._is_prefetched(row):
                self.breaker.raise_if_open()  # it will have to be asked for
            attempt = self.open_item(row.number)
            parts = recovery.find_jobs(attempt)
            done = [
                (start, self._fetched(attempt, found, not_completed) if isinstance(found, Job) else found)
                for start, found in parts
            ]
            self._write(Pending(row.number, attempt, list(done)))
            self.breaker.record_success()
        except Exception as error:  # noqa: BLE001  one bad item never stops the others
            self.record_error(row.number, error, attempt)

    def _fetched(self, attempt: Attempt, job: Job, not_completed: Mapping[str, object]) -> Transcript:
        if (transcript := attempt.gate.prefetched(job)) is not None:
            return transcript
        # One that is not completed is asked once more: it may be by now, and its error is raised in full.
        patience = 0.0 if job.run_id in not_completed else FETCH_SECONDS
        return self.service.wait_until(job, deadline=time.time() + patience, at_once=True)

    def _is_prefetched(self, row: ManifestRow) -> bool:
        return bool(row.run_ids) and all(map(self._spool.has, row.run_ids))

    def cleanup(self) -> None:
        """Remove what the triggerer has left, unless a retry has a use for some of it."""
        if not any(row.is_missing and any(map(self._spool.has, row.run_ids)) for row in self.rows):
            self._spool.clear()

    def checkpoint(self) -> list[CheckpointRow]:
        """Return how the batch stands, for a resume."""
        return [CheckpointRow(row, writing) for row, writing in zip(self.rows, self._writing, strict=True)]

    def resolve_duplicates(self) -> None:
        """Give duplicates the outcome of the item they repeat."""
        by_key = {row.key: row for row in self.rows if row.status != DUPLICATE}
        for number, row in enumerate(self.rows):
            if row.status == DUPLICATE:
                first = by_key[row.key]
                status = DUPLICATE if first.files else first.status
                self.rows[number] = replace(
                    first, number=number, audio=row.audio, status=status, cost_usd=0.0, charged_minutes=0.0
                )

    def _write(self, pending: Pending) -> None:
        """Write an item's transcript; one at a time, since an hour of words is large in memory."""
        done = [(start, found) for start, found in pending.parts if isinstance(found, Transcript)]
        with self._write_lock:
            result = transcribe.finish(pending.attempt, done)
        pending.parts.clear()  # nor does it stay in memory
        self._record_result(pending.number, pending.attempt, WRITTEN, result)

    def _record_result(self, number: int, attempt: Attempt, status: str, result: Mapping[str, object]) -> None:
        """Take a result into the row; what another task has paid for costs this one nothing."""
        row = self.rows[number].with_result(status, result)
        self.rows[number] = row if is_of_this_task(attempt) else replace(row, cost_usd=0.0, charged_minutes=0.0)

    def record_error(self, number: int, error: BaseException, attempt: Attempt | None) -> None:
        """Take an error into the row, and stop the batch if the others would meet it, too."""
        row = self.rows[number]
        text = redact(str(error))
        if isinstance(error, errors.TranscriptionFailed) and attempt is not None:
            transcribe.clear_staging(attempt)
        if self.breaker.record_failure(error):
            self._log.error("%s: %s. Nothing more is submitted", row.audio, text.rstrip("."))
        elif error is self.breaker.error:
            text = f"The batch stopped before this: {text}"
        elif not (isinstance(error, errors.CostLimit) or self.breaker.caused(error)):
            self._log.error("%s: %s: %s", row.audio, type(error).__name__, text)
        record = attempt.ledger.record if attempt is not None else None
        if record is not None and record.job is not None and row.run_id is None:
            row = replace(row, run_id=record.job.run_id, model=record.model)
        not_started = isinstance(error, errors.CostLimit) or self.breaker.caused(error)
        retry = not isinstance(error, errors.NanoGPTError) or self.plan.is_retryable(error)
        status = NOT_STARTED if not_started and row.status == NOT_STARTED else FAILED
        self.rows[number] = replace(row.with_error(error, status), error=text, retry=retry)
