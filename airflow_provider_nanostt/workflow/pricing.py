"""The cost of a transcription before it is paid for: estimates and limits. Prices are in ``api.catalogue``.

Decides; asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt.api.catalogue import Price

_MIN_BITS_PER_SECOND = 4_000
"""Below this nothing is speech any more: it bounds the length of a file of unknown length."""

_ROUNDING = 1e-9

UNKNOWN_LENGTH = ("worst", "fail", "allow")


@dataclass(frozen=True, slots=True)
class CostRules:
    """What a recording, or a whole batch, may cost.

    :param max_cost_usd: with all that earlier attempts have cost; None for no limit.
    :param unknown_length: for a recording of unknown length: ``worst`` takes the longest its size allows, ``fail``
        refuses, ``allow`` lets it pass.
    :param check_balance_above: USD of expected cost above which the account must hold it; None never asks.
    :param limited_by: what the limit is, for messages.
    """

    max_cost_usd: float | None = None
    unknown_length: str = "worst"
    check_balance_above: float | None = 1.0
    limited_by: str = "max_cost_usd"


@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """When a person is asked before a batch spends money.

    :param approve_above: USD of expected cost above which somebody has to approve; None never asks.
    :param assigned_users: (id, name) of those who may answer; empty for everybody whom Airflow allows to.
    :param response_timeout: seconds after which no answer counts as a rejection; None waits for as long as it takes.
    :param on_reject: ``fail`` or ``skip`` the task.
    """

    approve_above: float | None = None
    assigned_users: tuple[tuple[str, str], ...] = ()
    response_timeout: float | None = None
    on_reject: str = "fail"


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected cost of one recording.

    :param minutes: its length, None if unknown.
    :param price: of the model.
    :param size: bytes, None if unknown; bounds the length of a recording whose length is unknown.
    :param method: how it would get to the service: ``upload``, ``url``, ``presign``, ``stage``, ``convert``,
        ``compress`` or ``split``; empty if that was not asked.
    :param length_source: how its length is known, or why it is not; empty if that was not asked.
    """

    model: str
    minutes: float | None
    price: Price
    size: int | None = None
    method: str = ""
    length_source: str = ""

    @property
    def usd(self) -> float | None:
        """Expected cost, None if length or price is unknown."""
        if self.minutes is None or self.price.per_minute is None:
            return None
        return self.minutes * self.price.per_minute

    @property
    def worst_usd(self) -> float | None:
        """The most it can cost, at the highest price seen: by its length, else by the longest its size can hold."""
        minutes = self.minutes
        if minutes is None and self.size is not None:
            minutes = self.size * 8 / _MIN_BITS_PER_SECOND / 60
        price = self.price.for_limit
        return None if minutes is None or price is None else minutes * price

    def of_parts(self, seconds: Sequence[float | None]) -> Estimate:
        """Return the expected cost of some parts of the recording by their lengths; of all of it if one is unknown."""
        known = [one for one in seconds if one is not None]
        return self if len(known) < len(seconds) else replace(self, minutes=sum(known) / 60)

    def describe(self) -> str:
        """Say in one line how the cost comes about."""
        minutes = "unknown length" if self.minutes is None else f"{self.minutes:.2f} min"
        price, source = "unknown price", ""
        if self.price.per_minute is not None:
            price, source = f"${self.price.per_minute:g}/min", f" (price from {self.price.source})"
        text = f"{minutes} x {price} for {self.model}{source} = {errors.usd(self.usd)}"
        if self.price.at_most is None:
            return text
        highest = f"${self.price.at_most:g}/min, {self.price.at_most_source}"
        return f"{text}; at most {errors.usd(self.worst_usd)}, at the highest price seen ({highest})"


def likely_usd(estimate: Estimate, rules: CostRules) -> float:
    """Return the amount that counts against a limit: the most it can cost, as far as the rules want that known."""
    return countable_usd(estimate, rules) or 0.0


def countable_usd(estimate: Estimate, rules: CostRules) -> float | None:
    """Return the amount that counts against a limit, None if nobody can say how much that is."""
    return estimate.worst_usd if estimate.minutes is not None or rules.unknown_length == "worst" else None


def check_limit(estimate: Estimate, rules: CostRules, *, spent: float, held: float = 0.0) -> None:
    """Refuse a recording that would cost too much; one of any cost, too, if the limit is passed already.

    :param spent: USD that this counts together with: what earlier attempts and other recordings of a batch have cost.
    :param held: USD likewise that nobody has spent yet: for other recordings, or other parts of this one.
    :raises CostLimit: with the figures, before anything is submitted.
    """
    limit, usd = rules.max_cost_usd, countable_usd(estimate, rules)
    is_countable = usd is not None or rules.unknown_length == "allow"
    if limit is None or (is_countable and (usd or 0.0) + spent + held <= limit + _ROUNDING):
        return
    parts = ((spent, "went to earlier submits"), (held, "is kept for submits that are still to come"))
    before = "".join(f"; {errors.usd(one)} {where}" for one, where in parts if one)
    remedy = "Set actual_duration, or unknown_length='allow' in cost_limits"
    if usd is None and is_countable:
        raise errors.CostLimit(f"{rules.limited_by} is {errors.usd(limit)}, and nothing is left of it{before}")
    if usd is None:
        raise errors.CostLimit(
            f"{rules.limited_by} is {errors.usd(limit)}, and the cost is unknown: {estimate.describe()}. {remedy}"
        )
    if estimate.minutes is None:
        raise errors.CostLimit(
            f"{rules.limited_by} is {errors.usd(limit)}{before}, and a recording of unknown length and "
            f"{estimate.size:,} bytes may cost up to {errors.usd(usd)} ({estimate.describe()}). {remedy}"
        )
    if estimate.price.at_most is None:
        text = "This would cost more than"
    else:
        text = "The price is not certain, and this may cost more than"
    raise errors.CostLimit(f"{text} {rules.limited_by} = {errors.usd(limit)}: {estimate.describe()}{before}")
