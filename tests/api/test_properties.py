"""Whatever comes in, what comes out is a value or a typed error, and nothing of a transcript is lost on the way."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from airflow_provider_nanostt.api import endpoints, errors, http
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.http import Response
from airflow_provider_nanostt.api.languages import language_tag
from airflow_provider_nanostt.api.models import Job, JobStatus, Submission, Transcript
from airflow_provider_nanostt.api.upload import Upload
from airflow_provider_nanostt.api.words import read_segments, read_words, speaker_name

from .recorded import JOB, KEY, NOW, SUBMISSION, every_call, read, response
from .strategies import bodies_of_tickets, jobs, steady, values, word_lists

CALLS = every_call()
CONFIG = Config(KEY)

STATUSES = st.sampled_from([200, 202, 204, 301, 400, 401, 402, 404, 413, 429, 500, 503]) | st.integers(100, 999)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "X-Request-ID", "Location", "Content-Type"]),
    st.text(max_size=30) | st.sampled_from(["5", "Sat, 01 Aug 2026 12:00:30 GMT", "1e308", "-1", KEY]),
)


def outcome(name: str, status: int, headers: dict[str, str], body: bytes) -> Any:
    """Read an answer as the transports do, and show whatever came of it."""
    call = CALLS[name]
    try:
        value = http.read(call, CONFIG.response(call, status, headers, body))
    except errors.NanoGPTError as error:
        value = error
    assert KEY not in f"{value} {value!r}"
    if isinstance(value, Job):
        json.dumps(value.to_json(), allow_nan=False)
        endpoints.status(value)
    if isinstance(value, JobStatus) and value.transcript:
        json.dumps([value.transcript.raw, value.transcript.metadata], allow_nan=False)
    return value


@pytest.mark.parametrize("name", CALLS)
@steady(120)
@given(body=values(), status=STATUSES, headers=HEADERS)
def test_any_json_is_read_or_refused(name: str, body: Any, status: int, headers: dict[str, str]):
    """No JSON, under any status, makes a reader fail in any other way than with a typed error."""
    assert outcome(name, status, headers, json.dumps(body).encode()) is not None


@pytest.mark.parametrize("name", CALLS)
@steady(60)
@given(body=st.binary(max_size=200), status=STATUSES, headers=HEADERS)
@example(body=b"\xef\xbb\xbf{}", status=200, headers={})
@example(body=b"\xff\xfe", status=200, headers={})
@example(body=b"[" * 100_000, status=200, headers={})
@example(body=b'{"error":' * 100_000, status=400, headers={})
@example(body=b"9" * 5000, status=200, headers={})
@example(body=b'{"detail":' * 900 + b"1" + b"}" * 900, status=400, headers={})
@example(body=b'{"runId":"r","x":' + b"[" * 900 + b"]" * 900 + b"}", status=202, headers={})
@example(body=b"<" * 50_000, status=502, headers={})
@example(body=b"<title>" * 9_000, status=502, headers={})
def test_any_bytes_are_read_or_refused(name: str, body: bytes, status: int, headers: dict[str, str]):
    """No bytes, under any status, make a reader fail in any other way than with a typed error."""
    assert outcome(name, status, headers, body) is not None


@steady(120)
@given(body=values(), status=STATUSES)
def test_no_answer_leads_to_a_second_submit_unless_nothing_was_accepted(body: Any, status: int):
    """Of all answers to a submit only 429 and 503 let it go out again."""
    result = outcome("submit", status, {}, json.dumps(body).encode())
    again = isinstance(result, Exception) and http.is_retryable(CALLS["submit"], result)
    assert not again or status in (429, 503)


@steady(150)
@given(raw=st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,4} [A-Z][a-z]{2} [0-9]{1,5} .{0,20}"))
@example(raw="Mon, 01 Jan 99999 00:00:00 GMT")
@example(raw="Mon, 01 Jan 0001 00:00:00 +9999")
@example(raw="0 0 0 0 0 0")
def test_any_retry_after_is_a_pause_or_none(raw: str):
    """Never negative, never infinite, never an exception."""
    seconds = http.retry_after(Response(429, {"retry-after": raw}, b"", NOW))
    assert seconds is None or 0 <= seconds < float("inf")


@steady(150)
@given(raw=values())
def test_any_speaker_has_a_name_or_none(raw: Any):
    """A name is a text with something in it, and naming it again changes nothing."""
    name = speaker_name(raw)
    assert name is None or (name.strip() == name != "" and speaker_name(name) in {name, f"Speaker {_next(name)}"})


def _next(name: str) -> str:
    return str(int(name) + 1) if name.isdecimal() else ""


@steady(150)
@given(raw=values() | st.from_regex(r"\A[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}\Z"))
def test_a_language_tag_is_final(raw: Any):
    """A tag is None or a text, and the tag of a tag is the same tag."""
    tag = language_tag(raw)
    assert tag is None or (isinstance(tag, str) and language_tag(tag) == tag)


# --- transcripts lose nothing ---------------------------------------------------------------------------------------


def squeezed(text: str) -> str:
    return "".join(text.split())


@steady(150)
@given(raw=word_lists())
def test_rebuilt_segments_lose_no_word(raw: list[dict[str, Any]]):
    """Every word is in the segments, and nothing else is; their order is that of time."""
    words = read_words(raw)
    assert len(words) == len(raw)
    segments = read_segments(None, words)
    assert sorted(squeezed("".join(s.text for s in segments))) == sorted(squeezed("".join(w.text for w in words)))
    assert all(segment.text for segment in segments)


@steady(150)
@given(raw=word_lists(timed=True))
def test_rebuilt_segments_keep_the_order_of_time(raw: list[dict[str, Any]]):
    """Where the words follow each other in time, so do the segments, and none is longer than its words."""
    segments = [s for s in read_segments(None, read_words(raw)) if s.start is not None]
    assert all(segment.start <= segment.end for segment in segments)
    assert all(before.end <= after.start for before, after in pairwise(segments))


@steady(150)
@given(raw=word_lists())
def test_a_segment_has_one_speaker(raw: list[dict[str, Any]]):
    """The words of a segment name its speaker or nobody."""
    words = read_words(raw)
    named = {word.speaker for word in words if word.speaker and word.type != "spacing" and word.text.strip()}
    assert named <= {segment.speaker for segment in read_segments(None, words)}


@steady(120)
@given(text=st.text(max_size=60), place=st.sampled_from(["transcription", "text"]), wrapped=st.booleans())
def test_a_text_arrives_as_it_was_sent(text: str, place: str, wrapped: bool):
    """No character of a transcript is changed, whichever field it came in."""
    assume(KEY not in text)
    body = {"data": {place: text}} if wrapped else {place: text}
    found = read(CALLS["submit"], json.dumps(body).encode())
    assert isinstance(found, Transcript)
    assert found.text == text
    done = read(CALLS["status"], json.dumps({"status": "completed", **body}).encode())
    assert done.transcript.text == text


# --- tickets and requests -------------------------------------------------------------------------------------------


@steady(120)
@given(job=jobs(bodies_of_tickets()))
def test_a_ticket_is_the_same_after_a_journey(job: Job):
    """Written as JSON, and read again, a ticket asks the same question about the same job."""
    twin = Job.from_json(json.loads(json.dumps(job.to_json(), allow_nan=False)))
    assert twin == job
    assert endpoints.status(twin).request == endpoints.status(job).request


@steady(120)
@given(raw=values())
def test_anything_is_a_ticket_or_refused(raw: Any):
    """Reading a ticket that somebody edited ends in a ticket or InvalidInput."""
    try:
        job = Job.from_json(raw)
    except errors.InvalidInput:
        return
    assert job.run_id


@steady(120)
@given(body=bodies_of_tickets(), run_id=st.text(min_size=1).filter(str.strip))
def test_every_accepted_job_can_be_asked_about(body: dict[str, Any], run_id: str):
    """Whatever else a 202 says, its run id is what the status call sends."""
    job = http.read(endpoints.submit(SUBMISSION), response(json.dumps({**body, "runId": run_id}).encode(), 202))
    assert json.loads(endpoints.status(job).request.body)["runId"] == run_id


@steady(120)
@given(name=st.text(), language=st.text(min_size=1).filter(str.strip), model=st.text(min_size=1).filter(str.strip))
@example(name="\ud800", language="\ud800", model="\ud800")
def test_every_text_can_be_sent(name: str, language: str, model: str):
    """Texts of any characters end in a request or in InvalidInput."""
    for audio in (Upload(name, "audio/wav", b"RIFF"), "https://recordings.example/a.wav"):
        try:
            request = endpoints.submit(Submission(audio=audio, model=model, language=language)).request
        except errors.InvalidInput:
            continue
        assert request.body


@steady(120)
@given(url=st.text(max_size=30) | st.from_regex(r"\Ahttps?://[^/]{0,12}(/.{0,8})?\Z"))
def test_any_address_is_taken_or_refused(url: str):
    """Base URLs and audio URLs are usable or InvalidInput."""
    for make in (lambda: Submission(audio=url), lambda: Config(KEY, url)):
        try:
            made = make()
        except errors.InvalidInput:
            continue
        assert url in (getattr(made, "audio", None), getattr(made, "base_url", None))


def test_the_ticket_of_these_tests_is_a_ticket():
    """The fixed ticket the other tests ask about is a valid one."""
    assert Job.from_json(JOB.to_json()) == JOB
