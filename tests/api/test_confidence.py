"""How sure a model was: read from what it says of each word, and one figure for a segment and for the whole."""

from __future__ import annotations

import json
import math

import pytest

from airflow_provider_nanostt.api import endpoints
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.responses import stored_status, unread_status
from airflow_provider_nanostt.api.timeline import normalised
from airflow_provider_nanostt.api.words import read_words

from .recorded import JOB, read, sample


def heard(body: bytes | None = None) -> Transcript:
    """Return the transcript of the recorded answer, or of another."""
    found = read(endpoints.status(JOB), body or sample("status/completed-logprobs.json")).transcript
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("logprob", "confidence"),
    [
        (-0.5, 0.6065),
        ("-0.5", 0.6065),
        (0, 1.0),
        (-0.0, 1.0),
        (-800, 0.0),
        (0.0001, None),
        ("0.3", None),
        (math.nan, None),
        ("nan", None),
        (math.inf, None),
        (True, None),
        (None, None),
        ("", None),
        ("sure", None),
        ([], None),
        ({}, None),
    ],
)
def test_a_logprob_is_read_as_a_probability_or_not_at_all(logprob: object, confidence: float | None):
    """Number or text; a figure above 0 stands for no probability, and costs the word nothing but its figure."""
    (word,) = read_words([{"text": "not", "start": 1, "end": 2, "logprob": logprob}])
    assert word == Word("not", 1.0, 2.0, confidence=confidence)


def test_an_answer_with_logprobs_gives_figures_for_words_segments_and_the_whole():
    """The geometric mean of what was said: spaces, sounds and words without a figure do not count."""
    transcript = heard()
    said = {word.text: word.confidence for word in transcript.words if word.type == "word"}
    assert said == {
        "Is": 0.99,
        "the": 0.9802,
        "berth": 1.0,
        "free?": None,
        "It's": 0.6065,
        "not": 0.2231,
        "free.": None,
    }
    assert [(one.text, one.confidence) for one in transcript.segments] == [
        ("Is the berth free?", pytest.approx(math.exp(-0.03 / 3), abs=1e-4)),
        ("It's not (horn) free.", pytest.approx(math.exp(-2.0 / 2), abs=1e-4)),
    ]
    assert transcript.confidence == pytest.approx(math.exp(-2.03 / 5), abs=1e-4)


def test_segments_of_the_service_get_the_figure_of_the_words_in_them():
    """It sends segments without one; what several speakers say at a time goes to the right one by its text."""
    answer = json.loads(sample("status/completed-logprobs.json"))
    answer["diarization"] = {
        "segments": [
            {"speaker": "Speaker 1", "start": 0.1, "end": 3.6, "text": "Is the berth free?"},
            {"speaker": "Speaker 2", "start": 2.5, "end": 3.6, "text": "It's not free."},
            {"speaker": "Speaker 1", "start": 60, "end": 61, "text": "Of which no words are listed."},
        ]
    }
    found = heard(json.dumps(answer).encode())
    assert [one.confidence for one in found.segments] == [
        pytest.approx(0.99, abs=1e-3),
        pytest.approx(math.exp(-1), abs=1e-4),
        None,
    ]


def test_a_model_without_logprobs_has_no_figures():
    """Nothing is made up."""
    transcript = heard(sample("status/completed-diarized.json"))
    assert transcript.words
    assert transcript.confidence is None
    assert {one.confidence for one in (*transcript.words, *transcript.segments)} == {None}


def test_one_word_of_probability_0_leaves_the_rest_a_figure():
    """A single word that was not understood at all does not make an hour 0."""
    words = [Word("yes", at, at + 0.5, confidence=1.0) for at in range(99)]
    whole = normalised(Transcript("", words=(*words, Word("no", 99.0, 99.5, confidence=0.0))))
    assert whole.confidence == pytest.approx(0.0001 ** (1 / 100), abs=1e-4)


def test_figures_that_are_there_stay_as_they_are():
    """Whoever reads a file again gets the figures in it, also where its words no longer have any."""
    transcript = Transcript(
        "Yes. No.",
        (Segment(None, 0.0, 1.0, "Yes.", 0.5), Segment(None, 1.0, 2.0, "No.")),
        (Word("Yes.", 0.0, 1.0), Word("No.", 1.0, 2.0, confidence=0.25)),
        confidence=0.4,
    )
    once = normalised(transcript)
    assert ([one.confidence for one in once.segments], once.confidence) == ([0.5, 0.25], 0.4)
    assert normalised(once) == once


def test_the_triggerer_hands_over_the_figures():
    """An answer that is stored unread, and read by the worker later, has them as the service sent them."""
    answer = unread_status(sample("status/completed-logprobs.json") + b" " * 10_000, JOB).answer
    assert answer is not None
    assert stored_status(JOB, answer).transcript == heard()
