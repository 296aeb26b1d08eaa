"""Transcripts of parts become the transcript of the recording."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.outputs.merge import join_texts, merge

times = st.none() | st.floats(0, 3600, allow_nan=False)
words = st.builds(Word, st.text(max_size=5), times, times, st.sampled_from(["word", "punctuation", "new"]))
segments = st.builds(Segment, st.none(), times, times, st.text(max_size=5))
transcripts = st.builds(
    Transcript,
    text=st.text(max_size=20),
    segments=st.lists(segments, max_size=4).map(tuple),
    words=st.lists(words, max_size=4).map(tuple),
    language=st.sampled_from([None, "en", "de"]),
    cost=st.none() | st.floats(0, 10),
    charged_minutes=st.none() | st.floats(0, 100),
    run_id=st.none() | st.text(min_size=1, max_size=3),
    metadata=st.dictionaries(st.sampled_from(["model", "cost", "fileSize", "note"]), st.integers(0, 9) | st.text()),
)
parts = st.lists(st.tuples(st.floats(0, 36_000), transcripts), min_size=1, max_size=5)


def said(text, *, start=0.0, speaker=None, **more):
    entries = [Word(word, start + at, start + at + 0.5, "word", speaker) for at, word in enumerate(text.split())]
    end = entries[-1].end if entries else start
    return Transcript(text, (Segment(speaker, start, end, text),), tuple(entries), **more)


@given(parts)
def test_every_word_and_segment_is_kept_and_moved_by_where_its_part_begins(given_parts):
    """Nothing is lost, nothing added but spaces, and times are those of the recording."""
    merged = merge(given_parts)
    ordered = sorted(given_parts, key=lambda part: part[0])
    for kind in ("words", "segments"):
        expected = [
            (entry.text, *(None if t is None else pytest.approx(t + start, abs=1e-6) for t in (entry.start, entry.end)))
            for start, transcript in ordered
            for entry in getattr(transcript, kind)
        ]
        assert [(entry.text, entry.start, entry.end) for entry in getattr(merged, kind)] == expected


@given(parts)
def test_money_and_minutes_are_the_sums_of_what_is_known(given_parts):
    """An unknown amount leaves the others; None only where all are unknown."""
    merged = merge(given_parts)
    for name in ("cost", "charged_minutes"):
        known = [getattr(transcript, name) for _, transcript in given_parts]
        known = [amount for amount in known if amount is not None]
        assert getattr(merged, name) == (pytest.approx(sum(known), abs=1e-6) if known else None)


@given(parts)
def test_the_text_is_the_parts_texts_in_order(given_parts):
    """Taken without white space, the whole is its parts."""
    ordered = [transcript.text for _, transcript in sorted(given_parts, key=lambda part: part[0])]
    assert "".join(merge(given_parts).text.split()) == "".join("".join(ordered).split())


@given(parts, st.randoms())
def test_the_order_they_come_in_does_not_matter(given_parts, shuffle):
    """Parts are transcribed together and finish in any order."""
    distinct = list({start: (start, transcript) for start, transcript in given_parts}.values())
    shuffled = distinct[:]
    shuffle.shuffle(shuffled)
    assert merge(shuffled) == merge(distinct)


def test_parts_in_order_give_times_in_order():
    """A transcript that was continuous in its parts is continuous as a whole."""
    merged = merge([(0.0, said("one two three")), (3.2, said("four five")), (6.0, said("six"))])
    starts = [word.start for word in merged.words]
    assert starts == sorted(starts)
    assert [segment.start for segment in merged.segments] == [0.0, 3.2, 6.0]


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["Good morning.", "Good night."], "Good morning. Good night."),
        (["今日は", "いい天気です。"], "今日はいい天気です。"),
        (["今天天气", "很好"], "今天天气很好"),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["안녕하세요", "반갑습니다"], "안녕하세요 반갑습니다"),
        (["これは", "Airflow です"], "これは Airflow です"),
        (["one", "", "  ", "two\n"], "one two"),
        ([], ""),
    ],
)
def test_texts_are_joined_as_their_scripts_are_written(texts, joined):
    """A space where words are set apart by spaces, and nothing where they are not."""
    assert join_texts(texts) == joined


def test_word_lists_with_spacing_get_one_between_the_parts():
    """Whoever joins the texts of all entries reads the text, in languages without spaces, too."""
    spaced = Transcript("a b", words=(Word("a", 0, 1), Word(" ", 1, 1, "spacing"), Word("b", 1, 2)))
    merged = merge([(0.0, spaced), (10.0, spaced), (20.0, Transcript("")), (30.0, spaced)])
    assert "".join(word.text for word in merged.words) == merged.text == "a b a b a b"
    between = merged.words[3]
    assert (between.type, between.start, between.end) == ("spacing", 2, 10)

    unspaced = Transcript("今日 は", words=(Word("今日", 0, 1), Word(" ", 1, 1, "spacing"), Word("は", 1, 2)))
    merged = merge([(0.0, unspaced), (10.0, unspaced)])
    assert "".join(word.text for word in merged.words) == merged.text == "今日 は今日 は"


def test_a_list_that_ends_in_spacing_gets_no_second_space():
    """One space between two words is enough."""
    first = Transcript("a", words=(Word("a", 0, 1), Word(" ", 1, 1, "spacing")))
    merged = merge([(0.0, first), (10.0, first)])
    assert [word.text for word in merged.words] == ["a", " ", "a", " "]


def test_speakers_of_different_parts_are_not_taken_for_the_same():
    """Labels count anew in each part, so names say which part they are of, wherever they stand."""
    merged = merge([(0.0, said("hello there", speaker="Speaker 1")), (5.0, said("hi", speaker="Speaker 1"))])
    assert [segment.speaker for segment in merged.segments] == ["Speaker 1 (part 1)", "Speaker 1 (part 2)"]
    assert {word.speaker for word in merged.words} == {"Speaker 1 (part 1)", "Speaker 1 (part 2)"}


def test_speakers_of_the_only_part_that_has_any_keep_their_names():
    """Where nothing can be mixed up, nothing is added; what has no speaker gets none."""
    merged = merge([(0.0, said("hello", speaker="Speaker 1")), (5.0, said("music"))])
    assert [segment.speaker for segment in merged.segments] == ["Speaker 1", None]


def test_speakers_that_only_words_name_are_marked_too():
    """Some answers have speakers on words and no segments."""
    part = Transcript("a", words=(Word("a", 0, 1, speaker="Speaker 2"),))
    assert [word.speaker for word in merge([(0, part), (9, part)]).words] == [
        "Speaker 2 (part 1)",
        "Speaker 2 (part 2)",
    ]


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        ([("en", 1.0), ("de", 5.0), ("en", 3.0)], "de"),
        ([("en", 1.0), (None, 5.0)], "en"),
        ([(None, 1.0), (None, None)], None),
        ([("en", None), ("de", 5.0), ("de", 5.0)], "de"),
    ],
)
def test_the_language_is_the_one_most_minutes_are_in(languages, expected):
    """Silence or a quotation in one part does not decide for all."""
    given_parts = [
        (float(at), Transcript("words", language=language, charged_minutes=minutes))
        for at, (language, minutes) in enumerate(languages)
    ]
    assert merge(given_parts).language == expected


def test_without_minutes_the_longer_text_decides_the_language():
    """Synchronous answers may not say how many minutes were charged."""
    given_parts = [(0.0, Transcript("a few more words", language="de")), (9.0, Transcript("yes", language="en"))]
    assert merge(given_parts).language == "de"


def test_metadata_and_raw_say_what_each_part_said():
    """What all agree on stays, amounts are summed, and the answers are kept one by one."""
    metadata = {"fileName": "part-001.ogg", "model": "m", "cost": "0.25", "chargedDuration": 5, "currency": "USD"}
    first = Transcript("a", model="m", run_id="r1", metadata=metadata, raw={"transcription": "a"})
    second = Transcript(
        "b", model="m", run_id="r2", metadata={**metadata, "fileName": "part-002.ogg"}, raw={"transcription": "b"}
    )
    merged = merge([(300.0, second), (0.0, first)])
    assert merged.metadata == {
        "model": "m",
        "cost": 0.5,
        "chargedDuration": 10,
        "currency": "USD",
        "runIds": ["r1", "r2"],
    }
    assert merged.raw == {
        "parts": [
            {"start": 0.0, "runId": "r1", "answer": {"transcription": "a"}},
            {"start": 300.0, "runId": "r2", "answer": {"transcription": "b"}},
        ]
    }
    assert (merged.model, merged.run_id) == ("m", None)


def test_parts_of_different_models_name_them_all():
    """Nobody should have to guess where half of a transcript came from."""
    assert merge([(0.0, Transcript("a", model="x")), (1.0, Transcript("b", model="y"))]).model == "x + y"


def test_one_part_stays_as_it_is():
    """A recording that needed no splitting keeps its run id, its metadata and its speakers' names."""
    only = said("hello", speaker="Speaker 1", run_id="r", metadata={"a": 1}, raw={"b": 2}, cost=1.0)
    assert merge([(0.0, only)]) == only
    moved = merge([(2.0, only)])
    assert (moved.words[0].start, moved.run_id, moved.raw) == (2.0, "r", {"b": 2})


