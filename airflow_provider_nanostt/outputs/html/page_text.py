"""A transcript as paragraphs to read, none too long, with the position of every timed word in them.

Pure functions on texts and times; how a paragraph looks is decided in ``page``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.placing import placed
from airflow_provider_nanostt.api.spacing import is_sound_event
from airflow_provider_nanostt.outputs.review import is_doubtful, is_unsure
from airflow_provider_nanostt.outputs.unicode_layout import SENTENCE_END

LONGEST = 900
"""Characters; a longer text is cut at the ends of sentences."""
_FULL = 500  # characters after which the next end of a sentence ends a paragraph, too
_TOO_FULL = 1400  # characters after which any space does: not every model sets full stops

_SPACE = re.compile(r"\s+")
_NEWLINE = re.compile(r"\r\n?")
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


class Place(NamedTuple):
    """A word of the list, found in its paragraph at character ``at``; ``start`` in seconds or None.

    ``doubt`` is its confidence if that is low, else None.
    """

    at: int
    text: str
    start: float | None
    is_event: bool
    doubt: float | None = None


class Paragraph(NamedTuple):
    """A part of the text: speaker, start and end in seconds (or None), and its words in order.

    ``doubt`` is the confidence of the whole segment if that is low, else None; ``is_first`` of its paragraphs.
    """

    text: str
    speaker: str | None
    start: float | None
    end: float | None
    words: Sequence[Place]
    doubt: float | None = None
    is_first: bool = True


def paragraphs(transcript: Transcript, review_below: float | None = None) -> Iterator[Paragraph]:
    """Yield the paragraphs of a transcript: its segments, or its text if it has none; long ones in several.

    :param review_below: the confidence below which words and segments are in doubt; None doubts nothing.
    """
    words = transcript.words if transcript.segments else ()
    lines = clean(transcript.text).split("\n")
    segments = transcript.segments or [Segment(None, None, None, line.strip()) for line in lines]
    segments = [replace(segment, text=clean(segment.text)) for segment in segments]
    below = review_below or 0.0
    for segment, places in zip(segments, _found(segments, words, below), strict=True):
        yield from _split(segment, places, segment.confidence if is_unsure(segment, below) else None)


def text_paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text of which no times are known."""
    return [one.text for one in paragraphs(Transcript(text)) if one.text.strip()]


def clean(text: str) -> str:
    """Return a text as a page can hold it: lines end in ``\\n``, and invalid characters become U+FFFD."""
    if "\r" in text:
        text = _NEWLINE.sub("\n", text)
    return text if text.isprintable() else _NOT_TEXT.sub("\ufffd", text)


def _found(segments: Sequence[Segment], words: Sequence[Word], below: float) -> list[list[Place]]:
    """Return the words of every segment that are found in its text."""
    shown = [word if word.text.isprintable() else replace(word, text=clean(word.text)) for word in words]
    return [[_place(at, shown[number], below) for at, number in places] for places in placed(segments, shown)]


def _place(at: int, word: Word, below: float) -> Place:
    text = word.text.strip()
    doubt = word.confidence if is_doubtful(word, below) else None
    return Place(at, text, word.start, is_sound_event(word.type, text), doubt)


def _split(segment: Segment, places: Sequence[Place], doubt: float | None) -> Iterator[Paragraph]:
    text = segment.text
    spans = list(_cut(text))
    taken = 0
    for number, (begin, end) in enumerate(spans):
        inside = []
        while taken < len(places) and places[taken].at < end:
            inside.append(places[taken]._replace(at=places[taken].at - begin))
            taken += 1
        start = segment.start if number == 0 and segment.start is not None else _first(inside)
        following = _first(places[taken:]) if number + 1 < len(spans) else segment.end
        yield Paragraph(text[begin:end].rstrip(), segment.speaker, start, following, inside, doubt, number == 0)


def _first(places: Sequence[Place]) -> float | None:
    return next((place.start for place in places if place.start is not None), None)


def _cut(text: str) -> Iterator[tuple[int, int]]:
    """Yield where paragraphs begin and end, together the whole text; none for a text of spaces only."""
    begin, size = 0, len(text.rstrip())
    while size - begin > LONGEST:
        ends = SENTENCE_END.finditer(text, begin + _FULL, min(begin + _TOO_FULL, size))
        match = next(ends, None) or _SPACE.search(text, begin + _TOO_FULL)
        cut = match.end() if match else None
        if cut is None or size - cut < LONGEST - _FULL - _FULL // 2:  # no orphan of a few words at the end
            break
        yield begin, cut
        begin = cut
    if begin < size:
        yield begin, size
