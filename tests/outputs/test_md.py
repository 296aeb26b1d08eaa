"""A transcript as Markdown, read by markdown-it: what was said is text, whatever it looks like."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_nanostt.api.models import Segment, Transcript
from airflow_provider_nanostt.outputs import format_transcript
from tests.outputs.strategies import transcripts
from tests.outputs.talk import talk

markdown = pytest.importorskip("markdown_it")
BLOCKS = {"heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline"}
MARKUP = [
    *("# one", "- two", "+ two", "* two", "1. three", "12) three", "1986. A year", "> four", "    five", "---", "***"),
    *("===", "```", "~~~", "|", "a|b", "*a*", "_a_", "`a`", "~a~", "$a$", "{{ a }}", ": a", "[a](b)", "![a](b)"),
    *("[a]: b", "^[a]", "<b>", "<!--", "&amp;", "&#65;", "\\", "a\\", "http://a.example", "<http://a.example>"),
]


def read(text: str) -> list[str]:
    """Return the texts of a page's blocks; anything but headings, paragraphs, bold names and text fails."""
    parser = markdown.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    assert {token.type for token in tokens} <= BLOCKS
    found = []
    for token in tokens:
        inside = token.children or ()
        assert {one.type for one in inside} <= {"text", "text_special", "strong_open", "strong_close"}
        if token.type == "inline":
            found.append("".join(one.content for one in inside))
    return found


def test_a_page_has_speaker_time_and_text():
    """Below the recording's name."""
    said = Transcript("", (Segment("Agent", 1.0, 2.0, "Good morning."), Segment(None, 3700.0, 3701.0, "Yes.")))
    assert format_transcript(said, "md", source="s3://calls/call.wav") == (
        "# call.wav\n\n**Agent** · 0:00:01\n\nGood morning.\n\n**Agent** · 1:01:40\n\nYes.\n"
    )
    assert format_transcript(Transcript("Only text."), "md") == "# Transcript\n\nOnly text.\n"
    assert format_transcript(Transcript(""), "md") == "# Transcript\n"


@settings(max_examples=40)
@given(transcripts, st.sampled_from(["call.wav", *MARKUP]))
def test_whatever_is_said_is_text(transcript, source):
    """In the text, in names and in the heading, as plain text has it."""
    title, *blocks = read(format_transcript(transcript, "md", source=source))
    assert title
    names = [before.rpartition(" · ")[0] or before for before in ("", *blocks)]
    said = {*blocks, *(f"{name}: {text}" for name, text in zip(names, blocks, strict=False))}
    assert {*filter(None, format_transcript(transcript, "txt").rstrip("\n").split("\n\n"))} <= said


@pytest.mark.parametrize("markup", MARKUP)
def test_what_looks_like_markup_is_text(markup):
    """At the beginning of a paragraph and inside of it, and in a name."""
    said = [markup, f"And {markup} in it", f"{markup} {markup}"]
    for text in said:
        page = format_transcript(Transcript("", (Segment(markup, 0.0, 1.0, text),)), "md", source=markup)
        plain = " ".join(text.split())
        assert read(page)[-1] == plain
        assert read(page)[1] == f"{' '.join(markup.split())} · 0:00:00"
    assert len(read(format_transcript(talk(500), "md"))) > 20
