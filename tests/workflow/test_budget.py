"""Which recordings a limit leaves out: the same ones, however many threads are at work; every submit passes it."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_nanostt.api.catalogue import Price
from airflow_provider_nanostt.api.errors import AuthError, CostLimit
from airflow_provider_nanostt.workflow.budget import Budget
from airflow_provider_nanostt.workflow.pricing import CostRules, Estimate

PRICE = Price(0.01, "the built-in table")


def of(minutes: float | None, size: int | None = None) -> Estimate:
    return Estimate("any", minutes, PRICE, size)


def budget(max_usd: float | None = None, unknown: str = "worst", **balance) -> Budget:
    """A budget whose account is never asked, unless the arguments say what it has."""
    return Budget(CostRules(max_usd, unknown, balance.get("above")), lambda: balance.get("has"))


def refused(limited: Budget, *minutes: float | None) -> list[int]:
    """Which of some recordings are refused, one after the other."""
    out = []
    for number, one in enumerate(minutes):
        try:
            limited.check(number, of(one))
            limited.approve(number, of(one))
        except CostLimit:
            out.append(number)
    return out


def test_it_stops_at_the_first_that_does_not_fit():
    """Those after it are left out, too, even if they would fit: a batch ends in one place."""
    assert refused(budget(0.5), 20, 30, 1, 1) == [2, 3]
    assert refused(budget(0.5), 20, 31, 1) == [1, 2]
    assert refused(budget(None), 1e6) == []
    assert refused(budget(0.0), 1) == [0]


def test_the_messages_have_the_limit_and_what_was_spent():
    """The one that did not fit has its figures, what is kept apart from what is spent; those after it are stopped."""
    limited = budget(0.5)
    limited.approve(0, of(10))
    limited.check(1, of(30))
    figures = r"\$0\.1 went to earlier submits; \$0\.3 is kept for submits that are still to come$"
    with pytest.raises(CostLimit, match=rf"max_cost_usd = \$0\.5: 20\.00 min.*{figures}"):
        limited.check(2, of(20))
    with pytest.raises(CostLimit, match="The batch stopped before this: This would cost more"):
        limited.check(3, of(1))


def test_nothing_is_said_to_be_spent_that_is_only_kept():
    """Before the first submit nothing went anywhere."""
    limited = budget(0.5)
    limited.check(0, of(40))
    with pytest.raises(CostLimit, match=r"\$0\.4 is kept") as caught:
        limited.check(1, of(20))
    assert "went to" not in str(caught.value)


def test_what_earlier_attempts_have_cost_counts():
    """A retry has what is left of the limit, not the whole of it."""
    limited = budget(0.5)
    limited.add_earlier(0.45)
    assert refused(limited, 5, 1) == [1]


def test_checking_twice_counts_once():
    """A recording that is looked at twice before its submit is one recording."""
    limited = budget(0.5)
    limited.check(0, of(30))
    limited.check(0, of(30))
    limited.approve(0, of(30))
    limited.check(1, of(20))
    with pytest.raises(CostLimit):
        limited.check(2, of(0.1))


@pytest.mark.parametrize("checked", [True, False])
def test_the_parts_of_a_recording_share_its_approval(checked):
    """Each submit of a part uses up what its recording holds; one more than there are parts does not fit."""
    limited = budget(8.0)
    if checked:
        limited.check(0, of(800))
    for _ in range(2):
        limited.approve(0, of(400))
    with pytest.raises(CostLimit, match=r"\$8\.00 went to earlier submits"):
        limited.approve(0, of(400))


def test_a_submit_that_was_not_charged_gives_its_money_back():
    """The next one has the whole limit."""
    limited = budget(0.5)
    limited.approve(0, of(50)).settle(0.0)
    limited.approve(0, of(50))


def test_what_a_submit_has_really_cost_counts():
    """More than expected leaves less for the others; an unknown or absurd amount keeps the estimate."""
    limited = budget(0.5)
    limited.approve(0, of(20)).settle(0.4)
    limited.approve(1, of(5)).settle(None)
    limited.approve(2, of(5)).settle(-9.0)
    with pytest.raises(CostLimit):
        limited.approve(3, of(1))


def test_a_submit_is_refused_once_the_others_have_cost_more_than_was_held():
    """Also one that was looked at before that was known, as it is while recordings are prepared; and all after it."""
    limited = budget(0.5)
    limited.check(0, of(20))
    limited.check(1, of(20))
    limited.approve(0, of(20)).settle(0.45)
    with pytest.raises(CostLimit, match=r"20\.00 min.*\$0\.45 went to earlier submits$"):
        limited.approve(1, of(20))
    assert refused(limited, *[None] * 2, 1) == [0, 1, 2]


def test_a_part_is_refused_once_the_others_have_cost_too_much():
    """What is kept for the parts to come counts: half a recording is worth nothing."""
    limited = budget(0.5)
    limited.check(0, of(45))
    limited.approve(0, of(15)).settle(0.25)
    with pytest.raises(CostLimit, match=r"\$0\.25 went to earlier submits; \$0\.15 is kept"):
        limited.approve(0, of(15))


def test_a_length_that_may_be_anything_is_stopped_by_what_was_charged():
    """Nothing is held for it, but the next one is refused when the limit is passed."""
    limited = budget(0.5, "allow")
    limited.approve(0, of(None)).settle(0.4)
    limited.approve(1, of(None)).settle(0.2)
    with pytest.raises(CostLimit, match=r"max_cost_usd is \$0\.5, and nothing is left of it; \$0\.6 went to"):
        limited.approve(2, of(None))


def test_those_that_need_no_submit_let_the_others_go_on():
    """Found, failed and repeated items are passed over, in any order."""
    limited = budget(0.5)
    for number in (3, 1, 0):
        limited.passed(number)
    limited.check(2, of(50))
    limited.passed(2)
    with pytest.raises(CostLimit):
        limited.check(4, of(1))


@pytest.mark.parametrize(
    ("unknown", "size", "left"), [("allow", None, []), ("fail", 100, [0]), ("worst", 3_000, []), ("worst", 30_000, [0])]
)
def test_recordings_of_unknown_length(unknown, size, left):
    """They count with the longest their size allows, or are refused, or pass, as the user says."""
    try:
        budget(0.001, unknown).approve(0, of(None, size))
        out = []
    except CostLimit:
        out = [0]
    assert out == left


def test_the_balance_is_for_the_whole_task():
    """Once the money to be spent is worth a request, the account must have it."""
    limited = budget(above=0.2, has=0.35)
    limited.check(0, of(30))
    with pytest.raises(CostLimit, match=r"The account has \$0\.35.*\$0\.4.*nano-gpt\.com"):
        limited.check(1, of(10))
    assert refused(budget(above=None, has=0.0), 1000) == []
    assert refused(budget(above=0.0, has=None), 1000) == []


def test_the_balance_is_asked_for_once_and_only_if_it_matters():
    """A request for each of a thousand recordings would be a thousand too many."""
    asked: list[None] = []
    limited = Budget(CostRules(check_balance_above=0.2), lambda: asked.append(None) or 100.0)
    limited.check(0, of(20))
    assert asked == []
    for number in range(1, 9):
        limited.check(number, of(20))
    assert len(asked) == 1


def test_what_was_spent_before_the_account_was_asked_is_gone_from_it():
    """It is not counted twice: what is left is enough for the next."""
    limited = budget(above=of(20).usd * 1.5, has=of(20).usd * 1.5)
    assert refused(limited, 20, 20, 20) == [2]


def test_a_refused_key_is_no_unknown_balance():
    """An error of the account's answer ends it, and the others wait for nobody."""

    def wrong_key() -> float | None:
        raise AuthError("wrong key", status=401)

    limited = Budget(CostRules(check_balance_above=0.0), wrong_key)
    for number in range(2):
        with pytest.raises(AuthError):
            limited.check(number, of(1))


@pytest.mark.parametrize("seed", range(3))
def test_threads_do_not_change_which_are_left(seed):
    """Whichever thread is quicker, recordings are approved in their order."""
    sure = random.Random(seed)
    pauses = [sure.random() / 200 for _ in range(40)]
    limited = budget(0.205)

    def approve(number: int) -> bool:
        time.sleep(pauses[number])
        try:
            if number % 5 == 0:
                return True
            limited.check(number, of(1))
            limited.approve(number, of(1))
        except CostLimit:
            return False
        finally:
            limited.passed(number)
        return True

    with ThreadPoolExecutor(8) as pool:
        approved = list(pool.map(approve, range(40)))
    assert approved == [number < 25 or number % 5 == 0 for number in range(40)]
