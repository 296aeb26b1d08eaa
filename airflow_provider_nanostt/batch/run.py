"""One attempt at a batch: begin every item, several at once; land what is done, one after the other.

What an item needs (its order, how its result is written) comes from the face; each item is a
:class:`~airflow_provider_nanostt.parts.RecordingAttempt`, so the order of recording and acting is that of a single
recording. One item's trouble stops no other; trouble with the key, the account or the service stops the rest of them,
since it would meet each of them.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Transcript
from airflow_provider_nanostt.attempt import Landed
from airflow_provider_nanostt.batch.items import keys, own_names
from airflow_provider_nanostt.batch.rows import DUPLICATE, FAILED, LANDED, LEFT, SKIPPED, WAITING, Row
from airflow_provider_nanostt.batch.state import Standing
from airflow_provider_nanostt.parts import Part, RecordingAttempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow_provider_nanostt.batch.budget import BatchBudget
    from airflow_provider_nanostt.batch.items import Item
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import Entry, Rules
    from airflow_provider_nanostt.order import Order
    from airflow_provider_nanostt.outputs import OutputSettings

FETCH_SECONDS = 300.0
"""How long a transcript that is known to be there is asked for."""

_OUT_OF_REACH = 2
"""After so many in a row that could not be fetched, the service is taken to be out of reach."""

STOPPING = (
    errors.AuthError,
    errors.PaymentRequired,
    errors.DailyLimitReached,
    errors.NotConnected,
    errors.RateLimited,
    errors.LedgerError,
)
"""What would meet the next item as well: nothing more is submitted after it."""


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
    rules: Rules
    order: Callable[[Item], Order]
    settings: OutputSettings
    budget: BatchBudget
    staging: str | None = None
    skip_existing: bool = False
    max_parallel: int = 8
    worth_a_retry: Callable[[errors.NanoGPTError], bool] = lambda _: True


@dataclass(slots=True)
class Pending:
    """An item whose transcript has to be waited for: where its parts begin, seconds, and what each has come to."""

    number: int
    attempt: ItemAttempt
    parts: list[tuple[float, Transcript | Job]]

    @property
    def jobs(self) -> list[Job]:
        """The tickets among them."""
        return [found for _, found in self.parts if isinstance(found, Job)]


class ItemAttempt(RecordingAttempt):
    """One attempt at one item: as for a single recording, but for the budget, which is the batch's."""

    def __init__(self, batch: BatchRun, number: int, row: Row, settings: OutputSettings) -> None:
        plan = batch.plan
        super().__init__(
            batch.hook,
            batch.context,
            output=plan.output,
            rules=plan.rules,
            log=Quiet(batch.log, row.audio),
            staging=plan.staging,
            settings=settings,
            item=row.key,
            of_any_run=plan.skip_existing,
        )
        self._batch = batch
        self._number = number

    def _approve(self, order: Order, entry: Entry | None) -> float | None:  # noqa: ARG002  the batch counts it all
        estimate = order.estimate(self._hook.price(order.options.model))
        self._batch.plan.budget.approve(self._number, estimate)
        return estimate.usd

    def _balance(self) -> float | None:
        return self._batch.balance

    def tickets(self) -> list[tuple[float, Transcript | Job]]:
        """Return where each part begins, seconds, and its ticket, as the ledger has them.

        :raises LedgerError: if it does not.
        """
        entry = self.ledger.find()
        if entry is None or not (entry.job or entry.cuts):
            raise errors.LedgerError(f"{self.ledger.where} no longer tells of the job")
        if entry.job is not None:
            return [(0.0, entry.job)]
        found: list[tuple[float, Transcript | Job]] = []
        for number, start in enumerate([0.0, *entry.cuts], 1):
            part = self._of_part(number).ledger
            told = part.find()
            if told is None or told.job is None:
                raise errors.LedgerError(f"{part.where} no longer tells of the job")
            found.append((start, told.job))
        return found

    @property
    def is_of_this_task(self) -> bool:
        """Whether what the record tells of was submitted by this task instance."""
        entry = self.ledger.entry
        return entry is not None and entry.owner == self._owner_digest

    @property
    def cost_so_far(self) -> float:
        """USD that this task instance has spent on the item, as far as the record tells."""
        entry = self.ledger.entry
        return (entry.cost or 0.0) + entry.spent_before if entry is not None and self.is_of_this_task else 0.0


