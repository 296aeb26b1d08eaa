"""Keeping one task instance's record: found once, then written at each step. Decides nothing."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.ledger.entry import (
    ANSWERED,
    FAILED,
    INTENDED,
    SPLIT,
    SUBMITTED,
    WITHDRAWN,
    WRITTEN,
    Entry,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_nanostt.api.models import Job, Transcript
    from airflow_provider_nanostt.ledger.entry import RequestFingerprint
    from airflow_provider_nanostt.ledger.stores import Store

_EARLIER_KEPT = 20
_OPEN = (INTENDED, SUBMITTED, ANSWERED, SPLIT)


class Ledger:
    """Reads and writes the record of one task instance.

    :param store: where it lies; None keeps nothing, and every attempt begins anew.
    :param clock: epoch seconds.
    """

    def __init__(self, store: Store | None, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._before: Entry | None = None
        self.entry: Entry | None = None

    @property
    def is_kept(self) -> bool:
        """Whether a retry will find what this attempt writes."""
        return self._store is not None

    @property
    def where(self) -> str:
        """Where the record lies, for people."""
        return self._store.where if self._store else "nowhere"

    def find(self) -> Entry | None:
        """Return the record of earlier attempts.

        :raises LedgerError: if it cannot be told whether there is one.
        """
        if self._store is None:
            return None
        try:
            data = self._store.load()
            self.entry = None if data is None else Entry.from_json(data)
        except Exception as error:  # whatever a storage raises, it is not the answer "no record"
            raise errors.LedgerError(f"{self.where} cannot be read ({type(error).__name__}: {error})") from error
        return self.entry

    def intend(
        self,
        wanted: RequestFingerprint,
        *,
        estimated_cost: float | None = None,
        balance: float | None = None,
        owner: str | None = None,
        forced_generation: int | None = None,
        cuts: Sequence[float] = (),
    ) -> None:
        """Record that a submit is about to go out; arguments as in :class:`Entry`.

        With ``cuts``, record that its parts are, each of which has a record of its own.

        :raises LedgerError: if that cannot be recorded; then nothing may be submitted.
        """
        self._before = self.entry
        past: tuple[Mapping[str, Any], ...] = self.entry.earlier if self.entry else ()
        if self.entry and self.entry.state != WITHDRAWN:
            past = (*past, self.entry.to_history())[-_EARLIER_KEPT:]
        try:
            self._save(
                Entry(
                    state=SPLIT if cuts else INTENDED,
                    fingerprint=wanted.fingerprint,
                    source=wanted.source,
                    model=wanted.model,
                    intended_at=self._clock(),
                    estimated_cost=estimated_cost,
                    balance_before=balance,
                    owner=owner,
                    forced_generation=forced_generation,
                    cuts=tuple(cuts),
                    earlier=past,
                )
            )
        except errors.LedgerError:
            # It may have arrived all the same, and the next attempt would take it for a submit of unknown end.
            with contextlib.suppress(errors.LedgerError):
                self.withdraw()
            raise

    def withdraw(self) -> None:
        """Take the intent back, since the service certainly charged nothing: what was recorded before holds again."""
        if self.entry:
            self._save(self._before or replace(self.entry, state=WITHDRAWN))

    def failed(self) -> None:
        """Record that the service gave up at once; whether it charged is not known."""
        if self.entry:
            self._save(replace(self.entry, state=FAILED))

    def submitted(self, job: Job) -> None:
        """Record the ticket."""
        if self.entry:
            self._save(replace(self.entry, state=SUBMITTED, job=job, cost=job.cost))

    def answered(self, transcript: Transcript, *, source: str | None = None) -> None:
        """Record an answer that came at once and that the service will not give again.

        :param source: a name for the audio that only the answer tells.
        """
        if self.entry:
            entry = replace(self.entry, source=source or self.entry.source)
            self._save(replace(entry, state=ANSWERED, answer=transcript.raw, cost=transcript.cost))

    def landed(self, result: Mapping[str, Any], *, job: Job | None = None, cost: float | None = None) -> None:
        """Record that the result exists; kept whole where it may be and no service could be asked for it again.

        :param job: whose result it is, if it came from a job.
        :param cost: USD, if the result came with a cost of its own.
        """
        if self.entry:
            job = self.entry.job or job
            kept = result if self._keeps(job, result) else None
            cost = self.entry.cost if cost is None else cost
            landed = replace(self.entry, state=WRITTEN, written_at=self._clock(), job=job, cost=cost, result=kept)
            self._save(replace(landed, answer=None))

    def _keeps(self, job: Job | None, result: Mapping[str, Any]) -> bool:
        if "files" in result:
            return True
        has_job = job is not None or (self.entry is not None and bool(self.entry.cuts))
        return not has_job and self._store is not None and len(json.dumps(result)) <= self._store.most_kept

    def _save(self, entry: Entry) -> None:
        self.entry = entry
        if self._store is None:
            return
        try:
            # An intent is worth a second round trip, since nothing is paid for yet. A ticket is not: until it is
            # recorded, a killed process leaves a charge that nobody knows of.
            self._store.save(entry.to_json(), is_open=entry.state in _OPEN, verify=entry.state in (INTENDED, SPLIT))
        except Exception as error:
            raise errors.LedgerError(f"{self.where} cannot be written ({type(error).__name__}: {error})") from error
