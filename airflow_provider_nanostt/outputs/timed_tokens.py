"""A transcript as one list of tokens in order: texts with the spaces between them, times in milliseconds, speakers.

Takes a transcript's words, else its segments, else its text. Impossible times are corrected here, so that everything
after this can rely on them; how text is laid out is not decided here.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from airflow_provider_nanostt.api.models import Transcript, Word
from airflow_provider_nanostt.outputs.unicode_layout import (
    cleaned,
    display_width,
    event_name,
    has_gap,
    is_sound_event,
    one_line,
    split_breakable,
)

CHARACTERS_PER_SECOND = 15.0
"""How fast people speak, about; for what has no times."""

LATEST_MS = 99 * 3_600_000
"""SubRip's times end a little later. A word that claims to be later has no time."""

_SLOWEST = 8.0
"""Characters per second; a word of unknown end is not stretched over the silence after it."""

_FASTEST = 30.0
"""Characters per second; a length in which nobody could say all that is not believed."""


class Token(NamedTuple):
    """One thing said.

    :param spaced: whether a space stands before it.
    :param start: milliseconds, like ``end``.
    :param event: whether it is a sound that is not speech; its text is in brackets.
    """

    text: str
    spaced: bool
    start: int
    end: int
    speaker: str | None
    event: bool = False


class _Raw(NamedTuple):
    """A token whose times are as the service gave them."""

    text: str
    spaced: bool
    start: int | None
    end: int | None
    speaker: str | None
    event: bool = False


class Spoken(NamedTuple):
    """All that was said, in order; without ``timed`` all times are 0."""

    tokens: list[Token]
    timed: bool


def spoken(transcript: Transcript) -> Spoken:
    """Return what was said.

    Words come first; where there are none with times, the segments' texts are spread over the segments' times.
    """
    words = _of_words(transcript)
    if any(one.start is not None for one in words):
        return Spoken(_with_times(words), timed=True)
    raw = [
        token
        for one in transcript.segments
        for token in _of_text(one.text, (_ms(one.start), _ms(one.end)), one.speaker)
    ]
    if any(one.start is not None for one in raw):
        return Spoken(_with_times(raw), timed=True)
    raw = raw or words or _of_text(transcript.text, (None, None), None)
    return Spoken([Token(one.text, one.spaced, 0, 0, one.speaker, one.event) for one in raw], timed=not raw)


def estimated(tokens: Sequence[Token], minutes: float | None, *, begin: int = 0) -> list[Token]:
    """Return what was said with estimated times: spread evenly over the length, as far as that is known.

    :param minutes: how long the audio is; None takes the time that people need to say so much.
    :param begin: milliseconds at which the first word starts.
    """
    weights = [display_width(token.text) + token.spaced for token in tokens]
    known = minutes is not None and 0 < minutes * 60_000 <= LATEST_MS
    length = (minutes or 0.0) * 60_000 if known else begin + sum(weights) * 1000 / CHARACTERS_PER_SECOND
    shortest = begin + sum(weights) * 1000 / _FASTEST
    spans = _spread(begin, min(LATEST_MS, round(max(length, shortest))), weights)
    return [token._replace(start=start, end=end) for token, (start, end) in zip(tokens, spans, strict=True)]


def _of_words(transcript: Transcript) -> list[_Raw]:
    found: list[_Raw] = []
    # With entries for spaces, or spaces inside of entries, the list says itself where they are.
    exact = any(word.type == "spacing" or word.text[:1].isspace() for word in transcript.words)
    pending = False
    for word in _with_speakers(transcript):
        text = word.text
        if not text.strip():
            pending = pending or bool(text)
            continue
        times = _ms(word.start), _ms(word.end)
        if word.type != "word" and is_sound_event(word.type, text):
            found.append(_Raw(f"[{event_name(one_line(text))}]", True, *times, word.speaker, event=True))
            pending = True
        elif parts := cleaned(text).split():
            before = found[-1].text if found else ""
            spaced = pending or text[0].isspace()
            spaced = spaced or (not exact and has_gap(before, parts[0], is_punctuation=word.type == "punctuation"))
            if len(parts) == 1:
                found.append(_Raw(parts[0], spaced, *times, word.speaker))
            else:
                gaps = [spaced, *[True] * (len(parts) - 1)]
                found += _timed_entries(list(zip(parts, gaps, strict=True)), times, word.speaker)
            pending = text[-1].isspace()
    return found


def _of_text(text: str, times: tuple[int | None, int | None], speaker: str | None) -> list[_Raw]:
    return _timed_entries(split_breakable(cleaned(text)), times, speaker)


