"""What a transcription will cost, before it is paid for: prices and where they come from, estimates, and limits.

Pure: whoever asks the service for its catalogue or the balance passes the answer in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_nanostt.api.models import AudioModel

_LOWEST_BIT_RATE = 4_000
"""Bits per second below which nothing is speech any more: what the length of a file of unknown length is bounded by."""

UNKNOWN_LENGTH = ("worst", "fail", "allow")


@dataclass(frozen=True, slots=True)
class Price:
    """USD per minute of audio, None if nobody knows, and who said so."""

    per_minute: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one recording is expected to cost.

    :param minutes: its length, None if that could not be told.
    :param price: of the model.
    :param size: bytes, None if unknown; bounds the length of a recording whose length is unknown.
    :param way: what would be done with it: ``upload``, ``url``, ``presign``, ``stage``, ``convert``, ``compress`` or
        ``split``; empty if that was not asked.
    :param length_source: how its length is known, or why it is not; empty if that was not asked.
    """

    model: str
    minutes: float | None
    price: Price
    size: int | None = None
    way: str = ""
    length_source: str = ""

    @property
    def usd(self) -> float | None:
        """Expected cost, None if length or price is unknown."""
        if self.minutes is None or self.price.per_minute is None:
            return None
        return self.minutes * self.price.per_minute

    @property
    def worst_usd(self) -> float | None:
        """The most it can cost: by its length, else by the longest recording its size can hold."""
        if self.usd is not None or self.price.per_minute is None or self.size is None:
            return self.usd
        return self.size * 8 / _LOWEST_BIT_RATE / 60 * self.price.per_minute

    def describe(self) -> str:
        """Say in one line what it is made of."""
        minutes = "unknown length" if self.minutes is None else f"{self.minutes:.2f} min"
        price = "unknown price" if self.price.per_minute is None else f"${self.price.per_minute:g}/min"
        return f"{minutes} x {price} for {self.model} (price from {self.price.source}) = {errors.usd(self.usd)}"


def price_of(model: str, *, catalogue: Iterable[AudioModel] | None, own: Mapping[str, float] | None = None) -> Price:
    """Find a model's price: the service's catalogue first, then the connection's, then the built-in table.

    :param catalogue: the service's models, None if it could not be asked.
    :param own: prices in USD per minute from the connection's extra ``prices``.
    """
    listed = {entry.id: entry.price_per_minute for entry in catalogue or ()}
    if listed.get(model) is not None:
        return Price(listed[model], "the service's catalogue")
    if own and model in own:
        return Price(own[model], "the connection")
    facts = KNOWN_MODELS.get(model)
    if facts is not None and facts.price_per_minute is not None:
        return Price(facts.price_per_minute, "the built-in table")
    return Price(None, "nobody")


def check_budget(max_cost: float | None, unknown: str, check_balance_above: float | None) -> None:
    """Refuse a budget that means nothing.

    :raises InvalidInput: naming the argument.
    """
    if unknown not in UNKNOWN_LENGTH:
        raise errors.InvalidInput(f"max_cost_unknown={unknown!r}; it is one of {', '.join(UNKNOWN_LENGTH)}")
    for name, amount in (("max_cost", max_cost), ("check_balance_above", check_balance_above)):
        if amount is not None and not 0 <= amount < float("inf"):
            raise errors.InvalidInput(f"{name}={amount!r} is no amount in USD")


def check_limit(
    estimate: Estimate, *, max_cost: float | None, unknown: str, spent: float = 0.0, on: str = "earlier attempts"
) -> None:
    """Refuse what would cost too much.

    :param max_cost: USD; None allows everything.
    :param spent: USD that earlier attempts have cost.
    :param on: what these were spent on, for the message.
    :param unknown: for a recording of unknown length: ``worst`` takes the longest its size allows, ``fail`` refuses,
        ``allow`` lets it pass.
    :raises CostLimit: with the figures, before anything is submitted.
    """
    if max_cost is None:
        return
    usd = estimate.usd
    before = f"; {errors.usd(spent)} went to {on}" if spent else ""
    if usd is None:
        if unknown == "allow":
            return
        usd = estimate.worst_usd if unknown == "worst" else None
        if usd is None:
            raise errors.CostLimit(
                f"max_cost is {errors.usd(max_cost)}, and the cost cannot be told: {estimate.describe()}. "
                "Set actual_duration, or max_cost_unknown='allow'"
            )
        if usd + spent > max_cost:
            raise errors.CostLimit(
                f"max_cost is {errors.usd(max_cost)}{before}, and a recording of unknown length of this size "
                f"({estimate.size:,} bytes) may cost up to {errors.usd(usd)} ({estimate.describe()}). "
                "Set actual_duration, or max_cost_unknown"
            )
    if usd + spent > max_cost:
        raise errors.CostLimit(
            f"This would cost more than max_cost = {errors.usd(max_cost)}: {estimate.describe()}{before}"
        )


def check_balance(estimate: Estimate, balance: float | None) -> None:
    """Refuse what the account cannot pay for.

    :param balance: USD in the account, None if that could not be told.
    :raises CostLimit: with the figures, before anything is submitted.
    """
    if balance is not None and estimate.usd is not None and estimate.usd > balance:
        raise errors.CostLimit(
            f"The account has {errors.usd(balance)}, which is less than this would cost: {estimate.describe()}. "
            f"Add funds at {errors.FUNDS_PAGE} and run the task again"
        )
