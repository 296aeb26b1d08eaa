"""One attempt at one item of a batch: as for a single recording, but for what is the whole batch's.

That is the budget, the brake, the balance, and the log, in which only what is out of the ordinary shows.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import endpoints, errors
from airflow_provider_nanostt.api.models import Job, Options, Transcript
from airflow_provider_nanostt.common.urls import hidden
from airflow_provider_nanostt.polling import is_transient
from airflow_provider_nanostt.workflow.recovery import answered
from airflow_provider_nanostt.workflow.transcribe import Part, RecordingAttempt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt.api.models import JobStatus
    from airflow_provider_nanostt.ledger import Entry, RequestFingerprint
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.workflow.batch.manifest_row import Row
    from airflow_provider_nanostt.workflow.batch.run import BatchRun
    from airflow_provider_nanostt.workflow.request import Making, Order


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
    """One attempt at one item."""

    def __init__(self, batch: BatchRun, row: Row, settings: OutputSettings) -> None:
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
        self._number = row.number

    def tickets(self) -> list[tuple[float, Transcript | Job]]:
        """Return where each part begins, seconds, and its ticket or recorded answer, as the ledger has them.

        :raises LedgerMissing: if it does not.
        """
        entry = self.ledger.find()
        if entry is None or not (entry.job or entry.cuts):
            raise errors.LedgerMissing(self.ledger.where)
        if entry.job is not None:
            return [(0.0, entry.job)]
        return [(start, self._ticket_of(number)) for number, start in enumerate([0.0, *entry.cuts], 1)]

    def _ticket_of(self, number: int) -> Transcript | Job:
        part = self._of_part(number).ledger
        told = part.find()
        if told is not None and told.job is not None:
            return told.job
        if told is not None and told.answer is not None:
            return answered(told, Options(told.model))
        raise errors.LedgerMissing(part.where)

    @property
    def is_of_this_task(self) -> bool:
        """Whether what the record tells of was submitted by this task instance."""
        return _is_of(self.ledger.entry, self._owner_digest)

    def cost_so_far(self) -> float:
        """Return USD that earlier attempts of this task instance have spent on the item, as far as the record tells.

        :raises LedgerError: if that cannot be read.
        """
        entry = self.ledger.find()
        if entry is None:
            return 0.0
        of_parts = (
            [self._of_part(number).ledger.find() for number in range(1, len(entry.cuts) + 2)] if entry.cuts else []
        )
        # Once the whole has landed, its record has the cost of its parts.
        spent = [entry] if entry.cost is not None or not of_parts else of_parts
        return sum(
            (told.cost or 0.0) * _is_of(told, self._owner_digest) + told.spent_before
            for told in spent
            if told is not None
        )

    def _parts(self, order: Order, wanted: RequestFingerprint, cuts: Sequence[float], making: Making) -> list[Part]:
        self._batch.brake.check()
        return super()._parts(order, wanted, cuts, making)

    def _cuts(self, order: Order, entry: Entry | None, making: Making) -> list[float]:
        self._batch.brake.check()  # before the recording is looked at, which may take a while
        return super()._cuts(order, entry, making)

    def _approve(self, order: Order, entry: Entry | None) -> float | None:  # noqa: ARG002  the batch counts it all
        self._batch.brake.check()
        estimate = order.estimate(self._hook.price(order.options.model))
        self._batch.plan.budget.approve(self._number, estimate)
        return estimate.usd

    def handed_over(self, job: Job) -> Transcript | None:
        """Return the transcript of a job that the triggerer has left for us, None if it has not."""
        data = self._batch.handover.take(job.run_id)
        if data is None:
            return None
        with suppress(errors.NanoGPTError):  # then the service has to tell
            call = endpoints.status(job)
            return endpoints.read(call, endpoints.Response(200, {}, data, time.time())).transcript
        return None

    def _attach(self, entry: Entry, job: Job) -> Transcript | Job | None:
        """Look at a paid job as a single recording's is, unless nobody answers: then whoever waits for it asks."""
        if (transcript := self.handed_over(job)) is not None:
            return transcript
        brake = self._batch.brake
        if brake.status_unavailable:
            return job
        if not brake.may_ask:
            brake.check()
        self._hook.acquire_slot()
        return super()._attach(entry, job)

    def _status_of(self, job: Job) -> JobStatus:
        try:
            return super()._status_of(job)
        except errors.NanoGPTError as error:
            self._batch.brake.status_unavailable |= is_transient(error)
            raise

    def _balance(self) -> float | None:
        return self._batch.balance


def _is_of(entry: Entry | None, owner: str | None) -> bool:
    return entry is not None and entry.owner == owner


class Quiet:
    """A log in which only what is out of the ordinary shows, with the item's name: there are thousands of items."""

    def __init__(self, log: Any, name: str) -> None:
        self._log = log
        self._name = name

    def info(self, text: str, *arguments: object) -> None:
        """Log what goes without saying, for those who look at debug messages."""
        self._log.debug("%s: %s", self._name, hidden(text % arguments))

    def warning(self, text: str, *arguments: object) -> None:
        """Log a warning."""
        self._log.warning("%s: %s", self._name, hidden(text % arguments))

    def error(self, text: str, *arguments: object) -> None:
        """Log an error."""
        self._log.error("%s: %s", self._name, hidden(text % arguments))
