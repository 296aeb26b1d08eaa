"""Which files a limit leaves out: the same ones, however many threads are at work."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_nanostt.api.errors import CostLimit, InvalidInput
from airflow_provider_nanostt.workflow.batch import BatchBudget
from airflow_provider_nanostt.workflow.pricing import Estimate, Price

PRICE = Price(0.01, "the built-in table")


def of(minutes: float | None, size: int | None = None) -> Estimate:
    return Estimate("any", minutes, PRICE, size)


def refused(budget: BatchBudget, *minutes: float | None) -> list[int]:
    """Which of some recordings are refused, one after the other."""
    out = []
    for number, one in enumerate(minutes):
        try:
            budget.approve(number, of(one))
        except CostLimit:
            out.append(number)
    return out


def test_it_stops_at_the_first_that_does_not_fit():
    """What comes after is left, too, even if it would fit: a batch ends in one place."""
    assert refused(BatchBudget(0.5), 20, 30, 1, 1) == [2, 3]
    assert refused(BatchBudget(0.5), 20, 31, 1) == [1, 2]
    assert refused(BatchBudget(None), 1e6) == []
    assert refused(BatchBudget(0.0), 1) == [0]


def test_the_messages_tell_of_the_limit_and_of_what_was_spent():
    """The one that did not fit is told its figures; those after it, that the batch stopped."""
    budget = BatchBudget(0.5)
    budget.approve(0, of(40))
    with pytest.raises(CostLimit, match=r"max_cost = \$0\.5: 20\.00 min.*\$0\.4 went to recordings before it"):
        budget.approve(1, of(20))
    with pytest.raises(CostLimit, match="The batch stopped before this: This would cost more"):
        budget.approve(2, of(1))


def test_what_earlier_attempts_have_cost_counts():
    """A retry has what is left of the limit, not the whole of it."""
    budget = BatchBudget(0.5)
    budget.spent = 0.45
    assert refused(budget, 5, 1) == [1]


def test_approving_twice_counts_once():
    """A recording that is looked at twice before its submit is one recording."""
    budget = BatchBudget(0.5)
    budget.approve(0, of(30))
    budget.approve(0, of(30))
    budget.approve(1, of(20))
    assert budget.spent == pytest.approx(0.5)


def test_those_that_need_no_submit_let_the_others_go_on():
    """Found, failed and repeated items are passed over, in any order."""
    budget = BatchBudget(0.5)
    for number in (3, 1, 0):
        budget.passed(number)
    budget.approve(2, of(50))
    budget.passed(2)
    with pytest.raises(CostLimit):
        budget.approve(4, of(1))


@pytest.mark.parametrize(
    ("unknown", "size", "not_started"), [("allow", None, []), ("fail", 100, [0]), ("worst", 3_000, []), ("worst", 30_000, [0])]
)
def test_recordings_of_unknown_length(unknown, size, left):
    """They count with the longest their size allows, or are refused, or pass, as the user says."""
    budget = BatchBudget(0.001, unknown)
    try:
        budget.approve(0, of(None, size))
        out = []
    except CostLimit:
        out = [0]
    assert out == left


def test_the_balance_is_for_the_whole_batch():
    """Once what is about to be spent is worth asking for, the account must have it."""
    budget = BatchBudget(check_balance_above=0.2)
    budget.balance = 0.35
    budget.approve(0, of(30))
    with pytest.raises(CostLimit, match=r"The account has \$0\.35.*\$0\.4.*nano-gpt\.com"):
        budget.approve(1, of(10))
    rich = BatchBudget(check_balance_above=None)
    rich.balance = 0.0
    assert refused(rich, 1000) == []


@pytest.mark.parametrize("arguments", [(-1,), (1, "often"), (None, "worst", float("nan"))])
def test_a_budget_that_means_nothing_is_refused(arguments):
    """The mistake is named before any file is looked at."""
    with pytest.raises(InvalidInput):
        BatchBudget(*arguments)


@pytest.mark.parametrize("seed", range(3))
def test_threads_do_not_change_which_are_left(seed):
    """Whichever thread is quicker, files are approved in their order."""
    sure = random.Random(seed)
    pauses = [sure.random() / 200 for _ in range(40)]
    budget = BatchBudget(0.205)

    def approve(number: int) -> bool:
        time.sleep(pauses[number])
        try:
            if number % 5 == 0:
                return True
            budget.approve(number, of(1))
        except CostLimit:
            return False
        finally:
            budget.passed(number)
        return True

    with ThreadPoolExecutor(8) as pool:
        approved = list(pool.map(approve, range(40)))
    assert approved == [number < 25 or number % 5 == 0 for number in range(40)]
