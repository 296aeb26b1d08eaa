"""Submissions that cannot work are refused, and tickets survive being written down."""

from __future__ import annotations

import json

import pytest

from airflow_provider_nanostt.api import endpoints
from airflow_provider_nanostt.api.catalogue import Abilities, AudioModel, KnownModels
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Job, Options, Submission, status_word
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES, Upload
from airflow_provider_nanostt.common.numbers import number

from .recorded import JOB, NOW, SUBMISSION, URL, read


@pytest.mark.parametrize(
    "url", ["call.wav", "/data/call.wav", "file:///data/call.wav", "https://", "s3://b/k", "http://["]
)
def test_a_url_is_a_web_address(url: str):
    """What the service cannot fetch is refused with the remedy."""
    with pytest.raises(InvalidInput, match="audio_path"):
        Submission(audio=url)


def test_a_refused_url_does_not_show_its_query():
    """The query may be a signature."""
    with pytest.raises(InvalidInput) as caught:
        Submission(audio="s3://bucket/call.wav?X-Signature=secret")
    assert "secret" not in str(caught.value)
    assert "s3://bucket/call.wav" in str(caught.value)


def test_an_upload_has_something_in_it():
    """An empty file is named and refused."""
    with pytest.raises(InvalidInput, match=r"'call\.wav' is empty"):
        Upload("call.wav", "audio/wav", b"")


def test_an_upload_ends_at_the_limit():
    """The largest upload is taken, one byte more is refused and the remedy is named."""
    assert len(Upload("a.wav", "audio/wav", bytes(MAX_UPLOAD_BYTES)).data) == 3_000_000
    with pytest.raises(InvalidInput, match=r"3,000,001 bytes.*audio_url"):
        Upload("a.wav", "audio/wav", bytes(MAX_UPLOAD_BYTES + 1))


@pytest.mark.parametrize("wrong", [{"language": " "}, {"model": ""}, {"extra_parameters": {"MODEL": 1}}])
def test_a_submission_known_not_to_work_is_refused(wrong: dict[str, object]):
    """Every argument is looked at before anything is sent."""
    with pytest.raises(InvalidInput, match=next(iter(reversed(wrong)))):
        Submission(audio=URL, **wrong)


@pytest.mark.parametrize("minutes", [0, -1.0, float("inf"), float("nan")])
def test_a_length_is_positive(minutes: float):
    """A length that no audio has is refused under the name the user gave it."""
    with pytest.raises(InvalidInput, match="actual_duration"):
        Submission(audio=URL, actual_minutes=minutes)


def test_options_make_a_submission():
    """How a recording is to be transcribed is said once, for whatever part of it is sent."""
    options = Options("Elevenlabs-STT", "de", diarize=True)
    made = options.submission(URL, 1.5)
    assert made == Submission(URL, "Elevenlabs-STT", "de", diarize=True, actual_minutes=1.5)


def test_an_option_that_was_asked_for_is_sent():
    """Whoever sends a submission on his own decides: only what is off and known not to exist is left out."""
    bodies = [endpoints.submit(Submission(URL, "Wizper", diarize=on)).request.body for on in (True, False)]
    assert [b"diarize" in body for body in bodies] == [True, False]
    can = KnownModels({"Wizper": AudioModel("Wizper", "Wizper", 0.01, Abilities(diarizes=True))}, "2026-11-26")
    body = endpoints.submit(Options("Wizper").submission(URL, known=can)).request.body
    assert b'"diarize": false' in body


def test_an_upload_does_not_show_its_bytes():
    """In a log there would be no end of them."""
    assert b"x" not in repr(Upload("call.wav", "audio/wav", b"x")).encode()


# --- tickets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", ["202.json", "202-numbers-as-text.json", "202-wrapped.json"])
def test_a_ticket_survives_being_written_down(sample: str):
    """Through JSON and back a ticket is the same ticket."""
    job = read(endpoints.submit(SUBMISSION), f"transcribe-async/{sample}", 202)
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


@pytest.mark.parametrize("ticket", [{}, {"run_id": ""}, {"run_id": 5}, [], None, "run-7c1e"])
def test_what_is_no_ticket_is_refused(ticket: object):
    """Without a run id there is nothing to pick up."""
    with pytest.raises(InvalidInput, match="run_id"):
        Job.from_json(ticket)


@pytest.mark.parametrize("version", [2, 0, "1", True, None, 1.0])
def test_a_ticket_of_another_version_is_refused(version: object):
    """A later provider may have written it: one clear message names the run."""
    with pytest.raises(InvalidInput, match=r"run-7c1e has format version .* reads 1"):
        Job.from_json({**JOB.to_json(), "version": version})


def test_the_least_a_ticket_says_is_its_run():
    """A ticket written by hand, or by an older version, needs only the run id."""
    assert Job.from_json({"run_id": "r", "body": "?", "submitted_at": None}) == Job("r", "unknown", 0.0)


def test_an_oversized_ticket_keeps_what_the_status_call_needs():
    """Of an answer too large to store only the documented fields are kept."""
    job = Job("r", "m", NOW, body={"runId": "r", "fileSize": 3, "waveform": [0.5] * 50_000})
    assert job.to_json()["body"] == {"runId": "r", "fileSize": 3}


def test_the_status_call_gets_back_what_the_ticket_said():
    """All of the accepting answer is echoed, except its status."""
    job = read(endpoints.submit(SUBMISSION), "transcribe-async/202.json", 202)
    assert job.echo() == {key: value for key, value in job.body.items() if key != "status"}


def test_the_echo_has_the_documented_types():
    """Numbers and flags that arrived as text go back as numbers and flags; fields we do not know stay."""
    job = read(endpoints.submit(SUBMISSION), "transcribe-async/202-numbers-as-text.json", 202)
    assert json.dumps(job.echo(), sort_keys=True) == json.dumps(
        {
            "runId": "run-7c1e",
            "model": "Elevenlabs-STT",
            "cost": 0.075,
            "paymentSource": "USD",
            "isApiRequest": True,
            "fileName": "harbour-call.wav",
            "fileSize": 240044,
            "chargedDuration": 2.5,
            "diarize": True,
            "queue": {"position": 3},
        },
        sort_keys=True,
    )


def test_the_echo_leaves_out_what_has_no_such_type():
    """A field that cannot be made the documented type is left out; the run id is ours and always there."""
    body = {"runId": 7, "cost": "free", "fileSize": [], "diarize": "perhaps", "paymentSource": 1, "isApiRequest": None}
    assert Job("7", "m", NOW, body=body).echo() == {"isApiRequest": True, "runId": "7"}


# --- small readers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "value"),
    [(1, 1.0), ("2.5", 2.5), (" 3 ", 3.0), (True, None), (None, None), ("", None), ("nan", None), (10**400, None)],
)
def test_numbers_are_read_from_text(raw: object, value: float | None):
    """A number is a finite number, however it was written; everything else is None."""
    assert number(raw) == value


@pytest.mark.parametrize(
    ("raw", "word"), [("In Progress", "in_progress"), (" FAILED ", "failed"), (200, ""), (None, "")]
)
def test_status_words_are_folded(raw: object, word: str):
    """Case, spaces and hyphens make no difference."""
    assert status_word(raw) == word
