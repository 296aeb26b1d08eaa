"""Both transports, against a server that behaves as badly as it is told to."""

from __future__ import annotations

import asyncio
import gzip
import logging
import pickle
import socket
import time
import warnings
from email.utils import formatdate
from typing import TYPE_CHECKING

import aiohttp
import pytest

from airflow_provider_nanostt.api import endpoints, errors, http
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.models import Balance, Job, Submission
from airflow_provider_nanostt.api.transport import ONCE, AsyncClient, Client, Retry
from airflow_provider_nanostt.api.upload import Upload

from .conftest import Replay, Sender, answer, close, cut, drip, hang, raw, reset
from .recorded import JOB, KEY, SUBMISSION, every_call

if TYPE_CHECKING:
    pass

SUBMIT = endpoints.submit(SUBMISSION)
STATUS = endpoints.status(JOB)
QUICK = {"timeout": 0.3, "connect_timeout": 0.3}

PENDING = answer("status/pending.json")
ACCEPTED = answer("transcribe-async/202.json", 202)

DAILY = "errors/429-daily-requests.json"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- one exchange ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "sample", "request_line"),
    [
        ("submit", "transcribe-async/202.json", "POST /api/transcribe"),
        ("status", "status/pending.json", "POST /api/transcribe/status"),
        ("balance", "check-balance/200.json", "POST /api/check-balance"),
        ("audio_models", "audio-models/200.json", "GET /api/v1/audio-models?type=stt&detailed=true"),
        ("youtube", "youtube-transcribe/200.json", "POST /api/youtube-transcribe"),
        ("usage", "usage/200.json", "GET /api/v1/usage?group_by=day,model"),
    ],
)
def test_each_endpoint_is_asked_at_its_address(
    service: Replay, send: Sender, endpoint: str, sample: str, request_line: str
):
    """Method, path and query arrive as documented, and the answer is read into a value."""
    service.play(answer(sample))
    assert send(every_call()[endpoint]) is not None
    assert [f"{seen.method} {seen.path}" for seen in service.seen] == [request_line]


