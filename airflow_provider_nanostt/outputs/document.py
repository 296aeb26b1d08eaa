"""The JSON form of a transcript: how our files are written, and how they are read again.

``transcript.schema.json`` beside this module describes it; every file that is written validates against it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import resources

from airflow_provider_nanostt.api.confidence import probability
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.spacing import is_sound_event
from airflow_provider_nanostt.api.timeline import normalised
from airflow_provider_nanostt.common.numbers import amount, mapping, number, text_or_none
from airflow_provider_nanostt.common.urls import redact_answer
from airflow_provider_nanostt.outputs.naming import FileOwner
from airflow_provider_nanostt.outputs.results import EventJson, SegmentJson, TranscriptDocument
from airflow_provider_nanostt.outputs.unicode_layout import event_name, one_line

SCHEMA_VERSION = 2
"""Version 2 has ``confidence``, of words, segments and the whole; files of version 1 are read, too."""


def schema() -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of the files."""
    return dict(json.loads(resources.files(__package__).joinpath("transcript.schema.json").read_text("utf-8")))


def to_document(transcript: Transcript, *, source: str | None) -> TranscriptDocument:
    """Return a transcript in the form of our JSON files; times in seconds, cost in USD."""
    return {
        "version": SCHEMA_VERSION,
        "source": source,
        "run_id": transcript.run_id,
        "model": transcript.model,
        "language": transcript.language,
        "charged_minutes": number(transcript.charged_minutes),
        "cost_usd": number(transcript.cost),
        "confidence": probability(transcript.confidence),
        "text": transcript.text,
        "segments": [entry_json(segment) for segment in transcript.segments],
        "words": [{**entry_json(word), "type": word.type} for word in transcript.words],
        "audio_events": [_event_json(word) for word in transcript.words if is_sound_event(word.type, word.text)],
        "raw": redact_answer(transcript.raw),
    }


def entry_json(entry: Segment | Word) -> SegmentJson:
    """Return a segment as plain JSON; of a word, what it has in common with one."""
    return {
        "speaker": entry.speaker,
        "start": number(entry.start),
        "end": number(entry.end),
        "text": entry.text,
        "confidence": probability(entry.confidence),
    }


def _event_json(word: Word) -> EventJson:
    name, start, end = event_name(one_line(word.text)), number(word.start), number(word.end)
    return {"event": name, "start": start, "end": end, "speaker": word.speaker}


def encode(document: TranscriptDocument) -> bytes:
    """Return a document as it stands in its file: UTF-8, one key to a line, so that people can read its head."""
    # An indented list of words would be written by Python's slow encoder, and be 300,000 lines long.
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in document.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8", "replace")


def from_document(document: Mapping[str, object]) -> Transcript:
    """Read a transcript from the form of our JSON files, for example to render it again.

    What is missing in a file of an earlier version is empty here.

    :raises InvalidInput: if it is something else, or of a version that this provider does not know.
    """
    text = document.get("text") if isinstance(document, Mapping) else None
    if not isinstance(text, str):
        raise InvalidInput("not a transcript of this provider: there is no 'text' in it")
    version = document.get("version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise InvalidInput(f"the transcript has version {version!r}; this provider reads up to {SCHEMA_VERSION}")
    return _read(document, text, mapping(document.get("raw")).get("metadata"))


def read_result(result: Transcript | Mapping[str, object]) -> Transcript:
    """Read a transcript from any of the forms in which scripts and records have one.

    :param result: a ``Transcript``, the content of one of our JSON files, or an operator's result with the text.
    :raises InvalidInput: if it is none of them.
    """
    if isinstance(result, Transcript):
        return normalised(result)
    text = result.get("transcription") if isinstance(result, Mapping) else None
    if isinstance(text, str):
        return _read(result, text, result.get("metadata"))
    if isinstance(result, Mapping) and "text" not in result and isinstance(result.get("files"), Mapping):
        raise InvalidInput("the text is not in this result but in its files; pass the content of the JSON file")
    return from_document(result)


def _read(given: Mapping[str, object], text: str, metadata: object) -> Transcript:
    found = Transcript(
        text=text,
        segments=tuple(
            Segment(one.speaker, one.start, one.end, one.text, one.confidence)
            for one in _read_words(given.get("segments"))
        ),
        words=tuple(_read_words(given.get("words"))),
        language=text_or_none(given.get("language")) or None,
        model=text_or_none(given.get("model")) or "",
        cost=amount(given.get("cost_usd")),
        charged_minutes=amount(given.get("charged_minutes")),
        run_id=text_or_none(given.get("run_id")) or None,
        confidence=probability(given.get("confidence")),
        metadata=mapping(metadata),
        raw=mapping(given.get("raw")),
    )
    return normalised(found)


def own_document(data: bytes, identity: FileOwner | None) -> Mapping[str, object] | None:
    """Return the content of a JSON file; None if it is damaged, or not this task instance's; without one, all are."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    return document if identity is None or document.get("written_by") == identity.digest else None


def _read_words(given: object) -> Iterator[Word]:
    """Yield the readable entries of a list; a segment is read like a word."""
    for one in given if isinstance(given, list | tuple) else ():
        if isinstance(one, Mapping) and isinstance(text := one.get("text"), str):
            kind, speaker = text_or_none(one.get("type")) or "word", text_or_none(one.get("speaker")) or None
            confidence = probability(one.get("confidence"))
            yield Word(text, number(one.get("start")), number(one.get("end")), kind, speaker, confidence)
