"""The estimate of a list: its sums, and the text that a person decides by."""

from __future__ import annotations

import pytest

from airflow_provider_nanostt.api.catalogue import Price
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.workflow.batch.list_estimate import ListEstimate
from airflow_provider_nanostt.workflow.pricing import CostRules, Estimate
from tests.workflow.batch.conftest import ASYNC, MINUTES, Batch
from tests.workflow.batch.conftest import PRICE as PRICES

PRICE = Price(0.01, "the catalogue")
HOSTILE = [
    "a|b | c.wav",
    "`code` and ``more``.wav",
    "[click](https://evil.example)\n\n# Approved by everybody\n| x | y |",
    "<img src=x onerror=alert(1)>",
    "https://evil.example/www.evil.example",
    "\u202egnp.exe\x1b[31m",
    "x" * 100_000,
]


def estimate(minutes: float | None, *, size: int | None = None, method: str = "upload") -> Estimate:
    return Estimate("a-model", minutes, PRICE, size, method)


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_a_name_is_only_a_name(name):
    """It stays in its cell, as code, whatever it is called; and a long one is cut."""
    text = ListEstimate(((name, estimate(5.0)),)).describe()
    (row,) = [line for line in text.splitlines() if line.endswith("| 5.0 | $0.05 |") and line.startswith("| `")]
    assert row.count("|") == 4
    assert row.count("`") == 2
    assert len(text) < 2_000
    assert all(character.isprintable() for character in row)


def test_a_list_of_any_length_has_a_text_of_bounded_length():
    """The dearest are named, the others counted."""
    many = tuple((f"call-{number}.wav", estimate(number / 10)) for number in range(20_000))
    text = ListEstimate(many).describe()
    assert "call-19999.wav" in text
    assert "and 19,990 more" in text
    assert len(text) < 2_000


def test_the_same_list_has_the_same_text():
    """In any order: a retry asks in the same words."""
    some = [(f"call-{number}.wav", estimate(1.0)) for number in range(30)]
    assert ListEstimate(tuple(some)).describe() == ListEstimate(tuple(reversed(some))).describe()


def test_each_way_has_its_sums():
    """Recordings, minutes and cost of those that are sent alike, and of all."""
    some = (("a", estimate(10.0)), ("b", estimate(20.0)), ("c", estimate(90.0, method="split")))
    text = ListEstimate(some).describe()
    assert "| uploaded as it is | 2 | 30.0 | $0.30 |" in text.replace("$0.3 ", "$0.30 ")
    assert "| split into parts | 1 | 90.0 | $0.9 |" in text
    assert "| **all** | 3 | 120.0 | $1.20 |" in text


@pytest.mark.parametrize(
    ("unknown_length", "new_usd", "unlimited"), [("worst", 0.02 + 0.01, 0), ("fail", 0.02, 0), ("allow", 0.02, 2)]
)
def test_how_an_unknown_length_counts(unknown_length, new_usd, unlimited):
    """As the longest by its size, not at all, or as what may cost anything."""
    some = (("a", estimate(2.0)), ("b", estimate(None, size=30_000)), ("c", estimate(None)))
    found = ListEstimate(some, rules=CostRules(unknown_length=unknown_length))
    assert found.new_usd == pytest.approx(new_usd)
    assert (found.unknown, found.unlimited) == (2, unlimited)
    assert found.needs_approval(50) == (unknown_length == "allow")


@pytest.mark.parametrize(
    ("usd", "limit", "asked"), [(10.0, None, 10.2), (0.001, None, 0.01), (10.0, 5.0, 5.0), (10.0, 10.1, 10.1)]
)
def test_what_is_approved_is_rounded_up(usd, limit, asked):
    """By two in a hundred, to a cent, and not above the limit that holds anyway."""
    found = ListEstimate((("a", estimate(usd * 100)),), rules=CostRules(limit))
    assert found.limit_usd == pytest.approx(asked)
    assert found.needs_approval(min(usd, limit or usd) - 0.0001)
    assert not found.needs_approval(min(usd, limit or usd))


def test_what_earlier_tries_have_spent_counts():
    """It is part of what is approved; alone it needs no approval."""
    found = ListEstimate((("a", estimate(100.0)),), earlier_usd=9.0)
    assert found.needs_approval(9.5)
    assert found.limit_usd == pytest.approx(10.2)
    assert not ListEstimate((), earlier_usd=9.0).needs_approval(1.0)


def test_the_hook_estimates_a_list(batch: Batch):
    """As a batch would ask for it, without a ledger; nothing is submitted."""
    audio = batch.recordings(3)
    batch.recording("other/long.wav")
    given = [
        f"{batch.folder}/call-*.wav",
        audio[0],
        {"audio": str(batch.folder / "other/long.wav"), "actual_duration": 10},
        str(batch.folder / "missing.wav"),
        f"{batch.folder}/*.ogg",
    ]
    found = NanoGPTHook().estimate_list(given, model=ASYNC, actual_duration=MINUTES)
    assert found.new_usd == pytest.approx(3 * PRICES[ASYNC] + 0.03 * 10)
    assert found.free == {"duplicate": 1, "failed": 1, "no_match": 1}
    assert "on transcribing 4 recordings" in found.subject
    assert batch.submits == 0
