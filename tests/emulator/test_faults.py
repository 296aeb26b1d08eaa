"""Scripted trouble as a client sees it, and what it does to the money."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_nanostt.emulator import Emulator, Fault

from .conftest import SYNC, Caller


@pytest.mark.parametrize(
    ("envelope", "body"),
    [
        ("error_text", {"error": "sorry", "status": 503}),
        ("error_object", {"error": {"message": "sorry", "type": "server_error", "code": "down", "param": None}}),
        ("message", {"message": "sorry"}),
        ("detail", {"detail": "sorry"}),
        ("detail_list", {"detail": [{"loc": ["body"], "msg": "sorry", "type": "value_error"}]}),
    ],
)
def test_each_envelope_has_its_shape(nanogpt, api, envelope, body):
    """A scripted status comes in the envelope asked for."""
    nanogpt.fail("/check-balance", status=503, envelope=envelope, message="sorry", code="down")
    answer = api.post("/check-balance")
    assert (answer.status_code, answer.json()) == (503, body)
    assert answer.headers["X-Request-ID"] == nanogpt.requests[0].request_id


@pytest.mark.parametrize(
    ("fields", "status", "content_type", "start"),
    [
        ({"status": 502, "envelope": "html"}, 502, "text/html", "<html>"),
        ({"kind": "html", "status": 502}, 502, "text/html", "<html>"),
        ({"kind": "html"}, 200, "text/html", "<html>"),
        ({"kind": "broken_json"}, 200, "application/json", '{"status"'),
        ({"kind": "empty"}, 200, "application/json", ""),
        ({"kind": "empty", "status": 202}, 202, "application/json", ""),
        ({"body": "[1, 2]"}, 200, "application/json", "[1, 2]"),
        ({"status": 202, "body": '{"status": "pending"}'}, 202, "application/json", '{"status": "pending"}'),
    ],
)
def test_odd_answers(api, fields, status, content_type, start):
    """HTML, broken JSON, nothing and raw bodies are answered as scripted."""
    api.nanogpt.fail("check-balance", **fields)
    answer = api.post("/check-balance")
    assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (status, content_type)
    assert answer.text.startswith(start)
    assert bool(answer.text) == bool(start)


def test_a_429_has_its_retry_after_and_other_headers(nanogpt, api):
    """Retry-After may be seconds or a date, and any header can be added."""
    nanogpt.fail("*", status=429, retry_after=2.5, headers={"X-Extra": "yes"})
    nanogpt.fail("*", status=429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", envelope="error_object")
    first, second = api.post("/check-balance"), api.post("/check-balance")
    assert (first.headers["Retry-After"], first.headers["X-Extra"]) == ("2.5", "yes")
    assert second.headers["Retry-After"].endswith("GMT")
    assert second.json()["error"]["type"] == "rate_limit_error"


def test_a_fault_hits_as_often_as_it_says(nanogpt, api):
    """Three times and then no more; faults of one endpoint come in the order they were scripted."""
    nanogpt.fail("/check-balance", status=500, times=3)
    nanogpt.fail("/check-balance", status=503)
    assert len(nanogpt.faults) == 2
    assert [api.post("/check-balance").status_code for _ in range(5)] == [500, 500, 500, 503, 200]
    assert nanogpt.faults == []
    assert [request.fault for request in nanogpt.requests] == ["500", "500", "500", "503", None]


def test_a_fault_with_a_probability_stays_until_cleared(nanogpt, api):
    """Some requests are hit, some are not, until the fault is cleared."""
    nanogpt.fail("/check-balance", status=500, probability=0.5)
    answers = {api.post("/check-balance").status_code for _ in range(40)}
    assert answers == {200, 500}
    nanogpt.clear_faults("/transcribe")
    assert len(nanogpt.faults) == 1
    nanogpt.clear_faults("check-balance")
    assert {api.post("/check-balance").status_code for _ in range(10)} == {200}


def test_a_fault_hits_its_endpoint_and_match_only(nanogpt, api):
    """Another endpoint, and a file, URL or run that does not match, are left alone."""
    nanogpt.script("b.mp3", text="hi")
    ticket = api.url().json()
    for match in ("b.mp3", ticket["runId"], "files.test/c"):
        nanogpt.fail("/transcribe" if "." in match else "/transcribe/status", status=500, match=match, probability=1.0)
    nanogpt.script("c.mp3", text="hi")
    assert api.upload("a.mp3").status_code == 202
    assert api.upload("b.mp3").status_code == 500
    assert api.url("https://files.test/c.mp3").status_code == 500
    assert api.status(ticket).status_code == 500
    assert api.status(api.url().json()).status_code == 200
    assert api.post("/check-balance").status_code == 200


def test_a_reset_breaks_the_connection(nanogpt, api):
    """A reset reaches the client as ECONNRESET, without a byte of an answer."""
    nanogpt.fail("/check-balance", kind="reset")
    parts = urlsplit(nanogpt.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as sock:
        sock.sendall(
            f"POST /api/check-balance HTTP/1.1\r\nHost: x\r\nx-api-key: {api.key}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert (nanogpt.requests[0].status, nanogpt.requests[0].fault) == (0, "reset")


def test_a_hang_never_answers_and_ends_with_the_client(nanogpt, api):
    """The client's own timeout is what ends a hang; the request was logged on arrival."""
    nanogpt.fail("/check-balance", kind="hang")
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(nanogpt.url + "/check-balance", headers={"x-api-key": api.key}, timeout=0.3)
    assert (nanogpt.requests[0].endpoint, nanogpt.requests[0].status) == ("/check-balance", 0)
    assert api.post("/check-balance").status_code == 200


