"""One attempt at a batch: begin every item, several at once; land what is done, one after the other.

What an item needs (its order, how its result is written) comes from the face; each item is a
:class:`~airflow_provider_nanostt.workflow.batch.item.ItemAttempt`, so the order of recording and acting is that of a single
recording. One item's trouble stops no other; trouble with the key, the account or the service stops the rest of them,
since it would meet each of them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL
from airflow_provider_nanostt.api.models import Job, Transcript
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.urls import hidden
from airflow_provider_nanostt.workflow.batch.checkpoint import CheckpointRow
from airflow_provider_nanostt.workflow.batch.circuit_breaker import CircuitBreaker
from airflow_provider_nanostt.workflow.batch.item import ItemAttempt, Pending
from airflow_provider_nanostt.workflow.batch.items import own_names
from airflow_provider_nanostt.workflow.batch.manifest_row import (
    DUPLICATE,
    FAILED,
    LEFT,
    SEVERAL,
    SKIPPED,
    WAITING,
    WRITTEN,
    Row,
)
from airflow_provider_nanostt.workflow.recovery import Landed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import RecoveryPolicy
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.polling.transcript_spool import TranscriptSpool
    from airflow_provider_nanostt.workflow.batch.budget import BatchBudget
    from airflow_provider_nanostt.workflow.batch.items import Item
    from airflow_provider_nanostt.workflow.request import Order
    from airflow_provider_nanostt.workflow.transcribe import Part

FETCH_SECONDS = 300.0
"""How long a transcript that is known to be there is asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a batch is to be transcribed.

    :param output: URI of the folder for results and ledger.
    :param order: makes the order for an item.
    :param settings: how results are written; an item's own ``writing`` is laid over it.
    :param skip_existing: leave alone what any run has landed in this folder.
    :param max_parallel: how many items are begun at once.
    :param worth_a_retry: whether an error may be gone the next time.
    """

    output: str
    rules: RecoveryPolicy
    order: Callable[[Item], Order]
    settings: OutputSettings
    budget: BatchBudget
    staging: str | None = None
    skip_existing: bool = False
    max_parallel: int = 8
    worth_a_retry: Callable[[errors.NanoGPTError], bool] = lambda _: True


class BatchRun:
    """One attempt at a batch.

    :param handover: where the triggerer leaves answers for us.
    :param log: the task's log.

    ``rows`` has one row for each input; ``balance`` is what the account had at the start, USD, None if unknown.
    """

    def __init__(
        self, hook: NanoGPTHook, context: Mapping[str, Any], plan: Plan, handover: TranscriptSpool, log: Any
    ) -> None:
        self.hook = hook
        self.context = context
        self.plan = plan
        self.handover = handover
        self.log = log
        self.rows: list[Row] = []
        self.brake = CircuitBreaker()
        self.balance: float | None = None
        self._writing: Sequence[Mapping[str, Any]] = ()
        self._landing = threading.Lock()

    def begin(self, items: Sequence[Item]) -> list[Pending]:
        """Find or submit every item, and land what is there at once; ``rows`` has one for each afterwards.

        :return: those to wait for, in order.
        """
        firsts = self._list(items)
        if not items:
            return []
        self._prepare(items)
        with self._pool() as pool:
            if self.plan.budget.is_limited:
                self.plan.budget.spent = sum(pool.map(self._cost_so_far, [self.rows[one] for one in firsts.values()]))
            found = list(pool.map(lambda row: self._begin(row, items[row.number], firsts[row.key]), list(self.rows)))
        return [one for one in found if one is not None]

    def _list(self, items: Sequence[Item]) -> dict[str, int]:
        """Make a row for each item; return the number of the first by its key."""
        self._writing = own_names(items, self.plan.settings.name, told_apart=not self.plan.skip_existing)
        self.rows = [
            Row(number, item.shown, name=item.name or "", key=item.key, status=LEFT)
            for number, item in enumerate(items)
        ]
        firsts: dict[str, int] = {}
        for row in self.rows:
            firsts.setdefault(row.key, row.number)
        return firsts

    def _prepare(self, items: Iterable[Item]) -> None:
        """Do what threads had better find done: what is wrong with the connection is wrong with every item."""
        self.hook.get_conn()
        self.hook.price(DEFAULT_MODEL)
        self.balance = self.plan.budget.balance = self.hook.try_balance()
        for place in {item.bucket for item in items} - {""}:
            # Airflow 3.0 answers one thread at a time that asks for a connection; what goes wrong is the item's matter.
            with contextlib.suppress(Exception):
                _ = object_storage.resolve(place).fs

    @contextlib.contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(self.plan.max_parallel, thread_name_prefix="nanostt-batch") as pool:
            try:
                yield pool
            except BaseException:  # the task is killed: what is under way is recorded, nothing more is begun
                self.brake.stop(errors.NanoGPTError("The task was ended before this"))
                pool.shutdown(cancel_futures=True)
                raise

    def _cost_so_far(self, row: Row) -> float:
        try:
            return ItemAttempt(self, row, self._settings(row.number)).cost_so_far()
        except errors.NanoGPTError:
            return 0.0  # it will fail for the same reason in a moment

    def _begin(self, row: Row, item: Item, first: int) -> Pending | None:
        number, attempt = row.number, None
        try:
            if first != number:
                self.rows[number] = replace(row, status=DUPLICATE)
                return None
            if isinstance(self.brake.error, errors.LedgerError):
                self.brake.check()
            attempt = ItemAttempt(self, row, self._settings(number))
            pending = self._taken_in(number, attempt, attempt.start(self.plan.order(item)))
            self.brake.record_success()
        except Exception as error:  # noqa: BLE001  one bad item never stops the others
            self._broken(number, error, attempt)
            return None
        finally:
            self.plan.budget.passed(number)
        return pending

    def _taken_in(
        self, number: int, attempt: ItemAttempt, found: Landed | Transcript | Job | list[Part]
    ) -> Pending | None:
        """Land what is there; return what has to be waited for."""
        if isinstance(found, Landed):
            self._has(number, attempt, WRITTEN if attempt.is_of_this_task else SKIPPED, found.result)
            return None
        parts = [(part.start, part.found) for part in found] if isinstance(found, list) else [(0.0, found)]
        pending = Pending(number, attempt, parts)
        jobs = pending.jobs
        if not jobs:
            self._land(pending)
            return None
        told = {
            "run_id": SEVERAL.join(job.run_id for job in jobs),
            "model": jobs[0].model,
            "cost_usd": sum(job.cost or 0.0 for job in jobs),
        }
        self._has(number, attempt, WAITING, told)
        return pending

    def wait(
        self, pending: Sequence[Pending], *, deadline: float, poll_interval: float, to_the_end: bool = True
    ) -> list[Pending]:
        """Wait here for what :meth:`begin` has left, and land each as it ends.

        :param to_the_end: what is not done by the deadline has failed.
        :return: what is still waited for.
        """
        waiting = {one.number: one for one in pending}
        jobs = {
            f"{one.number} {place}": found
            for one in pending
            for place, (_, found) in enumerate(one.parts)
            if isinstance(found, Job)
        }
        try:
            for key, answer in self.hook.as_completed(jobs, deadline=deadline, poll_interval=poll_interval):
                number, place = map(int, key.split())
                self._ended(waiting[number], place, answer, to_the_end=to_the_end)
        except errors.NanoGPTError as error:  # such as the end of a day, for which the triggerer waits
            for one in pending if to_the_end else ():
                if self.rows[one.number].status == WAITING:
                    self._broken(one.number, error, one.attempt)
        return [one for one in pending if self.rows[one.number].status == WAITING]

    def _ended(self, one: Pending, place: int, answer: Transcript | errors.JobError, *, to_the_end: bool) -> None:
        """Take in how a job has ended."""
        if self.rows[one.number].status != WAITING:  # another part of it has failed
            return
        if isinstance(answer, errors.TranscriptionTimeout) and not to_the_end:
            return
        if isinstance(answer, errors.JobError):
            self._job_ended_badly(one, answer)
            return
        one.parts[place] = (one.parts[place][0], answer)
        if not one.jobs:
            try:
                self._land(one)
            except Exception as error:  # noqa: BLE001  one bad item never stops the others
                self._broken(one.number, error, one.attempt)

    def resume(self, standing: Iterable[CheckpointRow], not_completed: Mapping[str, str]) -> None:
        """Land what the triggerer has waited for.

        :param not_completed: what became of jobs that are not completed, by run id.
        """
        told = list(standing)
        self.rows = [one.row for one in told]
        self._writing = [one.writing for one in told]
        waiting = [row for row in self.rows if row.status == WAITING]
        ready = sum(self._is_ready(row) for row in waiting)
        self.log.info("Landing %d transcripts; the triggerer has left %d of them here", len(waiting), ready)
        for number, row in enumerate(self.rows):
            if row.status == WAITING:
                self._fetch(number, row, not_completed)

    def _fetch(self, number: int, row: Row, not_completed: Mapping[str, str]) -> None:
        """Fetch and land one item, whose tickets stand in the ledger."""
        attempt = None
        try:
            if not self._is_ready(row):
                self.brake.check()  # it will have to be asked for
            attempt = ItemAttempt(self, row, self._settings(number))
            pending = Pending(number, attempt, attempt.tickets())
            for place, (start, found) in enumerate(pending.parts):
                if isinstance(found, Job):
                    pending.parts[place] = (start, self._fetched(attempt, found, not_completed))
            self._land(pending)
            self.brake.record_success()
        except errors.TranscriptionFailed as error:
            self._job_ended_badly(Pending(number, attempt, []), error) if attempt else None
        except Exception as error:  # noqa: BLE001  one bad item never stops the others
            self._broken(number, error, attempt)

    def _fetched(self, attempt: ItemAttempt, job: Job, not_completed: Mapping[str, str]) -> Transcript:
        if (transcript := attempt.handed_over(job)) is not None:
            return transcript
        # One that is not completed is asked once more: it may be by now, and its error is told in full.
        patience = 0.0 if job.run_id in not_completed else FETCH_SECONDS
        return self.hook.wait_until(job, deadline=time.time() + patience, at_once=True)

    def _is_ready(self, row: Row) -> bool:
        """Whether all of its transcript lies here."""
        return bool(row.run_ids) and all(map(self.handover.has, row.run_ids))

    def tidy(self) -> None:
        """Remove what the triggerer has left, unless a retry has a use for some of it."""
        if not any(row.is_missing and any(map(self.handover.has, row.run_ids)) for row in self.rows):
            self.handover.clear()

    def standing(self) -> list[CheckpointRow]:
        """Return how the batch stands, for a resume."""
        return [CheckpointRow(row, writing) for row, writing in zip(self.rows, self._writing, strict=True)]

    def settle(self) -> None:
        """Give duplicates what became of the item they repeat."""
        by_key = {row.key: row for row in self.rows if row.status != DUPLICATE}
        for number, row in enumerate(self.rows):
            if row.status == DUPLICATE:
                first = by_key[row.key]
                status = DUPLICATE if first.files else first.status
                self.rows[number] = replace(
                    first, number=number, audio=row.audio, status=status, cost_usd=0.0, charged_minutes=0.0
                )

    def _job_ended_badly(self, pending: Pending, error: errors.JobError) -> None:
        if isinstance(error, errors.TranscriptionFailed):
            pending.attempt.clear_staging()
        self._broken(pending.number, error, pending.attempt)

    def _land(self, pending: Pending) -> None:
        """Put an item's transcript in its place; one at a time, since an hour of words is large in memory."""
        done = [(start, found) for start, found in pending.parts if isinstance(found, Transcript)]
        with self._landing:
            if len(done) == 1:
                result = pending.attempt.land(done[0][1], pending.attempt.job_of(done[0][1]))
            else:
                result = pending.attempt.land_parts(done)
        pending.parts.clear()  # nor does it stay in memory
        self._has(pending.number, pending.attempt, WRITTEN, result)

    def _has(self, number: int, attempt: ItemAttempt, status: str, told: Mapping[str, Any]) -> None:
        """Take into the row what is known; what another task has paid for is no cost of this one."""
        row = self.rows[number].having(status, told)
        self.rows[number] = row if attempt.is_of_this_task else replace(row, cost_usd=0.0, charged_minutes=0.0)

    def _broken(self, number: int, error: BaseException, attempt: ItemAttempt | None) -> None:
        """Tell in the row what went wrong, and stop the batch if it would go wrong for the others, too."""
        row = self.rows[number]
        text = hidden(str(error))
        if self.brake.met(error):
            self.log.error("%s: %s. Nothing more is submitted", row.audio, text.rstrip("."))
        elif error is self.brake.error:
            text = f"The batch stopped before this: {text}"
        elif not (isinstance(error, errors.CostLimit) or self.brake.caused(error)):
            self.log.error("%s: %s: %s", row.audio, type(error).__name__, text)
        entry = attempt.ledger.entry if attempt is not None else None
        if entry is not None and entry.job is not None and row.run_id is None:
            row = replace(row, run_id=entry.job.run_id, model=entry.model)
        is_left = isinstance(error, errors.CostLimit) or self.brake.caused(error)
        retry = not isinstance(error, errors.NanoGPTError) or self.plan.worth_a_retry(error)
        status = LEFT if is_left and row.status == LEFT else FAILED
        self.rows[number] = replace(row.broken(error, status), error=text, retry=retry)

    def _settings(self, number: int) -> OutputSettings:
        return replace(self.plan.settings, **self._writing[number])
