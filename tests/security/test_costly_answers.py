"""Answers that cost time or memory, and words of the service that nobody should have to read as they are."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import zlib

import pytest

from airflow_provider_nanostt.api import endpoints, errors, http
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.models import Job, Submission

from .clients import over_aiohttp, over_requests

MIB = 1024 * 1024
JOB = Job(run_id="run-1", model="Elevenlabs-STT", submitted_at=0.0)
SUBMIT = endpoints.submit(Submission(audio="https://a.example/call.wav"))
STATUS = endpoints.status(JOB)
CALLS = {
    "submit": SUBMIT,
    "status": STATUS,
    "balance": endpoints.balance(),
    "audio_models": endpoints.audio_models(),
    "youtube": endpoints.youtube(["https://youtu.be/sample00001"]),
    "usage": endpoints.usage(),
}
ODD = "run\n\r\x1b[2J\u202e\ud800, 1/../..\x00"


class Answering(threading.Thread):
    """Answers one request; ``sent`` is how many bytes of the body the client took."""

    def __init__(self, body, status=200, encoding=None):
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/api"
        self.sent = 0
        self._body, self._head = body, f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n"
        self._head += f"Content-Encoding: {encoding}\r\n" if encoding else ""
        self.start()

    def run(self):
        client, _ = self.listening.accept()
        with client, self.listening:
            try:
                client.recv(65536)
                client.sendall(f"{self._head}\r\n".encode())
                for at in range(0, len(self._body), 65536):
                    client.sendall(self._body[at : at + 65536])
                    self.sent += 65536
                client.settimeout(1)  # an error that is being looked at may keep the connection
                while client.recv(65536):  # the rest of the request, until the client hangs up
                    pass
            except OSError:
                pass


@pytest.fixture(params=[over_requests, over_aiohttp])
def send(request, monkeypatch):
    """Send a call to a server that answers with a body."""
    monkeypatch.setenv("no_proxy", "*")

    def sent(call, body, status=200, encoding=None):
        server = Answering(body, status, encoding)
        try:
            return request.param(call, Config("k" * 36, server.url))
        finally:
            server.join(10)
            sent.took = server.sent

    return sent


def packed(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("encoding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("name", CALLS)
def test_an_answer_without_a_transcript_is_small(send, name, encoding):
    """Eight mebibytes are enough for lists, and one for what has no text, on the wire and unpacked."""
    body = b'{"status": "pending", "usd_balance": "1", "x": "' + b"a" * 9 * MIB + b'"}'
    pack = {None: bytes, "gzip": gzip.compress, "deflate": zlib.compress}[encoding]
    with pytest.raises(errors.AmbiguousSubmit if CALLS[name].paid else errors.ProtocolError, match=r"over [18] MiB"):
        send(CALLS[name], pack(body), encoding=encoding)


def test_a_transcript_may_be_large(send):
    """A day of words is read, compressed or not."""
    words = [{"text": f"word{at}", "start": at, "end": at + 1, "type": "word"} for at in range(40_000)]
    body = json.dumps({"status": "completed", "transcription": "all of it", "words": words}).encode()
    assert len(body) > 2 * MIB
    for encoding, data in ((None, body), ("gzip", packed(body))):
        assert len(send(STATUS, data, encoding=encoding).transcript.words) == 40_000


def test_an_answer_that_says_where_its_text_is_only_late_is_refused(send):
    """One mebibyte of something else comes before no transcript."""
    with pytest.raises(errors.ProtocolError, match="over 1 MiB"):
        send(STATUS, b'{"status": "completed", "x": "' + b"a" * 3 * MIB + b'", "transcription": "late"}')


@pytest.mark.parametrize("status", [400, 401, 402, 404, 429, 500, 503])
@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_of_a_refusal_only_its_beginning_is_read(send, status, encoding):
    """Thirty megabytes of code are still the refusal that their status says, in a few words."""
    body = b'{"error": {"message": "no", "code": "' + b"A" * 30_000_000 + b'"}}'
    with pytest.raises(errors.ApiError) as caught:
        send(endpoints.balance(), packed(body) if encoding else body, status, encoding)
    assert caught.value.status == status
    assert len(str(caught.value)) < 1000
    assert send.took < 16 * MIB


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}"))),
        ("br", b"\x0b\x01\x80{}\x03"),
        ("gzip", b"no gzip at all"),
        ("gzip, identity", b"{}"),
    ],
    ids=["twice", "another way", "not at all", "a list"],
)
def test_other_ways_to_compress_are_a_broken_connection(send, encoding, data):
    """Only what was asked for is unpacked, once."""
    with pytest.raises(errors.ReadError, match="compressed"):
        send(endpoints.balance(), data, encoding=encoding)


def test_many_small_files_of_gzip_take_no_time(send):
    """Each is begun anew; a million that say nothing are not."""
    began = time.thread_time()
    with pytest.raises(errors.ProtocolError, match="not JSON"):
        send(endpoints.balance(), gzip.compress(b"") * 1_000_000, encoding="gzip")
    assert time.thread_time() - began < 5


@pytest.mark.parametrize("piece", ["[],", "{},", "[[]],", '"a",', '{"a":[]},', " "])
@pytest.mark.parametrize("packed", [True, False])
def test_memory_follows_from_the_size_of_an_answer(piece, packed):
    """Sixty megabytes of nothing, with a text before them, do not become gigabytes in the process that reads them."""
    code = """
