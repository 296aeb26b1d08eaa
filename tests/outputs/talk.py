"""A conversation of any length, made up word by word in the form of the service's answers: the same on every run.

Also imported by the benchmarks, so this module knows only the standard library and the package.
"""

from __future__ import annotations

import random

from airflow_provider_nanostt.api.models import Transcript, Word
from airflow_provider_nanostt.api.words import read_segments

VOCABULARY = (
    "about account after again always answer before between called change clear could customer day delivery detail "
    "different early email enough every figure first friday from given going happened help however invoice it just "
    "know later letter line little long maybe meeting month more morning never next number office often only order "
    "other our parcel people perhaps phone price problem question quite rather really reason right same second send "
    "short should since small soon still table team that their there thing think this today together tomorrow under "
    "until usually very week well what when which while with without work would year yes you"
).split()


def talk(
    words: int, *, speakers: tuple[str, ...] = ("Speaker 1", "Speaker 2", "Speaker 3"), word_seconds: float = 0.4
) -> Transcript:
    """Return a transcript of so many words, in turns of up to four sentences; diarized if there are speakers."""
    chance = random.Random(6)
    made: list[Word] = []
    speaker: str | None = None
    count, clock = 0, 0.5
    while count < words:
        others = [name for name in speakers if name != speaker]
        speaker = chance.choice(others or list(speakers)) if speakers else None
        for _ in range(chance.randint(1, 4)):
            size = min(chance.randint(4, 18), words - count)
            for place in range(size):
                text = chance.choice(VOCABULARY)
                text = text.capitalize() if place == 0 else text
                text += "." if place == size - 1 else "," if chance.random() < 0.05 else ""
                made.append(Word(text, round(clock, 2), round(clock + word_seconds * 0.8, 2), "word", speaker))
                made.append(
                    Word(" ", round(clock + word_seconds * 0.8, 2), round(clock + word_seconds, 2), "spacing", speaker)
                )
                clock += word_seconds
            count += size
        clock += chance.choice((0.1, 0.3, 1.5))
    return Transcript(
        text="".join(word.text for word in made).strip(),
        segments=read_segments(None, made),
        words=tuple(made),
        language="en",
        model="Elevenlabs-STT",
        cost=round(clock / 60 * 0.03, 6),
        charged_minutes=round(clock / 60, 2),
        run_id="run_4f2c81",
        raw={
            "status": "completed",
            "words": [
                {"text": word.text, "start": word.start, "end": word.end, "type": word.type, "speaker_id": word.speaker}
                for word in made
            ],
        },
    )
