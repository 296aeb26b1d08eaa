"""Words and segments as one timeline: JSON, captions, text and page say the same, in the order of time."""

from __future__ import annotations

import html
import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.words import read_segments, read_words
from airflow_provider_nanostt.outputs import format_transcript

SENTENCE = "So last Tuesday I went down to the office because the heating had failed again".split()
LONG = [Word(text, 4.0 + at, 4.8 + at) for at, text in enumerate(SENTENCE)]
WHOLE = Segment("A", 4.0, 26.0, " ".join(SENTENCE))
AGENT = [("Thanks", 0.5), ("for", 0.8), ("calling.", 1.0), ("We", 6.0), ("open", 6.3), ("at", 6.6), ("nine.", 6.8)]
CALLER = [("Hi,", 2.5), ("when", 2.8), ("do", 3.0), ("you", 3.1), ("open?", 3.3), ("Great,", 8.0), ("bye.", 8.4)]


def heard(*entries: tuple[str, float], speaker: str | None = None) -> list[dict]:
    """What the service lists."""
    return [{"text": text, "start": at, "end": at + 0.2, "speaker_id": speaker} for text, at in entries]


def answered(entries: list[dict]) -> Transcript:
    words = read_words(entries)
    return Transcript("", read_segments(None, words), words)


def turns(transcript: Transcript) -> list[tuple[str | None, str]]:
    """Who says what, by the plain text."""
    return [
        tuple(turn.split(": ", 1)) if ": " in turn else (None, turn)
        for turn in format_transcript(transcript, "txt").strip().split("\n\n")
    ]


def shown_at(transcript: Transcript, text: str) -> float:
    """When the caption with a text begins, seconds."""
    for block in format_transcript(transcript, "srt").split("\n\n"):
        if text in block:
            hours, minutes, seconds, rest = map(int, re.findall(r"\d+", block.partition("\n")[2])[:4])
            return 3600 * hours + 60 * minutes + seconds + rest / 1000
    raise AssertionError(f"{text!r} is in no caption")


def every_format(transcript: Transcript) -> dict[str, str]:
    made = {name: format_transcript(transcript, name) for name in ("txt", "srt", "vtt", "html")}
    document = json.loads(format_transcript(transcript, "json"))
    return {**made, "words": document["words"], "segments": document["segments"]}


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "listed last"])
def test_what_is_said_inside_of_anothers_turn_takes_nothing_of_it(order):
    """The shortest segment that covers a word has it, wherever the segment is listed; the rest of the turn stays."""
    words = sorted([*LONG, Word("Mhm.", 10.2, 10.5), Word("Right.", 14.1, 14.5)], key=lambda word: word.start or 0.0)
    segments = (WHOLE, Segment("B", 10.2, 10.5, "Mhm."), Segment("C", 14.1, 14.5, "Right."))[::order]
    made = Transcript("", segments, tuple(words))
    assert [who for who, _ in turns(made)] == ["A", "B", "A", "C", "A"]
    named = {word["text"]: word["speaker"] for word in json.loads(format_transcript(made, "json"))["words"]}
    assert (named["failed"], named["Mhm."], named["Right."]) == ("A", "B", "C")


@pytest.mark.parametrize(
    ("word", "segments", "speaker"),
    [
        (Word("w", 5.4, 5.6), [("C", 0, 100), ("A", 4, 10), ("B", 5, 6)], "B"),
        (Word("w", 9.9, 12.0), [("A", 4, 10), ("B", 10, 14)], "B"),
        (Word("w", 9.5, 9.7), [("A", 4, 9), ("B", 12, 14)], "A"),
        (Word("w", 1.0, 1.2), [("A", 4, 9)], "A"),
        (Word("w", 11.0, 11.2), [("A", 4, None), ("B", 10, None)], "B"),
        (Word("w", 5.0, 5.2), [("A", 4, 9), (None, 4.9, 5.3)], "A"),
        (Word("w", 5.0, 5.2, speaker="C"), [("A", 4, 9)], "C"),
    ],
    ids=["nested", "mostly in the next", "in a gap", "before all", "without ends", "in an unnamed one", "with its own"],
)
def test_a_word_is_of_whom_it_was_said_by(word, segments, speaker):
    """Its own speaker first, else the shortest segment around it, else the nearest."""
    made = Transcript("", tuple(Segment(name, start, end, "x") for name, start, end in segments), (word,))
    (found,) = json.loads(format_transcript(made, "json"))["words"]
    assert found["speaker"] == speaker


@pytest.mark.parametrize("first", ["agent", "caller"])
def test_words_listed_by_channel_are_in_the_order_of_time(first):
    """Whichever channel is listed first, every format is that of the sorted list."""
    channels = [heard(*AGENT, speaker="speaker_0"), heard(*CALLER, speaker="speaker_1")]
    given = list(itertools.chain(*(channels if first == "agent" else channels[::-1])))
    made = answered(given)
    assert [who for who, _ in turns(made)] == ["Speaker 1", "Speaker 2", "Speaker 1", "Speaker 2"]
    assert shown_at(made, "nine.") >= 6.0
    assert every_format(made) == every_format(answered(sorted(given, key=lambda entry: entry["start"])))


