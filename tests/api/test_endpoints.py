"""What is sent, and what may be sent again; nothing in here goes over a wire."""

from __future__ import annotations

import json
from datetime import date
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest

from airflow_provider_nanostt.api import endpoints, errors, http
from airflow_provider_nanostt.api.http import Request
from airflow_provider_nanostt.api.models import Submission
from airflow_provider_nanostt.api.upload import Upload

from .recorded import JOB, KEY, URL, every_call

CALLS = every_call()


def form(request: Request) -> dict[str, Any]:
    """Read a multipart body with the standard library: texts as text, the file as (name, type, bytes)."""
    head = b"".join(f"{name}: {value}\r\n".encode() for name, value in request.headers.items())
    message = BytesParser(policy=HTTP).parsebytes(head + b"\r\n" + request.body)
    assert message.is_multipart()
    fields: dict[str, Any] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        assert name not in fields
        data = part.get_payload(decode=True)
        file_name = part.get_filename()
        fields[name] = (file_name, part.get_content_type(), data) if file_name is not None else data.decode()
    return fields


def upload(name: str = "call.wav", **options: Any) -> dict[str, Any]:
    return form(endpoints.submit(Submission(audio=Upload(name, "audio/wav", b"RIFF"), **options)).request)


def test_an_upload_is_a_form_of_texts():
    """The file field is called audio; flags and the length are texts."""
    sent = upload(model="Elevenlabs-STT", language="de", diarize=True, actual_minutes=2.5)
    assert sent == {
        "model": "Elevenlabs-STT",
        "language": "de",
        "actualDuration": "2.5",
        "diarize": "true",
        "tagAudioEvents": "false",
        "audio": ("call.wav", "audio/wav", b"RIFF"),
    }


def test_a_url_is_sent_as_json_with_real_flags():
    """In JSON the flags are booleans; the length stays a text."""
    submission = Submission(audio=URL, model="Elevenlabs-STT", tag_audio_events=True, actual_minutes=90)
    request = endpoints.submit(submission).request
    assert request.headers == {"Content-Type": "application/json"}
    assert json.loads(request.body) == {
        "audioUrl": URL,
        "model": "Elevenlabs-STT",
        "language": "auto",
        "actualDuration": "90",
        "diarize": False,
        "tagAudioEvents": True,
    }


@pytest.mark.parametrize(("model", "said"), [("Elevenlabs-STT", True), ("new-model", True), ("Wizper", False)])
def test_options_are_said_even_when_off(model: str, said: bool):
    """The service's own default may be on, so both options are sent to every model that may have them."""
    options = {"diarize": "false", "tagAudioEvents": "false"} if said else {}
    sent = upload(model=model)
    assert {name: sent[name] for name in sent if name in ("diarize", "tagAudioEvents")} == options


@pytest.mark.parametrize(
    ("minutes", "text"), [(1.0, "1"), (0.5, "0.5"), (2 / 3, "0.6667"), (0.00001, "0.0001"), (480, "480")]
)
def test_a_length_is_written_plainly(minutes: float, text: str):
    """No exponents, no long tails, and never zero."""
    assert upload(actual_minutes=minutes)["actualDuration"] == text


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("call.wav", "call.wav"),
        ("Gespräch über Öl.wav", "Gespräch über Öl.wav"),
        ("電話.wav", "電話.wav"),
        ("/home/somebody/secret/call.wav", "call.wav"),
        ("C:\\calls\\call.wav", "call.wav"),
        ("../../call.wav", "call.wav"),
        ('a"; name="model"; x=".wav', "a_; name=_model_; x=_.wav"),
        ("a\r\nContent-Type: text/html\r\n\r\n.wav", "html____.wav"),
        ("nul\x00l\x1b.wav", "nul_l_.wav"),
        ("caf\udce9.wav", "caf?.wav"),
        ("x" * 500 + ".wav", "x" * 196 + ".wav"),
        ("folder/", "audio"),
    ],
)
def test_a_file_name_cannot_change_the_form(name: str, sent: str):
    """Only the last part of a path leaves the house, in characters that cannot break out of the header."""
    fields = upload(name)
    assert set(fields) == {"model", "language", "audio"}
    raw = endpoints.submit(Submission(audio=Upload(name, "audio/wav", b"RIFF"))).request
    assert f'name="audio"; filename="{sent}"\r\n'.encode() in raw.body


def test_a_status_call_carries_the_run():
    """Even without an answer to echo, the run id and the flag of API requests are sent."""
    assert json.loads(CALLS["status"].request.body) == {"isApiRequest": True, "runId": "run-7c1e"}


def test_videos_are_sent_as_a_list():
    """One to ten addresses go out in one request."""
    assert json.loads(endpoints.youtube(["a"] * 10).request.body) == {"urls": ["a"] * 10}


