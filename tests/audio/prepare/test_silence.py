"""Where nobody speaks in a recording."""

from __future__ import annotations

import io
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.audio.prepare.silence import PER_SECOND, Loudness, measure_loudness
from tests.audio.sounds import RATE, encoded, hiss, note, talk, wav


def overlap(found, pause):
    return max((min(pause[1], end) - max(pause[0], start) for start, end in found), default=0.0)


@pytest.mark.parametrize("noise", [0, 40, 400])
def test_pauses_are_found_and_speech_is_not(noise):
    """Pauses of a second, in digital silence or on a hissing line; what is found lies where the pauses are."""
    spoken, pauses = talk(4)
    line = hiss(len(spoken) / RATE, noise)
    noisy = array("h", (max(-32768, min(32767, a + b)) for a, b in zip(spoken, line, strict=True)))
    found = measure_loudness(io.BytesIO(wav(noisy))).silences()
    assert all(overlap(found, pause) > 0.8 for pause in pauses)
    quiet = [abs(value) for value in note()]
    for start, end in found:
        middle = (start + end) / 2 % (len(note()) / RATE + 1)
        if middle < len(note()) / RATE:  # a pause between two sentences of the note itself
            assert max(quiet[int((middle - 0.1) * RATE) : int((middle + 0.1) * RATE)] or [0]) < 1000
        assert end - start >= 0.25


def test_a_quiet_speaker_after_a_loud_one_is_not_taken_for_silence():
    """What is loud is decided minute by minute, so half an hour at the far end of the table stays speech."""
    spoken, _ = talk(6)
    quiet = array("h", (value // 30 for value in spoken))
    found = measure_loudness(io.BytesIO(wav(spoken + quiet))).silences()
    begin = len(spoken) / RATE
    silent = sum(end - max(start, begin + 60) for start, end in found if end > begin + 60)
    assert silent < 0.5 * (begin - 60)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100])
def test_levels_do_not_drift_at_any_rate(rate):
    """After minutes, the levels are as long as the sound."""
    recording = wav(array("h", bytes(2 * 120 * rate)), rate=rate)
    found = measure_loudness(io.BytesIO(recording))
    assert len(found.levels) == 120 * PER_SECOND
    assert found.seconds == pytest.approx(120)
    assert found.silences() == [(0.0, pytest.approx(120))]


def test_levels_follow_a_rate_that_changes_on_the_way():
    """Files laid end to end are measured to the end."""
    recording = encoded(note(), "libmp3lame", "mp3", rate=16_000) + encoded(note(), "libmp3lame", "mp3", rate=44_100)
    found = measure_loudness(io.BytesIO(recording))
    assert len(found.levels) / PER_SECOND == pytest.approx(found.seconds, abs=0.1)
    assert found.seconds == pytest.approx(2 * len(note()) / RATE, abs=0.3)


def test_progress_is_reported():
    """Every ten seconds of sound."""
    reported = []
    measure_loudness(io.BytesIO(wav(talk(3)[0])), progress=reported.append)
    assert [round(seconds) for seconds in reported] == [10, 20, 30]


def test_the_quietest_moment_is_found():
    """Where there is no silence, the split point is where it is quietest for a fifth of a second."""
    levels = [1000] * 500
    levels[200:215] = [300] * 15
    levels[300] = 0
    found = Loudness(10.0, levels)
    assert 4.1 <= found.quietest(0.0, 10.0) <= 4.2
    assert found.quietest(4.0, 4.1) == pytest.approx(4.05)
    assert found.quietest(9.95, 30.0) == pytest.approx(19.975)


def test_a_recording_without_sound_has_no_silences():
    """No levels, no stretch of them."""
    assert Loudness(0.0, []).silences() == []


@given(st.lists(st.integers(0, 32768), max_size=400), st.floats(0.02, 2))
def test_silences_are_in_order_apart_and_long_enough(levels, shortest):
    """Whatever the levels are, split points can rely on it."""
    found = Loudness(len(levels) / PER_SECOND, levels).silences(shortest)
    edges = [edge for pair in found for edge in pair]
    assert edges == sorted(edges)
    assert all(end - start >= shortest - 1e-9 for start, end in found)
    assert all(0 <= edge <= len(levels) / PER_SECOND for edge in edges)
