"""Whether submits of unknown end were charged, by the service's own figures. Pure: values in, a verdict out.

Two figures have to agree that account and key show the charges that are known, and nothing else: what the balance fell
by, and what the usage of the key rose by. Whatever cannot be explained counts as a charge. A known charge that may have
been in the figures before is left out, and so is one that may be another key's: either could hide the charge that is
looked for.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import UsageRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_nanostt.ledger.usage_snapshot import UsageSnapshot

SETTLE_SECONDS = 600.0
"""How long after the last moment of a submit its charge may be missing from the service's figures.

The service says that its usage may come from a cache, up to 60 seconds old, and nothing of its balance: ten times that.
"""

CLOCK_SKEW_SECONDS = 60.0
"""By how much the clocks of the machines that write records may differ."""

ROUNDING_USD = 1e-6
"""By how much a cost or a figure may be rounded."""

_VISIBLE = 10
"""A charge has to be as many times larger than what rounding may hide."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What account and key show at one time.

    :param balance: USD.
    """

    balance: float
    usage: UsageSnapshot


@dataclass(frozen=True, slots=True)
class KnownCharge:
    """A charge that a record has.

    :param id: tells it from others.
    :param at: epoch seconds of its intent.
    :param cost: USD.
    :param key: the service's number for the key that paid.
    :param compared_at: epoch seconds of the figures that its intent has.
    """

    id: str
    at: float
    cost: float
    model: str
    key: str
    compared_at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the figures say of all uncertain submits together.

    :param is_free: whether certainly none of them was charged.
    :param reason: why, with the figures, as a sentence without its full stop.
    """

    is_free: bool
    reason: str


def compare(
    before: Figures, now: Figures, likely_costs: Sequence[float | None], known: Iterable[KnownCharge]
) -> Verdict:
    """Say whether the service's figures show that none of some submits was charged.

    :param before: from before the first of them.
    :param now: from after they and all known charges have settled.
    :param likely_costs: USD that each was expected to cost, None if that is not known.
    :param known: what the ledger has; charges that are not certainly later than ``before`` are passed over.
    """
    since = {one.id: one for one in known if _is_since(one, before.usage)}.values()
    slack = ROUNDING_USD * (1 + len(since))
    risen = _difference(before.usage, now.usage)
    if (doubt := _doubt(before, now, likely_costs, slack)) or risen is None:
        return Verdict(False, doubt or "the key's usage shows less than before, so it cannot be relied on")
    requests, cost, refunded = (sum(column) for column in zip((0, 0.0, 0.0), *risen.values(), strict=True))
    explained, fallen = sum(one.cost for one in since), before.balance - now.balance
    text = (
        f"the balance fell by {_usd(fallen)} and the key's usage rose by {requests:.0f} requests and {_usd(cost)} "
        f"({_usd(refunded)} refunded); the ledger explains {len(since)} requests and {_usd(explained)}"
    )
    by_balance = abs(fallen - explained) <= slack
    by_usage = refunded <= slack and _is_explained(risen, since, slack)
    if by_balance and by_usage:
        return Verdict(True, f"nothing was charged for it: {text}")
    if by_balance or by_usage:
        return Verdict(False, f"balance and usage disagree: {text}")
    if fallen > explained and cost > explained:
        return Verdict(False, f"it was charged, or somebody else uses the account: {text}")
    return Verdict(False, f"neither figure is what the ledger explains: {text}")


def _doubt(before: Figures, now: Figures, likely_costs: Sequence[float | None], slack: float) -> str | None:
    """Return why the figures could not show a charge, None if they could."""
    if before.usage.key != now.usage.key:
        return "the key of the connection is not the one that submitted"
    costs = [cost for cost in likely_costs if cost is not None]
    if len(costs) < len(likely_costs):
        return "the likely cost is not known, so a charge could be too small to show"
    if min(costs, default=0.0) <= _VISIBLE * slack:
        return "the likely cost is too small to show in the figures"
    return None


def _is_since(one: KnownCharge, before: UsageSnapshot) -> bool:
    """Return whether a charge is certainly of the same key, and certainly not in the figures before."""
    is_later = one.compared_at == before.at or one.at >= before.at + CLOCK_SKEW_SECONDS
    return one.key == before.key and is_later


def _difference(before: UsageSnapshot, now: UsageSnapshot) -> dict[str, tuple[float, float, float]] | None:
    """Return by how much requests, USD and USD refunded have risen, by model; None if any of them has fallen."""
    was = {(row.day, row.model): row for row in before.rows}
    risen: dict[str, tuple[float, float, float]] = defaultdict(lambda: (0, 0.0, 0.0))
    for row in now.rows:
        old = was.pop((row.day, row.model), UsageRow(row.day, row.model, 0, 0.0, 0.0))
        requests, cost, refunded = risen[row.model]
        more = (row.requests - old.requests, row.cost - old.cost, row.refunded - old.refunded)
        if more[0] < 0 or min(more[1:]) < -ROUNDING_USD:
            return None
        risen[row.model] = (requests + more[0], cost + more[1], refunded + more[2])
    return None if any(row.requests or row.cost for row in was.values()) else risen


def _is_explained(risen: dict[str, tuple[float, float, float]], since: Iterable[KnownCharge], slack: float) -> bool:
    """Return whether the known charges are all that the usage has more; models go by labels there, not by ids."""
    wanted: dict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for one in since:
        count, cost = wanted[one.model]
        wanted[one.model] = (count + 1, cost + one.cost)
    shown = sorted((requests, cost) for requests, cost, _ in risen.values() if requests or cost > slack)
    known = sorted(wanted.values())
    return len(shown) == len(known) and all(
        mine[0] == theirs[0] and abs(mine[1] - theirs[1]) <= slack for mine, theirs in zip(known, shown, strict=True)
    )


def _usd(amount: float) -> str:
    return f"-{errors.usd(-amount)}" if amount < -ROUNDING_USD else errors.usd(max(0.0, amount))
