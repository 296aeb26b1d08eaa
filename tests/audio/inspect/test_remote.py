"""Reading recordings from web servers that behave, and from those that do not."""

from __future__ import annotations

import io
import random

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect import remote, url_safety
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.inspect.remote import RemoteFile, RemoteUnreadable
from airflow_provider_nanostt.audio.sources import WebAddress
from tests.audio.range_server import RangeServer
from tests.local_network import Authority, server_tls

NOISE = random.Random(1).randbytes(2_000_000)
SECRET = "?X-Amz-Signature=do-not-tell"


def wav(seconds=60):
    """A WAV of 16 kHz, 16 bit, mono."""
    body = b"\x01\x02" * 16_000 * seconds
    head = (
        b"RIFF" + (len(body) + 36).to_bytes(4, "little") + b"WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0"
    )
    return head + b"data" + len(body).to_bytes(4, "little") + body


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    with RangeServer({"noise": NOISE, "call.wav": wav(), "tiny.wav": wav(1), "empty.mp3": b""}) as running:
        yield running


def near(url):
    return RemoteFile(url, allow_private=True)


def length_of(url, **settings):
    return probe(WebAddress(url, **settings)).length


def test_it_reads_like_a_file(server, monkeypatch):
    """Whatever is read, in whatever order, is what the file holds."""
    chance, same = random.Random(2), io.BytesIO(NOISE)
    monkeypatch.setattr(remote, "MAX_REQUESTS", 1000)
    monkeypatch.setattr(remote, "MAX_BYTES", 10_000_000)
    with near(server.url("noise")) as file:
        assert (file.size, file.readable(), file.seekable()) == (len(NOISE), True, True)
        for _ in range(200):
            place, length = chance.randrange(len(NOISE) + 100), chance.randrange(100_000)
            assert file.seek(place) == same.seek(place)
            assert file.read(length) == same.read(length)
            assert file.tell() == min(place + length, len(NOISE)) or place > len(NOISE)
        file.seek(-100, 2)
        assert file.seek(50, 1) == len(NOISE) - 50
        assert file.read() == NOISE[-50:]


def test_nothing_is_fetched_twice(server, monkeypatch):
    """What was read is kept, and no request asks for what is there."""
    monkeypatch.setattr(remote, "MAX_REQUESTS", 100)
    monkeypatch.setattr(remote, "MAX_BYTES", 2_000_000)
    with near(server.url("noise")) as file:
        assert file.read() == NOISE
        file.seek(0)
        assert file.read() == NOISE
        assert file.received == len(NOISE) == server.sent
        assert file.requests == len(server.seen)


def test_reading_ends_where_enough_was_read(server, monkeypatch):
    """Neither requests nor bytes exceed what was allowed."""
    monkeypatch.setattr(remote, "MAX_REQUESTS", 2)
    with near(server.url("noise")) as file:
        file.seek(1_000_000)
        file.read(10)
        file.seek(500_000)
        with pytest.raises(RemoteUnreadable, match="more than 2 requests"):
            file.read(10)
    monkeypatch.setattr(remote, "MAX_BYTES", 100_000)
    with near(server.url("noise")) as file:
        file.seek(1_000_000)
        with pytest.raises(RemoteUnreadable, match=r"100,000 bytes"):
            file.read(90_000)


def test_a_length_takes_few_requests(server):
    """The length of a plain recording is told from its head alone."""
    assert length_of(server.url("call.wav", SECRET), allow_private=True).seconds == 60
    (asked,) = server.seen
    assert asked["path"].endswith(SECRET)
    assert asked["accept-encoding"] == "identity"
    assert server.sent <= 64 * 1024


@pytest.mark.parametrize(
    ("quirk", "words"),
    [
        ("whole", "only whole"),
        ("whole, unannounced", "only whole"),
        ("wrong range", "another range"),
        ("short range", "another range"),
        ("no total", "which range"),
        ("gzip", "compresses"),
        ("less", "cannot be read|fewer bytes"),
        ("less, unannounced", "fewer bytes"),
        ("hangs up", "cannot be read"),
    ],
)
def test_a_server_that_misbehaves_is_given_up_on(server, quirk, words):
    """The length is unknown with the reason; no more than a piece was sent, and no secret is repeated."""
    server.quirk = quirk
    found = length_of(server.url("call.wav", SECRET), allow_private=True)
    assert found.seconds is None
    assert "do-not-tell" not in found.source
    with pytest.raises(RemoteUnreadable, match=words):
        near(server.url("call.wav", SECRET))
    assert len(server.seen) == 2


def test_a_small_file_may_come_whole(server):
    """A server that knows no pieces but announces a small file has answered all there is to ask."""
    server.quirk = "whole"
    assert length_of(server.url("tiny.wav"), allow_private=True).seconds == 1


def test_a_file_that_changes_is_given_up_on(server):
    """Pieces of two versions are never put together."""
    server.quirk = "changes"
    with near(server.url("noise")) as file:
        file.seek(1_000_000)
        with pytest.raises(RemoteUnreadable, match="changed"):
            file.read(1)


def test_a_server_that_trickles_is_not_waited_for(server, monkeypatch):
    """Time is bounded however slowly bytes arrive."""
    server.quirk = "trickles"
    monkeypatch.setattr(remote, "MAX_SECONDS", 0.0)
    with pytest.raises(RemoteUnreadable, match="slowly"):
        near(server.url("noise"))


