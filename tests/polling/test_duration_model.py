"""How long a job takes, and how that is learned."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_nanostt.polling import SurvivalModel, expected_seconds
from airflow_provider_nanostt.polling.duration_model import log_bin


@pytest.mark.parametrize(
    ("minutes", "seconds"),
    [(0.0, 3.3), (1.0, 8.47), (8.0, 44.68), (16.0, 44.68), (180.0, 236.06), (None, 18.82)],
)
def test_the_published_formula_is_the_start(minutes, seconds):
    """Queue, overhead, and the audio at 11.6 times real time on up to four lanes of eight minutes."""
    assert expected_seconds(minutes) == pytest.approx(seconds, abs=0.01)


@given(st.floats(0.0, 1e9))
@example(math.nextafter(64.0, 0.0))
@example(math.nextafter(1 / 64, 1.0))
def test_every_ratio_has_its_place(ratio):
    """The scale is never left, whatever the ratio."""
    assert 0.0 <= log_bin(ratio) < 72.0


def test_before_anything_was_seen_the_formula_is_the_median():
    """Half of the jobs are expected to be done by the time the formula says."""
    assert SurvivalModel().done(0.0, 1.0) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_what_was_seen_to_finish_corrects_it(factor):
    """After some dozens of jobs, seen only between two questions, the median is near the truth."""
    chance, table = random.Random(1), SurvivalModel()
    for _ in range(80):
        truth = factor * math.exp(chance.gauss(0.0, 0.3))
        before = 0.0
        while True:
            now = before * 1.3 + 0.05
            if truth <= now:
                table.finished(log_bin(before), log_bin(now))
                break
            table.running(log_bin(before), log_bin(now))
            before = now
    table.refresh(1)
    assert table.done(0.0, factor * 0.75) < 0.5
    assert table.done(0.0, factor * 1.5) > 0.5


def test_jobs_that_still_run_count_too():
    """Jobs that only were seen to go on push the expectation up, though none has finished."""
    table = SurvivalModel()
    before = table.done(0.0, 2.0)
    for _ in range(50):
        table.running(0.0, log_bin(2.0))
    table.refresh(1)
    assert table.done(0.0, 2.0) < before


def test_it_is_rebuilt_only_when_enough_is_new():
    """What was heard counts once there is enough of it, since rebuilding costs more than hearing."""
    table = SurvivalModel()
    before = list(table.survival)
    table.running(0.0, log_bin(2.0))
    table.refresh(2)
    assert table.survival == before
    table.refresh(1)
    assert table.survival != before


seen = st.tuples(st.booleans(), st.floats(0.0, 70.0), st.floats(0.0, 70.0)).filter(lambda one: one[1] != one[2])


@given(st.lists(seen, max_size=60))
def test_whatever_is_heard_it_stays_a_distribution(answers):
    """Survival falls from one to nothing below zero, and poll_density only grows."""
    table = SurvivalModel()
    for done, one, other in answers:
        before, now = sorted((one, other))
        (table.finished if done else table.running)(before, now)
    table.refresh(0)
    assert table.survival[0] == 1.0
    assert all(0.0 <= after <= before for before, after in zip(table.survival, table.survival[1:], strict=False))
    assert all(after >= before for before, after in zip(table.poll_density, table.poll_density[1:], strict=False))
    for poll_density in (0.0, 0.3 * table.poll_density[-1], 2.0 * table.poll_density[-1]):
        assert 0.0 < table.ratio_at(poll_density) <= 64.0
