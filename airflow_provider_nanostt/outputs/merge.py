"""Merges the transcripts of a recording's parts into the transcript of the recording; pure functions on values.

Times, words and cost are exact. Which speaker of one part is which of the next is unknown, so their names say which
part they are of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.outputs.unicode_layout import is_unspaced

_Timed = TypeVar("_Timed", Word, Segment)

_SUMMED = ("cost", "chargedDuration", "actualDuration", "fileSize")


def merge(parts: Sequence[tuple[float, Transcript]]) -> Transcript:
    """Merge the transcripts of a recording's parts.

    Times are those of the recording. If more than one part names speakers, they become ``Speaker 1 (part 2)`` and so
    on: labels of different parts do not match. Cost and minutes are the sums of what is known, None if nothing is. The
    language is that of most minutes. ``metadata`` keeps values that are equal in all parts, sums amounts, and lists
    ``runIds`` if there are any; ``raw`` is ``{"parts": [{"start", "runId", "answer"}]}``.

    :param parts: (where the part begins in the recording, seconds; its transcript), in any order.
    :return: one transcript; of one part, that part's with its times moved.
    :raises InvalidInput: without parts.
    """
    if not parts:
        raise InvalidInput("there are no parts to merge")
    ordered = sorted(parts, key=lambda part: part[0])
    if len(ordered) == 1:
        start, only = ordered[0]
        return replace(only, segments=_moved(only.segments, start), words=_moved(only.words, start))
    transcripts = [transcript for _, transcript in ordered]
    marked = [(*part, mark) for part, mark in zip(ordered, _speaker_marks(transcripts), strict=True)]
    return Transcript(
        text=join_texts(transcript.text for transcript in transcripts),
        segments=tuple(one for start, part, mark in marked for one in _moved(part.segments, start, mark)),
        words=_joined_words([_moved(part.words, start, mark) for start, part, mark in marked]),
        language=_language(transcripts),
        model=" + ".join(dict.fromkeys(transcript.model for transcript in transcripts if transcript.model)),
        cost=_sum(transcript.cost for transcript in transcripts),
        charged_minutes=_sum(transcript.charged_minutes for transcript in transcripts),
        metadata=_metadata(transcripts),
        raw={
            "parts": [
                {"start": start, "runId": transcript.run_id, "answer": transcript.raw} for start, transcript in ordered
            ]
        },
    )


def join_texts(texts: Iterable[str]) -> str:
    """Join texts in order: with a space, or with nothing between scripts without spaces."""
    joined = ""
    for text in (text.strip() for text in texts):
        joined += _gap(joined, text) + text
    return joined


def _gap(before: str, after: str) -> str:
    if not before or not after:
        return ""
    return "" if is_unspaced(before[-1]) and is_unspaced(after[0]) else " "


def _speaker_marks(transcripts: Sequence[Transcript]) -> list[str]:
    """Return the suffix for the speakers of each part: empty if at most one part names any."""
    naming = [
        any(segment.speaker for segment in transcript.segments) or any(word.speaker for word in transcript.words)
        for transcript in transcripts
    ]
    return [f" (part {at})" if sum(naming) > 1 else "" for at in range(1, len(transcripts) + 1)]


def _moved(entries: Iterable[_Timed], start: float, mark: str = "") -> tuple[_Timed, ...]:
    """Return words or segments with the times of the recording, and a mark at their speakers."""
    return tuple(
        replace(
            entry,
            start=None if entry.start is None else round(entry.start + start, 6),
            end=None if entry.end is None else round(entry.end + start, 6),
            speaker=f"{entry.speaker}{mark}" if entry.speaker else entry.speaker,
        )
        for entry in entries
    )


def _joined_words(lists: Sequence[tuple[Word, ...]]) -> tuple[Word, ...]:
    """Join word lists; if they have entries for the spaces between words, one is put between the lists, too."""
    spaced = any(word.type == "spacing" for words in lists for word in words)
    joined: list[Word] = []
    for words in lists:
        if spaced and joined and words and "spacing" not in (joined[-1].type, words[0].type):
            gap = _gap(joined[-1].text.strip(), words[0].text.strip())
            if gap:
                joined.append(Word(gap, joined[-1].end, words[0].start, "spacing"))
        joined.extend(words)
    return tuple(joined)


def _language(transcripts: Sequence[Transcript]) -> str | None:
    """Return the language of most minutes; where the minutes are unknown, of most characters."""
    timed = all(transcript.charged_minutes is not None for transcript in transcripts)
    weights: dict[str, float] = defaultdict(float)
    for transcript in transcripts:
        if transcript.language:
            weights[transcript.language] += (transcript.charged_minutes or 0.0) if timed else len(transcript.text)
    return max(weights, key=weights.__getitem__) if weights else None


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return round(sum(known), 9) if known else None


def _metadata(transcripts: Sequence[Transcript]) -> Mapping[str, object]:
    every = [transcript.metadata for transcript in transcripts]
    combined = {
        name: value for name, value in every[0].items() if all(name in one and one[name] == value for one in every)
    }
    for name in _SUMMED:
        total = _sum(number(one.get(name)) for one in every)
        if total is not None:
            combined[name] = total
    runs = [transcript.run_id for transcript in transcripts]
    return {**combined, **({"runIds": runs} if any(runs) else {})}
