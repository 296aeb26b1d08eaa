"""Merges the transcripts of a recording's parts into the transcript of the recording; pure functions on values.

Times, words, confidence and cost are exact. Which speaker of one part is which of the next is unknown, so their names
say which part they are of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from airflow_provider_nanostt.api.confidence import overall
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.spacing import has_gap
from airflow_provider_nanostt.api.timeline import join_words
from airflow_provider_nanostt.common.numbers import number, total
from airflow_provider_nanostt.outputs.speakers import speakers

_Timed = TypeVar("_Timed", Word, Segment)

RUN_ID_SEPARATOR = ", "
"""Between the run ids of a recording that went in parts."""

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
    is_marked = sum(bool(speakers(transcript)) for _, transcript in ordered) > 1
    moved = [
        _moved(transcript, start, f" (part {number})" if is_marked else "")
        for number, (start, transcript) in enumerate(ordered, 1)
    ]
    if len(moved) == 1:
        return moved[0]
    words = tuple(join_words([one.words for one in moved]))
    return Transcript(
        text=join_texts(one.text for one in moved),
        segments=tuple(segment for one in moved for segment in one.segments),
        words=words,
        language=_language(moved),
        model=" + ".join(dict.fromkeys(one.model for one in moved if one.model)),
        cost=total(one.cost for one in moved),
        charged_minutes=total(one.charged_minutes for one in moved),
        confidence=overall(words),
        metadata=_metadata(moved),
        raw={"parts": [{"start": start, "runId": one.run_id, "answer": one.raw} for start, one in ordered]},
    )


def run_id_of(transcript: Transcript) -> str | None:
    """Return the id of the job; of a merged transcript, of all its jobs; None if the answer came at once."""
    parts = transcript.raw.get("parts") if transcript.run_id is None else None
    ids = [part.get("runId") for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return transcript.run_id or RUN_ID_SEPARATOR.join(one for one in ids if isinstance(one, str)) or None


def join_texts(texts: Iterable[str]) -> str:
    """Join texts in order: with a space, or with nothing between scripts without spaces."""
    joined = ""
    for text in map(str.strip, texts):
        joined += f" {text}" if joined and has_gap(joined, text) else text
    return joined


def _moved(part: Transcript, start: float, mark: str) -> Transcript:
    """Return a part with the times of the recording, and a mark at its speakers."""

    def time(seconds: float | None) -> float | None:
        return None if seconds is None else round(seconds + start, 6)

    def entries(given: tuple[_Timed, ...]) -> tuple[_Timed, ...]:
        return tuple(
            replace(one, start=time(one.start), end=time(one.end), speaker=one.speaker and f"{one.speaker}{mark}")
            for one in given
        )

    return replace(part, segments=entries(part.segments), words=entries(part.words))


def _language(transcripts: Sequence[Transcript]) -> str | None:
    """Return the language of most minutes; where the minutes are unknown, of most characters."""
    timed = all(transcript.charged_minutes is not None for transcript in transcripts)
    weights: dict[str, float] = defaultdict(float)
    for transcript in transcripts:
        if transcript.language:
            weights[transcript.language] += (transcript.charged_minutes or 0.0) if timed else len(transcript.text)
    return max(weights, key=weights.__getitem__) if weights else None


def _metadata(transcripts: Sequence[Transcript]) -> Mapping[str, object]:
    every = [transcript.metadata for transcript in transcripts]
    equal = {
        name: value for name, value in every[0].items() if all(name in one and one[name] == value for one in every)
    }
    sums = {name: total(number(one.get(name)) for one in every) for name in _SUMMED}
    runs = [transcript.run_id for transcript in transcripts]
    return {
        **equal,
        **{name: value for name, value in sums.items() if value is not None},
        **({"runIds": runs} if any(runs) else {}),
    }
