"""What of a transcript is worth a second look, since the model was not sure of it. Pure; how it looks is not decided.

A model says how sure it was of the words it heard. A word that it did not hear at all has no figure, and no place.
"""

from __future__ import annotations

from airflow_provider_nanostt.api.confidence import is_spoken
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.placing import placed
from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.outputs.results import ReviewPlace

MAX_LISTED = 10
"""Segments that a result and a row of a manifest name; all are on the page."""


def is_doubtful(word: Word, below: float) -> bool:
    """Return whether a word is something said of which the model was less sure than ``below``."""
    return word.confidence is not None and word.confidence < below and is_spoken(word)


def is_unsure(segment: Segment, below: float) -> bool:
    """Return whether a segment is in doubt as a whole."""
    return segment.confidence is not None and segment.confidence < below


def review_of(transcript: Transcript, below: float | None) -> tuple[int, int, list[ReviewPlace]] | None:
    """Return how many words and how many segments are to be looked at, and where the first of these are; no text.

    A segment is if it has a word in doubt, or is in doubt as a whole: one wrong word changes a sentence, and hardly the
    mean of its words.

    :return: None if nobody asks, or the model gives no figures.
    """
    if below is None or transcript.confidence is None:
        return None
    doubtful = [is_doubtful(word, below) for word in transcript.words]
    places: list[ReviewPlace] = []
    for segment, found in zip(transcript.segments, placed(transcript.segments, transcript.words), strict=True):
        words = sum(doubtful[at] for _, at in found)
        if words or is_unsure(segment, below):
            start, end = number(segment.start), number(segment.end)
            places.append({"start": start, "end": end, "confidence": segment.confidence, "words": words})
    return sum(doubtful), len(places), places[:MAX_LISTED]
