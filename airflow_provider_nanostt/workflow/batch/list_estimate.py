"""What a whole list would cost before anything of it is submitted, and how that is put to a person. No I/O.

What a single recording may cost is decided in ``pricing``; here that is only added up.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_nanostt.common.errors import usd
from airflow_provider_nanostt.common.urls import escaped
from airflow_provider_nanostt.workflow.pricing import CostRules, countable_usd, likely_usd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_nanostt.workflow.pricing import Estimate

_MARGIN = 1.02
"""What is charged may be rounded up, or be for a little more sound than the headers say."""

_MAX_NAMED = 10
_MAX_CHARS = 120
_WAYS = {
    "upload": "uploaded as it is",
    "url": "fetched by the service from its address",
    "presign": "fetched by the service from its storage",
    "stage": "staged for the service",
    "convert": "converted, then uploaded",
    "compress": "compressed, then uploaded",
    "split": "split into parts",
}
_FREE = {
    "done": "transcribed or paid for already, which costs nothing more",
    "duplicate": "repeated in the list, which costs nothing",
    "no_match": "found no recording",
    "failed": "cannot be submitted",
    "elsewhere": "being submitted by another run",
    "not_started": "not looked at",
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a batch may spend.

    :param usd: with what earlier tries of the task have spent.
    :param name: what allows it, for messages.
    :param items: the keys of the recordings that may be submitted; None for all.
    """

    usd: float
    name: str
    items: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ListEstimate:
    """The expected cost of a list.

    :param costing: what would be submitted: the name of each recording, and its estimate.
    :param items: the keys of all recordings of the list.
    :param free: how many others there are, by what is known of them.
    :param rules: how recordings of unknown length count, and the limit that holds anyway.
    :param earlier_usd: what earlier tries of the task have spent.
    :param waiting: how many are paid for and have no transcript yet.
    """

    costing: tuple[tuple[str, Estimate], ...]
    items: frozenset[str] = frozenset()
    free: Mapping[str, int] = field(default_factory=dict)
    rules: CostRules = field(default_factory=CostRules)
    earlier_usd: float = 0.0
    waiting: int = 0

    @property
    def new_usd(self) -> float:
        """What would be spent now: what is expected, or may be at worst."""
        return math.fsum(likely_usd(estimate, self.rules) for _, estimate in self.costing)

    @property
    def usd(self) -> float:
        """What the task would have spent then, earlier tries included."""
        return self.earlier_usd + self.new_usd

    @property
    def due_usd(self) -> float:
        """The same, as far as ``max_cost_usd`` allows it."""
        return self._within_limit(self.usd)

    @property
    def limit_usd(self) -> float:
        """What to approve: ``due_usd`` with two in a hundred more, rounded up to a cent, within ``max_cost_usd``."""
        return self._within_limit(math.ceil(round(self.usd * _MARGIN * 100.0, 6)) / 100.0)

    @property
    def minutes(self) -> float:
        """The length of what would be submitted, as far as it is known."""
        return math.fsum(estimate.minutes or 0.0 for _, estimate in self.costing)

    @property
    def unknown(self) -> int:
        """How many recordings have an unknown cost."""
        return sum(estimate.usd is None for _, estimate in self.costing)

    @property
    def unlimited(self) -> int:
        """How many recordings may cost any amount."""
        if self.rules.unknown_length != "allow":
            return 0
        return sum(countable_usd(estimate, self.rules) is None for _, estimate in self.costing)

    def needs_approval(self, above: float) -> bool:
        """Return whether it costs more than so many USD, or nobody knows that it does not."""
        return bool(self.unlimited) or (self.new_usd > 0 and self.due_usd > above)

    @property
    def subject(self) -> str:
        """The question in one line."""
        count = len(self.costing)
        what = "one recording" if count == 1 else f"{count} recordings"
        return f"Spend up to {usd(self.limit_usd)} on transcribing {what}?"

    def describe(self) -> str:
        """Return it as Markdown, of bounded size; names are shown as code, in which nothing has a meaning."""
        lines = [f"Expected cost: **{usd(self.new_usd)}**. Approving allows up to **{usd(self.limit_usd)}**.", ""]
        lines += ["| how | recordings | minutes | expected cost |", "|---|---:|---:|---:|", *self._table(), ""]
        lines += [f"- {text}" for text in self._notes()]
        lines += ["", "The dearest:", "", "| recording | minutes | expected cost |", "|---|---:|---:|"]
        dearest = sorted(self.costing, key=lambda one: (-likely_usd(one[1], self.rules), one[0]))
        lines += [f"| {_code(name)} | {_minutes(one)} | {self._cost(one)} |" for name, one in dearest[:_MAX_NAMED]]
        if len(dearest) > _MAX_NAMED:
            lines.append(f"| and {len(dearest) - _MAX_NAMED:,} more | | |")
        return "\n".join(lines)

    def _within_limit(self, amount: float) -> float:
        limit = self.rules.max_cost_usd
        return amount if limit is None else min(amount, limit)

    def _table(self) -> list[str]:
        ways: dict[str, list[Estimate]] = {}
        for _, estimate in self.costing:
            ways.setdefault(estimate.method, []).append(estimate)
        rows = [(_WAYS.get(way, way or "unknown"), some) for way, some in sorted(ways.items())]
        rows.append(("**all**", [estimate for _, estimate in self.costing]))
        return [
            f"| {way} | {len(some):,} | {math.fsum(one.minutes or 0.0 for one in some):,.1f} | "
            f"{usd(math.fsum(likely_usd(one, self.rules) for one in some))} |"
            for way, some in rows
        ]

    def _notes(self) -> list[str]:
        prices = Counter((one.model, one.price.per_minute, one.price.source) for _, one in self.costing)
        notes = [
            f"{_code(model)}: {count:,} recordings, {'unknown price' if price is None else f'${price:g} a minute'} "
            f"({source})"
            for (model, price, source), count in prices.most_common(_MAX_NAMED)
        ]
        unknown = [one for _, one in self.costing if one.usd is None]
        bounded = [one for one in unknown if countable_usd(one, self.rules) is not None]
        if longest := sum(one.minutes is None for one in bounded):
            notes.append(f"{longest:,} of unknown length: counted as the longest that their size allows")
        dearest = Counter(
            (one.price.at_most, one.price.at_most_source) for _, one in self.costing if one.price.at_most is not None
        )
        notes += [
            f"{count:,} of uncertain price: counted at the highest seen, ${price:g} a minute ({_code(source)})"
            for (price, source), count in dearest.most_common(_MAX_NAMED)
        ]
        if self.unlimited:
            notes.append(
                f"**{self.unlimited:,} of unknown cost, counted as nothing (unknown_length is 'allow'): they may cost "
                "any amount**"
            )
        elif len(unknown) > len(bounded):
            notes.append(f"{len(unknown) - len(bounded):,} of unknown cost: the batch stops before the first of them")
        notes += [f"{count:,} {_FREE.get(name, name)}" for name, count in sorted(self.free.items()) if count]
        if self.earlier_usd:
            notes.append(f"Earlier tries have spent {usd(self.earlier_usd)}, which is part of what is allowed")
        limit = self.rules.max_cost_usd
        if limit is not None and limit < self.usd:
            notes.append(f"max_cost_usd is {usd(limit)}: the batch stops before the recording that would exceed it")
        return notes

    def _cost(self, estimate: Estimate) -> str:
        if estimate.usd is not None:
            return usd(estimate.usd)
        return f"up to {usd(estimate.worst_usd)}" if estimate.worst_usd is not None else "unknown"


def _minutes(estimate: Estimate) -> str:
    return "unknown" if estimate.minutes is None else f"{estimate.minutes:,.1f}"


def _code(name: str) -> str:
    """Return a name as Markdown's code: no mark, link or column begins in it, and a long one loses its middle."""
    plain = escaped(name).replace("`", "'").replace("|", "\N{BROKEN BAR}").strip() or "?"
    if len(plain) > _MAX_CHARS:
        plain = f"{plain[: _MAX_CHARS // 2]} ... {plain[-_MAX_CHARS // 2 :]}"
    return f"`{plain}`"
