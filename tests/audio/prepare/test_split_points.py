"""Where a recording is cut: always short enough, in silences whenever that can be."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.split_points import plan_split_points


@st.composite
def recordings(draw):
    """Length, silences in order, and the longest part allowed."""
    total = draw(st.floats(1, 40_000))
    edges = sorted(draw(st.lists(st.floats(0, total), max_size=60, unique=True)))
    silences = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=False) if end - start > 0.01]
    return total, silences, draw(st.floats(total / 30, total * 1.2))


def lengths(total, cuts):
    return [end - start for start, end in pairwise([0.0, *cuts, total])]


def is_silent(silences, moment):
    return any(start - 1e-6 <= moment <= end + 1e-6 for start, end in silences)


@given(recordings(), st.booleans())
def test_every_part_has_a_length_and_none_is_too_long(recording, with_levels):
    """Whatever the silences are, the service can take every part."""
    total, silences, longest = recording
    cuts = plan_split_points(total, silences, longest, quietest=(lambda low, _: low) if with_levels else None)
    assert all(0 < length <= longest * (1 + 1e-6) for length in lengths(total, cuts))


@given(recordings())
def test_there_are_as_few_parts_as_can_be_or_one_more(recording):
    """Every part is a request; more than one extra is never worth it."""
    total, silences, longest = recording
    assert len(plan_split_points(total, silences, longest)) + 1 in (
        max(1, ceil(total / longest - 1e-6)),
        max(1, ceil(total / longest - 1e-6)) + 1,
    )


@given(st.lists(st.tuples(st.floats(1, 12), st.floats(0.2, 3)), min_size=12, max_size=45))
def test_cuts_fall_into_silences_wherever_all_of_them_can(turns):
    """With a pause in every sixth of a part's length, one part more than the fewest is enough, and no word is cut."""
    position, silences = 0.0, []
    for speech, pause in turns:
        silences.append((position + speech, position + speech + pause))
        position += speech + pause
    total = position + 5
    cuts = plan_split_points(total, silences, max(100.0, total / 5))
    assert all(is_silent(silences, cut) for cut in cuts)


@given(st.floats(100, 2000), st.integers(2, 20))
def test_parts_are_balanced_where_there_is_silence_all_over(total, parts):
    """Nobody waits for one long part while short ones are done."""
    pauses = [(at * total / 400, (at + 0.3) * total / 400) for at in range(1, 400)]
    found = lengths(total, plan_split_points(total, pauses, total / parts * 1.01))
    assert max(found) - min(found) < total / parts * 0.1


def test_a_recording_that_is_short_enough_is_not_split():
    """A recording of exactly the allowed length is one part."""
    assert plan_split_points(1400.0, [(700.0, 701.0)], 1400.0) == []
    assert plan_split_points(0.0, [], 1400.0) == []


def test_a_cut_keeps_away_from_the_edges_of_its_silence():
    """The nearest packet boundary is still silent, and so is what a codec needs to start up."""
    (cut,) = plan_split_points(20.0, [(10.5, 12.0)], 15.0)
    assert cut == pytest.approx(10.75)


def test_long_silence_is_cut_where_it_balances_the_parts():
    """Half an hour of nothing offers every moment of it."""
    (cut,) = plan_split_points(2000.0, [(100.0, 1900.0)], 1500.0)
    assert cut == 1000.0


def test_one_more_part_is_worth_it_if_then_every_cut_is_silent():
    """Just over twice the length leaves a window of a second; a third part finds pauses instead."""
    cuts = plan_split_points(2799.0, [(900.0, 901.0), (1900.0, 1901.0)], 1400.0)
    assert cuts == [900.75, 1900.25]


def test_without_silences_the_least_loud_moment_nearby_is_cut_through():
    """Music or a monologue without a pause: one word may suffer, no more."""
    cuts = plan_split_points(300.0, [], 110.0, quietest=lambda low, _: low + 0.25)
    assert cuts == [95.25, 195.25]
    assert plan_split_points(300.0, [], 110.0) == [100.0, 200.0]


def test_silences_are_used_where_there_are_some():
    """One stretch without a pause does not spoil the other cuts."""
    cuts = plan_split_points(400.0, [(98.0, 99.0), (305.0, 306.0)], 140.0)
    assert sum(is_silent([(98.0, 99.0), (305.0, 306.0)], cut) for cut in cuts) >= 1
    assert max(lengths(400.0, cuts)) <= 140.0


def test_an_answer_outside_what_was_asked_for_is_not_believed():
    """Parts stay short enough even if the least loud moment is said to be elsewhere."""
    cuts = plan_split_points(300.0, [], 110.0, quietest=lambda _, high: high + 100)
    assert max(lengths(300.0, cuts)) <= 110.0


@pytest.mark.parametrize("longest", [0, -1, float("nan")])
def test_a_length_that_is_none_is_refused(longest):
    """No number of cuts would do."""
    with pytest.raises(InvalidInput, match="max_seconds must be a positive number"):
        plan_split_points(100.0, [], longest)
