"""Histories of an account, its figures late or false: an uncertain submit that was charged is never taken for free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from airflow_provider_nanostt.api.models import UsageRow
from airflow_provider_nanostt.ledger.usage_snapshot import UsageSnapshot
from airflow_provider_nanostt.workflow.verify import (
    CLOCK_SKEW_SECONDS,
    SETTLE_SECONDS,
    Figures,
    KnownCharge,
    Verdict,
    compare,
)

BEFORE = datetime(2026, 5, 4, 23, 50, tzinfo=UTC).timestamp()
"""When the figures before are asked for; midnight comes soon after."""
NOW = BEFORE + 3600 + SETTLE_SECONDS
FIRST_DAY = date(2026, 5, 3)
OURS, ANOTHER = "1", "2"
"""Two keys of one account: both take from its balance, and each has a usage of its own."""
COSTS = st.sampled_from([0.015, 0.03])  # few, so that charges look alike
MODELS = st.sampled_from(["a", "b"])
LATER = st.sampled_from([1.0, 100.0, 900.0, 3000.0])  # seconds


@dataclass(frozen=True)
class Charge:
    """What the service has really done: USD taken, and perhaps given back, at a time."""

    at: float
    cost: float
    model: str
    key: str = OURS
    refunded: float = 0.0


@dataclass(frozen=True)
class Clerk:
    """How a figure is made: how late it is, and which charges, by their places, it never shows."""

    delay: float = 0.0
    hidden: frozenset[int] = frozenset()

    @property
    def is_honest(self) -> bool:
        return self.delay <= SETTLE_SECONDS and not self.hidden

    def shown(self, charges: Iterable[Charge], at: float) -> list[Charge]:
        return [one for place, one in enumerate(charges) if one.at <= at - self.delay and place not in self.hidden]


@dataclass(frozen=True)
class History:
    """Everything that has happened, and what the ledger knows of it."""

    uncertain: list[tuple[float, bool]]
    """What each uncertain submit costs, and whether it was charged."""
    charges: list[Charge] = field(default_factory=list)
    known: list[KnownCharge] = field(default_factory=list)
    deposits: list[tuple[float, float]] = field(default_factory=list)
    usage: Clerk = Clerk()
    balance: Clerk = Clerk()

    def figures(self, at: float) -> Figures:
        money = 100.0 + sum(usd for when, usd in self.deposits if when <= at)
        money -= sum(one.cost - one.refunded for one in self.balance.shown(self.charges, at))
        groups: dict[tuple[str, str], list[Charge]] = {}
        for one in self.usage.shown(self.charges, at):
            if one.key == OURS:
                day = datetime.fromtimestamp(one.at, UTC).date().isoformat()
                groups.setdefault((day, f"The model {one.model}"), []).append(one)
        rows = tuple(
            UsageRow(*label, len(group), *(round(sum(column), 6) for column in columns(group)))
            for label, group in sorted(groups.items())
        )
        return Figures(round(money, 8), UsageSnapshot(at, OURS, FIRST_DAY, rows))

    def verdict(self) -> Verdict:
        likely = [cost for cost, _ in self.uncertain]
        return compare(self.figures(BEFORE), self.figures(NOW), likely, self.known)


def columns(charges: list[Charge]) -> tuple[list[float], list[float]]:
    return [one.cost for one in charges], [one.refunded for one in charges]


@st.composite
def recorded(draw, number: int) -> tuple[Charge | None, list[KnownCharge]]:
    """A charge that a record has: of the same try, of another machine, of before, of another key, another account."""
    sorts = ["same try", "same try", "another machine", "before", "another key", "another account"]
    sort, cost, model = draw(st.sampled_from(sorts)), draw(COSTS), draw(MODELS)
    at = BEFORE + draw(LATER) if sort != "before" else BEFORE - draw(st.sampled_from([1, 50]))
    key = ANOTHER if sort in ("another key", "another account") else OURS
    if sort == "same try":
        known = KnownCharge(f"run-{number}", at, cost, model, key, BEFORE)
    else:
        said = at + draw(st.sampled_from([-1, 0, 1])) * CLOCK_SKEW_SECONDS
        known = KnownCharge(f"run-{number}", said, cost, model, key, said - 1.5)
    charge = Charge(at, cost, model, key, refunded=draw(st.sampled_from([0.0, 0.0, cost])))
    return None if sort == "another account" else charge, [known] * draw(st.sampled_from([1, 1, 2]))


@st.composite
def clerks(draw, count: int) -> Clerk:
    """One who is in time, one who is late beyond any wait, or one who hides charges."""
    sort = draw(st.sampled_from(["honest", "honest", "late", "hides"]))
    delay = draw(st.sampled_from([0.0, SETTLE_SECONDS] if sort != "late" else [SETTLE_SECONDS + 1, 2000.0, 10.0**5]))
    hides = sort == "hides" and count > 0
    return Clerk(delay, frozenset(draw(st.sets(st.integers(0, count - 1), min_size=1)) if hides else ()))


@st.composite
def histories(draw) -> History:
    uncertain = draw(st.lists(st.tuples(COSTS, st.booleans()), min_size=1, max_size=2))
    charges = [Charge(BEFORE + draw(LATER), cost, draw(MODELS)) for cost, is_charged in uncertain if is_charged]
    known: list[KnownCharge] = []
    for number in range(draw(st.integers(0, 2))):
        charge, records = draw(recorded(number))
        charges += [charge] if charge else []
        known += records
    if draw(st.integers(0, 4)) == 0:  # somebody else
        at = BEFORE + draw(st.sampled_from([-100, 100]))
        charges.append(Charge(at, draw(COSTS), draw(MODELS), draw(st.sampled_from([OURS, ANOTHER]))))
    deposits = [(BEFORE + draw(LATER), draw(COSTS))] if draw(st.integers(0, 4)) == 0 else []
    clerk = clerks(len(charges))
    return History(uncertain, charges, known, deposits, draw(clerk), draw(clerk))


@settings(max_examples=2000)
@given(histories())
def test_what_was_charged_is_never_taken_for_free(history: History):
    """As long as one of the two figures can show it: late by less than the wait, true, and with no money added."""
    is_charged = any(is_charged for _, is_charged in history.uncertain)
    shown = history.usage.shown(history.charges, NOW)
    is_added = bool(history.deposits) or any(
        one.refunded and (one.key != OURS or one not in shown) for one in history.charges
    )
    shows = history.usage.is_honest or (history.balance.is_honest and not is_added)
    verdict = history.verdict()
    event(f"charged {is_charged}, can be shown {shows}, free {verdict.is_free}")
    assert not (verdict.is_free and is_charged and shows), verdict.reason


@settings(max_examples=500)
@given(histories())
def test_an_account_of_ones_own_is_decided(history: History):
    """With true figures, and charges of the same try alone, what was not charged is free."""
    known = [one for one in history.known if one.compared_at == BEFORE]
    charges = [Charge(one.at, one.cost, one.model) for one in {one.id: one for one in known}.values()]
    uncertain = [(cost, False) for cost, _ in history.uncertain]
    verdict = History(uncertain, charges, known).verdict()
    assert verdict.is_free, verdict.reason


@given(histories())
def test_somebody_else_is_never_overlooked(history: History):
    """A charge of the same key that no record explains leaves nothing decided, if the figures are true."""
    other = Charge(BEFORE + 100, 0.02, "a")
    alone = replace(history, charges=[*history.charges, other], usage=Clerk(), balance=Clerk())
    assert not alone.verdict().is_free


FREE = History([(0.015, False)])


def test_the_figures_are_told():
    """Whatever the verdict is."""
    one = Charge(BEFORE + 5, 0.015, "a")
    known = KnownCharge("run-1", BEFORE + 5, 0.015, "a", OURS, BEFORE)
    assert FREE.verdict().is_free
    verdict = replace(FREE, charges=[one, one], known=[known], deposits=[(BEFORE + 9, 1.0)]).verdict()
    assert not verdict.is_free
    told = (
        "fell by -$0.97 and the key's usage rose by 2 requests and $0.03 ($0 refunded); the ledger explains 1 requests"
    )
    assert told in verdict.reason


@pytest.mark.parametrize(
    ("likely", "words"),
    [
        ([None], "not known"),
        ([0.015, None], "not known"),
        ([0.0], "too small"),
        ([0.015, 1e-6], "too small"),
        ([9e-6], "too small"),
    ],
)
def test_a_charge_that_could_not_show_is_not_looked_for(likely, words):
    """A likely cost that is unknown or lost in rounding decides nothing."""
    verdict = compare(FREE.figures(BEFORE), FREE.figures(NOW), likely, [])
    assert (verdict.is_free, words in verdict.reason) == (False, True)


def test_models_are_told_apart():
    """What is known of one model explains nothing of another, though their labels are the service's."""
    known = [KnownCharge(f"run-{number}", BEFORE + 5, 0.015, "a", OURS, BEFORE) for number in (1, 2)]
    charges = [Charge(BEFORE + 5, 0.015, model) for model in ("a", "a", "b")]
    assert replace(FREE, charges=charges[:2], known=known).verdict().is_free
    assert not replace(FREE, charges=charges[1:], known=known).verdict().is_free