def test_an_empty_file_is_empty(server):
    """A server cannot send a piece of nothing, and says so."""
    assert length_of(server.url("empty.mp3"), allow_private=True).source == "the file is empty"


def test_a_missing_file_is_unknown(server):
    """The server's answer is the reason."""
    assert "answered 404" in length_of(server.url("missing"), allow_private=True).source


def test_nobody_listens():
    """A refused connection is a reason, too."""
    with RangeServer({}) as gone:
        url = gone.url("a.mp3", SECRET)
    found = length_of(url, allow_private=True)
    assert found.seconds is None
    assert "127.0.0.1 cannot be read" in found.source


def test_redirects_are_followed_once(server):
    """What lies behind a redirect is asked directly from then on."""
    server.redirects = {"old": "/noise?" + SECRET}
    with near(server.url("old")) as file:
        file.seek(-1, 2)
        assert file.read() == NOISE[-1:]
    assert [asked["path"].partition("?")[0] for asked in server.seen] == ["/old", "/noise", "/noise"]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("http://169.254.169.254/latest", "link-local"),
        ("http://inside.example.com/", "private"),
        ("file:///etc/passwd", "not an http"),
    ],
)
def test_redirects_to_private_addresses_are_refused(server, monkeypatch, where, words):
    """Each hop is checked; a public server cannot send us inside."""
    server.redirects = {"a.mp3": where + SECRET}

    def resolve(host, port):
        return ["10.0.0.1"] if host == "inside.example.com" else ["127.0.0.1"]

    # This machine stands for the world outside; everything else is judged as it is.
    judge = url_safety.not_public
    monkeypatch.setattr(url_safety, "not_public", lambda ip: None if ip == "127.0.0.1" else judge(ip))
    url = f"http://audio.example:{server.port}/a.mp3"
    monkeypatch.setattr(url_safety, "system_resolver", resolve)
    with pytest.raises(InvalidInput, match=words) as caught:
        RemoteFile(url)
    assert "do-not-tell" not in str(caught.value)
    assert length_of(url, allow_private=False).seconds is None
    assert len(server.seen) == 2


def test_redirects_in_circles_end(server, monkeypatch):
    """A server that sends us round and round, or nowhere, is given up on."""
    server.redirects = {"a": "/b", "b": "/a", "c": "", "d": "http://[x"}
    assert "circles" in length_of(server.url("a"), allow_private=True).source
    assert len(server.seen) == 6
    assert "without an address" in length_of(server.url("c"), allow_private=True).source
    assert "127.0.0.1 cannot be read" in length_of(server.url("d"), allow_private=True).source
    server.redirects = {"a": "/b", "b": "/call.wav"}
    monkeypatch.setattr(remote, "MAX_REQUESTS", 2)
    with pytest.raises(RemoteUnreadable, match="more than 2 requests"):
        near(server.url("a"))


def test_the_address_that_was_checked_is_the_one_that_is_asked(server, monkeypatch):
    """A name is resolved once, and a second answer of the resolver would change nothing."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    asked = []

    def resolve(host, port):
        asked.append(host)
        return next(answers)

    url = server.url("noise", host="audio.example")
    monkeypatch.setattr(url_safety, "system_resolver", resolve)
    with RemoteFile(url, allow_private=True) as file:
        file.seek(1_000_000)
        assert file.read(5) == NOISE[1_000_000:1_000_005]
    assert asked == ["audio.example"]
    assert {request["host"] for request in server.seen} == {f"audio.example:{server.port}"}


@pytest.mark.parametrize("url", ["http://127.0.0.1/a.mp3", "http://user:pw@example.com/", "ftp://example.com/a"])
def test_private_addresses_are_not_read(server, url):
    """Without permission nothing inside the network is read, and the length is unknown with the reason."""
    with pytest.raises(InvalidInput):
        RemoteFile(url)
    assert length_of(url + SECRET, allow_private=False).seconds is None


def test_a_proxy_cannot_be_told_whom_to_connect_to(server, monkeypatch):
    """Behind a proxy the address that is checked is not the one that is asked, so nothing is."""
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server.url(""))
    assert "proxy" in length_of("http://93.184.216.34/a.mp3", allow_private=False).source
    assert server.seen == []


def test_https_shows_and_checks_the_name(tmp_path, monkeypatch):
    """The connection goes to the checked number, the certificate must be the name's, and strangers are refused."""
    shown, authority = [], Authority(tmp_path)
    context = server_tls(authority.certificate("audio.example", "127.0.0.2"))
    context.sni_callback = lambda _, name, __: shown.append(name)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    monkeypatch.setattr(url_safety, "system_resolver", lambda *_: ["127.0.0.1"])
    with RangeServer({"call.wav": wav()}, tls=context) as server:
        for host, known in (("audio.example", True), ("other.example", False)):
            url = server.url("call.wav", host=host)
            found = length_of(url, allow_private=True)
            assert (found.seconds == 60) is known, found
        assert shown == ["audio.example", "other.example"]
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
        url = server.url("call.wav", host="audio.example")
        assert length_of(url, allow_private=True).seconds is None
