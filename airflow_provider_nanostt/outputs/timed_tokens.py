"""A transcript as one list of tokens in order: texts with the spaces between them, times in milliseconds, speakers.

Takes a transcript's words, else its segments, else its text. Impossible times are corrected here, so that everything
after this can rely on them; how text is laid out is not decided here.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from airflow_provider_nanostt.api.confidence import is_spoken
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.spacing import is_sound_event, is_visible
from airflow_provider_nanostt.api.timeline import PAUSE_SECONDS, in_order, spaced
from airflow_provider_nanostt.outputs.unicode_layout import (
    cleaned,
    display_width,
    event_name,
    one_line,
    split_breakable,
)

LATEST_MS = 99 * 3_600_000
"""SubRip's times end a little later. A word that claims to be later has no time."""

# Characters per second.
_SPEED = 15.0  # of people, about; for what has no times
_SLOWEST = 8.0  # a word of unknown end is not stretched over the silence after it
_FASTEST = 30.0  # a length in which nobody could say all that is not believed


class Token(NamedTuple):
    """One thing said.

    :param spaced: whether a space stands before it.
    :param start: milliseconds, like ``end``.
    :param event: whether it is a sound that is not speech; its text is in brackets.
    :param confidence: of the word that it is or is a part of, 0 to 1; None if that has none, or was not said.
    """

    text: str
    spaced: bool
    start: int
    end: int
    speaker: str | None
    event: bool = False
    confidence: float | None = None

    @property
    def width(self) -> int:
        """Columns, without the space."""
        return display_width(self.text)


class _Raw(NamedTuple):
    """A token whose times are as the service gave them."""

    text: str
    spaced: bool
    start: int | None
    end: int | None
    speaker: str | None
    event: bool = False
    confidence: float | None = None


IsEnd = Callable[[Sequence[Token], Token], bool]
"""Whether what was said so far may end before the token that follows."""


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
    listed = [token for one in transcript.segments for token in _of_segment(one)]
    raw = [token for run in in_order(listed, PAUSE_SECONDS * 1000) for token in run]
    if any(one.start is not None for one in raw):
        return Spoken(_with_times(raw), timed=True)
    text = transcript.text if is_visible(transcript.text) else ""
    raw = raw or words or _of_segment(Segment(None, None, None, text))
    return Spoken([_token(one, 0, 0) for one in raw], timed=not raw)


def estimated(tokens: Sequence[Token], minutes: float | None, *, begin: int = 0) -> list[Token]:
    """Return what was said with estimated times: spread evenly over the length, as far as that is known.

    :param minutes: how long the audio is; None takes the time that people need to say so much.
    :param begin: milliseconds at which the first word starts.
    """
    weights = [display_width(token.text) + token.spaced for token in tokens]
    known = minutes is not None and 0 < minutes * 60_000 <= LATEST_MS
    length = (minutes or 0.0) * 60_000 if known else begin + _speaking_ms(weights)
    shortest = begin + sum(weights) * 1000 / _FASTEST
    spans = spread(begin, min(LATEST_MS, round(max(length, shortest))), weights)
    return [token._replace(start=start, end=end) for token, (start, end) in zip(tokens, spans, strict=True)]


def turns(tokens: Iterable[Token], is_end: IsEnd | None = None) -> Iterator[list[Token]]:
    """Cut what was said where the speaker changes, and where a turn may end before the token that follows."""
    turn: list[Token] = []
    speaker: str | None = None  # the last one named: entries between two speakers may name none
    for token in tokens:
        changed = None not in (speaker, token.speaker) and token.speaker != speaker
        if turn and (changed or (is_end and is_end(turn, token))):
            yield turn
            turn = []
        speaker = token.speaker or speaker
        turn.append(token)
    if turn:
        yield turn


def _of_words(transcript: Transcript) -> list[_Raw]:
    found: list[_Raw] = []
    for word, is_apart in spaced(transcript.words):
        if word.type != "word" and is_sound_event(word.type, word.text):
            name = event_name(one_line(word.text))
            found.append(_Raw(f"[{name}]", True, _ms(word.start), _ms(word.end), word.speaker, event=True))
        elif parts := cleaned(word.text).split():
            confidence = word.confidence if is_spoken(word) else None
            found += _shared([(part, is_apart or at > 0) for at, part in enumerate(parts)], word, confidence)
    return found


