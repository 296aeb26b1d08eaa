"""Asking for what ``verify`` compares: figures before a submit, the folder's records, and figures once settled.

Nothing is submitted here, and nothing decided: whatever cannot be had counts as a charge.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES
from airflow_provider_nanostt.ledger.reading import records_of
from airflow_provider_nanostt.ledger.record import INTENDED, RECEIVED
from airflow_provider_nanostt.ledger.usage_snapshot import UsageSnapshot
from airflow_provider_nanostt.workflow.verify import SETTLE_SECONDS, Figures, KnownCharge, Verdict, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import Record, RecoveryRules

_ASK_AGAIN_SECONDS = 60.0
_LONGEST_QUESTION_SECONDS = 30.0
"""Figures that took longer to get are not from one time."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What records say: charges that they have, and the submits that are still uncertain."""

    charges: list[KnownCharge] = field(default_factory=list)
    uncertain: set[tuple[str, float]] = field(default_factory=set)

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """Return what some records say."""
        charges = list(filter(None, map(_charge_of, records)))
        return cls(charges, {_name_of(one) for one in records if one.state == INTENDED})


class UncertainSubmits:
    """The submits of unknown end that one try of a task finds: compared once, together, before it submits anything.

    Any thread may use it.

    :param folder: whose records tell of other charges; None has only the task's own.
    :param log: logs a line.
    """

    def __init__(
        self, service: NanoGPTHook, folder: ObjectStoragePath | None, rules: RecoveryRules, log: Callable[..., object]
    ) -> None:
        self._service = service
        self._folder = folder
        self._is_asked = rules.on_ambiguous_submit == "verify"
        self._log = log
        self._lock = threading.Lock()
        self._figures: Figures | None = None
        self._has_figures = False
        self._verdict: Verdict | None = None
        self._compared: set[tuple[str, float]] = set()

    def figures_before(self, balance: Callable[[], float | None]) -> tuple[float | None, UsageSnapshot | None]:
        """Return what the account has before the first submit of this try, USD, and the usage if it will be compared.

        :param balance: asks for the first, where nobody will compare it.
        """
        with self._lock:
            if self._is_asked and not self._has_figures:
                self._figures, self._has_figures = self._ask(_first_day(time.time()))[0], True
            return (self._figures.balance, self._figures.usage) if self._figures else (balance(), None)

    def check(self, record: Record, found: Callable[[], Iterable[Record]]) -> None:
        """Return if a submit was certainly not charged.

        :param found: returns all records of this try, of which the uncertain ones are compared together.
        :raises OrphanedSubmit: else, with the figures.
        """
        self.compare_all(found)
        verdict = self._verdict
        if _name_of(record) not in self._compared or verdict is None:
            verdict = Verdict(
                False, "another attempt was at it meanwhile; clear the task, and what it has left is used"
            )
        if not verdict.is_free:
            raise errors.OrphanedSubmit(
                record.describe(),
                estimated_cost=record.estimated_cost,
                before=record.balance_before,
                now=self._figures.balance if self._figures else None,
                verdict=f"on_ambiguous_submit is 'verify', and {verdict.reason}.",
            )

    def compare_all(self, found: Callable[[], Iterable[Record]]) -> None:
        """Compare all uncertain submits together, once: later ones would see what the first have led to."""
        with self._lock:
            if self._verdict is not None or not self._is_asked:
                return
            records = list(found())
            uncertain = [one for one in records if one.state == INTENDED]
            if not uncertain:
                return
            try:
                self._verdict = self._compare(uncertain, records)
            except errors.NanoGPTError as error:  # a storage, or a key that is refused
                self._verdict = Verdict(False, f"the figures cannot be had ({error})")
            self._log("Compared %d uncertain submits: %s", len(uncertain), self._verdict.reason)

    def _compare(self, uncertain: Sequence[Record], records: Sequence[Record]) -> Verdict:
        self._compared = set(map(_name_of, uncertain))
        before = [figures for one in uncertain if (figures := _figures_of(one)) is not None]
        if len(before) < len(uncertain):
            return Verdict(False, "the figures before it are not on record")
        if len({figures.usage.key for figures in before}) > 1:
            return Verdict(False, "not all were submitted with the same key")
        first = min(before, key=lambda figures: figures.usage.at)
        costs = [one.estimated_cost for one in uncertain]
        if not (verdict := compare(first, first, costs, ())).is_free:  # no wait would change that
            return verdict
        seen, now = self._settled(first.usage, uncertain, records)
        self._compared &= seen.uncertain
        if now is None:
            return Verdict(False, "the service's figures of now cannot be had, or have not settled")
        self._figures, self._has_figures = now, True
        return compare(first, now, costs, seen.charges)

    def _settled(
        self, first: UsageSnapshot, uncertain: Sequence[Record], records: Sequence[Record]
    ) -> tuple[_Seen, Figures | None]:
        """Wait until what is uncertain and what is known has settled; return what the ledger has then, and the figures.

        The ledger is read before the figures: a charge in between is one that nothing explains.
        """
        on_its_way = self._service.get_conn().config.longest_submit(MAX_UPLOAD_BYTES)
        give_up_at = time.time() + on_its_way + 2 * SETTLE_SECONDS
        while True:
            seen = _read_folder(self._folder) if self._folder else _Seen.of(records)
            last = max([one.intended_at for one in uncertain] + [one.at for one in seen.charges])
            settled_at = last + on_its_way + SETTLE_SECONDS
            pause = settled_at - time.time()
            if pause <= 0:
                figures, as_of = self._ask(first.first_day)
                if figures is not None and as_of is not None and as_of >= settled_at:
                    return seen, figures
                pause = _ASK_AGAIN_SECONDS
            if time.time() + pause > give_up_at:
                return seen, None
            self._log("Waiting %.0f s until the service's figures have settled; then they are compared", pause)
            time.sleep(pause)

    def _ask(self, first_day: date) -> tuple[Figures | None, float | None]:
        """Ask for the figures; return them, and when the service made those of the usage."""
        at = time.time()
        balance = self._service.try_balance()
        usage = self._service.try_usage(first_day, datetime.fromtimestamp(at, UTC).date())
        if balance is None or usage is None or usage.rows is None or usage.key_id is None:
            return None, None
        if time.time() - at > _LONGEST_QUESTION_SECONDS:
            return None, None
        try:
            snapshot = UsageSnapshot(at, usage.key_id, first_day, usage.rows)
        except ValueError:
            return None, None
        return Figures(balance, snapshot), usage.as_of


def _read_folder(folder: ObjectStoragePath) -> _Seen:
    """Read the folder's records; a charge in one that cannot be read is one that nothing explains."""
    found = [one for one in records_of(folder, lambda record: _Seen.of([record])) if one is not None]
    charges = [charge for one in found for charge in one.charges]
    return _Seen(charges, {name for one in found for name in one.uncertain})


def _first_day(at: float) -> date:
    """Return the day before: the service's clock may be behind."""
    return (datetime.fromtimestamp(at, UTC) - timedelta(days=1)).date()


def _name_of(record: Record) -> tuple[str, float]:
    return record.fingerprint, record.intended_at


def _figures_of(record: Record) -> Figures | None:
    usage, balance = record.usage_before, record.balance_before
    if usage is None or balance is None or usage.at > record.intended_at:  # later ones could have the charge in them
        return None
    return Figures(balance, usage)


def _charge_of(record: Record) -> KnownCharge | None:
    """Return what a record knows of a charge; of a recording in parts, these have the figures."""
    usage, cost = record.usage_before, record.cost
    if record.state not in RECEIVED or usage is None or not cost:
        return None
    return KnownCharge(record.submit_id, record.intended_at, cost, record.model, usage.key, usage.at)
