"""The money that one task may spend: every submit asks here first, whole recording, part, batch item or video.

Recordings of a batch are approved in their order, however many are at work at once, so which ones a limit leaves out
does not depend on which thread was quicker.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.workflow import pricing

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_nanostt.workflow.pricing import CostRules, Estimate


class Budget:
    """Counts what a task spends, and refuses from the first recording that would exceed the limit.

    Each number must come to :meth:`check`, :meth:`approve` or :meth:`passed`; numbers wait for those before them.
    ``spent`` is USD of this attempt, ``earlier`` of those before it; both change while ``turn`` is held.

    :param rules: the limits.
    :param balance: asks what the account holds, USD, None if unknown; for a limit it is asked once.
    """

    def __init__(self, rules: CostRules, balance: Callable[[], float | None]) -> None:
        self.rules = rules
        self.spent = 0.0
        self.turn = threading.Condition()
        self.balance = balance
        self._account: tuple[float | None, float] | None = None
        self.earlier = 0.0
        self._held: dict[int, float] = {}
        self._next = 0
        self._done: set[int] = set()
        self._refusal: errors.CostLimit | None = None

    def add_earlier(self, usd: float) -> None:
        """Count what earlier attempts have cost."""
        with self.turn:
            self.earlier += usd

    def allow_only(self, usd: float, limited_by: str) -> None:
        """Lower the limit, for this attempt and those before it, to so many USD; ``limited_by`` names it."""
        limit = self.rules.max_cost_usd
        if limit is None or usd < limit:
            self.rules = replace(self.rules, max_cost_usd=usd, limited_by=limited_by)

    def check(self, number: int, estimate: Estimate, *, rest: float = 0.0) -> None:
        """Hold what a recording will likely cost, before the work of preparing it; waits for its turn.

        :param rest: USD to hold besides, for its other parts.
        :raises CostLimit: if limit or account do not allow it, or did not allow one before it.
        """
        with self.turn:
            while self._next < number and number not in self._done:
                if self._next in self._done:
                    self._next += 1
                else:
                    self.turn.wait()
            try:
                if self._refusal is not None and number not in self._held:
                    raise errors.CostLimit(f"The batch stopped before this: {self._refusal}")
                held = sum(self._held.values()) - self._held.get(number, 0.0) + rest
                usd = pricing.countable_usd(estimate, self.rules) or 0.0
                pricing.check_limit(estimate, self.rules, spent=self.earlier + self.spent, held=held)
                above, total = self.rules.check_balance_above, self.spent + held + usd
                if above is not None and total > above:
                    self._check_account(total)
                self._held[number] = usd + rest
            except errors.CostLimit as error:
                self._refusal = self._refusal or error
                raise
            finally:
                self._done.add(number)
                self.turn.notify_all()

    def approve(self, number: int, estimate: Estimate) -> Approval:
        """Allow one submit, out of what :meth:`check` holds for its recording, or else as that.

        Looked at once more: what was sent meanwhile may have cost more than was held for it.

        :raises CostLimit: if it does not fit, or one before it did not.
        """
        usd = pricing.countable_usd(estimate, self.rules) or 0.0
        with self.turn:
            rest = max(0.0, self._held.get(number, 0.0) - usd)
            self.check(number, estimate, rest=rest)
            self._held[number] = rest
            self.spent += usd
        return Approval(self, estimate.usd, usd)

    def passed(self, number: int) -> None:
        """Let the others go on: this recording needs no submit, failed before it, or has been approved already."""
        with self.turn:
            self._done.add(number)
            self.turn.notify_all()

    def _check_account(self, total: float) -> None:
        if self._account is None:
            self._account = self.balance(), self.spent  # which is gone from the balance
        balance, before = self._account
        wanted = total - before
        if balance is not None and balance < wanted:
            raise errors.CostLimit(
                f"The account has {errors.usd(balance)}, which is less than this would cost ({errors.usd(wanted)}). "
                f"Add funds at {errors.FUNDS_PAGE} and run the task again"
            )


@dataclass(frozen=True, slots=True)
class Approval:
    """The permission for one submit, without which no intent is recorded.

    :param estimated_usd: what it is expected to cost, None if unknown.
    """

    budget: Budget
    estimated_usd: float | None
    counted_usd: float

    def settle(self, usd: float | None) -> None:
        """Count what it has really cost; None keeps the estimate."""
        if usd is not None and usd >= 0:
            with self.budget.turn:
                self.budget.spent += usd - self.counted_usd
