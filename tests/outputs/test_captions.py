"""Captions: the reading rules hold, nothing said is lost, and readers that are not ours agree with what was meant."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.timeline import normalised
from airflow_provider_nanostt.outputs import CaptionStyle
from airflow_provider_nanostt.outputs.captions.layout import ESTIMATED, Captions, make
from airflow_provider_nanostt.outputs.captions.srt_vtt import to_srt, to_vtt
from airflow_provider_nanostt.outputs.unicode_layout import display_width
from tests.outputs import strategies

LOOK_ALIKES = str.maketrans("\uff1c\uff1e\uff5b\uff5d\uff3c\uff06", "<>{}\\&")
BRACKETS = "()[]*\uff08\uff09【】"
UNSEEN = str.maketrans("", "", "\u2060\u2068\u2069")

styles = st.builds(
    CaptionStyle,
    max_lines=st.integers(1, 4),
    line_width=st.sampled_from([12, 20, 42]),
    min_seconds=st.sampled_from([0.2, 1.0]),
    max_seconds=st.sampled_from([2.0, 7.0]),
    chars_per_second=st.sampled_from([8.0, 20.0]),
    gap_seconds=st.sampled_from([0.0, 0.08]),
    pause_seconds=st.sampled_from([0.3, 0.7, 30.0]),
)


def said(*texts: str, speaker: str | None = None, begin: float = 0.0, each: float = 0.4) -> tuple[Word, ...]:
    return tuple(
        Word(text, round(begin + at * each, 3), round(begin + (at + 1) * each, 3), speaker=speaker)
        for at, text in enumerate(texts)
    )


def captions(*words: Word, **rules: Any) -> Captions:
    return make(Transcript("", words=words), CaptionStyle(**rules))


def shown(found: Captions) -> list[str]:
    return ["\n".join(cue.lines) for cue in found.cues]


def bare(text: str) -> str:
    """What is left of a text if one looks neither at spaces nor at what is not to be seen."""
    kept = ("�" if unicodedata.category(one) == "Cs" else one for one in text)
    return "".join(one for one in kept if not one.isspace() and unicodedata.category(one) != "Cc").translate(UNSEEN)


def told(words: list[Word]) -> str:
    """Everything that is said, by the words alone."""
    return "".join(
        f"[{bare(word.text).strip(BRACKETS) or '…'}]" if word.type == "audio_event" else bare(word.text)
        for word in words
        if word.text.strip()
    )


def check_rules(found: Captions) -> None:
    style, cues = found.style, found.cues
    gap, shortest, longest = (
        round(seconds * 1000) for seconds in (style.gap_seconds, style.min_seconds, style.max_seconds)
    )
    for cue, after in zip(cues, [*cues, None][1:], strict=True):
        length = cue.end - cue.start
        assert 0 <= cue.start < cue.end
        assert length <= longest
        assert 1 <= len(cue.lines) <= style.max_lines
        assert all(line.strip() == line != "" and display_width(line) <= style.line_width for line in cue.lines)
        if after is not None:
            assert after.start >= cue.end + gap
        if after is None or after.start > cue.end + gap:  # there was time to keep the rules
            assert length >= shortest
            reading = sum(map(display_width, cue.lines)) / style.chars_per_second * 1000
            assert length >= min(reading, longest) - 1


@given(strategies.wild_words, styles)
@example([Word("a" * 500, 0.0, 1.0)], CaptionStyle())
@example([Word("a", 5.0, 6.0), Word("b", 1.0, 2.0), Word("c", 5.5, 5.0)], CaptionStyle())
@example([Word("a", 359_999.0, None)] * 20, CaptionStyle())
def test_whatever_the_words_the_rules_hold_and_nothing_is_lost(words, style):
    """Any Unicode, any times: captions follow each other inside the rules, with every word in its order."""
    try:
        found = make(Transcript("", words=tuple(words)), style)
    except InvalidInput:
        assert told(words)
        found = make(Transcript("", words=tuple(words)), style, estimate=True)
    check_rules(found)
    lines = [line for cue in found.cues[found.estimated :] for line in cue.lines]
    assert bare("".join(lines)) == bare(told(words))


@given(strategies.spoken_words(), styles)
def test_what_is_spoken_stays_where_it_is_spoken(words, style):
    """A caption begins with its first word, unless what came before could not be read in less."""
    found = make(Transcript("", words=tuple(words)), style)
    check_rules(found)
    starts = {round(word.start * 1000) for word in words}
    before = None
    for cue in found.cues:
        split_word = any(display_width(word.text) > style.line_width for word in words)
        delayed = before is not None and cue.start == before.end + round(style.gap_seconds * 1000)
        assert cue.start in starts or delayed or split_word
        before = cue


@given(strategies.spoken_words())
def test_a_caption_has_one_speaker(words):
    """No caption mixes what two people say."""
    found = make(Transcript("", words=tuple(words)))
    for speaker in ("Speaker 1", "Speaker 2"):
        theirs = [line for cue in found.cues if cue.speaker == speaker for line in cue.lines]
        assert bare("".join(theirs)) == told([word for word in words if word.speaker == speaker])


def read_srt(text: str) -> list[tuple[int, int, str]]:
    pysubs2 = pytest.importorskip("pysubs2")
    events = pysubs2.SSAFile.from_string(text, format_="srt").events if text else []
    return [(one.start, one.end, one.plaintext.translate(LOOK_ALIKES)) for one in events]


def read_vtt(text: str) -> list[tuple[int, int, str]]:
    webvtt = pytest.importorskip("webvtt")

    def milliseconds(stamp: str) -> int:
        hours, minutes, seconds = stamp.split(":")
        return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)

    return [
        (milliseconds(one.start), milliseconds(one.end), html.unescape(one.text).translate(LOOK_ALIKES))
        for one in webvtt.from_string(text)
    ]


@given(strategies.wild_words)
@example([Word("Room", 0.0, 0.5), Word("a" * 40, 0.5, 0.9), Word("42", 1.0, 1.4)])
@example([Word("00:00:01,000 00:00:02,000", 0.0, 0.5)])
def test_both_readers_read_what_was_written(words):
    """pysubs2 and webvtt-py find the same captions, at the same times, with the same text."""
    found = make(Transcript("", words=tuple(words)), estimate=True)
    meant = [(cue.start, cue.end, "\n".join(cue.lines).translate(LOOK_ALIKES).translate(UNSEEN)) for cue in found.cues]
    assert [(start, end, text.translate(UNSEEN)) for start, end, text in read_vtt(to_vtt(found))] == meant
    in_srt = read_srt(to_srt(found))
    assert [(start, end) for start, end, _ in in_srt] == [(start, end) for start, end, _ in meant]
    for cue, (_, _, text), (_, _, wanted) in zip(found.cues, in_srt, meant, strict=True):
        read = text.translate(UNSEEN)
        assert read.endswith(wanted)
        assert cue.named or read == wanted
        assert read.count("\n") < found.style.max_lines
        assert all(display_width(line) <= found.style.line_width for line in read.split("\n"))


@given(strategies.wild_words)
def test_no_line_of_a_file_is_taken_for_something_else(words):
    """There are as many heads and empty lines as captions ask for, and nothing that a player would take for markup."""
    found = make(Transcript("", words=tuple(words)), estimate=True)
    srt, vtt = to_srt(found), to_vtt(found)
    assert srt.count("-->") == vtt.count("-->") == len(found.cues)
    assert not re.search(r"[<{\\]|&#?\w+;", srt)
    assert all(re.fullmatch(r"[^<>]*|<v [^<>]*>[^<>]*", line) for line in vtt.replace("-->", "").split("\n"))
    assert srt.count("\n\n") == max(0, len(found.cues) - 1)
    assert "\r" not in srt + vtt


def test_the_shape_of_both_files():
    """SubRip numbers its captions and has the speaker's name at each change; WebVTT has a voice in each."""
    found = captions(
        *said("Good", "morning.", speaker="Agent"),
        *said("It", "has", "not", "come.", speaker="Caller", begin=2.0),
        *said("Again?", speaker="Caller", begin=6.0),
    )
    assert to_srt(found) == (
        "1\n00:00:00,000 --> 00:00:01,000\nAgent: Good morning.\n\n"
        "2\n00:00:02,000 --> 00:00:03,600\nCaller: It has not come.\n\n"
        "3\n00:00:06,000 --> 00:00:07,000\nAgain?\n"
    )
    assert to_vtt(found) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v Agent>Good morning.\n\n"
        "00:00:02.000 --> 00:00:03.600\n<v Caller>It has not come.\n\n"
        "00:00:06.000 --> 00:00:07.000\n<v Caller>Again?\n"
    )


