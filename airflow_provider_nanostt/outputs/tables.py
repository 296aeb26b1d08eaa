"""Transcripts as rows of tables: which tables and columns there are. Pure; files of them are made in ``table_files``.

A row has the recording and the job it comes from, so that tables can be joined, and one transcript told from the next.
"""

from __future__ import annotations

import importlib.util
import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.spacing import is_visible
from airflow_provider_nanostt.common.parsing import parse_words
from airflow_provider_nanostt.outputs.merge import run_id_of

Columns = Mapping[str, Sequence[object]]

_LOOK_BACK = 8
"""Segments before a word's time of which one may be the one it is in, where people speak at once."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table in Parquet.

    :param columns: their names and Arrow's names of their types; times are seconds. New ones come at the end.
    :param rows: makes the rows of a transcript, by column; the text is the recording's name.
    """

    columns: Mapping[str, str]
    rows: Callable[[Transcript, str], Columns]


def check_tables(name: str, value: object) -> tuple[str, ...]:
    """Return the names of tables, each once.

    :raises InvalidInput: for one that is unknown, or that needs what is not installed.
    """
    wanted = tuple(dict.fromkeys(word.lower() for word in parse_words(name, value)))
    for one in wanted:
        if one not in TABLES:
            raise InvalidInput(f"{name} must be any of {', '.join(TABLES)}; got {one!r}")
    parquet = [one for one in wanted if one in PARQUET]
    if parquet and importlib.util.find_spec("pyarrow") is None:
        raise InvalidInput(
            f"{name}: {' and '.join(parquet)} as Parquet need pyarrow: pip install 'airflow-provider-nanostt[parquet]' "
            "on the workers"
        )
    return wanted


def segment_rows(transcript: Transcript, source: str) -> Columns:
    """Return a row for each segment; text without segments, which a model without times gives, is one."""
    segments = transcript.segments
    if not segments and is_visible(transcript.text):
        segments = (Segment(None, None, None, transcript.text),)
    count = len(segments)
    return {
        "source": [source] * count,
        "run_id": [run_id_of(transcript)] * count,
        "segment": range(count),
        "start": [one.start for one in segments],
        "end": [one.end for one in segments],
        "speaker": [one.speaker for one in segments],
        "text": [one.text for one in segments],
        "language": [transcript.language] * count,
        "model": [transcript.model] * count,
        "confidence": [one.confidence for one in segments],
    }


def word_rows(transcript: Transcript, source: str) -> Columns:
    """Return a row for each word, not for the spaces between them, with the number of its segment."""
    words = [one for one in transcript.words if one.text.strip()]
    count = len(words)
    return {
        "source": [source] * count,
        "run_id": [run_id_of(transcript)] * count,
        "segment": list(_segments_of(words, transcript.segments)),
        "word": [one.text.strip() for one in words],
        "start": [one.start for one in words],
        "end": [one.end for one in words],
        "type": [one.type for one in words],
        "speaker": [one.speaker for one in words],
        "confidence": [one.confidence for one in words],
    }


def _segments_of(words: Iterable[Word], segments: Sequence[Segment]) -> Iterator[int]:
    """Yield the number of each word's segment: of those that have begun, the last of its speaker that covers it."""
    starts = list(itertools.accumulate((max(0.0, one.start or 0.0) for one in segments), max))
    found = 0
    for word in words:
        if word.start is not None and segments:
            middle = word.start if word.end is None else (word.start + word.end) / 2
            last = max(0, bisect_right(starts, middle) - 1)
            near = range(last, max(-1, last - _LOOK_BACK), -1)
            found = next((at for at in near if _covers(segments[at], word, middle)), last)
        yield found


def _covers(segment: Segment, word: Word, middle: float) -> bool:
    return word.speaker == segment.speaker and (segment.end is None or segment.end >= middle)


_NUMBERS = {"segment": "int32", "start": "double", "end": "double", "confidence": "double"}
"""Columns that are no text; one of a name has the same type in every table."""


def _columns(names: str) -> Mapping[str, str]:
    return {name: _NUMBERS.get(name, "string") for name in names.split()}


PARQUET = {
    "segments": Table(_columns("source run_id segment start end speaker text language model confidence"), segment_rows),
    "words": Table(_columns("source run_id segment word start end type speaker confidence"), word_rows),
}

TABLES: Mapping[str, str] = {**dict.fromkeys(PARQUET, "parquet"), "chunks": "jsonl"}
"""All tables, each with how its files' names end; the chunks are JSON lines."""
