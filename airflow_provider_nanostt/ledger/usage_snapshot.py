"""What the usage of a key showed before a submit, as a record keeps it. Values and their form as JSON; no decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from airflow_provider_nanostt.api.models import UsageRow
from airflow_provider_nanostt.common.numbers import MAX_USD, amount

_MAX_ROWS = 500
_MAX_NAME_CHARS = 200
_END_OF_TIME = datetime.max.replace(tzinfo=UTC).timestamp() - 2 * 86_400


@dataclass(frozen=True, slots=True)
class UsageSnapshot:
    """The usage of a key by day and model.

    :param at: epoch seconds, right before the service was asked.
    :param key: the service's number for the key.
    :param first_day: from which on the rows are, UTC.
    """

    at: float
    key: str
    first_day: date
    rows: tuple[UsageRow, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.at < _END_OF_TIME or not 0 < len(self.key) <= _MAX_NAME_CHARS or len(self.rows) > _MAX_ROWS:
            raise ValueError("its usage is out of range")
        if len({(row.day, row.model) for row in self.rows}) < len(self.rows):
            raise ValueError("its usage has a day and model twice")
        for row in self.rows:
            is_named = max(len(row.day), len(row.model)) <= _MAX_NAME_CHARS
            if not (is_named and max(row.requests, row.cost, row.refunded) <= MAX_USD):
                raise ValueError("its usage is out of range")

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON; :meth:`from_json` reads it back."""
        rows = [[row.day, row.model, row.requests, row.cost, row.refunded] for row in self.rows]
        return {"at": self.at, "key": self.key, "first_day": self.first_day.isoformat(), "rows": rows}

    @classmethod
    def from_json(cls, data: object) -> UsageSnapshot:
        """Read it.

        :raises ValueError: if anything in it is not what it should be, or out of range.
        """
        try:
            at, key, first_day, rows = (data[name] for name in ("at", "key", "first_day", "rows"))  # type: ignore[index]
            if (moment := amount(at)) is None or not isinstance(key, str) or not isinstance(rows, list):
                raise ValueError("its usage cannot be read")
            return cls(moment, key, date.fromisoformat(first_day), tuple(map(_row, rows)))
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError("its usage cannot be read") from error


def _row(value: object) -> UsageRow:
    if not isinstance(value, list) or len(value) != 5:
        raise ValueError("its usage cannot be read")
    day, model, *figures = value
    count, usd, back = map(amount, figures)
    if not isinstance(day, str) or not isinstance(model, str) or count is None or count % 1:
        raise ValueError("its usage cannot be read")
    if usd is None or back is None:
        raise ValueError("its usage cannot be read")
    return UsageRow(day, model, int(count), usd, back)
