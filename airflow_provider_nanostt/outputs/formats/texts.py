"""Plain text, Markdown and tab-separated values, of what was said in order. Pure functions on values."""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_provider_nanostt.outputs.passages import Passage, paragraphs
from airflow_provider_nanostt.outputs.timed_tokens import Spoken
from airflow_provider_nanostt.outputs.unicode_layout import one_line

_MARKS = re.compile(r"([\\`*_{}\[\]<>&#~|$^])")
_LIST = re.compile(r"^(\d{0,9})(?=[-+.)=:])")


def to_txt(speech: Spoken) -> str:
    """Return what was said in paragraphs: one per turn of a speaker, a long turn in several. Lines are not wrapped.

    An empty line stands between paragraphs; with speakers, each begins with the name and a colon.
    """
    found = paragraphs(speech.tokens)
    texts = [f"{one.speaker}: {one.text}" if one.speaker else one.text for one in found]
    return "\n\n".join(texts) + "\n" if texts else ""


def to_md(speech: Spoken, title: str) -> str:
    """Return Markdown to read in wikis, notes and pull requests, of which no text is taken for markup.

    Below a heading, each paragraph of the text follows its speaker and its time; lines are not wrapped.
    """
    blocks = [f"# {_escaped(one_line(title))}"]
    for one in paragraphs(speech.tokens):
        name = f"**{_escaped(one.speaker)}**" if one.speaker else ""
        time = _clock(one.start) if speech.timed else ""
        blocks += filter(None, [" · ".join(filter(None, [name, time])), _escaped(one.text)])
    return "\n\n".join(blocks) + "\n"


def _escaped(text: str) -> str:
    """Escape what CommonMark, its tables and its formulas would take for markup; the text is one line."""
    return _LIST.sub(r"\1\\", _MARKS.sub(r"\\\1", text))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def to_tsv(sentences: Iterable[Passage]) -> str:
    """Return a line for each sentence below a head, as Whisper writes it: milliseconds, and the text.

    Nothing is quoted, since no text has a tab or a line break.
    """
    lines = [f"{one.tokens[0].start}\t{one.tokens[-1].end}\t{one.text}" for one in sentences]
    return "\n".join(["start\tend\ttext", *lines]) + "\n"
