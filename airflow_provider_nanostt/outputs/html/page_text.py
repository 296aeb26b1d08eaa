"""A transcript as paragraphs to read: its text in pieces of a bearable length, with the place of every timed word.

Pure functions on texts and times; how a paragraph looks is decided in ``page``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_nanostt.api.models import Segment, Transcript, Word

LONGEST = 900
"""Characters; a text longer than this is parted at the ends of sentences."""
_FULL = 500  # characters after which the next end of a sentence ends a paragraph, too
_TOO_FULL = 1400  # characters after which any space does: not every model sets full stops
_REACH = 64  # characters of the text that may be missing from the list of words before the place is lost
_EARLY = 0.05  # seconds: times are rounded here and there

_SENTENCE_END = re.compile(r"""[.!?…؟۔।]["'”’»)\]]*\s+|[。！？]["'”’」』）]*\s*""")  # noqa: RUF001  other scripts
_NEWLINE = re.compile(r"\r\n?")
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


class Place(NamedTuple):
    """A word of the list, found in its paragraph: from character ``at``, ``start`` in seconds or None."""

    at: int
    text: str
    start: float | None
    is_event: bool


class Paragraph(NamedTuple):
    """A piece of the text: who speaks, when it starts and ends in seconds (or None), and its words in order."""

    text: str
    speaker: str | None
    start: float | None
    end: float | None
    words: Sequence[Place]


def paragraphs(transcript: Transcript) -> Iterator[Paragraph]:
    """Yield the paragraphs of a transcript: its segments, or its text alone if it has none; long ones in parts."""
    segments = transcript.segments
    if not segments:
        for block in clean(transcript.text).split("\n"):
            for begin, end in _pieces(block):
                yield Paragraph(block[begin:end].strip(), None, None, None, ())
        return
    texts = [clean(segment.text) for segment in segments]
    for segment, text, places in zip(segments, texts, _found(segments, texts, transcript.words), strict=True):
        yield from _parted(segment, text, places)


def clean(text: str) -> str:
    """Return what a page can hold: lines end in one way, and what is no character becomes U+FFFD."""
    if "\r" in text:
        text = _NEWLINE.sub("\n", text)
    return text if text.isprintable() else _NOT_TEXT.sub("\ufffd", text)


def is_event(word: Word) -> bool:
    """Whether an entry is a sound, not speech; a type we have never met is one if its text stands in brackets."""
    if word.type in {"word", "punctuation", "spacing"}:
        return False
    return word.type == "audio_event" or (word.text[:1] + word.text[-1:]) in {"()", "[]"}


def _found(segments: Sequence[Segment], texts: Sequence[str], words: Sequence[Word]) -> list[list[Place]]:
    """Find every word in the segments' texts, in order; what is not found is left out."""
    places: list[list[Place]] = [[] for _ in texts]
    here, at, last = 0, 0, len(texts) - 1
    for word in words:
        if word.type == "spacing" or not (text := clean(word.text).strip()):
            continue
        reach = len(text) + _REACH
        place = texts[here].find(text, at, at + reach)
        while place < 0 and here < last and _begun(word, segments[here + 1], texts[here + 1], text):
            here, at = here + 1, 0
            place = texts[here].find(text, 0, reach)
        if place >= 0:
            places[here].append(Place(place, text, word.start, is_event(word)))
            at = place + len(text)
    return places


def _begun(word: Word, segment: Segment, text: str, wanted: str) -> bool:
    """Whether a word may belong to this later segment: by time if both have one, else by the look of it."""
    if word.start is not None and segment.start is not None:
        return word.start >= segment.start - _EARLY
    return text.find(wanted, 0, len(wanted) + _REACH) >= 0


def _parted(segment: Segment, text: str, places: Sequence[Place]) -> Iterator[Paragraph]:
    if len(text) <= LONGEST:
        if text.strip():
            start = segment.start if segment.start is not None else _first(places)
            yield Paragraph(text, segment.speaker, start, segment.end, places)
        return
    pieces = list(_pieces(text))
    taken = 0
    for number, (begin, end) in enumerate(pieces):
        inside = []
        while taken < len(places) and places[taken].at < end:
            inside.append(places[taken]._replace(at=places[taken].at - begin))
            taken += 1
        start = segment.start if number == 0 and segment.start is not None else _first(inside)
        following = _first(places[taken:]) if number + 1 < len(pieces) else segment.end
        yield Paragraph(text[begin:end].rstrip(), segment.speaker, start, following, inside)


def _first(places: Sequence[Place]) -> float | None:
    return next((place.start for place in places if place.start is not None), None)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield where paragraphs begin and end, together the whole text; none for a text of nothing but spaces."""
    begin, size = 0, len(text.rstrip())
    while size - begin > LONGEST:
        ends = _SENTENCE_END.finditer(text, begin + _FULL, min(begin + _TOO_FULL, size))
        cut = next((match.end() for match in ends), None) or _space_after(text, begin + _TOO_FULL)
        if cut is None or size - cut < LONGEST - _FULL - _FULL // 2:  # no orphan of a few words at the end
            break
        yield begin, cut
        begin = cut
    if begin < size:
        yield begin, size


def _space_after(text: str, at: int) -> int | None:
    space = re.compile(r"\s+").search(text, at)
    return space.end() if space else None
