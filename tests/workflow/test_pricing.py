"""What a transcription will cost, before it is paid for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api.catalogue import Price
from airflow_provider_nanostt.api.errors import CostLimit
from airflow_provider_nanostt.workflow.pricing import CostRules, Estimate, check_limit

TWO_CENTS = Price(0.02, "the connection")


def test_an_estimate_is_minutes_times_price():
    """The figure and what it is made of are in one line."""
    estimate = Estimate("M", 30.0, TWO_CENTS)
    assert estimate.usd == pytest.approx(0.6)
    assert estimate.describe() == "30.00 min x $0.02/min for M (price from the connection) = $0.6"


def test_what_is_unknown_stays_unknown():
    """Without a length or a price there is no figure, and the words say what is missing."""
    assert Estimate("M", None, TWO_CENTS).usd is None
    assert Estimate("M", 3.0, Price(None, "nobody")).usd is None
    assert "unknown length" in Estimate("M", None, TWO_CENTS).describe()
    assert Estimate("M", 3.0, Price(None, "nobody")).describe() == "3.00 min x unknown price for M = an unknown amount"


def test_the_worst_case_follows_from_the_size():
    """Three megabytes hold at most 100 minutes of anything that is still speech."""
    assert Estimate("M", None, TWO_CENTS, size=3_000_000).worst_usd == pytest.approx(2.0)
    assert Estimate("M", 1.0, TWO_CENTS, size=3_000_000).worst_usd == pytest.approx(0.02)
    assert Estimate("M", None, TWO_CENTS).worst_usd is None


@pytest.mark.parametrize(
    ("estimate", "unknown", "words"),
    [
        (Estimate("M", 30.0, TWO_CENTS), "worst", r"more than max_cost_usd = \$0.5: 30.00 min"),
        (Estimate("M", None, TWO_CENTS, size=3_000_000), "worst", r"up to \$2.00"),
        (Estimate("M", None, TWO_CENTS, size=3_000_000), "fail", "the cost is unknown"),
        (Estimate("M", None, TWO_CENTS), "worst", "the cost is unknown"),
        (Estimate("M", 1.0, Price(None, "nobody")), "worst", "the cost is unknown"),
    ],
)
def test_too_much_is_refused_with_the_figures(estimate, unknown, words):
    """A limit that would be passed, or may be, is a refusal that shows the sum."""
    with pytest.raises(CostLimit, match=words):
        check_limit(estimate, CostRules(0.5, unknown), spent=0.0)


def test_a_limit_counts_the_highest_price_seen():
    """Where a price is not certain, what it may be at most is refused, with both figures and who says so."""
    price = Price(0.01, "the table of May", 0.05, "the pages of June")
    estimate = Estimate("M", 10.0, price)
    assert (estimate.usd, estimate.worst_usd) == (pytest.approx(0.1), pytest.approx(0.5))
    check_limit(estimate, CostRules(0.5), spent=0.0)
    words = r"not certain.*max_cost_usd = \$0\.4: .*the table of May.*at most \$0\.5.*\$0\.05/min, the pages of June"
    with pytest.raises(CostLimit, match=words):
        check_limit(estimate, CostRules(0.4), spent=0.0)


def test_a_model_without_any_price_counts_as_the_dearest():
    """It is not refused for that alone; a limit that the dearest model would pass refuses it."""
    estimate = Estimate("M", 1.0, Price(None, "nobody", 0.1, "another model"))
    assert estimate.usd is None
    for rule in ("worst", "fail", "allow"):
        check_limit(estimate, CostRules(0.1, rule), spent=0.0)
        with pytest.raises(CostLimit, match=r"unknown price.*another model"):
            check_limit(estimate, CostRules(0.09, rule), spent=0.0)


@pytest.mark.parametrize(
    ("estimate", "limit", "unknown"),
    [
        (Estimate("M", 25.0, TWO_CENTS), 0.5, "worst"),
        (Estimate("M", None, TWO_CENTS, size=300_000), 0.5, "worst"),
        (Estimate("M", None, TWO_CENTS), 0.5, "allow"),
        (Estimate("M", 1e6, TWO_CENTS), None, "fail"),
    ],
)
def test_what_is_within_the_limit_passes(estimate, limit, unknown):
    """The limit itself is allowed, and without a limit everything is."""
    check_limit(estimate, CostRules(limit, unknown), spent=0.0)


def test_what_was_spent_before_is_in_the_message():
    """A limit that is passed only by what earlier submits have cost says so."""
    check_limit(Estimate("M", 20.0, TWO_CENTS), CostRules(0.5), spent=0.1)
    with pytest.raises(CostLimit, match=r"\$0\.11 went to earlier submits"):
        check_limit(Estimate("M", 20.0, TWO_CENTS), CostRules(0.5), spent=0.11)


@given(minutes=st.floats(0.001, 1e5), price=st.floats(1e-5, 1.0), limit=st.floats(1e-4, 1e3), spent=st.floats(0, 1e3))
def test_the_limit_is_never_passed_silently(minutes, price, limit, spent):
    """Whatever the figures, what is spent and the estimate are within the limit together, or it is refused."""
    estimate = Estimate("M", minutes, Price(price, "x"))
    try:
        check_limit(estimate, CostRules(limit), spent=spent)
    except CostLimit:
        assert minutes * price + spent > limit
    else:
        assert minutes * price + spent <= limit + 1e-9