def test_silence_is_an_empty_file():
    """Where nothing is said there is nothing to show, and nothing to refuse, whatever the model."""
    for silence in (Transcript(""), Transcript(" \n"), Transcript("", words=(Word(" ", 0.0, 1.0, "spacing"),))):
        assert to_srt(make(silence)) == ""
        assert to_vtt(make(silence)) == "WEBVTT\n"


def test_lines_break_after_punctuation_rather_than_in_the_middle():
    """Of two ways to break that are about as even, the one at a comma or the end of a sentence is taken."""
    text = "When the parcel arrived, the office had already closed"
    assert shown(captions(*said(*text.split()))) == ["When the parcel arrived,\nthe office had already closed"]


def test_captions_end_with_sentences():
    """A caption that would run over its lines ends at the sentence before, not in the next one."""
    text = "The office closes early on Fridays. Nobody knows who decided that, and nobody has ever asked about it."
    first, *_ = shown(captions(*said(*text.split())))
    assert first == "The office closes early on Fridays."


@pytest.mark.parametrize("pause", [0.69, 0.7])
def test_a_pause_begins_a_new_caption(pause):
    """From pause_seconds on, and not before."""
    found = captions(*said("One"), *said("two", begin=0.4 + pause))
    assert len(found.cues) == (2 if pause >= 0.7 else 1)


