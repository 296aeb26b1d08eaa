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
from typing import NamedTuple, NotRequired, TypedDict, cast

from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs.settings import ChunkRules
from airflow_provider_nanostt.outputs.timed_tokens import Spoken, Token, spoken, turns
from airflow_provider_nanostt.outputs.unicode_layout import SENTENCE, can_break, ending, join_spaced, one_line

_IDS = uuid.UUID("fac09154-4859-5432-b2b6-e82fddd4a352")


class Chunk(TypedDict):
    """A chunk: its text, and values that are never nested and never null; what is unknown is left out.

    ``start`` and ``end`` are seconds, ``chunk`` counts from 1, ``recorded_at`` is as it was given.
    """

    text: str
    id: str
    source: NotRequired[str]
    start: NotRequired[float]
    end: NotRequired[float]
    speaker: NotRequired[str]
    language: NotRequired[str]
    model: NotRequired[str]
    run_id: NotRequired[str]
    chunk: int
    chunk_count: int
    recorded_at: NotRequired[str]


class _Piece(NamedTuple):
    """A sentence, or a part of one that is too long: what is not cut any more; its size with the space before it."""

    tokens: Sequence[Token]
    size: int


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
    seen: Counter[tuple[int, int]] = Counter()
    for number, (speaker, tokens) in enumerate(made, 1):
        times = tokens[0].start, tokens[-1].end
        seen[times] += 1
        values = {
            "text": join_spaced((one.text, one.spaced) for one in tokens),
            "id": str(uuid.uuid5(_IDS, json.dumps([source, run, *astuple(rules), *times, seen[times]]))),
            "source": source,
            "start": times[0] / 1000 if speech.timed else None,
            "end": times[1] / 1000 if speech.timed else None,
            "speaker": speaker,
            "language": transcript.language,
            "model": transcript.model,
            "run_id": transcript.run_id,
            "chunk": number,
            "chunk_count": len(made),
            "recorded_at": recorded_at,
        }
        yield cast("Chunk", {name: value for name, value in values.items() if value not in (None, "")})


def _chunks(tokens: Sequence[Token], rules: ChunkRules) -> Iterator[tuple[str | None, Sequence[Token]]]:
    """Yield the speaker and the tokens of each chunk."""
    speaker: str | None = None
    for turn in turns(tokens, lambda *_: False):
        speaker = next((one.speaker for one in turn if one.speaker), speaker)
        pieces = (piece for sentence in turns(turn, _is_sentence) for piece in _pieces(sentence, rules))
        for packed in _packed(pieces, rules):
            yield one_line(speaker or "") or None, [token for piece in packed for token in piece.tokens]


def _is_sentence(tokens: Sequence[Token], after: Token) -> bool:
    """Whether a sentence ends before a token; a mark that stands for itself, such as a closing quote, belongs to it."""
    last = tokens[-1].text
    return ending(last) == SENTENCE and can_break(last, after.text, spaced=after.spaced)


def _pieces(sentence: Sequence[Token], rules: ChunkRules) -> Iterator[_Piece]:
    """Yield a sentence, in parts if it is too long for a chunk."""
    while sentence:
        until, size = _until(sentence, rules)
        yield _Piece(sentence[:until], size)
        sentence = sentence[until:]


def _until(tokens: Sequence[Token], rules: ChunkRules) -> tuple[int, int]:
    """Return where the first part of a sentence ends, rather after a comma, and its characters; a word stays whole."""
    size = word = clause = 0
    for at, token in enumerate(tokens):
        if at and can_break(tokens[at - 1].text, token.text, spaced=token.spaced):
            word = at
            clause = at if ending(tokens[at - 1].text) else clause
        size += len(token.text) + token.spaced
        if at and not _fits(rules, size, tokens[0], token):
            until = clause if clause > at // 2 else word or at
            return until, sum(len(one.text) + one.spaced for one in tokens[:until])
    return len(tokens), size


def _packed(pieces: Iterable[_Piece], rules: ChunkRules) -> Iterator[list[_Piece]]:
    """Put pieces into chunks, as many as fit; the first ones repeat the end of the chunk before."""
    held: list[_Piece] = []
    size, is_new = 0, False
    for piece in pieces:
        last = piece.tokens[-1]
        if is_new and not _fits(rules, size + piece.size, held[0].tokens[0], last):
            yield held
            sizes = itertools.accumulate(one.size for one in reversed(held))
            held = held[len(held) - sum(one <= rules.overlap for one in sizes) :]
            size, is_new = sum(one.size for one in held), False
            while held and not _fits(rules, size + piece.size, held[0].tokens[0], last):
                size -= held.pop(0).size
        held.append(piece)
        size, is_new = size + piece.size, True
    if held:
        yield held


def _fits(rules: ChunkRules, size: int, first: Token, last: Token) -> bool:
    """Whether a chunk may go from one token to another.

    :param size: its characters, with the space before it.
    """
    is_short = not rules.seconds or last.end - first.start <= rules.seconds * 1000
    return is_short and (not rules.size or size - first.spaced <= rules.size)