def test_segments_are_in_the_order_of_time():
    """In captions, JSON and on the page; one that lies inside another divides it."""
    made = Transcript(
        "", (Segment("B", 12, 15, "Second."), Segment("A", 1, 5, "First."), Segment("A", 20, 22, "Third."))
    )
    assert shown_at(made, "Second.") == 12.0
    assert [one["start"] for one in json.loads(format_transcript(made, "json"))["segments"]] == [1, 12, 20]
    inside = Transcript("", (Segment("A", 4, 45, "word " * 60), Segment("B", 30.5, 31, "Mhm.")))
    assert abs(shown_at(inside, "Mhm.") - 30.5) < 1.5


def test_one_wrong_time_moves_no_word():
    """A single entry far away, amid what one speaker says in one go, stays where it is listed."""
    made = answered(heard(("one", 1.0), ("lost", 900.0), ("two", 1.5)))
    assert turns(made) == [(None, "one lost two")]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40)), min_size=1, max_size=25),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_list_does_not_matter_between_speakers(said, random):
    """Any order of the list that keeps each speaker's own gives the same segments and captions."""
    at, entries = 0.0, []
    for number, (who, after) in enumerate(said):
        at += 0.3 + after / 10
        entries.append({"text": f"w{number}", "start": at, "end": at + 0.2, "speaker_id": f"speaker_{who}"})
    channels = [[one for one in entries if one["speaker_id"] == f"speaker_{who}"] for who in range(3)]
    random.shuffle(channels)
    listed, sorted_ = answered(list(itertools.chain(*channels))), answered(entries)
    assert format_transcript(listed, "srt") == format_transcript(sorted_, "srt")
    assert [one["text"] for one in json.loads(format_transcript(listed, "json"))["words"]] == [
        f"w{number}" for number in range(len(said))
    ]


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        (["今", "天", "天", "气"], "今天天气"),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["これ", "は", "API", "です"], "これは API です"),
        (["안녕", "하세요"], "안녕 하세요"),
        (["你好", "\uff0c", "世界"], "你好\uff0c世界"),
        (["don", "'t", "we", "\u2019ll"], "don't we\u2019ll"),
        (["l'", "amour", "qu\u2019", "il"], "l'amour qu\u2019il"),
        (["rock", "'n'", "roll"], "rock 'n' roll"),
        (["Hello", ",", "world", "!"], "Hello, world!"),
        (["see", "(", "above", ")"], "see (above)"),
        (["$", "50", "%"], "$50%"),
        (["well", "-known", "-", "or"], "well-known - or"),
        (["he", "said", '"', "yes", '"', "and", '"', "no", '"', "."], 'he said "yes" and "no".'),
        (["he", "said", '"yes', ',"', "she", '"no', '."'], 'he said "yes," she "no."'),
        (["a", '5"', "screen", '"', "here", '"', '"', "there", '".'], 'a 5" screen "here" "there".'),
        (["天", '"', "气", '"', "好"], '天"气"好'),
        (["天", "\u201c", "气", "\u201d", "好"], "天\u201c气\u201d好"),
        (["un", "believ", "able", " story"], "unbelievable story"),
        (["Hello ", "world", "!"], "Hello world!"),
    ],
)
def test_one_joiner_puts_the_spaces_everywhere(listed, text):
    """Segments, XCom, plain text, captions and page have a space where the script has one."""
    made = answered(heard(*((word, 1.0 + at * 0.3) for at, word in enumerate(listed))))
    (segment,) = json.loads(format_transcript(made, "json"))["segments"]
    assert segment["text"] == text
    assert turns(made) == [(None, text)]
    assert text in format_transcript(made, "vtt")
    assert text in html.unescape(format_transcript(made, "html"))


UNSEEN = (
    "\ufeff \u200b \u200e \u200d \u2060 \xad \ufe0f \u3164 \u2800 \U000e0041 \u0301 \x07 \u2068\u2069 \u2062 \u180e"
).split(" ")


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
def test_nothing_blank_is_shown(unseen):
    """An entry, a segment, a speaker or a text that nobody can see is in no format."""
    made = answered(heard((unseen, 0.0), ("Hello", 1.0), (unseen * 2, 2.0)))
    assert format_transcript(made, "srt").count("-->") == format_transcript(made, "vtt").count("-->") == 1
    assert format_transcript(made, "txt") == "Hello\n"
    segments = (Segment("A", 0.0, 1.0, unseen), Segment(unseen, 2.0, 3.0, "Hello"))
    only = Transcript(unseen, segments)
    assert format_transcript(only, "txt") == "Hello\n"
    assert len(json.loads(format_transcript(only, "json"))["segments"]) == 1
    assert format_transcript(Transcript(unseen), "txt").strip() == ""


def test_a_joiner_inside_a_word_stays():
    """It shapes the letters beside it."""
    assert "\u200c" in format_transcript(answered(heard(("\u0645\u06cc\u200c\u062e", 1.0))), "txt")


@pytest.mark.parametrize("count", [20, 40])
def test_captions_take_the_time_there_is(count):
    """Words that all come at once are shown for as long as captions are, while there is silence behind them."""
    burst = answered(heard(*(("word", 1.0 + at * 0.003) for at in range(count)), ("Next", 30.0)))
    spans = re.findall(r"(\d+):(\d+):(\d+),(\d+)", format_transcript(burst, "srt"))
    times = [3600 * int(h) + 60 * int(m) + int(s) + int(ms) / 1000 for h, m, s, ms in spans]
    assert min(end - start for start, end in zip(times[::2], times[1::2], strict=True)) >= 1.0
    assert times[-2] == 30.0
