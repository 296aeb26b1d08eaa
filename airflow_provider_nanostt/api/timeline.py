"""Words and segments as one timeline, on which JSON, XCom, captions and pages agree: by time, and with speakers.

Pure, and idempotent: whoever reads a transcript, from an answer, a file or a script, passes it through
:func:`normalised`. How text is laid out is not decided here.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, TypeVar

from airflow_provider_nanostt.api.confidence import overall, probability
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.placing import placed
from airflow_provider_nanostt.api.spacing import facing, has_gap, is_sound_event, is_visible
from airflow_provider_nanostt.common.numbers import amount, number

PAUSE_SECONDS = 1.0
"""A silence this long between two words of one speaker begins a new segment."""

_FAR = 60
_MOST_PASSES = 10


class _Timed(Protocol):
    """Anything with times, in any unit, and a speaker."""

    @property
    def start(self) -> float | None: ...
    @property
    def end(self) -> float | None: ...
    @property
    def speaker(self) -> str | None: ...


T = TypeVar("T", bound=_Timed)
Entry = TypeVar("Entry", Word, Segment)


def normalised(transcript: Transcript) -> Transcript:
    """Return a transcript without entries that nobody can see, in the order of time, its words with speakers.

    Numbers that cannot be, which a script may have put there, are None.
    """
    segments = [_seen(one) for one in transcript.segments if is_visible(one.text)]
    segments = [one for run in in_order(segments, PAUSE_SECONDS) for one in run]
    words = _sorted([_seen(one) for one in transcript.words if one.type == "spacing" or _is_kept(one.text)])
    words = list(with_speakers(words, segments))
    confidence = overall(words) if transcript.confidence is None else probability(transcript.confidence)
    if confidence is not None and any(one.confidence is None for one in segments):
        segments = list(_with_confidence(segments, words))
    return replace(
        transcript,
        segments=tuple(segments),
        words=tuple(words),
        confidence=confidence,
        cost=amount(transcript.cost),
        charged_minutes=amount(transcript.charged_minutes),
    )


def _with_confidence(segments: Sequence[Segment], words: Sequence[Word]) -> Iterator[Segment]:
    """Yield the segments, those of the service with the confidence of the words in them."""
    for segment, places in zip(segments, placed(segments, words), strict=True):
        known = segment.confidence is not None
        yield segment if known else replace(segment, confidence=overall(words[number] for _, number in places))


def _is_kept(text: str) -> bool:
    return not text.strip() or is_visible(text)  # a space says something, too


def _seen(entry: Entry) -> Entry:
    """Return an entry without a speaker whose name nobody can see, and without numbers that cannot be."""
    speaker = None if entry.speaker and not is_visible(entry.speaker) else entry.speaker
    start, end, confidence = number(entry.start), number(entry.end), probability(entry.confidence)
    if (speaker, start, end, confidence) == (entry.speaker, entry.start, entry.end, entry.confidence):  # nearly always
        return entry
    return replace(entry, speaker=speaker, start=start, end=end, confidence=confidence)


def in_order(entries: Sequence[T], pause: float) -> list[list[T]]:
    """Sort by time; entries without a time stay behind the one before them.

    :param pause: how long a silence ends what somebody says, in the unit of the times.
    :return: the entries in runs of such as were listed one after the other.
    """
    order = list(range(len(entries)))
    # Mostly one pass; entries that were moved have other neighbours.
    for _ in range(_MOST_PASSES):  # pragma: no branch
        keys, key = [], float("-inf")
        listed = [entries[at] for at in order]
        for at, one in enumerate(listed):
            if one.start is not None and not _is_stray(listed, at, pause):
                key = one.start
            keys.append(key)
        if all(earlier <= later for earlier, later in pairwise(keys)):
            break
        order = [order[at] for at in sorted(range(len(order)), key=keys.__getitem__)]
    runs: list[list[T]] = []
    before = None
    for at in order:
        if before is None or at != before + 1:
            runs.append([])
        runs[-1].append(entries[at])
        before = at
    return runs


def _is_stray(entries: Sequence[T], at: int, pause: float) -> bool:
    """Return whether one entry is far from both of its neighbours, which follow each other: its time is wrong."""
    if not 0 < at < len(entries) - 1:
        return False
    before, lone, after = entries[at - 1 : at + 2]
    if None in (before.start, lone.start, after.start) or len({before.speaker, lone.speaker, after.speaker}) > 1:
        return False
    begin, middle, end = before.start or 0.0, lone.start or 0.0, after.start or 0.0
    is_far = middle < begin - _FAR * pause or middle > end + _FAR * pause
    return is_far and begin <= end and 0 <= end - max(begin, before.end or begin) <= pause


def _sorted(words: Sequence[Word]) -> list[Word]:
    return join_words(in_order(words, PAUSE_SECONDS))


def join_words(lists: Sequence[Sequence[Word]]) -> list[Word]:
    """Join word lists; if they have entries for the spaces between words, one is put between the lists, too."""
    is_spaced = any(word.type == "spacing" for words in lists for word in words)
    joined: list[Word] = []
    for words in filter(None, lists):
        is_bare = is_spaced and joined and "spacing" not in (joined[-1].type, words[0].type)
        if is_bare and has_gap(joined[-1].text.strip(), words[0].text.strip()):
            begin, end = joined[-1].end, words[0].start
            since = joined[-1].start
            is_sound = None not in (since, begin, end) and (since or 0.0) <= (begin or 0.0) <= (end or 0.0)
            joined.append(Word(" ", *((begin, end) if is_sound else (None, None)), "spacing"))
        joined.extend(words)
    return joined


@dataclass(frozen=True, slots=True)
class _Turn:
    start: float
    end: float
    speaker: str


def with_speakers(words: Iterable[Word], segments: Sequence[Segment]) -> Iterator[Word]:
    """Yield words in the order of time, each with its own speaker, else with that of the segment that covers it.

    Of several the shortest; if none covers a word, the nearest.
    """
    turns = sorted(_turns(segments), key=lambda turn: turn.start)
    begun: list[tuple[float, int]] = []  # turns that have begun, by length
    following = 0
    ended: _Turn | None = None  # the one that ended last
    for word in words:
        if word.speaker or word.start is None or word.type == "spacing" or not turns:
            yield word
            continue
        at = word.start if word.end is None else (word.start + word.end) / 2
        while following < len(turns) and turns[following].start <= at:
            heapq.heappush(begun, (turns[following].end - turns[following].start, following))
            following += 1
        while begun and turns[begun[0][1]].end < at:
            gone = turns[heapq.heappop(begun)[1]]
            ended = gone if ended is None or gone.end > ended.end else ended
        near = turns[begun[0][1]] if begun else ended
        if not begun and following < len(turns) and (near is None or turns[following].start - at < at - near.end):
            near = turns[following]
        yield word if near is None else replace(word, speaker=near.speaker)


def _turns(segments: Sequence[Segment]) -> Iterator[_Turn]:
    """Yield the segments whose speaker and time are known; without an end, they last until the next one begins."""
    starts = sorted(one.start for one in segments if one.start is not None)
    for one in segments:
        if one.speaker and one.start is not None:
            end = one.end
            if end is None or end < one.start:
                at = bisect_right(starts, one.start)
                end = starts[at] if at < len(starts) else float("inf")
            yield _Turn(one.start, end, one.speaker)


def spaced(words: Sequence[Word]) -> Iterator[tuple[Word, bool]]:
    """Yield the words that can be seen, each with whether a space stands before it.

    With entries for spaces, or spaces in entries, the list says itself where they are; else the scripts do.
    """
    is_exact = any(one.type == "spacing" or one.text[:1].isspace() or one.text[-1:].isspace() for one in words)
    pending, before, is_quoted = False, "", False
    for word in words:
        text = word.text
        if not text.strip():
            pending = pending or bool(text)
            continue
        is_event = word.type != "word" and is_sound_event(word.type, text)
        shown, is_quoted = facing(text.strip(), is_quoted=is_quoted)
        is_apart = not is_exact and has_gap(before, shown, is_punctuation=word.type == "punctuation")
        yield word, is_event or pending or text[0].isspace() or is_apart
        pending, before = is_event or text[-1].isspace(), shown


def rebuilt(words: Sequence[Word]) -> Iterator[Segment]:
    """Make segments of words: one for what a speaker says without a pause."""
    run: list[tuple[Word, bool]] = []
    speaker, end = None, None  # the last ones named: entries between two speakers may name none
    for word, is_apart in spaced(_sorted(words)):
        changed = None not in (speaker, word.speaker) and word.speaker != speaker
        if run and (changed or (end is not None and word.start is not None and word.start - end > PAUSE_SECONDS)):
            yield _segment(run)
            run, speaker = [], None
        speaker = word.speaker or speaker
        end = word.end if word.end is not None else end
        run.append((word, is_apart))
    if run:
        yield _segment(run)


def _segment(run: Sequence[tuple[Word, bool]]) -> Segment:
    words = [word for word, _ in run]
    return Segment(
        speaker=next((word.speaker for word in words if word.speaker), None),
        start=next((word.start for word in words if word.start is not None), None),
        end=next((word.end for word in reversed(words) if word.end is not None), None),
        text="".join(f" {word.text.strip()}" if is_apart else word.text.strip() for word, is_apart in run).strip(),
        confidence=overall(words),
    )
