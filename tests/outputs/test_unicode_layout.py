"""One rule for every format: what is a sound event, which scripts have no spaces, where a sentence ends."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.words import read_segments
from airflow_provider_nanostt.outputs import format_transcript
from airflow_provider_nanostt.outputs.html.page_text import paragraphs
from airflow_provider_nanostt.outputs.merge import merge

HELLO = Word("Hello.", 0.0, 0.5)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        (Word("(horn)", 1.0, 2.0, "audio_event"), "horn"),
        (Word("horn", 1.0, 2.0, "audio_event"), "horn"),
        (Word("(bell)", 1.0, 2.0, "jingle"), "bell"),
        (Word(" [bell] ", 1.0, 2.0, "jingle"), "bell"),
        (Word("\uff08笑い\uff09", 1.0, 2.0, "audio_event"), "笑い"),
        (Word("\u3010笑い\u3011", 1.0, 2.0, "laughter"), "笑い"),
        (Word("()", 1.0, 2.0, "audio_event"), "…"),
        (Word("aside", 1.0, 2.0, "whisper"), None),
        (Word("(x)", 1.0, 2.0), None),
        (Word("(", 1.0, 2.0, "mark"), None),
    ],
)
def test_every_format_agrees_on_what_is_a_sound(word, name):
    """The type says so, or, where the type is new, the brackets; its name has none."""
    text = word.text.strip()
    transcript = Transcript(f"Hello. {text}", (Segment(None, 0.0, 2.0, f"Hello. {text}"),), (HELLO, word))
    shown = [f"[{name}]"] if name else []
    page = unescape(format_transcript(transcript, "html"))
    assert re.findall(r"<i>([^<]+)</i>", page.partition("<main")[2]) == shown
    assert [one["event"] for one in json.loads(format_transcript(transcript, "json"))["audio_events"]] == (
        [name] if name else []
    )
    for fmt in ("txt", "srt", "vtt"):
        made = format_transcript(transcript, fmt)
        assert re.findall(r"\[[^\]]+\]", made) == shown
        assert name or text in made


@pytest.mark.parametrize(
    ("texts", "gap"),
    [
        (("今日", "は"), ""),
        (("สวัสดี", "ครับ"), ""),
        (("\u2f00", "\u2f06"), ""),  # radicals
        (("\uff71", "\uff72"), ""),  # half-width kana
        (("\uffa1", "\uffa4"), " "),  # half-width letters of Korean, which has spaces
        (("한국", "어"), " "),
        (("one", "two"), " "),
    ],
)
def test_parts_and_words_agree_on_scripts_without_spaces(texts, gap):
    """The texts of two parts are joined as two words of one are."""
    parts = [(float(at), Transcript(text)) for at, text in enumerate(texts)]
    words = tuple(Word(text, float(at), at + 0.9) for at, text in enumerate(texts))
    assert merge(parts).text == gap.join(texts)
    assert format_transcript(Transcript("", words=words)) == gap.join(texts) + "\n"


@pytest.mark.parametrize(
    "end", [". ", "! ", "? ", "… ", "\u3002", "\uff01", "\u061f ", "\u0589 ", "\u1362 ", "\u104b", "?» "]
)
def test_page_and_plain_text_agree_on_where_a_sentence_ends(end):
    """A long text is cut there in both, and nowhere else."""
    text = (("word " * 20).strip() + end) * 30
    cut = [one.text for one in paragraphs(Transcript(text))]
    plain = format_transcript(Transcript(text)).strip().split("\n\n")
    for parts in (cut, plain):
        assert len(parts) > 2
        assert all(part.endswith(end.strip()) for part in parts)


def test_every_format_agrees_on_whose_the_first_words_are():
    """Words before the first named speaker are of that speaker, as they are in the segments."""
    words = (Word("Well,", 0.0, 0.4), Word("good", 0.4, 0.8, speaker="Agent"), Word("morning.", 0.8, 1.2))
    transcript = Transcript("Well, good morning.", read_segments(None, words), words)
    assert [(one.speaker, one.text) for one in transcript.segments] == [("Agent", "Well, good morning.")]
    assert format_transcript(transcript, "txt") == "Agent: Well, good morning.\n"
    assert "\nAgent: Well, good morning.\n" in format_transcript(transcript, "srt")
    assert "\n<v Agent>Well, good morning.\n" in format_transcript(transcript, "vtt")