def test_fast_speech_reaches_into_the_silence_after_it():
    """What is said too fast to read stays until it has been read, or until the next caption."""
    fast = said(*["international"] * 4, each=0.1)
    alone = captions(*fast).cues[0]
    assert alone.end == 2700  # 54 characters, the lines' break not counted
    followed = captions(*fast, *said("Next.", begin=1.5))
    assert [(cue.start, cue.end) for cue in followed.cues] == [(0, 1420), (1500, 2500)]


def test_times_that_cannot_be_are_mended():
    """One wrong time costs that word's time only; words without times stand between their neighbours."""
    words = [
        Word("one", 1.0, 1.4),
        Word("lost", 900.0, 901.0),
        Word("two", 1.5, 1.9),
        Word("none", None, None),
        Word("three", 3.0, 2.0),
    ]
    found = make(Transcript("", words=tuple(words)))
    assert shown(found) == ["one lost two none three"]
    assert found.cues[0].start == 1000
    assert found.cues[0].end < 5000


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        (["你好", "世界", "。"], "你好世界。"),
        (["今日", "は", "良い", "天気", "です"], "今日は良い天気です"),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["我", "用", "Python", "写"], "我用 Python 写"),
        (["Hello", ",", "world", "!"], "Hello, world!"),
        (["Hello", "?!", "(", "yes", ")"], "Hello?! (yes)"),
        ([" Hello", " world."], "Hello world."),
    ],
)
def test_words_are_joined_as_their_script_joins_them(texts, line):
    """A list without entries for spaces: scripts that have none get none, others get one between words."""
    words = tuple(
        Word(text, float(at), at + 0.9, "punctuation" if text in (",", "!", "。") else "word")
        for at, text in enumerate(texts)
    )
    assert shown(make(Transcript("", words=words), CaptionStyle(max_seconds=30.0))) == [line]


def test_east_asian_lines_are_measured_in_columns():
    """A wide character takes two display_width, and no line begins with a closing mark."""
    words = tuple(Word(one, at * 0.1, at * 0.1 + 0.1) for at, one in enumerate("漢字" * 10 + "、" + "漢字" * 9 + "。"))
    (text,) = shown(make(Transcript("", words=words)))
    assert [display_width(line) <= 42 for line in text.split("\n")] == [True, True]
    assert not re.search(r"^[、。]", text, re.MULTILINE)


def test_a_word_longer_than_a_line_is_cut_between_characters():
    """Marks stay with the letters they belong to."""
    (text,) = shown(captions(Word("e\u0301" * 60, 0.0, 3.0)))
    assert text == "e\u0301" * 42 + "\n" + "e\u0301" * 18


def test_an_audio_event_stands_in_brackets():
    """However the service writes it."""
    words = (
        Word("(laughter)", 0.0, 1.0, "audio_event"),
        Word("Yes.", 1.0, 1.5),
        Word("applause", 1.5, 2.0, "audio_event"),
    )
    assert shown(captions(*words)) == ["[laughter] Yes. [applause]"]


def test_right_to_left_text_is_not_turned_round_by_a_name():
    """The text keeps its order; a name or a sound that runs the other way is isolated."""
    found = captions(*said("שלום", "לך", speaker="Agent"), Word("[music]", 0.8, 1.2, "audio_event", "Agent"))
    assert "\u2068Agent\u2069: שלום לך \u2068[music]\u2069\n" in to_srt(found)
    assert "<v Agent>שלום לך \u2068[music]\u2069\n" in to_vtt(found)
    assert "\u2068" not in to_srt(captions(*said("Hello", speaker="Agent")))


