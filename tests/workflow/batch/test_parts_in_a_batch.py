"""Recordings that go in parts inside a batch: their parts are waited for with all the rest, and are one transcript."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.outside import killed, record
from tests.workflow.batch.conftest import ASYNC, SYNC, Batch, text_in
from tests.workflow.test_parts import (  # fixtures
    SHORTER,
    WHOLE,
    recordings,  # noqa: F401
    short_recordings,  # noqa: F401
    spoken,  # noqa: F401
)

ONCE = {"meeting.part-001.mp3": 1, "meeting.part-002.mp3": 1, "call-000.wav": 1, "call-001.wav": 1}


@pytest.fixture
def shorter() -> int:
    """All limits are a tenth of the real ones."""
    return SHORTER


@pytest.fixture
def audio(spoken, batch: Batch, recordings, request) -> list[str]:  # noqa: F811
    """A long one between two short ones."""
    batch.usual |= {
        "actual_duration": None,
        "model": request.param,
        "audio_preparation": {"codec": "mp3" if request.param == ASYNC else "opus"},
    }
    first, last = batch.recordings(2)
    return [first, str(recordings[request.param]), last]


MODELS = pytest.mark.parametrize("audio", [SYNC, ASYNC], indirect=True)


def charged(batch: Batch) -> Counter[str]:
    return Counter(charge.source for charge in batch.emulator.charges)


@MODELS
@pytest.mark.parametrize("deferrable", [True, False])
def test_parts_and_wholes_land_together(batch: Batch, audio, deferrable):
    """One row for the long one, with the cost of both parts; one charge for each part."""
    result = batch.run(audio, deferrable=deferrable)
    assert batch.statuses == ["written"] * 3
    assert text_in(batch.rows[1]["files"]["json"]) == WHOLE
    assert charged(batch) == ONCE
    assert result["cost_usd"] == pytest.approx(sum(charge.cost for charge in batch.emulator.charges))
    assert batch.run(audio)["written"] == 3
    assert charged(batch) == ONCE


@pytest.mark.parametrize(
    ("audio", "step", "call"),
    [(ASYNC, "submitted", 2), (SYNC, "answered", 2), (ASYNC, "written", 2), (SYNC, "written", 2)],
    indirect=["audio"],
)
def test_killed_among_the_parts(batch: Batch, audio, step, call):
    """What each part has come to is found where it was left."""
    with killed(after=record(step), nth=call):
        batch.run(audio, max_parallel=1)
    assert batch.run(audio)["written"] == 3
    assert text_in(batch.rows[1]["files"]["json"]) == WHOLE
    assert charged(batch) == ONCE


@pytest.mark.parametrize("audio", [ASYNC], indirect=True)
def test_a_limit_counts_the_parts(batch: Batch, audio):
    """A retry knows what the parts have cost."""
    late = str(batch.folder / "late.wav")
    batch.run([*audio, late], on_item_error="continue")
    cost = sum(charge.cost for charge in batch.emulator.charges)
    batch.recording("late.wav")
    batch.run([*audio, late], on_item_error="continue", max_cost_usd=cost + 1e-6, actual_duration=None)
    assert batch.statuses == ["written"] * 3 + ["not_started"]
    assert Path(late).exists()


@pytest.mark.parametrize("audio", [ASYNC], indirect=True)
def test_a_part_that_is_submitted_again_counts_against_the_limit_of_the_batch(batch: Batch, audio):
    """A limit that the batch has used up pays for no part a second time."""
    batch.emulator.script("*.part-002.mp3", status="failed", error="too much noise", duration=402.0)
    batch.run(audio, on_item_error="continue")
    paid = charged(batch)
    spent = sum(charge.cost for charge in batch.emulator.charges)
    batch.run(audio, on_item_error="continue", max_cost_usd=spent + 1e-6)
    assert charged(batch) == paid
    assert "max_cost_usd" in batch.rows[1]["error"]