import gzip, resource, sys
from airflow_provider_nanostt.api import endpoints, errors, http, incoming, models
piece, packed = sys.argv[1].encode(), sys.argv[2] == "True"
call = endpoints.status(models.Job("r", "m", 0.0))
data = b'{"status": "completed", "text": "hi", "x": [' + piece * (60_000_000 // len(piece)) + b"0]}"
data = gzip.compress(data, 1) if packed else data
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
answer = incoming.Incoming(call, 200, "gzip" if packed else None)
try:
    answer.take(data)
    http.read(call, http.Response(200, {}, answer.body(), 0.0))
except errors.ProtocolError:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    command = [sys.executable, "-c", code, piece, str(packed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 300 * 1024  # KiB


@pytest.mark.parametrize(
    "page",
    [
        b"<title>" + b"a" * 19_990,
        b"<title" * 3_300,
        b"<title>" + b" " * 19_990,
        b"<title>" + b" a" * 9_900 + b"</title",
        b"<" * 20_000,
    ],
    ids=["a title that never ends", "many titles", "spaces", "half an end", "many tags"],
)
def test_no_page_takes_long_to_read(page):
    """Three hundred such pages are read in a process that may use 20 seconds of a processor."""
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
from airflow_provider_nanostt.api import endpoints, errors, http
page = sys.stdin.buffer.read()
for _ in range(300):
    try:
        http.read(endpoints.balance(), http.Response(502, {}, page, 0.0))
    except errors.ServiceUnavailable:
        pass
"""
    done = subprocess.run([sys.executable, "-c", code], input=page, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]


def test_a_large_answer_is_not_read_in_the_event_loop():
    """The loop that all triggers share goes on while a large answer is read."""
    threads = []
    call = http.Call(STATUS.request, lambda _: threads.append(threading.current_thread()), max_bytes=None)
    for size in (100, 3 * MIB):
        server = Answering(b'{"text": "' + b"a" * size + b'"}')
        over_aiohttp(call, Config("k" * 36, server.url))
        server.join(10)
    assert threads[0] is threading.main_thread()
    assert threads[1] is not threading.main_thread()


def test_an_answer_that_is_nested_deeply_is_refused():
    """What was read has to be written again, by functions that call themselves."""
    for levels in (100, 900, 100_000):
        body = b'{"status": "completed", "text": "hi", "x": ' + b"[" * levels + b"]" * levels + b"}"
        with pytest.raises(errors.ProtocolError):
            http.read(STATUS, http.Response(200, {}, body, 0.0))


# --- words of the service ---------------------------------------------------------------------------------------------


def refused(field, value, status=400):
    body = json.dumps({"error": {"message": "no", "code": "c", field: value}}).encode()
    with pytest.raises(errors.ApiError) as caught:
        http.read(STATUS, http.Response(status, {"x-request-id": value[:1000]}, body, 0.0))
    return str(caught.value)


def status_of(**body):
    return http.read(STATUS, http.Response(200, {}, json.dumps(body).encode(), 0.0))


def is_tidy(text):
    return len(text) < 1200 and all(one.isprintable() for one in text)


@pytest.mark.parametrize("value", [ODD, "A" * 50_000, "\x1b" * 5_000, " " * 50_000, "\u2028line", "a\x9b31mred"])
def test_words_of_the_service_are_cut_and_cleaned(value):
    """Codes, messages, statuses, reasons, models, titles and request ids: one line, short, no controls."""
    failed = status_of(status="failed", error=value)
    job = http.read(SUBMIT, http.Response(202, {}, json.dumps({"runId": "r", "model": value}).encode(), 0.0))
    done = status_of(status="completed", transcription="hi", metadata={"model": value})
    listed = json.dumps([{"id": "m", "name": value}, {"id": value}]).encode()
    catalogue = http.read(CALLS["audio_models"], http.Response(200, {}, listed, 0.0))
    video = json.dumps({"transcripts": [{"url": "u", "title": value, "transcript": "t"}]}).encode()
    (film,) = http.read(CALLS["youtube"], http.Response(200, {}, video, 0.0)).results
    for shown in (
        refused("message", value),
        refused("code", value),
        status_of(status=f"x{value}").raw_status,
        failed.error,
        job.model,
        done.transcript.model,
        *(name for model in catalogue for name in (model.id, model.name)),
        film.title or "",
    ):
        assert is_tidy(shown), shown[:200]


def test_a_list_of_reasons_ends_somewhere():
    """A hundred thousand reasons are as good as twenty."""
    assert is_tidy(status_of(status="failed", error=["no"] * 100_000).error)


RUN_IDS = [ODD, "a, b", "/../../etc/passwd", "A" * 3_000, "https://x.example/?sig=0123456789abcdef", "läuft", "\ud800"]


@pytest.mark.parametrize("run_id", RUN_IDS)
def test_a_paid_job_with_an_odd_id_is_found_again(run_id, caplog):
    """It is shown in ordinary characters, and the service gets its own id back, also from a stored ticket."""
    body = json.dumps({"runId": run_id, "cost": 0.1}).encode()
    job = http.read(SUBMIT, http.Response(202, {}, body, 0.0))
    stored = Job.from_json(json.loads(json.dumps(job.to_json())))
    assert stored == job
    for one in (job, stored):
        assert json.loads(endpoints.status(one).request.body)["runId"] == run_id
        assert is_tidy(one.run_id)
        assert not set(one.run_id) & set(", ?\\")
        assert "0123456789abcdef" not in repr(one)
    logging.getLogger("airflow_provider_nanostt").warning("Run %s", job.run_id)
    assert "\n" not in caplog.messages[-1]


@pytest.mark.parametrize("run_id", ["run-7c1e", "0190f3c2-7d1e-7000-8000-3a4b5c6d7e8f", "prod:eu/7~a=b+c@d", "42"])
def test_an_ordinary_id_stays_as_it_is(run_id):
    """Users compare it with what the service shows them."""
    job = http.read(SUBMIT, http.Response(202, {}, json.dumps({"runId": run_id}).encode(), 0.0))
    assert job.run_id == run_id == json.loads(endpoints.status(job).request.body)["runId"]


def test_two_odd_ids_are_two_jobs():
    """Ids that look alike once they are cleaned are told apart."""
    shown = {Job(run_id, "m", 0.0).run_id for run_id in ("a\n", "a\r", "a ", "a\x1b", "A" * 999, "A" * 998)}
    assert len(shown) == 6


def test_a_record_cannot_send_the_question_about_another_job():
    """The id that goes to the service belongs to the one that is shown."""
    job = Job.from_json({"run_id": "run-1", "body": {"runId": "run-2"}})
    assert json.loads(endpoints.status(job).request.body)["runId"] == "run-1"


def test_a_ticket_is_small_whatever_the_service_put_into_it():
    """What it need not hear again is left out when it is too much."""
    body = {"runId": "r", "fileName": "A" * 300_000, "paymentSource": "B" * 300_000, "more": "C" * 300_000}
    job = http.read(SUBMIT, http.Response(202, {}, json.dumps(body).encode(), 0.0))
    assert len(json.dumps(job.to_json())) < 20_000
    assert Job.from_json(job.to_json()).run_id == "r"


def test_an_id_that_is_none_leaves_the_charge_open():
    """A megabyte is no id; the submit is in doubt, as with any answer that cannot be read."""
    body = json.dumps({"runId": "A" * 100_000}).encode()
    with pytest.raises(errors.AmbiguousSubmit, match="runId has 100,000 characters"):
        http.read(SUBMIT, http.Response(202, {}, body, 0.0))