def test_the_key_travels_in_one_header_only(service: Replay, send: Sender, tmp_path, monkeypatch):
    """Only x-api-key is sent: no Authorization, not even when ~/.netrc names this host, and no cookie comes back."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\ndefault login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    service.play(answer("status/pending.json", set_cookie="session=abc; Path=/"))
    client = send.client()
    client(STATUS)
    client(STATUS)
    for seen in service.seen:
        assert seen.headers.get_all("x-api-key") == [KEY]
        assert seen.headers["Authorization"] is None
        assert seen.headers["Cookie"] is None
        assert seen.headers["User-Agent"].startswith("airflow-provider-nanostt/")
        assert [value for value in seen.headers.values() if KEY in value] == [KEY]


def test_free_calls_share_a_connection(service: Replay, send: Sender):
    """Polling keeps its connection: no handshake for each question."""
    service.play(PENDING)
    client = send.client()
    for _ in range(3):
        client(STATUS)
    assert {seen.connection for seen in service.seen} == {1}


def test_a_paid_call_gets_a_connection_of_its_own(service: Replay, send: Sender):
    """A pooled connection that the other end gave up would look like a lost answer, so a paid call never takes one."""
    service.play(PENDING, ACCEPTED, ACCEPTED, PENDING)
    client = send.client()
    for call in (STATUS, SUBMIT, SUBMIT, STATUS):
        client(call)
    first, *paid, last = [seen.connection for seen in service.seen]
    assert first == last
    assert len({first, *paid}) == 3


def test_a_large_upload_arrives_whole(service: Replay, send: Sender):
    """The largest upload arrives byte for byte, without a warning that it blocks the loop."""
    data = bytes(range(256)) * 11_718
    service.play(ACCEPTED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        send(endpoints.submit(Submission(audio=Upload("long.ogg", "audio/ogg", data))))
    assert data in service.seen[0].body
    assert int(service.seen[0].headers["Content-Length"]) == len(service.seen[0].body)


def test_a_compressed_answer_is_read(service: Replay, send: Sender):
    """An answer compressed on the wire reads like any other."""
    body = gzip.compress(b'{"usd_balance": "3"}')
    service.play(answer(body, content_encoding="gzip"))
    assert send(endpoints.balance()) == Balance(usd=3.0)


@pytest.mark.parametrize("behind", [b"", b"\x1f", b"\x1f\x8bno gzip", b"\0" * 512, b"no gzip" * 9])
def test_an_answer_may_be_several_files_of_gzip(service: Replay, send: Sender, behind):
    """As RFC 1952 has it: the id of a job that is paid for may be in the last; what is no gzip behind it is nothing."""
    parts = [gzip.compress(part) for part in (b'{"runId"', b"", b': "run-', b'7", "status": "pending"}')]
    body = b"".join(parts) + behind
    service.play(answer(body, content_encoding="gzip"))
    assert send(SUBMIT).run_id == "run-7"


def test_files_of_gzip_may_arrive_byte_by_byte(service: Replay, send: Sender):
    """Wherever the wire cuts them."""
    body = gzip.compress(b'{"usd_ba') + gzip.compress(b'lance": "3"}')
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    service.play(answer(chunks + b"0\r\n\r\n", content_encoding="gzip", transfer_encoding="chunked"))
    assert send(endpoints.balance()) == Balance(usd=3.0)


@pytest.mark.parametrize("before", ["100 Continue", "102 Processing", "103 Early Hints\r\nLink: </a>; rel=preload"])
@pytest.mark.parametrize("times", [1, 3])
def test_what_comes_before_an_answer_is_none(service: Replay, send: Sender, before, times):
    """A proxy may say any number of times that it is at work; the id of the job comes behind it."""
    head = f"HTTP/1.1 {before}\r\n\r\n".encode() * times
    body = b'{"runId": "run-7", "status": "pending"}'
    service.play(raw(head + b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n" % len(body) + body))
    assert send(SUBMIT).run_id == "run-7"


@pytest.mark.parametrize("length", [8000, 60_000])
def test_a_long_header_is_read(service: Replay, send: Sender, length):
    """Policies and cookies of a site grow; where a worker pays and a triggerer cannot ask, a transcript is lost."""
    service.play(answer(b'{"usd_balance": "3"}', content_security_policy="a" * length))
    assert send(endpoints.balance()) == Balance(usd=3.0)


def test_a_chunked_answer_is_read(service: Replay, send: Sender):
    """An answer of unknown length, in chunks, reads like any other."""
    service.play(answer(b'8\r\n{"usd_ba\r\nd\r\nlance": "3"} \r\n0\r\n\r\n', transfer_encoding="chunked"))
    assert send(endpoints.balance()) == Balance(usd=3.0)


def test_clients_close_what_they_opened(service: Replay):
    """Both clients are context managers that end their connections and can be used again."""
    service.play(PENDING)
    config = Config(KEY, f"{service.origin}/api")
    with Client(config) as client:
        client.send(STATUS)
        client.close()
        client.send(STATUS)
    client.close()

    async def twice() -> None:
        async with AsyncClient(config) as other:
            await other.send(STATUS)
            await other.close()
            await other.send(STATUS)
        await other.close()

    asyncio.run(twice())
    assert [seen.connection for seen in service.seen] == [1, 2, 3, 4]


def test_an_event_loop_prepares_once(service: Replay):
    """Coroutines that come while the first prepares wait for it; one that gives up does not take it along."""
    service.play(PENDING)

    async def several() -> list[str]:
        async with AsyncClient(Config(KEY, f"{service.origin}/api")) as client:
            impatient = asyncio.ensure_future(client.open())
            others = [asyncio.ensure_future(client.send(STATUS)) for _ in range(3)]
            await asyncio.sleep(0)
            impatient.cancel()
            return [(await one).raw_status for one in others]

    assert asyncio.run(several()) == ["pending"] * 3


# --- free calls, through every weather ------------------------------------------------------------------------------

WEATHER = {
    "408": answer("errors/408-text.json", 408),
    "429": answer("errors/429-object.json", 429),
    "500": answer("errors/500-nested.json", 500),
    "502 as a page": answer("errors/502.html", 502),
    "503": answer("errors/503.txt", 503),
    "504 as a page": answer("errors/504-no-title.html", 504),
    "closed": close,
    "reset": reset,
    "cut off": cut(b'{"status": "comp', 400),
    "broken JSON": answer("unreadable/cut-off.json"),
    "bytes": answer("unreadable/bytes.bin"),
    "a page": answer("unreadable/page.html"),
    "nothing": answer(b""),
    "not HTTP": raw(b"220 mail.example ESMTP\r\n\r\n"),
    "two lengths": answer(b"{}", content_length="2, 3"),
    "bad gzip": answer(b"not gzip", content_encoding="gzip"),
    "bad chunk": answer(b"zz\r\n{}", transfer_encoding="chunked"),
}


@pytest.mark.parametrize("weather", WEATHER)
def test_a_status_call_comes_through(service: Replay, send: Sender, weather: str, caplog):
    """Asking is free, so it is asked again, with a pause that grows, until there is an answer."""
    if weather == "not HTTP":
        service.play(WEATHER[weather], PENDING)
    else:
        service.play(WEATHER[weather], WEATHER[weather], PENDING)
    with caplog.at_level(logging.WARNING):
        assert send(STATUS, timeout=5.0).raw_status == "pending"
    assert len(service.seen) == len(send.naps) + 1 > 1
    assert send.naps == sorted(send.naps)
    assert 0.4 < send.naps[0] < 2
    assert len(caplog.records) == len(send.naps)
    assert KEY not in caplog.text


def test_silence_is_weather_too(service: Replay, send: Sender):
    """A status call that times out is asked again."""
    service.play(hang, PENDING)
    assert send(STATUS, **QUICK).raw_status == "pending"
    assert len(service.seen) == 2


def test_a_client_gives_up_in_the_end(service: Replay, send: Sender):
    """After the last attempt the last error is raised as it is."""
    service.play(WEATHER["502 as a page"])
    with pytest.raises(errors.ServiceUnavailable, match="502 Bad Gateway"):
        send(STATUS, retry=Retry(attempts=3))
    assert len(service.seen) == 3
    assert len(send.naps) == 2


def test_who_has_a_schedule_of_his_own_is_told_at_once(service: Replay, send: Sender):
    """With ONCE there is one request and no pause, whatever comes back."""
    service.play(WEATHER["503"], PENDING)
    with pytest.raises(errors.ServiceUnavailable):
        send(STATUS, retry=ONCE)
    assert len(service.seen) == 1
    assert send.naps == []


@pytest.mark.parametrize("weather", ["closed", "cut off", "two lengths", "bad gzip", "not HTTP"])
def test_a_broken_answer_is_a_lost_connection(service: Replay, send: Sender, weather: str):
    """What breaks below the level of JSON is "could not talk", never "the request was wrong"."""
    service.play(WEATHER[weather])
    with pytest.raises(errors.ReadError):
        send(STATUS, retry=ONCE, timeout=5.0)


def test_an_answer_that_trickles_in_is_bounded(service: Replay, send: Sender):
    """A server that sends byte after byte cannot hold a client longer than its timeout for the whole exchange."""
    service.play(drip)
    with pytest.raises(errors.ReadError):
        send(STATUS, retry=ONCE, **QUICK)


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_limit_by_the_second_is_waited_out(service: Replay, send: Sender):
    """Retry-After in seconds decides the pause, with a little jitter on top, and then the call goes on."""
    service.play(answer("errors/429-object.json", 429, retry_after="3"), ACCEPTED)
    assert isinstance(send(SUBMIT), Job)
    assert 3.0 <= send.naps[0] <= 3.5
    assert len(service.seen) == 2


def test_a_limit_until_a_date_is_waited_out(service: Replay, send: Sender):
    """Retry-After may also be a date; the pause lasts until then."""
    later = formatdate(time.time() + 12, usegmt=True)
    service.play(answer("errors/429-object.json", 429, retry_after=later), PENDING)
    assert send(STATUS).raw_status == "pending"
    assert 9.0 <= send.naps[0] <= 12.5


@pytest.mark.parametrize("told", [{}, {"retry_after": "soon"}])
def test_a_limit_without_a_time_means_backoff(service: Replay, send: Sender, told: dict[str, str]):
    """Without a Retry-After that can be read the pauses grow by themselves."""
    limited = answer("errors/429-object.json", 429, **told)
    service.play(limited, limited, limited, PENDING)
    assert send(STATUS).raw_status == "pending"
    assert len(send.naps) == 3
    assert send.naps[0] < send.naps[1] < send.naps[2] <= 30


def test_a_long_wait_is_left_to_the_caller(service: Replay, send: Sender):
    """A Retry-After longer than the longest pause is not slept through; the error carries it."""
    service.play(answer("errors/429-object.json", 429, retry_after="600"), PENDING)
    with pytest.raises(errors.RateLimited) as caught:
        send(STATUS)
    assert caught.value.retry_after == 600
    assert send.naps == []


@pytest.mark.parametrize("call", [SUBMIT, STATUS], ids=["submit", "status"])
@pytest.mark.parametrize("told", [{}, {"retry_after": "2"}, {"retry_after": "40000"}])
def test_a_daily_limit_is_never_waited_for(service: Replay, send: Sender, call, told: dict[str, str]):
    """A limit for the day ends the call at once, however short the wait would be."""
    service.play(answer(DAILY, 429, **told))
    with pytest.raises(errors.DailyLimitReached) as caught:
        send(call)
    assert caught.value.resets_at > time.time()
    assert send.naps == []
    assert len(service.seen) == 1


# --- paid calls -----------------------------------------------------------------------------------------------------

SURELY_NOT_CHARGED = ["429", "503"]
PERHAPS_CHARGED = [name for name in WEATHER if name not in SURELY_NOT_CHARGED]
UNREADABLE = ["broken JSON", "bytes", "a page", "nothing"]


@pytest.mark.parametrize("weather", SURELY_NOT_CHARGED)
def test_a_submit_turned_away_at_the_door_is_repeated(service: Replay, send: Sender, weather: str):
    """429 and 503 mean that nothing was accepted, so the submit goes out again."""
    service.play(WEATHER[weather], WEATHER[weather], ACCEPTED)
    assert send(SUBMIT).run_id == "run-7c1e"
    assert len(service.seen) == 3
    assert len({seen.body for seen in service.seen}) == 1


@pytest.mark.parametrize("weather", [name for name in PERHAPS_CHARGED if name not in UNREADABLE])
def test_a_submit_that_may_have_been_charged_is_not_repeated(service: Replay, send: Sender, weather: str):
    """Whatever happens after the body went out, exactly one request reached the service and the error says so."""
    service.play(WEATHER[weather], ACCEPTED)
    with pytest.raises(errors.AmbiguousSubmit, match="may have been accepted and charged") as caught:
        send(SUBMIT, timeout=5.0)
    assert len(service.seen) == 1
    assert send.naps == []
    assert isinstance(caught.value.__cause__, errors.ServiceUnavailable | errors.ReadError)


@pytest.mark.parametrize("weather", [hang, drip])
def test_a_submit_that_times_out_is_not_repeated(service: Replay, send: Sender, weather):
    """A read timeout leaves open whether the job was accepted: one request, and AmbiguousSubmit."""
    service.play(weather, ACCEPTED)
    with pytest.raises(errors.AmbiguousSubmit) as caught:
        send(SUBMIT, **QUICK)
    assert len(service.seen) == 1
    assert isinstance(caught.value.__cause__, errors.ReadError)


@pytest.mark.parametrize("weather", UNREADABLE)
def test_a_submit_answered_with_rubbish_is_not_repeated(service: Replay, send: Sender, weather: str):
    """A 2xx that cannot be read was probably charged: its body is kept and nothing is sent twice."""
    service.play(WEATHER[weather], ACCEPTED)
    with pytest.raises(errors.AmbiguousSubmit) as caught:
        send(SUBMIT)
    assert isinstance(caught.value.__cause__, errors.ProtocolError)
    assert len(service.seen) == 1


def test_a_202_without_a_run_id_keeps_everything(service: Replay, send: Sender):
    """What came instead of a ticket is in the error, with the request id, and there is no second submit."""
    service.play(answer("transcribe-async/202-without-run-id.json", 202, x_request_id="req-9"))
    with pytest.raises(errors.AmbiguousSubmit) as caught:
        send(SUBMIT)
    cause = caught.value.__cause__
    assert (cause.status, cause.request_id) == (202, "req-9")
    assert '"cost": 0.075' in cause.body
    assert "req-9" in str(caught.value)
    assert len(service.seen) == 1


def test_a_refused_connection_is_tried_again(service: Replay, send: Sender):
    """Where nothing listens nothing was sent, so even a submit is repeated, and the error says that much."""
    with pytest.raises(errors.ConnectError, match="cannot be reached"):
        send(SUBMIT, base_url=f"http://127.0.0.1:{free_port()}/api", retry=Retry(attempts=3))
    assert len(send.naps) == 2


def test_a_host_without_an_address_is_not_connected(send: Sender):
    """A name that does not resolve is "not connected", not "perhaps charged"."""
    with pytest.raises(errors.ConnectError):
        send(SUBMIT, base_url="https://nothing.invalid/api", retry=ONCE)


def test_a_connection_that_never_stands_is_not_connected(send: Sender):
    """Packets that vanish before a connection stands mean that nothing was sent."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = "http://{}:{}/api".format(*listener.getsockname())
        waiting = []
        for _ in range(8):  # fill the queue of connections that nobody accepts
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        try:
            with pytest.raises(errors.TransportError) as caught:
                send(STATUS, base_url=address, retry=ONCE, timeout=5.0, connect_timeout=0.2)
        finally:
            for one in waiting:
                one.close()
    if hasattr(aiohttp, "ConnectionTimeoutError"):  # before aiohttp 3.10 it looks like any other timeout
        assert type(caught.value) is errors.ConnectError


