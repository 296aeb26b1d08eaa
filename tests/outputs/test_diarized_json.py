"""A transcript as OpenAI's ``diarized_json``: the shape, and no figure that nobody gave."""

from __future__ import annotations

import json
from dataclasses import replace

from airflow_provider_nanostt.outputs import format_transcript
from tests.outputs.call import CALL, SENTENCES


def test_segments_say_who_says_what_when():
    """With ids of their own, and the minutes charged as the length."""
    made = json.loads(format_transcript(CALL, "diarized_json"))
    assert [(one["speaker"], one["start"], one["end"], one["text"]) for one in made["segments"]] == SENTENCES
    assert [one["id"] for one in made["segments"]] == ["seg_0", "seg_1", "seg_2"]
    assert {one["type"] for one in made.pop("segments")} == {"transcript.text.segment"}
    assert made == {
        "task": "transcribe",
        "duration": 6.0,
        "text": 'Good morning. How may I help? [laughter] "Hello there", she said.',
        "usage": {"type": "duration", "seconds": 6.0},
    }


def test_what_is_unknown_is_not_made_up():
    """Neither who speaks nor what was charged; the length is what is heard."""
    nameless = replace(
        CALL, charged_minutes=None, segments=(), words=tuple(replace(one, speaker=None) for one in CALL.words)
    )
    made = json.loads(format_transcript(nameless, "diarized_json"))
    assert {one["speaker"] for one in made["segments"]} == {""}
    assert (made["duration"], "usage" in made) == (4.0, False)
