"""The JSON that other programs write of a transcript: of sentences with their times, never estimated ones.

Figures that the service does not give are not made up. Pure functions on values.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from airflow_provider_nanostt.outputs.passages import Passage, words
from airflow_provider_nanostt.outputs.timed_tokens import Token
from airflow_provider_nanostt.outputs.unicode_layout import join_spaced

Entry = dict[str, object]


def to_whisperx(sentences: Sequence[Passage], language: str | None) -> str:
    """Return what WhisperX writes of an aligned and diarized recording: segments of a sentence each, with their words.

    ``language`` is null if it is unknown. A word's ``score`` is its confidence, 0 to 1; there is none where the model
    gives none.
    """
    said = [(_entry(one, "text"), list(map(_word, words(one)))) for one in sentences]
    document = {
        "segments": [{**segment, "words": inside} for segment, inside in said],
        "word_segments": [word for _, inside in said for word in inside],
        "language": language,
    }
    return json.dumps(document, ensure_ascii=False)


def _word(one: Passage) -> Entry:
    entry, score = _entry(one, "word"), one.confidence
    return entry if score is None else {**entry, "score": score}


def _entry(one: Passage, key: str) -> Entry:
    entry: Entry = {"start": one.start, "end": one.end, key: one.text}
    return {**entry, "speaker": one.speaker} if one.speaker else entry


def to_diarized_json(sentences: Sequence[Passage], tokens: Sequence[Token], minutes: float | None) -> str:
    """Return what OpenAI's transcription answers with as ``diarized_json``, as far as its values are known.

    ``speaker`` is empty where nobody is known. ``duration`` is the length that was charged, else the end of the last
    word; ``usage`` is there if a length was charged.
    """
    segments = [
        {
            "type": "transcript.text.segment",
            "id": f"seg_{number}",
            "start": one.start,
            "end": one.end,
            "speaker": one.speaker or "",
            "text": one.text,
        }
        for number, one in enumerate(sentences)
    ]
    charged = None if minutes is None else round(minutes * 60, 3)
    document: dict[str, object] = {
        "task": "transcribe",
        "duration": max(sentences[-1].end if sentences else 0.0, charged or 0.0),
        "text": join_spaced((one.text, one.spaced) for one in tokens),
        "segments": segments,
    }
    if charged is not None:
        document["usage"] = {"type": "duration", "seconds": charged}
    return json.dumps(document, ensure_ascii=False)


def to_podcast(sentences: Sequence[Passage]) -> str:
    """Return the JSON transcript of a podcast feed (``podcast:transcript`` of Podcasting 2.0, ``application/json``).

    Segments are of a sentence each; without a name where the speaker is not known.
    """
    segments = [
        {
            **({"speaker": one.speaker} if one.speaker else {}),
            "startTime": one.start,
            "endTime": one.end,
            "body": one.text,
        }
        for one in sentences
    ]
    return json.dumps({"version": "1.0.0", "segments": segments}, ensure_ascii=False)