@pytest.mark.parametrize("call", every_call().values(), ids=every_call())
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest),
        (401, errors.AuthError),
        (402, errors.PaymentRequired),
        (403, errors.AuthError),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.PayloadTooLarge),
    ],
)
def test_a_plain_no_is_final(service: Replay, send: Sender, call, status: int, kind: type[errors.ApiError]):
    """What asking again cannot change is raised at once, with the service's words and the request id."""
    service.play(answer(b'{"error": "it is like that"}', status, x_request_id="req-5"))
    with pytest.raises(errors.ApiError, match=r"it is like that.*req-5") as caught:
        send(call)
    assert type(caught.value) is kind
    assert len(service.seen) == 1
    assert send.naps == []


# --- what must not leave, and what must not come in -----------------------------------------------------------------


@pytest.mark.parametrize("call", [SUBMIT, STATUS], ids=["submit", "status"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(service: Replay, elsewhere: Replay, send: Sender, call, status: int):
    """The other host sees nothing at all, least of all the key."""
    service.play(answer(b"", status, location=f"{elsewhere.origin}/api?token=secret"))
    with pytest.raises(errors.Redirected, match=elsewhere.origin) as caught:
        send(call)
    assert elsewhere.seen == []
    assert len(service.seen) == 1
    assert "secret" not in str(caught.value)


ECHOES = {
    "in a refusal": answer(b'{"error": "no such key: %s"}' % KEY.encode(), 401, x_request_id=f"for-{KEY}"),
    "in a page": answer(b"<title>%s</title>" % KEY.encode(), 500),
    "in a redirect": answer(b"", 302, location=f"https://elsewhere.example/{KEY}"),
    "in what cannot be read": answer(b"hello %s" % KEY.encode(), 200),
    "in a ticket": answer(b'{"transcription": null, "status": "failed", "error": "%s"}' % KEY.encode()),
    "in a body cut off": cut(KEY.encode(), 400),
}


@pytest.mark.parametrize("call", [SUBMIT, STATUS], ids=["submit", "status"])
@pytest.mark.parametrize("echo", ECHOES)
def test_the_key_is_never_shown(service: Replay, send: Sender, echo: str, call, caplog):
    """Even when the service echoes the key, no error, no value and no log line shows it."""
    service.play(ECHOES[echo])
    with caplog.at_level(logging.DEBUG, logger="airflow_provider_nanostt"):
        try:
            shown = repr(send(call, retry=Retry(attempts=2)))
        except errors.NanoGPTError as error:
            shown = f"{error} {error!r} {error.__dict__} {error.__cause__}"
    assert KEY not in shown
    assert KEY not in caplog.text


def test_a_presigned_url_is_not_shown(service: Replay, send: Sender):
    """The signature in an audio URL stays out of the ticket and out of errors, even when the service echoes it."""
    url = "https://bucket.example/call.wav?X-Signature=0123456789abcdef&Expires=60"
    call = endpoints.submit(Submission(audio=url))
    service.play(
        answer(b'{"runId": "r", "fileName": "call.wav?X-Signature=0123456789abcdef&Expires=60"}', 202),
        answer(b'{"error": "could not fetch %s"}' % url.encode(), 400),
    )
    client = send.client()
    job = client(call)
    with pytest.raises(errors.BadRequest, match="could not fetch") as caught:
        client(call)
    for shown in (str(job.to_json()), str(caught.value), repr(call)):
        assert "0123456789abcdef" not in shown
    assert service.seen[0].json["audioUrl"] == url


@pytest.mark.parametrize("wire", ["plain", "compressed"])
@pytest.mark.parametrize("call", [SUBMIT, STATUS], ids=["submit", "status"])
def test_an_answer_over_the_limit_is_refused(service: Replay, send: Sender, call, wire: str, monkeypatch):
    """An answer over the limit is refused while it comes in, also when it was small on the wire."""
    monkeypatch.setattr(http, "MAX_RESPONSE_BYTES", 2 << 20)
    body = b'{"status": "completed", "text": "' + b"a" * (2 << 20) + b'"}'
    if wire == "plain":
        service.play(answer(body, x_request_id="req-3"))
    else:
        service.play(answer(gzip.compress(body), content_encoding="gzip", x_request_id="req-3"))
    with pytest.raises(errors.AmbiguousSubmit if call.paid else errors.ProtocolError, match=r"over 2 MiB.*req-3"):
        send(call, retry=ONCE)
    assert len(service.seen) == 1


def test_the_limit_is_64_mebibytes():
    """An hour of words is under 2 MB, so 64 MiB is room for a day, and no more is read into memory."""
    assert http.MAX_RESPONSE_BYTES == 64 * 1024 * 1024


@pytest.mark.parametrize("call", [SUBMIT, STATUS], ids=["submit", "status"])
def test_certificates_that_are_not_there_are_said_to_be_missing(send: Sender, monkeypatch, call):
    """It is a mistake in the settings: nothing was sent, and it is not tried again."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/certificates.pem")
    with pytest.raises(errors.InvalidInput, match=r"/nowhere/certificates\.pem"):
        send(call, base_url="https://api.example/api")
    assert send.naps == []


def test_errors_travel_between_processes(service: Replay, send: Sender):
    """An error that came from the wire survives pickling with all it knows."""
    service.play(answer("errors/402-required-balance.json", 402, x_request_id="req-1"))
    with pytest.raises(errors.PaymentRequired) as caught:
        send(SUBMIT)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is errors.PaymentRequired
    assert copy.__dict__ == caught.value.__dict__
    assert str(copy) == str(caught.value)


def test_a_copied_client_opens_connections_of_its_own(service: Replay):
    """One that has been used can be pickled, and both go on."""
    service.play(PENDING)
    with Client(Config(KEY, service.origin), sleep=print) as client:
        assert client.send(STATUS).raw_status == "pending"
        with pickle.loads(pickle.dumps(client)) as other:
            assert other.send(STATUS).raw_status == "pending"