def test_no_parts_are_refused():
    """Nothing to merge is a mistake of the caller's."""
    with pytest.raises(InvalidInput, match="no parts"):
        merge([])


def test_merging_is_the_same_in_one_step_or_two():
    """Texts and times of three parts do not depend on which two were put together first."""
    three = [(start, said(text)) for start, text in ((0.0, "one"), (10.0, "two"), (20.0, "three"))]
    at_once = merge(three)
    stepwise = merge([(0.0, merge(three[:2])), three[2]])
    assert (at_once.text, at_once.words, at_once.segments) == (stepwise.text, stepwise.words, stepwise.segments)
    assert all(a.start <= b.start for a, b in itertools.pairwise(at_once.words))


def test_the_figure_of_a_recording_is_that_of_all_its_words():
    """Not the mean of the parts' figures: a short part counts for as much as it says."""
    sure, unsure = said("yes yes yes"), said("no")
    first = replace(sure, words=tuple(replace(one, confidence=1.0) for one in sure.words), confidence=1.0)
    second = replace(unsure, words=(replace(unsure.words[0], confidence=0.5),), confidence=0.5)
    merged = merge([(0.0, first), (10.0, second)])
    assert merged.confidence == pytest.approx(0.5 ** (1 / 4), abs=1e-4)
    assert [one.confidence for one in merged.words] == [1.0, 1.0, 1.0, 0.5]
    assert merge([(0.0, sure), (10.0, unsure)]).confidence is None
