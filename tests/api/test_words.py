"""Words and segments: what is read, and what is made where nothing was sent."""

from __future__ import annotations

import pytest

from airflow_provider_nanostt.api.models import Segment, Word
from airflow_provider_nanostt.api.words import read_segments, read_words, speaker_name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("speaker_0", "Speaker 1"),
        ("SPEAKER_01", "Speaker 2"),
        ("3", "Speaker 4"),
        (0, "Speaker 1"),
        (-1, "-1"),
        ("agent", "agent"),
        (" Speaker 1 ", "Speaker 1"),
        ("", None),
        ("  ", None),
        (None, None),
        (True, None),
        (1.5, None),
        ({}, None),
    ],
)
def test_speakers_are_counted_from_one(raw: object, name: str | None):
    """The service counts from zero, people from one; names stay names."""
    assert speaker_name(raw) == name


def test_a_speaker_number_of_any_size_is_read():
    """A number too long to count with is still a name."""
    assert speaker_name(10**4300 - 1) == "9" * 4300


def words(*entries: tuple[object, ...]) -> tuple[Word, ...]:
    names = ("text", "start", "end", "speaker_id", "type")
    return read_words([dict(zip(names, entry, strict=False)) for entry in entries])


@pytest.mark.parametrize("raw", [None, {}, "words", 3, [], [None, 1, "a", {}, {"text": None}]])
def test_what_is_no_word_list_gives_no_words(raw: object):
    """Nothing usable means no words, and no error."""
    assert read_words(raw) == ()
    assert read_segments(raw, ()) == ()


def test_a_word_is_read_from_either_name_of_its_speaker():
    """speaker_id or speaker, whichever says something."""
    assert read_words([{"text": "a", "speaker_id": None, "speaker": 1, "type": None}]) == (
        Word("a", None, None, "word", "Speaker 2"),
    )


def test_a_diarization_may_be_a_bare_list():
    """Segments are found in a list as well as under "segments"."""
    assert read_segments([{"speaker_id": 1, "text": " hello ", "start": "1", "end": 2}], ()) == (
        Segment("Speaker 2", 1.0, 2.0, "hello"),
    )


def test_segments_without_text_do_not_hide_the_words():
    """Where the service's segments are all empty they are made from the words."""
    found = read_segments({"segments": [{"speaker": 0, "text": ""}]}, words(("hello", 0, 1)))
    assert found == (Segment(None, 0.0, 1.0, "hello"),)


def test_a_pause_begins_a_new_segment():
    """More than a second of silence separates, a second does not."""
    found = read_segments(None, words(("one", 0, 1), ("two", 2, 3), ("three", 4.1, 5)))
    assert [segment.text for segment in found] == ["one two", "three"]


def test_a_pause_is_seen_across_an_entry_without_times():
    """Punctuation without times between two words does not hide the silence."""
    found = read_segments(None, words(("one", 0, 1), (".", None, None, None, "punctuation"), ("two", 9, 10)))
    assert [segment.text for segment in found] == ["one.", "two"]


def test_a_change_of_speaker_is_seen_across_an_entry_without_one():
    """An entry that names no speaker stays with who spoke last and does not glue two speakers together."""
    found = read_segments(None, words(("yes", 0, 1, 0), ("(cough)", 1, 1.2), ("no", 1.2, 2, 1)))
    assert [(segment.speaker, segment.text) for segment in found] == [
        ("Speaker 1", "yes (cough)"),
        ("Speaker 2", "no"),
    ]


def test_an_unnamed_beginning_belongs_to_the_first_speaker():
    """What precedes the first named speaker does not become a segment of nobody."""
    found = read_segments(None, words(("(horn)", 0, 1), ("ahoy", 1, 2, 0)))
    assert found == (Segment("Speaker 1", 0.0, 2.0, "(horn) ahoy"),)


def test_words_that_bring_their_own_spaces_get_no_second_one():
    """Some recognisers put the space into the word."""
    (segment,) = read_segments(None, words((" Berth", 0, 1), (" nine", 1, 2), (".", 2, 2, None, "punctuation")))
    assert segment.text == "Berth nine."


def test_spacing_alone_is_no_segment():
    """A list of nothing but spaces has nothing to show."""
    assert read_segments(None, words((" ", 0, 1, 0, "spacing"), ("\n", 1, 2, 0, "spacing"))) == ()
