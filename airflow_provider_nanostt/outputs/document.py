"""The JSON form of a transcript: what our files hold, how it is written, and how it is read again.

``transcript.schema.json`` beside this module describes it; every file that is written validates against it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Segment, Transcript, Word, number
from airflow_provider_nanostt.common.urls import redact_value
from airflow_provider_nanostt.outputs.timed_tokens import EVENT, event_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_nanostt.outputs.naming import Named

SCHEMA_VERSION = 1
_NO_END = float("inf")
_SCHEMA = "transcript.schema.json"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the files."""
    text = resources.files(__package__).joinpath(_SCHEMA).read_text("utf-8")
    return dict(json.loads(text))


def to_document(transcript: Transcript, *, source: str | None) -> dict[str, Any]:
    """Return a transcript in the form of our JSON files; times in seconds, cost in USD."""
    return {
        "version": SCHEMA_VERSION,
        "source": source,
        "run_id": transcript.run_id,
        "model": transcript.model,
        "language": transcript.language,
        "charged_minutes": number(transcript.charged_minutes),
        "cost_usd": number(transcript.cost),
        "text": transcript.text,
        "segments": segments_of(transcript),
        "words": [
            {
                "text": word.text,
                "start": _seconds(word.start),
                "end": _seconds(word.end),
                "type": word.type,
                "speaker": word.speaker,
            }
            for word in transcript.words
        ],
        "audio_events": [
            {
                "event": event_name(word.text),
                "start": _seconds(word.start),
                "end": _seconds(word.end),
                "speaker": word.speaker,
            }
            for word in transcript.words
            if word.type == EVENT
        ],
        "raw": redact_value(transcript.raw),
    }


def segments_of(transcript: Transcript) -> list[dict[str, Any]]:
    """Return the segments as plain JSON."""
    return [
        {
            "speaker": segment.speaker,
            "start": _seconds(segment.start),
            "end": _seconds(segment.end),
            "text": segment.text,
        }
        for segment in transcript.segments
    ]


def written(document: Mapping[str, Any]) -> bytes:
    """Return a document as it stands in its file: UTF-8, one key to a line, so that its head can be read by people."""
    # An indented list of words would be written by Python's slow encoder, and be 300,000 lines long.
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in document.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8", "replace")


def from_document(document: Mapping[str, Any]) -> Transcript:
    """Read a transcript from the form of our JSON files, for example to render it again.

    What is missing in a file of an earlier version is empty here.

    :raises InvalidInput: if it is something else, or of a version that this provider does not know.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("text"), str):
        raise InvalidInput("this is not a transcript of this provider: it has no 'text'")
    version = document.get("version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise InvalidInput(f"the transcript is of version {version!r}; this provider knows {SCHEMA_VERSION}")
    raw = document.get("raw")
    raw = raw if isinstance(raw, Mapping) else {}
    metadata = raw.get("metadata")
    return Transcript(
        text=document["text"],
        segments=read_segments(document.get("segments")),
        words=tuple(
            Word(one["text"], number(one.get("start")), number(one.get("end")), _kind(one), _name(one))
            for one in _entries(document.get("words"))
        ),
        language=_text(document.get("language")),
        model=_text(document.get("model")) or "",
        cost=number(document.get("cost_usd")),
        charged_minutes=number(document.get("charged_minutes")),
        run_id=_text(document.get("run_id")),
        metadata=metadata if isinstance(metadata, Mapping) else {},
        raw=raw,
    )


def read_segments(given: Any) -> tuple[Segment, ...]:
    """Read segments from plain JSON."""
    return tuple(
        Segment(_name(one), number(one.get("start")), number(one.get("end")), one["text"]) for one in _entries(given)
    )


def own_document(data: bytes, identity: Named | None) -> dict[str, Any] | None:
    """Return what a JSON file holds; None if it is damaged, or not this task instance's; without one, all are."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    return document if identity is None or document.get("landed_by") == identity.digest else None


def _seconds(value: float | None) -> float | None:
    """Return a time that JSON can hold."""
    return value if value is None or -_NO_END < value < _NO_END else None


def _entries(given: Any) -> Iterable[Mapping[str, Any]]:
    entries = given if isinstance(given, list | tuple) else ()
    return (one for one in entries if isinstance(one, Mapping) and isinstance(one.get("text"), str))


def _kind(entry: Mapping[str, Any]) -> str:
    return _text(entry.get("type")) or "word"


def _name(entry: Mapping[str, Any]) -> str | None:
    return _text(entry.get("speaker"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
