"""What the ledgers say was spent, by day and model, beside what the service says. Nothing is submitted or written.

A day is of UTC, as the service counts; a submit belongs to the day of its intent. The service names a model by a label,
which is matched with the names in its catalogue.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.body import label
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.numbers import MAX_USD, amount
from airflow_provider_nanostt.common.urls import display
from airflow_provider_nanostt.ledger.reading import records_below
from airflow_provider_nanostt.ledger.record import FAILED, INTENDED, RECEIVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from airflow_provider_nanostt.api.models import Usage, UsageRow
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import Record


@dataclass(frozen=True, slots=True)
class Submit:
    """One submit that a ledger has.

    :param id: tells it from others; the same in every record that has it.
    :param usd: what it has cost; None if nobody said.
    :param is_certain: whether it is known that the service has accepted it.
    """

    id: str
    day: date
    model: str
    usd: float | None
    is_certain: bool = True


@dataclass(slots=True)
class SpendingRow:
    """One day and model: what the service says of it, and what the ledgers have; both USD.

    :param usd: net of refunds; None if the service has nothing of that day and model.
    :param unknown: submits of the ledgers whose cost nobody said, which count as nothing.
    :param uncertain: submits of which nobody knows whether they were charged, which count as nothing.
    """

    day: str
    model: str
    requests: int = 0
    usd: float | None = None
    refunded: float = 0.0
    submits: int = 0
    ledger_usd: float = 0.0
    unknown: int = 0
    uncertain: int = 0

    @property
    def difference(self) -> float:
        """How much more the service says."""
        return (self.usd or 0.0) - self.ledger_usd


@dataclass(frozen=True, slots=True)
class Spending:
    """What a key has spent in a range of days.

    :param rows: in order of days and models.
    :param unread: records that cannot be read.
    """

    usage: Usage
    rows: list[SpendingRow]
    unread: int = 0


def spending(service: NanoGPTHook, first: date, last: date, folders: Sequence[str] = ()) -> Spending:
    """Ask for the usage of a range of days, both inclusive, and read the ledgers below folders.

    :param folders: each an ``output_path``, or a folder above several; a path must be absolute.
    :raises InvalidInput: if there is no ledger below a folder.
    :raises LedgerError: if a folder cannot be listed.
    :raises NanoGPTError: if the service does not say.
    """
    found: dict[str, list[Submit] | None] = {}
    for name in folders:
        some = records_below(object_storage.resolve_folder(name), submits_in)
        if not some:
            raise InvalidInput(f"there is no ledger below {display(name)!r}")
        found |= some
    submits = [submit for some in found.values() for submit in some or () if first <= submit.day <= last]
    usage = service.usage(first, last)
    listed = (service.known_models().listed or {}).values()
    names = Counter(one.name for one in listed)
    labels = {one.name: one.id for one in listed if names[one.name] == 1}
    return Spending(usage, compare(usage.rows or (), submits, labels), sum(some is None for some in found.values()))


def submits_in(record: Record) -> list[Submit]:
    """Return the submits that a record has: its own, and those before it; parts have records of their own.

    :raises ValueError, OverflowError: if a cost or a time in it cannot be.
    """
    found = []
    if record.state in (*RECEIVED, INTENDED, FAILED) and not record.split_points:
        is_certain = record.state in RECEIVED
        usd = record.cost if is_certain else None
        found.append(_submit(record.submit_id, record.intended_at, record.model, usd, is_certain=is_certain))
    for past in record.history:
        at, usd = amount(past.get("at")), amount(past.get("cost"))
        if at is not None and usd is not None:
            name = str(past.get("run_id") or f"{past.get('source')} {at}")
            found.append(_submit(name, at, str(past.get("model")), usd))
    return found


def compare(rows: Iterable[UsageRow], submits: Iterable[Submit], labels: Mapping[str, str]) -> list[SpendingRow]:
    """Put the service's usage and the ledgers' submits side by side, by day and model; each submit counts once.

    :param labels: the ids of models by the names that the service's catalogue has for them.
    """
    found: dict[tuple[str, str], SpendingRow] = {}

    def row(day: str, model: str) -> SpendingRow:
        return found.setdefault((day, model), SpendingRow(day, model))

    for used in rows:
        one = row(used.day, labels.get(used.model, used.model))
        one.requests += used.requests
        one.usd = (one.usd or 0.0) + max(0.0, used.cost - used.refunded)
        one.refunded += used.refunded
    known_costs_last = sorted(submits, key=lambda one: one.usd is not None)
    for submit in {one.id: one for one in known_costs_last}.values():
        one = row(submit.day.isoformat(), submit.model)
        one.submits += 1
        one.ledger_usd += submit.usd or 0.0
        one.unknown += submit.is_certain and submit.usd is None
        one.uncertain += not submit.is_certain
    return [found[key] for key in sorted(found)]


def _submit(name: str, at: float, model: str, usd: float | None, *, is_certain: bool = True) -> Submit:
    """Return a submit; others may write records, too."""
    if usd is not None and usd > MAX_USD:
        raise ValueError(f"its cost is {usd!r}")
    return Submit(name, datetime.fromtimestamp(at, UTC).date(), label(model), usd, is_certain)
