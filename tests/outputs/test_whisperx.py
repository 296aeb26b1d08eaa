"""A transcript as WhisperX writes one: sentences and words with times and speakers, read by pysubs2."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Transcript, Word
from airflow_provider_nanostt.outputs import format_transcript
from tests.outputs.call import CALL, SENTENCES
from tests.outputs.strategies import spoken_words


def test_sentences_have_their_words_times_and_speakers():
    """Marks belong to their word, and there is no score that nobody gave."""
    made = json.loads(format_transcript(CALL, "whisperx"))
    assert list(made) == ["segments", "word_segments", "language"]
    assert made["language"] == "en"
    assert [(one["speaker"], one["start"], one["end"], one["text"]) for one in made["segments"]] == SENTENCES
    assert made["segments"][0]["words"] == [
        {"start": 0.5, "end": 0.7, "word": "Good", "speaker": "Agent"},
        {"start": 0.7, "end": 1.2, "word": "morning.", "speaker": "Agent"},
    ]
    assert made["word_segments"] == [word for one in made["segments"] for word in one["words"]]


def test_a_words_score_is_its_confidence():
    """That of what was said, not of a mark or a sound; a word whose parts have a figure each has their mean."""
    unsure = {"Good": 0.9, "morning": 0.6, ".": 0.1, "How": 0.0, "(laughter)": 0.2, "may": None}
    words = tuple(replace(one, confidence=unsure.get(one.text)) for one in CALL.words)
    made = json.loads(format_transcript(replace(CALL, words=words), "whisperx"))
    scores = [(one["word"], one["score"]) for one in made["word_segments"] if "score" in one]
    assert scores == [("Good", 0.9), ("morning.", 0.6), ("How", 0.0001)]
    parts = (
        Word("not", 0.0, 0.5, confidence=0.4),
        Word(" ", 0.5, 0.5, "spacing"),
        Word("at\u00a0all", 0.5, 1.0, confidence=0.9),
    )
    made = json.loads(format_transcript(Transcript("", words=parts), "whisperx"))
    assert [one["score"] for one in made["word_segments"]] == [0.4, 0.9, 0.9]


@settings(max_examples=30)
@given(spoken_words())
def test_a_reader_of_whisper_finds_every_sentence(words):
    """In order, inside of each other's times, and together all that was said."""
    pysubs2 = pytest.importorskip("pysubs2")
    made = json.loads(format_transcript(Transcript("", words=tuple(words)), "whisperx"))
    read = pysubs2.load_from_whisper(made)
    assert [event.plaintext for event in read] == [one["text"] for one in made["segments"]]
    said = "".join("".join(event.plaintext.split()) for event in read)
    assert said == "".join(word.text for word in words if word.type == "word")
    for one in made["segments"]:
        assert one["start"] <= one["words"][0]["start"] <= one["words"][-1]["end"] <= one["end"]
        assert "".join(word["word"] for word in one["words"]) == "".join(one["text"].split())


def test_times_are_never_estimated():
    """Not even where captions may be."""
    with pytest.raises(InvalidInput, match="has given no times"):
        format_transcript(Transcript("Yes."), "whisperx", estimated_captions=True)
    assert json.loads(format_transcript(Transcript(""), "whisperx"))["segments"] == []
    spaced = json.loads(
        format_transcript(Transcript("", words=(Word("漢字", 0.0, 1.0), Word("です。", 1.0, 2.0))), "whisperx")
    )
    assert [one["word"] for one in spaced["word_segments"]] == ["漢字", "です。"]
