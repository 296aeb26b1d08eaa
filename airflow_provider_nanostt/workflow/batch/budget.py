"""What a whole batch may cost: files are approved one after the other in their order, however many are at work at once.

So which files a limit leaves out does not depend on which thread was quicker.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.workflow import pricing

if TYPE_CHECKING:
    from airflow_provider_nanostt.workflow.pricing import Estimate


class BatchBudget:
    """Counts what a batch costs, and says no from the first file that would exceed the limit.

    Each file's number must come to :meth:`approve` or :meth:`passed`; numbers wait for those before them.

    :param max_cost: USD for the whole batch; None for no limit.
    :param unknown: as in :func:`~airflow_provider_nanostt.workflow.pricing.check_limit`.
    :param check_balance_above: USD; once what is about to be spent comes to more, the account must have it.

    ``balance`` is what the account has, USD; None if that could not be told. ``spent`` is what earlier attempts of the
    batch have cost and this one will, USD; whoever knows of the former sets it before the first file comes.
    """

    def __init__(
        self, max_cost: float | None = None, unknown: str = "worst", check_balance_above: float | None = None
    ) -> None:
        pricing.check_budget(max_cost, unknown, check_balance_above)
        self._max_cost = max_cost
        self._unknown = unknown
        self._above = check_balance_above
        self.balance: float | None = None
        self.spent = 0.0
        self._new = 0.0
        self._turn = threading.Condition()
        self._next = 0
        self._done: set[int] = set()
        self._refusal: errors.CostLimit | None = None

    @property
    def is_limited(self) -> bool:
        """Whether it matters what earlier attempts have cost."""
        return self._max_cost is not None

    def approve(self, number: int, estimate: Estimate) -> None:
        """Wait for this file's turn, and count what it will likely cost; a second time, nothing happens.

        :raises CostLimit: if it does not fit, or one before it did not.
        """
        with self._turn:
            while self._next < number:
                self._turn.wait()
            if self._next > number or number in self._done:
                return
            try:
                self._check(estimate)
                self._new += self._likely(estimate)
                self.spent += self._likely(estimate)
            finally:
                self._pass(number)

    def refuses(self, usd: float) -> errors.CostLimit | None:
        """Count what will certainly cost so much; return why not if it does not fit."""
        with self._turn:
            if self._refusal is None and self._max_cost is not None and self.spent + usd > self._max_cost:
                self._refusal = errors.CostLimit(
                    f"max_cost is {errors.usd(self._max_cost)}, and the batch has come to {errors.usd(self.spent)} "
                    f"before this, which costs {errors.usd(usd)}"
                )
            if self._refusal is None:
                self.spent += usd
            return self._refusal

    def passed(self, number: int) -> None:
        """Let the others go on: this file needs no submit, failed before it, or has been approved already."""
        with self._turn:
            if number >= self._next and number not in self._done:
                self._pass(number)

    def _check(self, estimate: Estimate) -> None:
        if self._refusal is not None:
            raise errors.CostLimit(f"The batch stopped before this: {self._refusal}")
        try:
            pricing.check_limit(
                estimate,
                max_cost=self._max_cost,
                unknown=self._unknown,
                spent=self.spent,
                on="recordings before it and earlier attempts",
            )
            self._check_balance(self._new + self._likely(estimate))
        except errors.CostLimit as error:
            self._refusal = error
            raise

    def _check_balance(self, total: float) -> None:
        if self._above is not None and self.balance is not None and self.balance < total > self._above:
            raise errors.CostLimit(
                f"The account has {errors.usd(self.balance)}, which is less than the batch would cost up to here "
                f"({errors.usd(total)}). Add funds at {errors.FUNDS_PAGE} and clear the task"
            )

    def _likely(self, estimate: Estimate) -> float:
        usd = estimate.worst_usd if estimate.usd is None and self._unknown == "worst" else estimate.usd
        return usd or 0.0

    def _pass(self, number: int) -> None:
        self._done.add(number)
        while self._next in self._done:
            self._done.remove(self._next)
            self._next += 1
        self._turn.notify_all()