@pytest.mark.parametrize(
    ("speaker", "voice", "label"),
    [
        ("A > B & <C>", "<v A &gt; B &amp; &lt;C&gt;>", "A > B & \uff1cC>: "),
        ("two\nlines", "<v two lines>", "two lines: "),
        ("x" * 60, f"<v {'x' * 60}>", "x" * 18 + "…: "),
    ],
)
def test_names_of_speakers_are_made_harmless(speaker, voice, label):
    """A name may hold anything; in SubRip it takes at most half of a line."""
    found = captions(*said("Yes.", speaker=speaker))
    assert f"{voice}Yes." in to_vtt(found)
    assert f"{label}Yes." in to_srt(found)


def test_segments_lend_words_their_speakers():
    """Where only the segments name speakers, each word is of the one in whose time it falls."""
    segments = (Segment("A", 0.0, 1.0, "Yes. Yes."), Segment("B", 1.0, 2.0, "No."))
    words = (*said("Yes.", "Yes."), *said("No.", begin=1.2))
    found = make(normalised(Transcript("", segments, words)))
    assert [(cue.speaker, cue.lines) for cue in found.cues] == [("A", ("Yes. Yes.",)), ("B", ("No.",))]


def test_segments_alone_are_enough():
    """Without words, a segment's text is spread over the segment's time."""
    long = "this is a rather long sentence that goes on for more than two lines, since nobody has ever learnt to stop"
    found = make(Transcript("", (Segment("A", 1.0, 11.0, long), Segment("B", 20.0, 21.0, "你好世界"))))
    check_rules(found)
    assert found.cues[0].start == 1000
    assert found.cues[-2].end == 11_000
    assert (found.cues[-1].start, found.cues[-1].lines) == (20_000, ("你好世界",))
    assert " ".join(line for cue in found.cues[:-1] for line in cue.lines) == long


@pytest.mark.parametrize(
    "transcript",
    [
        Transcript("Good morning.", model="Whisper-Large-V3"),
        Transcript("", words=(Word("Good"), Word("morning.")), model="Whisper-Large-V3"),
        Transcript("", (Segment(None, None, None, "Good morning."),), model="Whisper-Large-V3"),
    ],
)
def test_without_times_there_are_no_captions_unless_they_may_be_guessed(transcript):
    """The refusal names the ways out; guessed times are marked in a way that every reader shows."""
    with pytest.raises(InvalidInput, match="'Whisper-Large-V3' has given no times") as caught:
        make(transcript)
    assert "estimated_captions=True" in str(caught.value)
    found = make(transcript, estimate=True)
    assert shown(found) == [ESTIMATED, "Good morning."]
    assert read_srt(to_srt(found))[0][2] == read_vtt(to_vtt(found))[0][2] == "[estimated times]"
    assert to_vtt(found).startswith("WEBVTT\n\nNOTE The times in this file are estimated")


def test_guessed_times_fill_the_known_length():
    """The text is spread over the minutes charged; where these are unknown, or cannot be, over what speaking takes."""
    text = " ".join(["parcel"] * 150)
    ends = {
        minutes: make(Transcript(text, charged_minutes=minutes), estimate=True).cues[-1].end / 1000
        for minutes in (2.0, None, 0.01)
    }
    assert ends[2.0] == pytest.approx(120, abs=2)
    assert ends[None] == pytest.approx(len(text) / 15, abs=3)
    assert ends[0.01] == pytest.approx(len(text) / 30, abs=3)


def test_real_times_are_never_replaced_by_guesses():
    """estimated_captions changes nothing where there are times."""
    words = said("Good", "morning.")
    assert make(Transcript("", words=words), estimate=True) == make(Transcript("", words=words))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"max_line": 2}, "unknown rule 'max_line'; allowed: max_lines, line_width"),
        ({"max_lines": 0}, "max_lines must be between 1 and 10, got 0"),
        ({"max_lines": 1.5}, "max_lines must be a whole number, got 1.5"),
        ({"line_width": "wide"}, "line_width must be a whole number, got 'wide'"),
        ({"min_seconds": 8}, "max_seconds must be between 8.0"),
        ({"gap_seconds": -1}, "gap_seconds must be between"),
        ({"chars_per_second": 0}, "chars_per_second must be between"),
        ({"pause_seconds": float("nan")}, "pause_seconds must be a number, got nan"),
    ],
)
def test_rules_outside_of_their_range_are_refused(rules, words):
    """The message names the rule and what it may be."""
    with pytest.raises(InvalidInput, match=re.escape(words)):
        CaptionStyle.of(rules)


def test_rules_may_come_from_templates():
    """Numbers as text are numbers."""
    assert CaptionStyle.of({"max_lines": "3", "line_width": "32", "min_seconds": "1.5"}) == CaptionStyle(3, 32, 1.5)