class Quiet:
    """A log in which only what is out of the ordinary shows, with the item's name: there are thousands of items."""

    def __init__(self, log: Any, name: str) -> None:
        self._log = log
        self._name = name

    def info(self, text: str, *arguments: object) -> None:
        """Log what goes without saying, for those who look at debug messages."""
        self._log.debug("%s: " + text, self._name, *arguments)

    def warning(self, text: str, *arguments: object) -> None:
        """Log a warning."""
        self._log.warning("%s: " + text, self._name, *arguments)

    def error(self, text: str, *arguments: object) -> None:
        """Log an error."""
        self._log.error("%s: " + text, self._name, *arguments)


class BatchRun:
    """One attempt at a batch.

    :param log: the task's log.
    """

    def __init__(self, hook: NanoGPTHook, context: Mapping[str, Any], plan: Plan, log: Any) -> None:
        self.hook = hook
        self.context = context
        self.plan = plan
        self.log = log
        self.rows: list[Row] = []
        self.stopped: errors.NanoGPTError | None = None
        self.balance: float | None = None
        self._writing: Sequence[Mapping[str, Any]] = ()
        self._landing = threading.Lock()

    def begin(self, items: Sequence[Item]) -> list[Pending]:
        """Find or submit every item, and land what is there at once; :attr:`rows` has one for each afterwards.

        :return: those to wait for, in order.
        """
        firsts = self.prepare(items)
        with ThreadPoolExecutor(self.plan.max_parallel, thread_name_prefix="nanostt-batch") as pool:
            try:
                found = list(
                    pool.map(lambda row: self._begin(row, items[row.number], firsts[row.key]), list(self.rows))
                )
            except BaseException:  # the task is killed: what is under way is recorded, nothing more is begun
                self.stopped = errors.NanoGPTError("The task was ended before this")
                pool.shutdown(cancel_futures=True)
                raise
        return [one for one in found if one is not None]

    def prepare(self, items: Sequence[Item]) -> dict[str, int]:
        """Make the rows, before anything is begun; return the number of the first item by each key."""
        self.hook.get_conn()  # before threads share it; what is wrong with it is wrong with every item
        self.balance = self.plan.budget.balance = self.hook.balance_if_known()
        known_by = keys(items)
        self._writing = own_names(items, known_by, self.plan.settings.name)
        self.rows = [
            Row(number, item.shown, name=item.name or "", key=key, status=LEFT)
            for number, (item, key) in enumerate(zip(items, known_by, strict=True))
        ]
        firsts: dict[str, int] = {}
        for row in self.rows:
            firsts.setdefault(row.key, row.number)
        return firsts

    def _begin(self, row: Row, item: Item, first: int) -> Pending | None:
        number = row.number
        try:
            if first != number:
                self.rows[number] = replace(row, status=DUPLICATE)
                return None
            if self.stopped is not None:
                retry = self.plan.worth_a_retry(self.stopped)
                self.rows[number] = replace(row.broken(self.stopped, LEFT), retry=retry)
                return None
            settings, order = self._settings(number), self.plan.order(item)
            settings.check_model(order.options.model)
            attempt = ItemAttempt(self, number, row, settings)
            found = attempt.start(order)
            self.plan.budget.passed(number, attempt.cost_so_far)
            return self._taken_in(number, attempt, found)
        except Exception as error:  # noqa: BLE001  one bad item never stops the others
            self._broken(number, error)
            return None
        finally:
            self.plan.budget.passed(number)

    def _taken_in(
        self, number: int, attempt: ItemAttempt, found: Landed | Transcript | Job | list[Part]
    ) -> Pending | None:
        """Land what is there; return what has to be waited for."""
        if isinstance(found, Landed):
            row = self.rows[number].having(LANDED if attempt.is_of_this_task else SKIPPED, found.result)
            self.rows[number] = row if attempt.is_of_this_task else replace(row, cost_usd=0.0, charged_minutes=0.0)
            return None
        parts = [(part.start, part.found) for part in found] if isinstance(found, list) else [(0.0, found)]
        pending = Pending(number, attempt, parts)
        jobs = pending.jobs
        if not jobs:
            self._land(pending)
            return None
        self.rows[number] = replace(
            self.rows[number],
            status=WAITING,
            run_id=", ".join(job.run_id for job in jobs),
            model=jobs[0].model,
            cost_usd=sum(job.cost or 0.0 for job in jobs),
        )
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
        for key, answer in self.hook.wait_each(jobs, deadline=deadline, poll_interval=poll_interval):
            number, place = map(int, key.split())
            one = waiting[number]
            if isinstance(answer, errors.TranscriptionTimeout) and not to_the_end:
                continue
            if isinstance(answer, errors.JobError):
                self._job_ended_badly(one, answer)
            elif self.rows[number].status == WAITING:
                one.parts[place] = (one.parts[place][0], answer)
                if not one.jobs:
                    self._landed(one)
        return [one for one in pending if self.rows[one.number].status == WAITING]

    def resume(self, standing: Iterable[Standing], not_completed: Mapping[str, str]) -> None:
        """Land what the triggerer has waited for.

        :param not_completed: what became of jobs that are not completed, by run id.
        """
        told = list(standing)
        self.rows = [one.row for one in told]
        self._writing = [one.writing for one in told]
        in_vain = 0
        for number, row in enumerate(self.rows):
            if row.status != WAITING:
                continue
            try:
                if self.stopped is not None:
                    raise self.stopped
                self._fetch(number, row, not_completed)
                in_vain = 0
            except Exception as error:  # noqa: BLE001  one bad item never stops the others
                self._broken(number, error)
                in_vain = in_vain + 1 if error.__cause__ is not None and isinstance(error, errors.JobError) else 0
                if in_vain >= _OUT_OF_REACH and isinstance(error, errors.JobError):
                    self.stopped = self.stopped or error

    def _fetch(self, number: int, row: Row, not_completed: Mapping[str, str]) -> None:
        """Fetch and land one item, whose tickets stand in the ledger."""
        attempt = ItemAttempt(self, number, row, self._settings(number))
        pending = Pending(number, attempt, attempt.tickets())
        for place, (start, found) in enumerate(pending.parts):
            if isinstance(found, Job):
                # One that is not completed is asked once more: it may be by now, and its error is told in full.
                patience = 0.0 if found.run_id in not_completed else FETCH_SECONDS
                transcript = self.hook.wait_until(found, deadline=time.time() + patience, at_once=True)
                pending.parts[place] = (start, transcript)
        self._land(pending)

    def standing(self) -> list[Standing]:
        """Return how the batch stands, for a resume."""
        return [Standing(row, writing) for row, writing in zip(self.rows, self._writing, strict=True)]

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
        self._broken(pending.number, error)

    def _landed(self, pending: Pending) -> None:
        try:
            self._land(pending)
        except Exception as error:  # noqa: BLE001  one bad item never stops the others
            self._broken(pending.number, error)

    def _land(self, pending: Pending) -> None:
        """Put an item's transcript in its place; one at a time, since an hour of words is large in memory."""
        done = [(start, found) for start, found in pending.parts if isinstance(found, Transcript)]
        with self._landing:
            if len(done) == 1:
                result = pending.attempt.land(done[0][1], pending.attempt.job_of(done[0][1]))
            else:
                result = pending.attempt.land_parts(done)
        pending.parts.clear()  # nor does it stay in memory
        self.rows[pending.number] = self.rows[pending.number].having(LANDED, result)

    def _broken(self, number: int, error: BaseException) -> None:
        """Tell in the row what went wrong, and stop the batch if it would go wrong for the others, too."""
        row = self.rows[number]
        if isinstance(error, STOPPING) and not isinstance(error, errors.AmbiguousSubmit):
            if self.stopped is None:
                self.log.error("%s: %s. Nothing more is submitted", row.audio, str(error).rstrip("."))
                self.stopped = error
        elif not isinstance(error, errors.CostLimit):
            self.log.error("%s: %s: %s", row.audio, type(error).__name__, error)
        left = isinstance(error, errors.CostLimit) or (error is self.stopped and row.status == LEFT)
        retry = not isinstance(error, errors.NanoGPTError) or self.plan.worth_a_retry(error)
        self.rows[number] = replace(row.broken(error, LEFT if left else FAILED), retry=retry)

    def _settings(self, number: int) -> OutputSettings:
        return replace(self.plan.settings, **self._writing[number])
