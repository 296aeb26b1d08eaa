"""Paragraphs: no text is lost or repeated, and every word that is found is at its position."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.outputs.html.page import page
from airflow_provider_nanostt.outputs.html.page_text import LONGEST, clean, paragraphs

from .talk import talk

texts = st.text(st.characters(codec=None), max_size=40)
times = st.none() | st.floats(-1e9, 1e9)
kinds = st.sampled_from(["word", "punctuation", "spacing", "audio_event", "jingle"])
transcripts = st.builds(
    Transcript,
    text=texts,
    segments=st.lists(st.builds(Segment, st.none() | texts, times, times, texts), max_size=5).map(tuple),
    words=st.lists(st.builds(Word, texts, times, times, kinds, st.none() | texts), max_size=12).map(tuple),
)


@given(transcripts)
def test_any_transcript_makes_a_page(transcript):
    """Whatever texts, times and words come together: a page that can be written as UTF-8, with every text in it."""
    page(transcript, title=transcript.text, audio_url="https://host/a.wav").encode()
    found = "".join("".join(paragraph.text.split()) for paragraph in paragraphs(transcript))
    texts = [segment.text for segment in transcript.segments] or [transcript.text]
    assert found == "".join("".join(clean(text).split()) for text in texts)


@given(transcripts)
def test_words_stand_where_they_are_said_to_stand(transcript):
    """Places are in order, do not overlap, and hold the word's text."""
    for paragraph in paragraphs(transcript):
        end = 0
        for place in paragraph.words:
            assert place.at >= end
            end = place.at + len(place.text)
            assert paragraph.text[place.at : end] == place.text


def test_every_word_of_a_long_talk_is_found():
    """In a transcript as the service makes it no word is without its place, and each has its own time."""
    transcript = talk(5000)
    found = [(place.text, place.start) for paragraph in paragraphs(transcript) for place in paragraph.words]
    assert found == [(word.text, word.start) for word in transcript.words if word.type == "word"]


def test_words_that_the_text_does_not_have_cost_only_themselves():
    """Text and list may differ here and there: what follows is found again."""
    words = [Word(text, float(number)) for number, text in enumerate("one uh two three four five".split())]
    segments = (Segment("A", 0.0, 2.0, "one, two (pause) three"), Segment("B", 4.0, 5.0, "four three five"))
    found = [[place.text for place in part.words] for part in paragraphs(Transcript("", segments, tuple(words)))]
    assert found == [["one", "two", "three"], ["four", "five"]]


def test_a_long_segment_is_parted_at_ends_of_sentences():
    """An hour of one speaker is read in paragraphs, each with the time of its first word."""
    transcript = talk(3000, speakers=())
    one = Segment("Reader", 0.5, 1500.0, " ".join(segment.text for segment in transcript.segments))
    parts = list(paragraphs(Transcript("", (one,), transcript.words)))
    assert len(parts) > 10
    assert all(len(part.text) <= LONGEST * 2 and part.text.endswith(".") for part in parts)
    assert [part.start for part in parts[1:]] == [part.words[0].start for part in parts[1:]]
    assert {part.speaker for part in parts} == {"Reader"}
    assert parts[-1].end == 1500.0


def test_text_without_any_stop_or_space_is_left_whole():
    """Nothing is cut inside a word."""
    assert [part.text for part in paragraphs(Transcript("x" * 5000))] == ["x" * 5000]
