"""What was said, as one list in order: texts with the spaces between them, times in milliseconds, speakers.

Takes a transcript's words, else its segments, else its text. Times that cannot be are mended here, so that everything
after this can trust them; how text is laid out is not decided here.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_nanostt.outputs.unicode_layout import chunks, cleaned, display_width, is_unspaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_nanostt.api.models import Segment, Transcript, Word

CHARACTERS_PER_SECOND = 15.0
"""How fast people speak, about; where nothing is known of times."""

LATEST = 99 * 3_600_000
"""Milliseconds; SubRip's times end a little later. A word that claims to be later has no time."""

_SLOWEST = 8.0
"""Characters per second; a word of unknown end is not stretched over the silence after it."""

_FASTEST = 30.0
"""Characters per second; a length in which nobody could say all that is not believed."""

_ATTACHED = frozenset(",.!?;:)]}%")
"""Punctuation that no space stands before, by whatever name the service lists it."""

EVENT = "audio_event"
_BRACKETS = "()[]* \uff08\uff09\u3010\u3011"


class Token(NamedTuple):
    """One thing said.

    ``spaced`` tells whether a space stands before it; ``start`` and ``end`` are milliseconds; ``event`` tells a sound
    that is not speech, whose text is in brackets.
    """

    text: str
    spaced: bool
    start: int
    end: int
    speaker: str | None
    event: bool = False


class _Raw(NamedTuple):
    text: str
    spaced: bool
    start: int | None
    end: int | None
    speaker: str | None
    event: bool = False


class Spoken(NamedTuple):
    """All that was said, in order; ``timed`` tells whether it is known when. If not, all times are 0."""

    tokens: list[Token]
    timed: bool


def spoken(transcript: Transcript) -> Spoken:
    """Return what was said.

    Words come first; where there are none with times, the segments' texts are spread over the segments' times.
    """
    words = _of_words(transcript)
    if any(one.start is not None for one in words):
        return Spoken(_mended(words), timed=True)
    raw = _of_segments(transcript.segments)
    if any(one.start is not None for one in raw):
        return Spoken(_mended(raw), timed=True)
    raw = raw or words or _of_text(transcript.text, None, None, None)
    return Spoken([Token(one.text, one.spaced, 0, 0, one.speaker, one.event) for one in raw], timed=not raw)


def estimated(tokens: Sequence[Token], minutes: float | None, *, begin: int = 0) -> list[Token]:
    """Return what was said with times that are guessed: spread evenly over what is known of the length.

    :param minutes: how long the audio is; None takes what people need to say so much.
    :param begin: milliseconds at which the first word starts.
    """
    weights = [display_width(token.text) + token.spaced for token in tokens]
    known = minutes is not None and 0 < minutes * 60_000 <= LATEST
    length = (minutes or 0.0) * 60_000 if known else begin + sum(weights) * 1000 / CHARACTERS_PER_SECOND
    shortest = begin + sum(weights) * 1000 / _FASTEST
    spans = _spread(begin, min(LATEST, round(max(length, shortest))), weights)
    return [token._replace(start=start, end=end) for token, (start, end) in zip(tokens, spans, strict=True)]


def event_name(text: str) -> str:
    """Return an audio event without the brackets around it."""
    return " ".join(cleaned(text).split()).strip(_BRACKETS) or "…"


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
        if word.type == EVENT:
            event = f"[{event_name(text)}]"
            found.append(_Raw(event, True, _ms(word.start), _ms(word.end), word.speaker, event=True))
            pending = True
            continue
        parts = cleaned(text).split()
        if not parts:
            continue
        before = found[-1].text[-1] if found else ""
        spaced = pending or text[0].isspace() or (not exact and _has_gap(before, parts[0], word.type))
        if len(parts) == 1:
            found.append(_Raw(parts[0], spaced, _ms(word.start), _ms(word.end), word.speaker))
        else:
            gaps = [spaced, *[True] * (len(parts) - 1)]
            found.extend(_timed_entries(parts, gaps, (_ms(word.start), _ms(word.end)), word.speaker))
        pending = text[-1].isspace()
    return found


def _of_segments(segments: Iterable[Segment]) -> list[_Raw]:
    return [raw for segment in segments for raw in _of_text(segment.text, segment.start, segment.end, segment.speaker)]


def _of_text(text: str, start: float | None, end: float | None, speaker: str | None) -> list[_Raw]:
    cut = chunks(cleaned(text))
    begin, stop = _ms(start), _ms(end)
    texts, gaps = [text for text, _ in cut], [spaced for _, spaced in cut]
    return _timed_entries(texts, gaps, (begin, stop), speaker)


def _timed_entries(
    parts: list[str], spaced: list[bool], times: tuple[int | None, int | None], speaker: str | None
) -> list[_Raw]:
    """Share a time between the parts of one entry; half a time belongs to the first, or to the last."""
    begin, stop = times
    if begin is not None and stop is not None and stop >= begin:
        spans: Sequence[tuple[int | None, int | None]] = _spread(begin, stop, [display_width(part) for part in parts])
    else:
        last = len(parts) - 1
        spans = [(begin if at == 0 else None, stop if at == last else None) for at in range(len(parts))]
    return [_Raw(part, gap, span[0], span[1], speaker) for part, gap, span in zip(parts, spaced, spans, strict=True)]


def _has_gap(before: str, after: str, kind: str) -> bool:
    """Whether a space stands between two words of a list that has no entries for spaces."""
    if before in ("", "(", "[", "{") or kind == "punctuation" or all(character in _ATTACHED for character in after):
        return False
    return not (is_unspaced(before) and is_unspaced(after[0]))


def _with_speakers(transcript: Transcript) -> Iterable[Word]:
    """Give the words; if only the segments name speakers, with the speaker of the segment that a word falls into."""
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
    if seconds is None or not -1.0 <= seconds * 1000 <= LATEST:
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


def _mended(raw: Sequence[_Raw]) -> list[Token]:
    """Give everything times that never go back and never overlap.

    As few as possible are disbelieved: of the starts, the longest run that never goes back is kept.
    """
    kept = _rising([one.start for one in raw])
    starts = _filled(raw, kept)
    tokens = []
    for at, one in enumerate(raw):
        start = starts[at]
        following = starts[at + 1] if at + 1 < len(starts) else LATEST
        if one.end is not None and one.end >= start and at in kept:
            end = one.end
        else:
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
    for left, right in zip(anchors, [*anchors[1:], None], strict=True):
        until = len(raw) if right is None else right
        end = raw[left].end
        inner = range(left + 1, until)
        if not inner:
            continue
        from_here = end is not None and end >= starts[left]
        begin = end if from_here and end is not None else starts[left]
        covered = range(left + 1, until) if from_here else range(left, until)
        room = sum(widths[covered.start : covered.stop]) * 1000 / CHARACTERS_PER_SECOND
        stop = begin + round(room) if right is None else starts[right]
        begin = min(begin, stop)
        spans = _spread(begin, min(stop, LATEST), widths[covered.start : covered.stop])
        for at, span in zip(covered, spans, strict=True):
            starts[at] = max(span[0], starts[left])
    return starts
