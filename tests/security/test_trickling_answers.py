"""Whatever trickles, an exchange ends with its deadline: in the worker's client, the triggerer's and in range reads."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import pytest

from airflow_provider_nanostt.api import endpoints, errors
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.models import Submission
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES, Upload
from airflow_provider_nanostt.audio.inspect import remote, signed_url
from airflow_provider_nanostt.audio.inspect.remote import RemoteFile, RemoteUnreadable

from .clients import over_aiohttp, over_requests
from .trickle import Trickler

SUBMIT = endpoints.submit(Submission(audio="https://a.example/call.wav"))
HEAD = b"HTTP/1.1 %s Whatever\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

AFTER_SENDING = {
    "nothing at all": (b"", b""),
    "status line": (b"HTTP/1.1 200 ", b"a"),
    "head": (HEAD + b"X: ", b"a"),
    "many heads": (HEAD, b"X: a\r\n"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nX: a\r\n\r\n"),
    "chunk's length": (CHUNKED, b"0"),
    "chunk's extension": (CHUNKED + b"1;", b"a"),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nX: ", b"a"),
    "body": (HEAD + b"Content-Length: 65536\r\n\r\n", b" "),
}
BEFORE_SENDING = {
    "nothing at all": (b"", b""),
    "head": (HEAD % b"200" + b"X: ", b"a"),
    "many heads": (HEAD % b"200", b"X: a\r\n"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "handshake": (HEAD % b"200" + b"\r\n\x16\x03\x03\x40\x00", b"\x02"),
}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=[over_requests, over_aiohttp])
def send(request):
    """Send a call to an address, with a deadline of a fraction of a second."""

    def sent(call, base_url, **settings):
        short = {"timeout": 0.3, "connect_timeout": 0.3, "allow_http": True}
        return request.param(call, Config("k" * 36, base_url, **short | settings))

    return sent


@pytest.mark.parametrize("pause", [0.02, 0], ids=["drops", "a flood"])
@pytest.mark.parametrize("where", [where for where in AFTER_SENDING if where not in ("nothing at all", "many heads")])
@pytest.mark.parametrize("call", [SUBMIT, endpoints.balance()], ids=["submit", "balance"])
def test_an_answer_that_trickles_ends_with_the_deadline(send, call, where, pause):
    """Wherever it trickles: a free call has lost its connection, and a paid one may have been charged."""
    begin, drop = AFTER_SENDING[where]
    expected = (errors.AmbiguousSubmit,) if call.paid else (errors.ReadError, errors.ProtocolError, errors.ApiError)
    with (
        Trickler(begin.replace(b"%s", b"200"), drop, pause=pause) as server,
        pytest.raises(expected),
    ):
        send(call, f"http://127.0.0.1:{server.port}/api")


@pytest.mark.parametrize("where", ["nothing at all", "many heads"])
@pytest.mark.parametrize("call", [SUBMIT, endpoints.balance()], ids=["submit", "balance"])
def test_an_answer_that_never_gets_anywhere_ends_with_the_deadline(send, call, where):
    """Silence, and a head that never ends."""
    begin, drop = AFTER_SENDING[where]
    with (
        Trickler(begin.replace(b"%s", b"200"), drop) as server,
        pytest.raises(errors.AmbiguousSubmit if call.paid else errors.ReadError),
    ):
        send(call, f"http://127.0.0.1:{server.port}/api")


@pytest.mark.parametrize("status", [b"400", b"500"])
@pytest.mark.parametrize("where", ["head", "chunks", "body"])
def test_a_refusal_that_trickles_ends_with_the_deadline(send, where, status):
    """A refusal that never comes to its end says nothing about the money."""
    begin, drop = AFTER_SENDING[where]
    with Trickler(begin.replace(b"%s", status), drop) as server, pytest.raises(errors.AmbiguousSubmit):
        send(SUBMIT, f"http://127.0.0.1:{server.port}/api")


def test_a_handshake_that_trickles_has_charged_nothing(send):
    """No request was sent, whichever deadline is the shorter."""
    for settings in ({"connect_timeout": 10.0}, {"timeout": 10.0}, {}):
        with (
            Trickler(b"\x16\x03\x03\x40\x00", b"\x02", answers_first=False) as server,
            pytest.raises(errors.ConnectError) as caught,
        ):
            send(SUBMIT, f"https://127.0.0.1:{server.port}/api", **settings)
        assert caught.value.charged == "no"


@pytest.mark.parametrize("where", BEFORE_SENDING)
def test_a_proxy_that_trickles_has_charged_nothing(send, monkeypatch, where):
    """A proxy that never makes the tunnel, and a handshake behind one, hold nobody up; the submit was never sent."""
    for settings in ({"connect_timeout": 10.0}, {"timeout": 10.0}, {}):
        with Trickler(*BEFORE_SENDING[where]) as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            with pytest.raises(errors.ConnectError) as caught:
                send(SUBMIT, "https://api.example/api", **settings)
        assert caught.value.charged == "no"


def test_an_answer_that_trickles_through_a_proxy_ends_with_the_deadline(send, monkeypatch):
    """A proxy for plain http passes the request on, so it may have been charged."""
    with Trickler(HEAD % b"200" + b"X: ", b"a") as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(errors.AmbiguousSubmit):
            send(SUBMIT, "http://api.example/api")


@pytest.mark.parametrize("where", AFTER_SENDING)
def test_a_recording_that_trickles_is_given_up(monkeypatch, where):
    """Looking at a recording ends in time, whatever its server does."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(remote, "MAX_SECONDS", 0.3)
    begin, drop = AFTER_SENDING[where]
    whole = begin.replace(b"%s", b"206").replace(
        b"Whatever\r\n", b"Whatever\r\nContent-Range: bytes 0-65535/900000\r\n"
    )
    with Trickler(whole, drop) as server, pytest.raises(RemoteUnreadable):
        RemoteFile(f"http://127.0.0.1:{server.port}/a.mp3", allow_private=True)


