"""The answer of ``GET /v1/usage``, counted from charges. Pure: charges, query and time in, a dictionary out."""

from __future__ import annotations

import datetime as dt
import fnmatch
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.emulator.bodies import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_nanostt.emulator.records import Charge

GROUPINGS = {"day": "day", "model": "model", "day,model": "day,model", "model,day": "day,model"}


def unshown(charges: Iterable[Charge], delay: float, hidden: str, now: float) -> list[Charge]:
    """Return the charges that do not show: the youngest, and those whose source fits a pattern.

    :param delay: seconds until one shows; `now` in epoch seconds.
    """
    return [
        charge for charge in charges if charge.time > now - delay or (hidden and fnmatch.fnmatch(charge.source, hidden))
    ]


def usage_report(
    charges: Iterable[Charge], key_number: int, query: dict[str, str], now: dt.datetime, age: float = 0.0
) -> dict[str, Any]:
    """Return the usage of one key.

    :param charges: of that key only.
    :param age: seconds by which the answer says that it is older than it is.
    :param query: ``from`` and ``to`` (UTC dates, both or neither: the last 30 days), ``group_by``, ``scope``,
        ``api_key_id``.
    :raises Refused: 400, with the reason.
    """
    first, last = _range(query, now)
    grouping = GROUPINGS.get(query.get("group_by", "day,model"))
    if grouping is None:
        raise _bad("group_by must be day, model or day,model.")
    if query.get("scope", "current_key") not in ("current_key", "api_key"):
        raise _bad("scope must be current_key or api_key.")
    if query.get("api_key_id", str(key_number)) != str(key_number):
        raise _bad("Usage of another API key cannot be read.")
    chosen = [charge for charge in charges if first <= _day(charge) <= last]
    report: dict[str, Any] = {
        "object": "usage",
        "scope": query.get("scope", "current_key"),
        "apiKey": {"id": key_number},
        "from": first.isoformat(),
        "to": last.isoformat(),
        "timezone": "UTC",
        "groupBy": grouping,
        "asOf": (now - dt.timedelta(seconds=age)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "source": {"rollupDays": [], "liveDays": [now.date().isoformat()], "missingRollupDays": []},
        "totals": _bucket(chosen),
    }
    if "day" in grouping:
        report["byDay"] = _grouped(chosen, lambda charge: {"date": _day(charge).isoformat()})
    if "model" in grouping:
        report["byModel"] = _grouped(chosen, lambda charge: {"model": charge.model})
    if grouping == "day,model":
        report["byDayModel"] = _grouped(
            chosen, lambda charge: {"date": _day(charge).isoformat(), "model": charge.model}
        )
    return report


def _range(query: dict[str, str], now: dt.datetime) -> tuple[dt.date, dt.date]:
    if ("from" in query) != ("to" in query):
        raise _bad("from and to must be provided together.")
    if "from" not in query:
        return now.date() - dt.timedelta(days=29), now.date()
    try:
        first, last = dt.date.fromisoformat(query["from"]), dt.date.fromisoformat(query["to"])
    except ValueError as error:
        raise _bad("from and to must use YYYY-MM-DD UTC dates.") from error
    if last < first or last > now.date():
        raise _bad("to must be on or after from and cannot be in the future.")
    return first, last


def _bad(message: str) -> Refused:
    return Refused(400, message, code="invalid_request")


def _day(charge: Charge) -> dt.date:
    return dt.datetime.fromtimestamp(charge.time, dt.UTC).date()


def _grouped(charges: list[Charge], label: Callable[[Charge], dict[str, str]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, ...], list[Charge]] = {}
    for charge in charges:
        groups.setdefault(tuple(label(charge).values()), []).append(charge)
    return [{**label(group[0]), **_bucket(group)} for _, group in sorted(groups.items())]


def _bucket(charges: list[Charge]) -> dict[str, Any]:
    cost = round(sum(charge.cost for charge in charges), 6)
    refunded = round(sum(charge.refunded for charge in charges), 6)
    return {
        "requests": len(charges),
        "costUsd": cost,
        "refundedUsd": refunded,
        "netCostUsd": max(0, round(cost - refunded, 6)),
        "inputTokens": 0,
        "outputTokens": 0,
        "reasoningTokens": 0,
        "totalTokens": 0,
    }
