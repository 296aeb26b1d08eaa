"""Words and segments, read from an answer; what is unreadable in one entry costs that entry, never the transcript."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from airflow_provider_nanostt.api.confidence import of_logprob
from airflow_provider_nanostt.api.models import Segment, Word
from airflow_provider_nanostt.api.timeline import rebuilt
from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.common.urls import redact


def speaker_name(raw: object) -> str | None:
    """Return a speaker as shown to people: ``speaker_0`` and ``0`` are ``Speaker 1``; other names stay."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        raw = str(raw)
    if not isinstance(raw, str) or not raw.strip():
        return None
    counted = re.fullmatch(r"(?:speaker_)?(\d{1,6})", raw.strip(), re.IGNORECASE)
    return f"Speaker {int(counted[1]) + 1}" if counted else redact(raw.strip())


def read_words(raw: object) -> tuple[Word, ...]:
    """Read a word list; every type is kept, ``spacing`` too, since languages without spaces need it to say so."""
    if not isinstance(raw, list):
        return ()
    return tuple(
        Word(
            text=entry["text"],
            start=number(entry.get("start")),
            end=number(entry.get("end")),
            type=str(entry.get("type") or "word"),
            speaker=speaker_name(_first_present(entry, "speaker_id", "speaker")),
            confidence=of_logprob(entry.get("logprob")),
        )
        for entry in raw
        if isinstance(entry, Mapping) and isinstance(entry.get("text"), str)
    )


def read_segments(diarization: object, words: Sequence[Word]) -> tuple[Segment, ...]:
    """Return the service's segments, or segments rebuilt from the words if it sent none."""
    raw = diarization.get("segments") if isinstance(diarization, Mapping) else diarization
    given = tuple(_given(raw)) if isinstance(raw, list) else ()
    return given or tuple(rebuilt(words))


def _given(raw: Iterable[object]) -> Iterator[Segment]:
    for entry in raw:
        if isinstance(entry, Mapping) and isinstance(entry.get("text"), str) and entry["text"].strip():
            yield Segment(
                speaker=speaker_name(_first_present(entry, "speaker", "speaker_id")),
                start=number(entry.get("start")),
                end=number(entry.get("end")),
                text=entry["text"].strip(),
            )


def _first_present(entry: Mapping[str, object], *names: str) -> object:
    return next((entry[name] for name in names if entry.get(name) is not None), None)