def test_a_recording_behind_a_handshake_that_trickles_is_given_up(monkeypatch):
    """The deadline holds for TLS, too."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(remote, "MAX_SECONDS", 0.3)
    with (
        Trickler(b"\x16\x03\x03\x40\x00", b"\x02", answers_first=False) as server,
        pytest.raises(RemoteUnreadable),
    ):
        RemoteFile(f"https://127.0.0.1:{server.port}/a.mp3", allow_private=True)


@pytest.mark.parametrize("where", AFTER_SENDING)
def test_a_signed_address_whose_storage_trickles_is_left_to_the_service(monkeypatch, where):
    """Trying one byte of it ends in time; that it could not be tried from here is no refusal."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(signed_url, "_TIMEOUT_SECONDS", 0.3)
    begin, drop = AFTER_SENDING[where]
    with Trickler(begin.replace(b"%s", b"206"), drop) as server:
        url = f"http://127.0.0.1:{server.port}/a.mp3"
        path = SimpleNamespace(fs=SimpleNamespace(sign=lambda *_, **__: url), path="a.mp3")
        assert signed_url.presign(path, 60) == url


@pytest.mark.parametrize("where", ["chunks", "body"])
def test_a_refusal_of_a_signed_address_that_trickles_is_one(monkeypatch, where):
    """Its status is enough."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(signed_url, "_TIMEOUT_SECONDS", 0.3)
    begin, drop = AFTER_SENDING[where]
    with Trickler(begin.replace(b"%s", b"403"), drop) as server:
        url = f"http://127.0.0.1:{server.port}/a.mp3"
        path = SimpleNamespace(fs=SimpleNamespace(sign=lambda *_, **__: url), path="a.mp3")
        with pytest.raises(errors.InvalidInput, match="403"):
            signed_url.presign(path, 60)


class SlowReader(threading.Thread):
    """Takes a request a little at a time, then accepts it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen()
        self.over = threading.Event()
        self.start()

    def run(self):
        client, _ = self.listening.accept()
        with client, self.listening:
            seen = client.recv(16 * 1024)
            size = int(seen.lower().partition(b"content-length: ")[2].split()[0])
            left = size + seen.find(b"\r\n\r\n") + 4 - len(seen)
            while left > 0 and not self.over.wait(0.01):
                left -= len(client.recv(min(left, 48 * 1024)))
            client.sendall(b'HTTP/1.1 202 Accepted\r\nContent-Length: 19\r\n\r\n{"runId": "run-1" }')


def test_a_large_upload_may_take_its_time(send):
    """The time for connecting is not the time for sending, and a large body has more time than a question."""
    call = endpoints.submit(Submission(audio=Upload("a.ogg", "audio/ogg", b"a" * MAX_UPLOAD_BYTES)))
    server = SlowReader()
    job = send(call, f"http://127.0.0.1:{server.listening.getsockname()[1]}/api", connect_timeout=0.1)
    assert job.run_id == "run-1"
    server.join(10)
    assert not server.is_alive()


def test_the_time_for_an_upload_goes_by_its_size():
    """A line of 20 kilobytes a second is enough for the largest file, with any timeout."""
    call = endpoints.submit(Submission(audio=Upload("a.ogg", "audio/ogg", b"a" * MAX_UPLOAD_BYTES)))
    assert Config("k" * 36, timeout=1).timeout_for(call) > MAX_UPLOAD_BYTES / 20_000
    assert Config("k" * 36, timeout=1).timeout_for(endpoints.balance()) == 1