@pytest.mark.parametrize("urls", [[], ["a"] * 11, "https://youtu.be/x", [""], [None], ()])
def test_the_wrong_number_of_videos_is_refused(urls: Any):
    """No address, more than ten, or one text instead of a list, is refused here."""
    with pytest.raises(errors.InvalidInput):
        endpoints.youtube(urls)


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({}, "/v1/usage?group_by=day,model"),
        (
            {"start": date(2026, 5, 1), "end": date(2026, 5, 1), "group_by": "model"},
            "/v1/usage?from=2026-05-01&to=2026-05-01&group_by=model",
        ),
    ],
)
def test_usage_is_asked_by_days(asked: dict[str, Any], path: str):
    """Both dates, in UTC days, or neither."""
    assert endpoints.usage(**asked).request == Request("GET", path)


@pytest.mark.parametrize(
    "asked",
    [
        {"start": date(2026, 5, 1)},
        {"end": date(2026, 5, 1)},
        {"start": date(2026, 5, 2), "end": date(2026, 5, 1)},
        {"group_by": "hour"},
    ],
)
def test_a_question_the_service_would_refuse_is_refused_here(asked: dict[str, Any]):
    """Half a range, a range backwards, and an unknown grouping need no request."""
    with pytest.raises(errors.InvalidInput):
        endpoints.usage(**asked)


# --- what may be sent again -----------------------------------------------------------------------------------------

TROUBLE = {
    "not connected": errors.ConnectError("x"),
    "lost": errors.ReadError("x"),
    "429": errors.RateLimited("x", status=429),
    "daily": errors.DailyLimitReached("x", resets_at=0.0),
    **{str(status): errors.ServiceUnavailable("x", status=status) for status in (408, 500, 502, 503, 504)},
    "unreadable": errors.ProtocolError("x", status=200),
    "400": errors.BadRequest("x", status=400),
    "401": errors.AuthError("x", status=401),
    "402": errors.PaymentRequired("x"),
    "404": errors.NotFound("x", status=404),
    "302": errors.Redirected("x", status=302),
    "a bug": RuntimeError("x"),
}
FREE_AGAIN = {"not connected", "lost", "429", "408", "500", "502", "503", "504", "unreadable"}
PAID_AGAIN = {"not connected", "429", "503"}
AMBIGUOUS = {"lost", "408", "500", "502", "504", "unreadable"}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_repeating_is_decided_by_the_money(trouble: str):
    """A free call goes through any weather; a paid one again only when surely nothing was accepted."""
    assert http.is_retryable(CALLS["status"], TROUBLE[trouble]) == (trouble in FREE_AGAIN)
    assert http.is_retryable(CALLS["submit"], TROUBLE[trouble]) == (trouble in PAID_AGAIN)


@pytest.mark.parametrize("trouble", sorted(set(TROUBLE) - {"a bug"}))
def test_an_open_charge_is_called_ambiguous(trouble: str):
    """Only a paid call, and only where the charge is open, becomes AmbiguousSubmit, which is never repeated."""
    error = TROUBLE[trouble]
    free = http.classify(CALLS["status"], error)
    assert (type(free), free.args, free.charged) == (type(error), error.args, "no")
    verdict = http.classify(CALLS["submit"], error)
    if trouble in AMBIGUOUS:
        assert isinstance(verdict, errors.AmbiguousSubmit)
        assert verdict.__cause__ is error
        assert not http.is_retryable(CALLS["submit"], verdict)
    else:
        assert verdict is error


def test_only_submitting_and_videos_cost_money():
    """Asking is free."""
    assert {name for name, call in CALLS.items() if call.paid} == {"submit", "youtube"}


def test_no_request_holds_the_key():
    """Requests are built without knowing who we are."""
    assert all(KEY not in repr(call) and KEY.encode() not in (call.request.body or b"") for call in CALLS.values())


def test_a_status_call_keeps_the_run_of_its_ticket():
    """What is asked about is the ticket's run, whatever the stored answer says."""
    ticket = type(JOB)("mine", "m", 0.0, body={"runId": "other"})
    assert json.loads(endpoints.status(ticket).request.body)["runId"] == "mine"


@pytest.mark.parametrize(
    ("call", "said"), [(endpoints.balance(), False), (endpoints.youtube(["https://youtu.be/x"]), True)]
)
@pytest.mark.parametrize("status", [402, 429])
def test_nothing_was_charged_is_said_of_submits_only(call, said, status):
    """A refusal of a free request says nothing about what was charged before."""
    body = b'{"error": {"message": "enough", "code": "daily_usd_limit_exceeded"}}'
    with pytest.raises(errors.ApiError) as caught:
        http.read(call, http.Response(status, {}, body, 0.0))
    assert ("Nothing was charged" in str(caught.value)) is said
