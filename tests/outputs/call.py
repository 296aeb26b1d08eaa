"""A call of two people with words, a sound and marks that stand for themselves, for tests of single formats."""

from __future__ import annotations

from airflow_provider_nanostt.api.models import Transcript, Word
from airflow_provider_nanostt.api.words import read_segments

WORDS = (
    Word("Good", 0.5, 0.7, speaker="Agent"),
    Word("morning", 0.7, 1.1, speaker="Agent"),
    Word(".", 1.1, 1.2, "punctuation", "Agent"),
    Word("How", 1.4, 1.6, speaker="Agent"),
    Word("may", 1.6, 1.8, speaker="Agent"),
    Word("I", 1.8, 1.9, speaker="Agent"),
    Word("help?", 1.9, 2.3, speaker="Agent"),
    Word("(laughter)", 2.4, 2.9, "audio_event", "Caller"),
    Word('"Hello\tthere", she said.', 3.0, 4.0, speaker="Caller"),
)
CALL = Transcript(
    'Good morning. How may I help? (laughter) "Hello there", she said.',
    read_segments(None, WORDS),
    WORDS,
    language="en",
    model="Elevenlabs-STT",
    cost=0.01,
    charged_minutes=0.1,
    run_id="run-1",
)
SENTENCES = [
    ("Agent", 0.5, 1.2, "Good morning."),
    ("Agent", 1.4, 2.3, "How may I help?"),
    ("Caller", 2.4, 4.0, '[laughter] "Hello there", she said.'),
]
"""What formats that have sentences write of it."""
