"""Keeping one task instance's record: read once, then written at each step. Decides nothing."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common.numbers import amount
from airflow_provider_nanostt.common.urls import redact_answer
from airflow_provider_nanostt.ledger import record as states
from airflow_provider_nanostt.ledger.record import Record
from airflow_provider_nanostt.ledger.stores import ledger_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_nanostt.api.models import Job, Transcript
    from airflow_provider_nanostt.ledger.claim import Claim
    from airflow_provider_nanostt.ledger.record import RequestFingerprint
    from airflow_provider_nanostt.ledger.stores import Store
    from airflow_provider_nanostt.ledger.usage_snapshot import UsageSnapshot

_MAX_HISTORY = 20
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between the tries to record what has happened: a store that is restarted is there again in a minute."""

_OPEN = (states.INTENDED, states.SUBMITTED, states.ANSWERED, states.SPLIT)


class Ledger:
    """Reads and writes the record of one task instance; ``record`` is the record as last read or written.

    :param store: where it is kept; None keeps nothing, and every attempt begins anew.
    :param clock: epoch seconds; None takes the machine's.
    """

    def __init__(self, store: Store | None, clock: Callable[[], float] | None = None) -> None:
        self._store = store
        self._clock = clock or time.time
        self._is_read = False
        self._before: Record | None = None
        self.record: Record | None = None

    @property
    def is_kept(self) -> bool:
        """Whether a retry will find what this attempt writes."""
        return self._store is not None

    @property
    def path(self) -> str:
        """Where the record is, for people."""
        return self._store.path if self._store else "nowhere"

    def load(self, *, again: bool = False) -> Record | None:
        """Return the record of earlier attempts; the storage is asked once, or ``again``.

        :raises LedgerError: if it cannot be read whether there is one.
        """
        if self._store is None or (self._is_read and not again):
            return self.record
        with ledger_errors(f"{self.path} cannot be read"):
            data = self._store.load()
            self.record = None if data is None else Record.from_json(data)
        self._is_read = True
        return self.record

    def record_intent(
        self,
        request: RequestFingerprint,
        *,
        estimated_cost: float | None = None,
        balance: float | None = None,
        usage: UsageSnapshot | None = None,
        owner: str | None = None,
        forced: Mapping[str, object] | None = None,
        source_version: Mapping[str, object] | None = None,
        split_points: Sequence[float] = (),
        claim: Claim | None = None,
    ) -> None:
        """Record that a submit, or with ``split_points`` one of each part, is about to be sent; see :class:`Record`.

        :param claim: of who is about to send it.
        :raises SubmittedElsewhere: if another attempt has recorded something since :meth:`load`.
        :raises LedgerError: if that cannot be recorded; then nothing may be submitted.
        """
        self._before = self.record
        history: tuple[Mapping[str, object], ...] = self.record.history if self.record else ()
        if self.record and self.record.state != states.WITHDRAWN:
            history = (*history, self.record.to_history())[-_MAX_HISTORY:]
        record = Record(
            state=states.SPLIT if split_points else states.INTENDED,
            fingerprint=request.digest,
            source=request.source,
            model=request.model,
            intended_at=self._clock(),
            estimated_cost=estimated_cost,
            balance_before=balance,
            usage_before=usage,
            owner=owner,
            forced=forced,
            source_version=source_version,
            split_points=tuple(split_points),
            history=history,
            claim=claim,
        )
        if self._store is None:
            self.record = record
            return
        try:
            is_ours = self._store.claim(record.to_json())
        except Exception as error:
            self._withdraw_if_ours(record)
            raise errors.LedgerError.of(f"{self.path} cannot be written", error) from error
        if not is_ours:
            raise errors.SubmittedElsewhere(f"Another attempt at {request.source} was quicker")
        self.record = record

    def _withdraw_if_ours(self, record: Record) -> None:
        """Take back an intent that may have arrived, which the next attempt would take for a submit of unknown end."""
        with contextlib.suppress(errors.LedgerError):
            if self.load(again=True) == record:
                self.withdraw()

    def withdraw(self) -> None:
        """Take the intent back, since the service certainly charged nothing: the record before it holds again."""
        if self.record:
            self._save(self._before or replace(self.record, state=states.WITHDRAWN))

    def record_failure(self) -> None:
        """Record that the service gave up at once; whether it charged is not known."""
        if self.record:
            self._save(replace(self.record, state=states.FAILED))

    def record_job(self, job: Job) -> None:
        """Record the accepted job."""
        if self.record:
            self._save(replace(self.record, state=states.SUBMITTED, job=job, cost=amount(job.cost)))

    def record_answer(self, transcript: Transcript, *, source: str | None = None) -> None:
        """Record an answer that came at once and that the service will not give again.

        :param source: a name for the recording that only the answer knows.
        """
        if self.record:
            answer, cost = redact_answer(transcript.raw), amount(transcript.cost)
            source = source or self.record.source
            self._save(replace(self.record, state=states.ANSWERED, source=source, answer=answer, cost=cost))

    def record_result(
        self,
        result: Mapping[str, object],
        *,
        written: Mapping[str, object] | None = None,
        tables: Mapping[str, str] | None = None,
        job: Job | None = None,
        cost: float | None = None,
    ) -> None:
        """Record that the result exists; kept whole where it may be and the service could not be asked for it again.

        :param written: the files, as ``outputs`` describes them.
        :param tables: as :meth:`record_tables` takes them.
        :param job: the job it came from, if there was one.
        :param cost: USD, if the result came with a cost of its own.
        """
        before = self.record
        if before is None:
            return
        job = before.job or job
        is_kept = "files" in result
        if not is_kept and job is None and not before.split_points and self._store:
            is_kept = len(json.dumps(result)) <= self._store.max_result_chars
        done = replace(
            before,
            state=states.WRITTEN,
            written_at=self._clock(),
            written=written,
            tables={**(before.tables or {}), **(tables or {})} or None,
            job=job,
            answer=None,
            result=result if is_kept else None,
            cost=before.cost if cost is None else amount(cost),
        )
        self._save(done)

    def record_tables(self, tables: Mapping[str, str]) -> None:
        """Record in which files the rows of a result are, by table; other tables stay where they are.

        :raises LedgerError: if it cannot be recorded.
        """
        if self.record:
            self._save(replace(self.record, tables={**(self.record.tables or {}), **tables}))

    def _save(self, record: Record) -> None:
        self.record = record
        self._is_read = True
        if self._store is None:
            return
        with ledger_errors(f"{self.path} cannot be written"):
            self._store.save(record.to_json(), is_open=record.state in _OPEN)


def keep_recording(
    log: Callable[..., object], what: str, record: Callable[[], None], *, hint: Callable[[], str] | None = None
) -> None:
    """Record what has happened already, trying for a minute; failing to must not lose it.

    :param log: logs an error.
    :param record: the method of a ledger that does it.
    :param hint: says how to find again what only the log has now.
    """
    for pause in (*_PAUSES, None):
        try:
            record()
        except errors.LedgerError as error:
            if pause is None or error.damaged:
                log("%s Going on without having recorded %s%s", error, what, f". {hint()}" if hint else "")
                return
            time.sleep(pause)
        else:
            return