def _timed_entries(
    parts: list[tuple[str, bool]], times: tuple[int | None, int | None], speaker: str | None
) -> list[_Raw]:
    """Share a time between the parts of one entry; half a time belongs to the first, or to the last."""
    begin, stop = times
    if begin is not None and stop is not None and stop >= begin:
        spans: Sequence[tuple[int | None, int | None]] = _spread(
            begin, stop, [display_width(part) for part, _ in parts]
        )
    else:
        last = len(parts) - 1
        spans = [(begin if at == 0 else None, stop if at == last else None) for at in range(len(parts))]
    return [_Raw(part, spaced, *span, speaker) for (part, spaced), span in zip(parts, spans, strict=True)]


def _with_speakers(transcript: Transcript) -> Iterable[Word]:
    """Return the words; if only the segments name speakers, with the speaker of the segment that a word is in."""
    if any(word.speaker for word in transcript.words):
        return transcript.words
    named = sorted(
        ((begin, segment.speaker) for segment in transcript.segments if (begin := _ms(segment.start)) is not None),
        key=lambda one: one[0],
    )
    if not any(speaker for _, speaker in named):
        return transcript.words
    begins = [begin for begin, _ in named]
    return [
        word
        if word.type == "spacing" or (start := _ms(word.start)) is None
        else replace(word, speaker=named[max(0, bisect_right(begins, start) - 1)][1])
        for word in transcript.words
    ]


def _ms(seconds: float | None) -> int | None:
    if seconds is None or not -1.0 <= seconds * 1000 <= LATEST_MS:
        return None
    return max(0, round(seconds * 1000))


def _spread(begin: int, end: int, weights: Sequence[int]) -> list[tuple[int, int]]:
    """Share a stretch of time by weights."""
    total = sum(weights) or 1
    spans, done, at = [], 0, begin
    for weight in weights:
        done += weight
        until = begin + (end - begin) * done // total
        spans.append((at, until))
        at = until
    return spans


def _with_times(raw: Sequence[_Raw]) -> list[Token]:
    """Give everything times that never go back and never overlap.

    As few as possible are disbelieved: of the starts, the longest run that never goes back is kept.
    """
    kept = _rising([one.start for one in raw])
    starts = _filled(raw, kept)
    tokens = []
    for at, (one, start, following) in enumerate(zip(raw, starts, [*starts[1:], LATEST_MS], strict=True)):
        end = one.end
        if end is None or end < start or at not in kept:
            end = start + 200 + round(display_width(one.text) * 1000 / _SLOWEST)
        tokens.append(Token(one.text, one.spaced, start, min(end, following), one.speaker, one.event))
    return tokens


def _rising(starts: Sequence[int | None]) -> set[int]:
    """Return the positions of the longest subsequence that never goes back, in O(n log n)."""
    tails: list[int] = []
    places: list[int] = []
    before: dict[int, int | None] = {}
    for at, start in enumerate(starts):
        if start is None:
            continue
        length = bisect_right(tails, start)
        before[at] = places[length - 1] if length else None
        if length == len(tails):
            tails.append(start)
            places.append(at)
        else:
            tails[length], places[length] = start, at
    kept: set[int] = set()
    place: int | None = places[-1] if places else None
    while place is not None:
        kept.add(place)
        place = before[place]
    return kept


def _filled(raw: Sequence[_Raw], kept: set[int]) -> list[int]:
    """Return a start for everything: the kept ones as they are, between them by length."""
    starts = [one.start or 0 for one in raw]
    if len(kept) == len(raw):
        return starts
    anchors = sorted(kept)
    widths = [display_width(one.text) + 1 for one in raw]
    first = anchors[0]
    lead = round(sum(widths[:first]) * 1000 / CHARACTERS_PER_SECOND)
    for at, span in enumerate(_spread(max(0, starts[first] - lead), starts[first], widths[:first])):
        starts[at] = span[0]
    for left, until in itertools.pairwise([*anchors, len(raw)]):
        if until == left + 1:
            continue
        begin, covered = starts[left], range(left, until)
        if (end := raw[left].end) is not None and end >= begin:
            begin, covered = end, range(left + 1, until)
        weights = widths[covered.start : until]
        stop = starts[until] if until < len(raw) else begin + round(sum(weights) * 1000 / CHARACTERS_PER_SECOND)
        spans = _spread(min(begin, stop), min(stop, LATEST_MS), weights)
        for at, span in zip(covered, spans, strict=True):
            starts[at] = max(span[0], starts[left])
    return starts
