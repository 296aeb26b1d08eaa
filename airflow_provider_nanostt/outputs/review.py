"""What of a transcript is worth a second look, since the model was not sure of it. Pure; how it looks is not decided.

A model says how sure it was of the words it heard. A word that it did not hear at all has no figure, and no place.
"""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_nanostt.api.confidence import is_spoken
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.placing import placed
from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.outputs.results import ReviewPlace

MAX_LISTED = 10
"""Segments that a result and a row of a manifest name; all are on the page."""


class Doubt(NamedTuple):
    """A segment to look at, and how many of its words are in doubt; 0 if only the whole of it is."""

    segment: Segment
    words: int


def is_doubtful(word: Word, below: float) -> bool:
    """Return whether a word is something said of which the model was less sure than ``below``."""
    return word.confidence is not None and word.confidence < below and is_spoken(word)


def doubts(transcript: Transcript, below: float) -> list[Doubt]:
    """Return the segments to look at, in order: those with a word in doubt, and those that are in doubt as a whole.

    One wrong word changes a sentence, and hardly the mean of its words.
    """
    places = placed(transcript.segments, transcript.words)
    counted = [
        Doubt(segment, sum(is_doubtful(transcript.words[number], below) for _, number in found))
        for segment, found in zip(transcript.segments, places, strict=True)
    ]
    return [one for one in counted if one.words or is_unsure(one.segment, below)]


def is_unsure(segment: Segment, below: float) -> bool:
    """Return whether a segment is in doubt as a whole."""
    return segment.confidence is not None and segment.confidence < below


def review_of(transcript: Transcript, below: float | None) -> tuple[int, int, list[ReviewPlace]] | None:
    """Return how many words and how many segments are to be looked at, and where the first of these are; no text.

    :return: None if nobody asks, or the model gives no figures.
    """
    if below is None or transcript.confidence is None:
        return None
    found = doubts(transcript, below)
    places: list[ReviewPlace] = [
        {"start": number(one.start), "end": number(one.end), "confidence": one.confidence, "words": words}
        for one, words in found[:MAX_LISTED]
    ]
    return sum(is_doubtful(word, below) for word in transcript.words), len(found), places