def test_a_hang_does_not_hold_up_the_end():
    """Stopping the emulator drops the connections that hang."""
    with Emulator() as nanogpt, socket.socket() as sock:
        nanogpt.fail("/check-balance", kind="hang")
        parts = urlsplit(nanogpt.url)
        sock.connect((parts.hostname, parts.port))
        sock.sendall(f"POST /api/check-balance HTTP/1.1\r\nHost: x\r\nx-api-key: {nanogpt.api_key}\r\n\r\n".encode())
        while not nanogpt.requests:
            time.sleep(0.01)
        nanogpt.__exit__(None, None, None)
        sock.settimeout(5)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_slow_answer_is_a_good_one(nanogpt, api):
    """After its delay a slow request is answered as if nothing had been."""
    nanogpt.fail("/transcribe", kind="slow", delay=0.2)
    answer = api.url()
    assert answer.status_code == 202
    assert answer.elapsed.total_seconds() >= 0.2


def test_a_slow_answer_after_the_charge_is_charged_first(nanogpt, api):
    """With after_charge a slow submit has its charge in the ledger while the client still waits."""
    nanogpt.fail("/transcribe", kind="slow", delay=0.5, after_charge=True)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(api.url)
        while not nanogpt.charges:
            time.sleep(0.01)
        assert not answer.done()
        assert answer.result().json()["runId"] == nanogpt.charges[0].run_id


def test_a_redirect_points_elsewhere(nanogpt, api):
    """A redirect is a 307 with the location given."""
    nanogpt.fail("/transcribe/status", kind="redirect", location="http://127.0.0.1:1/api")
    answer = api.post("/transcribe/status", {})
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://127.0.0.1:1/api")


def test_a_huge_answer_is_valid_json_of_that_size(nanogpt, api):
    """The body has exactly the size asked for and can be read; a client that leaves early does no harm."""
    nanogpt.fail("/check-balance", kind="huge", size=3_000_000, times=1)
    answer = api.post("/check-balance")
    assert len(answer.content) == 3_000_000
    assert json.loads(answer.content)["status"] == "completed"
    nanogpt.fail("/check-balance", kind="huge")
    with requests.post(
        nanogpt.url + "/check-balance", headers={"x-api-key": api.key}, stream=True, timeout=10
    ) as early:
        early.raw.read(10)
    assert api.post("/check-balance").status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "reset"},
        {"kind": "hang"},
        {"status": 500},
        {"status": 502, "envelope": "html"},
        {"kind": "broken_json"},
    ],
)
@pytest.mark.parametrize("model", ["Elevenlabs-STT", SYNC])
def test_after_the_charge_the_money_is_gone(nanogpt, api, fields, model):
    """With after_charge the submit is charged once and its answer never arrives whole."""
    nanogpt.fail("/transcribe", after_charge=True, **fields)
    try:
        answer = requests.post(
            nanogpt.url + "/transcribe",
            json={"audioUrl": "https://files.test/a.mp3", "model": model},
            headers={"x-api-key": api.key},
            timeout=0.5,
        )
        assert answer.status_code >= 500 or fields == {"kind": "broken_json"}
    except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
        assert fields["kind"] in ("reset", "hang")
    assert len(nanogpt.charges) == 1
    assert len(nanogpt.jobs) == (1 if model == "Elevenlabs-STT" else 0)


@pytest.mark.parametrize("fields", [{"kind": "reset"}, {"status": 500}])
def test_before_the_charge_nothing_is_paid(nanogpt, api, fields):
    """Without after_charge a failed submit costs nothing, and the next one works."""
    nanogpt.fail("/transcribe", **fields)
    if "status" in fields:
        assert api.upload().status_code == 500
    else:
        with pytest.raises(requests.exceptions.ConnectionError):
            api.upload()
    assert nanogpt.charges == []
    assert api.upload().status_code == 202


def test_a_refused_submit_does_not_use_up_the_fault(nanogpt, api):
    """after_charge waits for a submit that is accepted, however often it is counted."""
    for times in (1, 2):
        nanogpt.fail("/transcribe", status=500, after_charge=True, times=times)
    nanogpt.fail("/transcribe", status=501, after_charge=True, probability=1.0)
    answers = [api.url(model=model).status_code for model in ("unknown", *["Elevenlabs-STT", "unknown"] * 4)]
    assert answers == [400, 500, 400, 500, 400, 500, 400, 501, 400]
    assert len(nanogpt.charges) == 4


def test_a_ready_made_fault_can_be_given(nanogpt, api):
    """A Fault is used as it is, on the endpoint named."""
    made = nanogpt.fail("/check-balance", Fault(status=403, message="no"), times=2)
    assert (made.endpoint, made.status, made.times) == ("/check-balance", 403, 2)
    assert api.post("/check-balance").json()["error"] == "no"


@pytest.mark.parametrize("fields", [{}, {"kind": "explode"}, {"status": 500, "envelope": "paper"}])
def test_a_fault_must_make_sense(nanogpt, fields):
    """Unknown kinds and envelopes, and a fault that does nothing, are refused when scripted."""
    with pytest.raises(ValueError, match=r"fault|unknown"):
        nanogpt.fail("*", **fields)


def test_an_emulator_that_is_away_refuses_connections_and_comes_back():
    """Left and entered again, it has the same address and remembers its jobs."""
    nanogpt = Emulator(processing_seconds=0)
    with pytest.raises(RuntimeError, match="not been started"):
        assert nanogpt.url
    with nanogpt:
        nanogpt.script("a.mp3", text="hi")
        ticket = Caller(nanogpt).url().json()
    with pytest.raises(requests.exceptions.ConnectionError):
        Caller(nanogpt).status(ticket)
    with nanogpt:
        assert Caller(nanogpt).status(ticket).json()["transcription"] == "hi"