def _of_segment(segment: Segment) -> list[_Raw]:
    return _shared(split_breakable(cleaned(segment.text)), segment)


def _shared(parts: Sequence[tuple[str, bool]], entry: Word | Segment, confidence: float | None = None) -> list[_Raw]:
    """Share an entry's time between its parts; half a time belongs to the first, or to the last."""
    begin, stop = _ms(entry.start), _ms(entry.end)
    if len(parts) == 1:  # nearly always
        return [_Raw(*parts[0], begin, stop, entry.speaker, confidence=confidence)]
    spans: Sequence[tuple[int | None, int | None]]
    if begin is not None and stop is not None and stop >= begin:
        spans = spread(begin, stop, [display_width(part) for part, _ in parts])
    else:
        last = len(parts) - 1
        spans = [(begin if at == 0 else None, stop if at == last else None) for at in range(len(parts))]
    return [_Raw(*part, *span, entry.speaker, confidence=confidence) for part, span in zip(parts, spans, strict=True)]


def _ms(seconds: float | None) -> int | None:
    if seconds is None or not -1.0 <= seconds * 1000 <= LATEST_MS:
        return None
    return max(0, round(seconds * 1000))


def _speaking_ms(weights: Sequence[int]) -> float:
    """Return how long people take to say texts of so many columns."""
    return sum(weights) * 1000 / _SPEED


def spread(begin: int, end: int, weights: Sequence[int]) -> list[tuple[int, int]]:
    """Share a stretch of time by weights."""
    total = sum(weights) or 1
    edges = (begin + (end - begin) * done // total for done in itertools.accumulate(weights, initial=0))
    return list(itertools.pairwise(edges))


def _with_times(raw: Sequence[_Raw]) -> list[Token]:
    """Give everything times that never go back and never overlap.

    As few as possible are disbelieved: of the starts, the longest subsequence that never goes back is kept.
    """
    kept = _rising([one.start for one in raw])
    starts = _filled(raw, kept)
    tokens = []
    for at, (one, start, following) in enumerate(zip(raw, starts, [*starts[1:], LATEST_MS], strict=True)):
        end = one.end
        if end is None or end < start or at not in kept:
            end = start + 200 + round(display_width(one.text) * 1000 / _SLOWEST)
        tokens.append(_token(one, start, min(end, following)))
    return tokens


def _token(one: _Raw, start: int, end: int) -> Token:
    return Token(one.text, one.spaced, start, end, one.speaker, one.event, one.confidence)


def _rising(starts: Sequence[int | None]) -> set[int]:
    """Return the positions of the longest subsequence that never goes back, in O(n log n)."""
    tails: list[tuple[int, int]] = []  # by length: the smallest start that a subsequence ends with, and its position
    before: dict[int, int | None] = {}
    for at, start in enumerate(starts):
        if start is None:
            continue
        length = bisect_right(tails, (start, at))
        before[at] = tails[length - 1][1] if length else None
        tails[length : length + 1] = [(start, at)]
    kept: set[int] = set()
    last = tails[-1][1] if tails else None
    while last is not None:
        kept.add(last)
        last = before[last]
    return kept


def _filled(raw: Sequence[_Raw], kept: set[int]) -> list[int]:
    """Return a start for everything: the kept ones as they are, between them by length."""
    starts = [one.start or 0 for one in raw]
    widths = [display_width(one.text) + 1 for one in raw]

    def fill(first: int, until: int, begin: int, end: int) -> None:
        starts[first:until] = [start for start, _ in spread(begin, min(end, LATEST_MS), widths[first:until])]

    anchors = sorted(kept)
    first = anchors[0]
    fill(0, first, max(0, starts[first] - round(_speaking_ms(widths[:first]))), starts[first])
    for left, until in itertools.pairwise([*anchors, len(raw)]):
        begin, after, end = starts[left], left, raw[left].end
        if end is not None and end >= begin:
            begin, after = end, left + 1
        stop = starts[until] if until < len(raw) else begin + round(_speaking_ms(widths[after:until]))
        fill(after, until, min(begin, stop), stop)
    return starts
