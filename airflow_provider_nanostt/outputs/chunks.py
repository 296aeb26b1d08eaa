"""Cuts a transcript into chunks for search: whole sentences of one speaker with flat values beside the text.

Pure functions on values; which file they go to is not known here.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from typing import NotRequired, TypedDict, cast

from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs.passages import Fits, Passage, parts, passages
from airflow_provider_nanostt.outputs.settings import ChunkRules
from airflow_provider_nanostt.outputs.timed_tokens import Spoken, Token, spoken

_IDS = uuid.UUID("fac09154-4859-5432-b2b6-e82fddd4a352")
_LINE_ENDS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""At these, too, some readers end a line."""


class Chunk(TypedDict):
    """A chunk: its text, and values that are never nested and never null; what is unknown is left out.

    ``start`` and ``end`` are seconds, ``confidence`` is 0 to 1, ``chunk`` counts from 1, ``recorded_at`` is as given.
    """

    text: str
    id: str
    source: NotRequired[str]
    start: NotRequired[float]
    end: NotRequired[float]
    speaker: NotRequired[str]
    confidence: NotRequired[float]
    language: NotRequired[str]
    model: NotRequired[str]
    run_id: NotRequired[str]
    chunk: int
    chunk_count: int
    recorded_at: NotRequired[str]


_Piece = Sequence[Token]
"""A sentence, or a part of one that is too long: what is not cut any more."""


def to_chunks(
    transcript: Transcript,
    *,
    source: str | None,
    rules: ChunkRules | None = None,
    recorded_at: str | None = None,
    speech: Spoken | None = None,
) -> Iterator[Chunk]:
    """Yield the chunks of a transcript, in order.

    The ``id`` is a UUID, the same for the same source, run, rules and times, so that a later index of the same
    transcript replaces the chunks of an earlier one, also with other names of speakers. A transcript that has no run
    id, such as of an answer that came at once, is known by its text instead.

    :param source: the recording's name or address, without what may be secret in it.
    :param recorded_at: when it was recorded, ISO 8601, where that is known.
    :param speech: the result of ``spoken`` for the transcript, if it is known already.
    """
    rules, speech = rules or ChunkRules(), speech or spoken(transcript)
    made = list(_chunks(speech.tokens, rules))
    run = transcript.run_id or hashlib.sha256(transcript.text.encode("utf-8", "replace")).hexdigest()
    seen: Counter[tuple[float, float]] = Counter()
    for number, passage in enumerate(made, 1):
        times = passage.start, passage.end
        seen[times] += 1
        values = {
            "text": passage.text,
            "id": str(uuid.uuid5(_IDS, json.dumps([source, run, *astuple(rules), *times, seen[times]]))),
            "source": source,
            "start": passage.start if speech.timed else None,
            "end": passage.end if speech.timed else None,
            "speaker": passage.speaker,
            "confidence": passage.confidence,
            "language": transcript.language,
            "model": transcript.model,
            "run_id": transcript.run_id,
            "chunk": number,
            "chunk_count": len(made),
            "recorded_at": recorded_at,
        }
        yield cast("Chunk", {name: value for name, value in values.items() if value not in (None, "")})


def to_json_lines(chunks: Iterable[Chunk]) -> str:
    """Return chunks as JSON, one object a line."""
    return "".join(json.dumps(chunk, ensure_ascii=False).translate(_LINE_ENDS) + "\n" for chunk in chunks)


def _chunks(tokens: Sequence[Token], rules: ChunkRules) -> Iterator[Passage]:
    def fits(size: int, first: Token, last: Token) -> bool:
        is_short = not rules.seconds or last.end - first.start <= rules.seconds * 1000
        return is_short and (not rules.size or size <= rules.size)

    for turn in passages(tokens):
        for packed in _packed(parts(turn.tokens, fits), rules.overlap, fits):
            yield Passage(turn.speaker, [token for piece in packed for token in piece])


def _packed(pieces: Iterable[_Piece], overlap: int, fits: Fits) -> Iterator[Sequence[_Piece]]:
    """Put pieces into chunks, as many as fit; the first ones repeat the end of the chunk before."""
    held: list[_Piece] = []
    size = 0

    def takes(piece: _Piece) -> bool:
        first = held[0][0]
        return fits(size + _size(piece) - first.spaced, first, piece[-1])

    for piece in pieces:
        if held and not takes(piece):
            yield held
            sizes = itertools.accumulate(map(_size, reversed(held)))
            held = held[len(held) - sum(one <= overlap for one in sizes) :]
            size = sum(map(_size, held))
            while held and not takes(piece):
                size -= _size(held.pop(0))
        held.append(piece)
        size += _size(piece)
    yield held


def _size(piece: _Piece) -> int:
    """Return how many characters a piece has, with the space before it."""
    return sum(len(one.text) + one.spaced for one in piece)
