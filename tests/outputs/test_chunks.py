"""Chunks for search: what they hold, where they end, and that a later index of the same transcript replaces them."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.outputs import ChunkRules, format_transcript, from_document, rename, to_chunks
from tests.outputs.strategies import spoken_words, transcripts
from tests.outputs.talk import talk

THAI = "สวัสดีครับวันนี้อากาศดีมาก"
rules = st.builds(ChunkRules, size=st.integers(40, 300), seconds=st.sampled_from([0.0, 2.0, 5.0]))


def chunks(transcript, **given):
    return list(to_chunks(transcript, source="call.wav", rules=ChunkRules(**given)))


def letters(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=40)
@given(spoken_words(), rules)
def test_every_word_is_in_one_chunk_and_no_chunk_has_two_speakers(words, rules):
    """In order, whatever the size, also where a text has no spaces."""
    said = [word for word in words if word.type == "word"]
    speakers = "".join(word.speaker[-1] * len(word.text) for word in said)
    made = list(to_chunks(Transcript("", words=tuple(words)), source=None, rules=rules))
    assert letters("".join(one["text"] for one in made)) == letters("".join(word.text for word in said))
    at = 0
    for one in made:
        size = len(letters(one["text"]))
        assert set(speakers[at : at + size]) == {one["speaker"][-1]}
        at += size


@settings(max_examples=40)
@given(spoken_words(), rules)
def test_chunks_are_as_small_as_was_asked_for(words, rules):
    """In characters and in seconds, as far as one word is not longer by itself."""
    longest = max((word.end - word.start for word in words), default=0.0)
    for one in to_chunks(Transcript("", words=tuple(words)), source=None, rules=rules):
        assert len(one["text"]) <= rules.size
        assert not rules.seconds or one["end"] - one["start"] <= max(rules.seconds, longest) + 0.001


@settings(max_examples=40)
@given(transcripts, rules)
def test_whatever_was_said_chunks_are_flat_numbered_and_known_by_ids_of_their_own(transcript, rules):
    """No value is nested, null or empty, so that every vector store takes them; one line each."""
    made = list(to_chunks(transcript, source="call.wav", rules=rules))
    for number, one in enumerate(made, 1):
        assert all(type(value) in (str, int, float) and value != "" for value in one.values())
        assert (one["chunk"], one["chunk_count"]) == (number, len(made))
        assert one["text"] == " ".join(one["text"].split())
    assert len({one["id"] for one in made}) == len(made)
    lines = format_transcript(transcript, "chunks", source="a\u2028b\x85c").splitlines()
    assert all(json.loads(line)["source"] == "a\u2028b\x85c" for line in lines)


@settings(max_examples=40)
@given(transcripts, st.integers(0, 100))
def test_chunks_of_any_transcript_together_are_its_text(transcript, size):
    """Also of segments alone, of a text alone, and with impossible times."""
    whole = chunks(transcript, size=0)
    cut = chunks(transcript, size=size)
    assert letters("".join(one["text"] for one in cut)) == letters("".join(one["text"] for one in whole))


def test_a_chunk_has_whole_sentences_and_what_is_known_of_it():
    """About 1,200 characters; the values stand beside the text."""
    made = chunks(talk(5_000, speakers=()))
    assert all(re.fullmatch(r"[A-Z].*\.", one["text"]) for one in made)
    assert min(len(one["text"]) for one in made[:-1]) > 1_000
    first = made[0]
    assert list(first) == [
        *("text", "id", "source", "start", "end", "language", "model", "run_id", "chunk", "chunk_count"),
    ]
    assert (first["source"], first["start"], first["model"], first["chunk"]) == (
        "call.wav", 0.5, "Elevenlabs-STT", 1
    )  # fmt: skip
    assert made[0]["end"] <= made[1]["start"]
    assert next(to_chunks(talk(20), source=None, recorded_at="2026-07-01"))["recorded_at"] == "2026-07-01"


def test_a_chunk_says_how_sure_the_model_was_of_its_words():
    """The mean of what was said in it, as of a segment; without a figure there is none."""
    words = [Word(text, at, at + 0.5, confidence=sure) for at, (text, sure) in enumerate([("Not", 0.4), ("now.", 0.9)])]
    words += [Word("(laughs)", 2.0, 2.5, "audio_event", confidence=0.1), Word("Ok.", 3.0, 3.5)]
    known = [one.get("confidence") for one in chunks(Transcript("", words=tuple(words)), size=10)]
    assert known == [0.6, None, None]
    whole = Transcript("Not now.", (Segment(None, None, None, "Not now.", 0.6),), tuple(words[:2]))
    assert chunks(whole)[0]["confidence"] == whole.segments[0].confidence


def test_marks_that_stand_for_themselves_stay_with_their_sentence():
    """A full stop, a closing quote; a number is not cut at its point."""
    words = [Word(text, at, at + 0.5) for at, text in enumerate(["Say", " ", "“", "no", ".", "”", " ", "It", " "])]
    words += [Word(text, at + 9, at + 9.5) for at, text in enumerate(["is", " ", "3", ".", "5", "."])]
    assert [one["text"] for one in chunks(Transcript("", words=tuple(words)), size=10)] == ["Say “no.”", "It is 3.5."]


def test_a_sentence_that_is_too_long_is_cut_after_a_comma_rather_than_after_any_word():
    """And a text without any mark between its characters, as Thai is written."""
    long = "We spoke about the parcel that never came, and about the invoice for it"
    assert chunks(Transcript(long), size=50)[0]["text"] == "We spoke about the parcel that never came,"
    assert chunks(Transcript(long), size=40)[0]["text"] == "We spoke about the parcel that never"
    thai = [one["text"] for one in chunks(Transcript(THAI * 20), size=100)]
    assert "".join(thai) == THAI * 20
    assert max(map(len, thai)) <= 100
    assert [one["text"] for one in chunks(Transcript("x" * 90), size=50)] == ["x" * 90]


def test_a_turn_may_be_one_chunk_however_long_it_is():
    """With a size of 0."""
    transcript = talk(3_000)
    turns = [speaker for speaker, _ in itertools.groupby(word.speaker for word in transcript.words)]
    assert [one["speaker"] for one in chunks(transcript, size=0)] == turns


def test_a_chunk_may_repeat_the_end_of_the_one_before():
    """Whole sentences, no more than was asked for, and only in the same turn."""
    transcript = talk(2_000, speakers=())
    plain = "".join(one["text"] + " " for one in chunks(transcript, size=400))
    text, repeated = "", 0
    for one in chunks(transcript, size=400, overlap=150):
        again = next(n for n in range(len(one["text"]), -1, -1) if text.endswith(one["text"][:n] + " ") or not n)
        assert len(one["text"]) <= 400
        assert again <= 150
        repeated += again > 0
        text += one["text"][again:].lstrip() + " "
    assert text == plain
    assert repeated > 5
    turns = [one["text"] for one in chunks(talk(500), size=0)]
    assert [one["text"] for one in chunks(talk(500), size=0, overlap=1_000)] == turns


def test_a_later_index_replaces_and_never_takes_another_recordings_place():
    """Same transcript, same ids, whatever the speakers are called; another run, source or rule has others."""
    transcript = talk(500)

    def ids(given: Transcript, **more) -> set[str]:
        return {one["id"] for one in to_chunks(given, **{"source": "call.wav", **more})}

    assert ids(transcript) == ids(rename(transcript, {"Speaker 1": "Agent"})[0])
    assert ids(transcript) == ids(from_document(json.loads(format_transcript(transcript, "json"))))
    for other in (
        ids(transcript, source="other.wav"),
        ids(transcript, rules=ChunkRules(size=500)),
        ids(replace(transcript, run_id="run-2")),
    ):
        assert not ids(transcript) & other
    # Without run ids and times, two recordings of one name are told apart by what was said.
    assert not ids(Transcript("Yes.")) & ids(Transcript("No."))
    assert len(ids(Transcript("Yes. " * 1_000))) > 3


def test_without_times_and_speakers_there_are_none_in_a_chunk():
    """Nothing is invented; segments alone give both."""
    (only,) = chunks(Transcript("Yes."))
    assert sorted(only) == ["chunk", "chunk_count", "id", "source", "text"]
    (one,) = chunks(Transcript("", segments=(Segment("Agent", 1.0, 2.5, "Yes."),)))
    assert (one["speaker"], one["start"], one["end"]) == ("Agent", 1.0, 2.5)
    assert chunks(Transcript("")) == []
    assert format_transcript(Transcript(""), "chunks") == ""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": -1}, "chunks: size must be between 0 and 1000000, got -1"),
        ({"overlap": 700}, "chunks: overlap must be between 0 and 600, got 700"),
        ({"size": "many"}, "chunks: size must be a whole number, got 'many'"),
        ({"length": 5}, "chunks: unknown rule 'length'; allowed: size, overlap, seconds"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(given, words):
    """Before anything is paid for; numbers may be text, as templates make them."""
    with pytest.raises(InvalidInput, match=re.escape(words)):
        ChunkRules.of(given)
    assert ChunkRules.of('{"size": "500", "seconds": "30"}') == ChunkRules(size=500, seconds=30.0)
