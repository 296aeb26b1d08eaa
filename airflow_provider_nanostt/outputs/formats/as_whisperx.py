"""The JSON that WhisperX writes of an aligned and diarized recording."""

from __future__ import annotations

import json

from airflow_provider_nanostt.outputs.formats.render import RenderJob
from airflow_provider_nanostt.outputs.passages import Passage, words

Entry = dict[str, object]


def render(job: RenderJob) -> str:
    """Return segments of a sentence each, with their words; ``language`` is null if it is unknown.

    A word's ``score`` is its confidence, 0 to 1; there is none where the model gives none.
    """
    said = [(_entry(one, "text"), list(map(_word, words(one)))) for one in job.sentences]
    document = {
        "segments": [{**segment, "words": inside} for segment, inside in said],
        "word_segments": [word for _, inside in said for word in inside],
        "language": job.transcript.language,
    }
    return json.dumps(document, ensure_ascii=False)


def _word(one: Passage) -> Entry:
    entry, score = _entry(one, "word"), one.confidence
    return entry if score is None else {**entry, "score": score}


def _entry(one: Passage, key: str) -> Entry:
    entry: Entry = {"start": one.start, "end": one.end, key: one.text}
    return {**entry, "speaker": one.speaker} if one.speaker else entry
