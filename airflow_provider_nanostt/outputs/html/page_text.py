"""A transcript as paragraphs to read, none too long, with the position of every timed word in them.

Pure functions on texts and times; how a paragraph looks is decided in ``page``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.spacing import is_sound_event
from airflow_provider_nanostt.outputs.unicode_layout import SENTENCE_END

LONGEST = 900
"""Characters; a longer text is cut at the ends of sentences."""
_FULL = 500  # characters after which the next end of a sentence ends a paragraph, too
_TOO_FULL = 1400  # characters after which any space does: not every model sets full stops
_REACH = 64  # characters of the text that may be missing from the list of words before the position is lost
_EARLY = 0.05  # seconds: times are rounded here and there

_SPACE = re.compile(r"\s+")
_NEWLINE = re.compile(r"\r\n?")
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


class Place(NamedTuple):
    """A word of the list, found in its paragraph at character ``at``; ``start`` in seconds or None."""

    at: int
    text: str
    start: float | None
    is_event: bool


class Paragraph(NamedTuple):
    """A part of the text: speaker, start and end in seconds (or None), and its words in order."""

    text: str
    speaker: str | None
    start: float | None
    end: float | None
    words: Sequence[Place]


def paragraphs(transcript: Transcript) -> Iterator[Paragraph]:
    """Yield the paragraphs of a transcript: its segments, or its text if it has none; long ones in several."""
    words = transcript.words if transcript.segments else ()
    lines = clean(transcript.text).split("\n")
    segments = transcript.segments or [Segment(None, None, None, line.strip()) for line in lines]
    texts = [clean(segment.text) for segment in segments]
    for segment, text, places in zip(segments, texts, _found(segments, texts, words), strict=True):
        yield from _split(segment, text, places)


def text_paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text of which no times are known."""
    return [one.text for one in paragraphs(Transcript(text)) if one.text.strip()]


def clean(text: str) -> str:
    """Return a text as a page can hold it: lines end in ``\\n``, and invalid characters become U+FFFD."""
    if "\r" in text:
        text = _NEWLINE.sub("\n", text)
    return text if text.isprintable() else _NOT_TEXT.sub("\ufffd", text)


def _found(segments: Sequence[Segment], texts: Sequence[str], words: Sequence[Word]) -> list[list[Place]]:
    """Find every word in the segments' texts, in order; words that are not found are left out.

    Several segments may last at the same time: what is said inside of another's turn comes first.
    """
    places: list[list[Place]] = [[] for _ in texts]
    at, here, last, lasting = [0] * len(texts), 0, len(texts) - 1, [0]
    for word in words:
        if word.type == "spacing" or not (text := clean(word.text).strip()):
            continue
        reach, place, index = len(text) + _REACH, -1, here
        lasting = [one for one in lasting if one == here or _lasts(segments[one], word)]
        for index in reversed(lasting):
            place = texts[index].find(text, at[index], at[index] + reach)
            if place >= 0:
                break
        while place < 0 and here < last and _begun(word, segments[here + 1], texts[here + 1], text):
            here = index = here + 1
            lasting.append(here)
            place = texts[here].find(text, 0, reach)
        if place >= 0:
            places[index].append(Place(place, text, word.start, is_sound_event(word.type, text)))
            at[index] = place + len(text)
    return places


def _lasts(segment: Segment, word: Word) -> bool:
    return segment.end is not None and word.start is not None and word.start < segment.end


def _begun(word: Word, segment: Segment, text: str, wanted: str) -> bool:
    """Whether a word may belong to this later segment: by time if both have one, else by the look of it."""
    if word.start is not None and segment.start is not None:
        return word.start >= segment.start - _EARLY
    return text.find(wanted, 0, len(wanted) + _REACH) >= 0


def _split(segment: Segment, text: str, places: Sequence[Place]) -> Iterator[Paragraph]:
    spans = list(_cut(text))
    taken = 0
    for number, (begin, end) in enumerate(spans):
        inside = []
        while taken < len(places) and places[taken].at < end:
            inside.append(places[taken]._replace(at=places[taken].at - begin))
            taken += 1
        start = segment.start if number == 0 and segment.start is not None else _first(inside)
        following = _first(places[taken:]) if number + 1 < len(spans) else segment.end
        yield Paragraph(text[begin:end].rstrip(), segment.speaker, start, following, inside)


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