def test_a_refund_hides_no_charge():
    """Money that came back for another job fills the gap in the balance that the charge has left."""
    known = [KnownCharge("run-1", BEFORE + 5, 0.015, "a", OURS, BEFORE)]
    charges = [Charge(BEFORE + 5, 0.015, "a", refunded=0.015), Charge(BEFORE + 6, 0.015, "a")]
    for usage in (Clerk(), Clerk(hidden=frozenset([1]))):
        assert not replace(FREE, charges=charges, known=known, usage=usage).verdict().is_free


def test_another_key_decides_nothing():
    """Its usage is its own."""
    now = FREE.figures(NOW)
    other = replace(now, usage=replace(now.usage, key=ANOTHER))
    assert "not the one" in compare(FREE.figures(BEFORE), other, [0.015], []).reason


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (UsageRow("2026-05-04", "m", 1, 0.5, 0.0),),
        (UsageRow("2026-05-04", "m", 2, 0.4, 0.0),),
        (UsageRow("2026-05-04", "m", 2, 0.5, 0.0),),
        (UsageRow("2026-05-04", "n", 2, 0.5, 0.1),),
    ],
)
def test_a_usage_that_shrinks_is_not_believed(rows):
    """A day and model that had more before makes the whole usage worthless."""
    before, now = FREE.figures(BEFORE), FREE.figures(NOW)
    before = replace(before, usage=replace(before.usage, rows=(UsageRow("2026-05-04", "m", 2, 0.5, 0.1),)))
    now = replace(now, usage=replace(now.usage, rows=rows))
    assert "less than before" in compare(before, now, [0.015], []).reason
