"""A transcript for a podcast's feed: what each segment must have, and a name only where one is known."""

from __future__ import annotations

import json
from dataclasses import replace

from airflow_provider_nanostt.outputs import format_transcript
from tests.outputs.call import CALL, SENTENCES


def test_segments_have_the_names_that_players_of_podcasts_read():
    """Version 1.0.0 of the JSON of ``podcast:transcript``."""
    made = json.loads(format_transcript(CALL, "podcast"))
    assert made["version"] == "1.0.0"
    assert made["segments"] == [
        {"speaker": speaker, "startTime": start, "endTime": end, "body": text}
        for speaker, start, end, text in SENTENCES
    ]
    nameless = replace(CALL, segments=(), words=tuple(replace(one, speaker=None) for one in CALL.words))
    assert all("speaker" not in one for one in json.loads(format_transcript(nameless, "podcast"))["segments"])
