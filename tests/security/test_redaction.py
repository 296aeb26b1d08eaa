"""What is secret is masked in every string that leaves the process, however the string writes it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_provider_nanostt.api import endpoints, errors, http
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.models import Job, Submission, Transcript
from airflow_provider_nanostt.api.transport import ONCE, AsyncClient, Client
from airflow_provider_nanostt.common.errors import describe_exception, format_traceback
from airflow_provider_nanostt.common.urls import redact, redact_value
from airflow_provider_nanostt.outputs.document import to_document

from .spellings import KEY, PASSWORD, QUERY, SECOND, SIGNATURE, SPELLINGS, URL, USER, found_in

SPELLED = pytest.mark.parametrize("write", SPELLINGS.values(), ids=SPELLINGS)
TOLD = {
    "the key": KEY,
    "the address": URL,
    "its query": QUERY,
    "its query, in another order": "&".join(QUERY.split("&")[::-1]),
    "a signature": SIGNATURE,
    "a second value": SECOND,
    "the password": PASSWORD,
    "an address in an address": f"https://proxy.example/fetch?url={URL}",
    "a name and a value": f"sig={SIGNATURE}",
    "a header": f"x-api-key: {KEY}",
}
TELLING = pytest.mark.parametrize("secret", TOLD.values(), ids=TOLD)


@pytest.fixture
def config() -> Config:
    """The client's settings; a recording at a signed address is submitted with them."""
    return Config(KEY)


def answered(config: Config, body: Any, status: int = 200, call: Any = None, model: str = "Elevenlabs-STT") -> Any:
    """Return what an answer is read as, or the error."""
    call = call or endpoints.submit(Submission(URL, model))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        return http.read(call, config.response(call, status, {"X-Request-Id": "req-1"}, data))
    except errors.NanoGPTError as error:
        return error


def everything(value: Any) -> str:
    """Return all that would be shown or stored of what an answer is read as."""
    if isinstance(value, Job):
        return json.dumps(value.to_json()) + repr(value)
    if isinstance(value, Transcript):
        return json.dumps(to_document(value, source="a"), default=str) + repr(value)
    return f"{value} {value!r} {vars(value)} {value.__cause__!r}" if isinstance(value, Exception) else repr(value)


@SPELLED
@TELLING
def test_no_answer_brings_a_secret_back(config: Config, secret: str, write: Any):
    """In a message, a code, a ticket, the data beside a transcript; in whatever envelope."""
    said = f"cannot fetch {write(secret)} now"
    body: dict[str, Any]
    for body, status in (
        ({"error": said}, 400),
        ({"error": {"message": "no", "code": said}}, 400),
        ({"detail": [{"msg": said}]}, 422),
        ({"message": said}, 500),
        ({"status": "failed", "error": said}, 200),
        ({"runId": "r1", "status": "pending", "fileName": said, "input": {"url": said, said: 1}}, 202),
        ({"transcription": "hi", "metadata": {"a": said, "b": [said]}, "c": said}, 200),
        ({"transcription": "hi", "words": [{"text": "hi", "speaker_id": said, "x": said}]}, 200),
    ):
        assert found_in(everything(answered(config, body, status))) == []
    assert found_in(everything(answered(config, f"<title>{said}</title>".encode(), 502))) == []


@SPELLED
@pytest.mark.parametrize("secret", [KEY, URL], ids=["the key", "the address"])
def test_no_status_brings_a_secret_back(config: Config, secret: str, write: Any):
    """The triggerer was never given the address, and knows one all the same."""
    call, said = endpoints.status(Job("r1", "m", 0.0)), f"waiting for {write(secret)} now"
    for body in (
        {"status": said},
        {"status": "failed", "error": {"message": said}},
        {"status": "completed", "transcription": "hi", "metadata": {"url": said}},
        {"status": "completed", "transcription": "hi", "words": [{"text": "hi", "speaker_id": said, "x": [said]}]},
    ):
        value = answered(config, body, call=call)
        shown = f"{value.raw_status} {value.error} {everything(value.transcript or value)}"
        assert found_in(shown) == []
        for padding in (b"", b" " * 10_000):  # which is read in another way
            data = json.dumps(body).encode() + padding
            unread = answered(config, data, call=endpoints.unread_status(Job("r1", "m", 0.0)))
            assert found_in(f"{unread!r} {(unread.answer or b'').decode()}") == []


@SPELLED
def test_what_json_escapes_is_decoded_first(config: Config, write: Any):
    """The bytes of the answer hide what its text says."""
    said = write(KEY)
    body = json.dumps({"error": f"bad key {said}", "text": "no"}).replace("/", r"\/").replace("+", r"\u002B").encode()
    assert found_in(everything(answered(config, body, 400))) == []


@SPELLED
@TELLING
def test_no_foreign_exception_brings_a_secret(config: Config, secret: str, write: Any):
    """Of a storage or a library, with whatever is behind it."""
    Submission(URL)
    error = ValueError(f"no: {write(secret)}.")
    error.__cause__ = OSError(write(secret))
    for text in (describe_exception(error), format_traceback(error), str(errors.LedgerError.of("it is gone", error))):
        assert found_in(text) == []
    assert found_in(json.dumps(redact_value({write(secret): ({write(secret)}, [write(secret)])}))) == []


def test_the_text_of_a_transcript_is_not_a_message(config: Config):
    """Words are data: what sounds like an address, or like a value in one, stays."""
    text = "See https://shop.example/?item=red&size=7, or write to me:too@shop.example in english-british; a=b&c=d."
    url = "https://h.example/a.mp3?lang=english-british&sig=abcdefghijk"
    words = [{"text": word, "start": 0.1 * n, "end": 0.1 * n + 0.1} for n, word in enumerate(text.split())]
    call = endpoints.submit(Submission(url, "Whisper-Large-V3"))
    found = answered(config, {"transcription": text, "words": words}, call=call)
    assert found.text == text
    assert [word.text for word in found.words if word.type == "word"] == text.split()
    document = to_document(found, source="a")
    assert document["text"] == document["raw"]["transcription"] == text
    assert document["raw"]["words"] == words


@pytest.mark.parametrize("escape", [False, True], ids=["plain", "escaped"])
def test_the_key_is_not_in_a_transcript_either(config: Config, escape: bool):
    """Nobody says a key."""
    body = json.dumps({"transcription": f"it is {KEY}", "words": [{"text": KEY}]})
    body = body.replace("/", r"\/").replace("+", r"\u002b") if escape else body
    assert found_in(everything(answered(config, body.encode(), model="Whisper-Large-V3"))) == []


@pytest.mark.parametrize("text", ['a \\"quote\\"', "back\\\\slash", "back\\\\u002fslash", "\\u00e4\\u0041\\n\\\\/"])
def test_escapes_in_a_transcript_mean_what_they_meant(config: Config, text: str):
    """Undoing those that hide a key changes no letter of the text."""
    body = b'{"transcription": "%s"}' % text.encode()
    assert answered(config, body, model="Whisper-Large-V3").text == json.loads(body)["transcription"]


@pytest.mark.parametrize("key", ["test", "e", "7654321"])
def test_a_key_that_would_be_cut_out_of_words_is_refused(key: str):
    """With a clear error that does not show it."""
    with pytest.raises(errors.InvalidInput, match="at least 8 characters") as caught:
        Config(key)
    assert f"{key!r}" not in str(caught.value)


# --- proxies --------------------------------------------------------------------------------------------------------

PROXY = f"http://{USER}:{{}}@127.0.0.1:9"


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("written", [PASSWORD, "Pr0xy%24S3cret%21", "Pr0xy/S3cret?x", "Pr0xy S3cret", "Pr0xy:S3cret@"])
async def test_no_error_of_a_proxy_shows_its_password(
    kind: str, written: str, monkeypatch: pytest.MonkeyPatch, replies_407: int
):
    """A proxy that refuses, and one that cannot be used; also in what is behind the error."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://{USER}:{written}@127.0.0.1:{replies_407}")
    config = Config(KEY, "https://service.invalid/api")

    async def ask() -> None:
        if kind == "sync":
            with Client(config) as client:
                client.send(endpoints.balance(), retry=ONCE)
            return
        async with AsyncClient(config) as asking:
            await asking.send(endpoints.balance(), retry=ONCE)

    with pytest.raises(errors.NanoGPTError) as caught:
        await ask()
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {format_traceback(caught.value)}"
    assert not [form for form in (written, unquote(written), "S3cret") if form in shown]


@pytest.mark.parametrize(
    "text",
    [
        "407, message='Proxy Authentication Required', url='http://svc-transcripts:Pr0xy$S3cret!@proxy:3128'",
        "http://svc-transcripts:Pr0xy$S3cret!@[broken",
        "Cannot connect to proxy svc-transcripts:Pr0xy$S3cret!@proxy:3128",
        "Proxy-Authorization: Basic c3ZjLXRyYW5zY3JpcHRzOlByMHh5JFMzY3JldCE=",
        "HTTPConnectionPool(host='svc-transcripts:Pr0xy$S3cret!@proxy', port=3128)",
        "{'password': 'Pr0xy$S3cret!'}",
    ],
)
def test_what_libraries_say_of_a_proxy_is_shown_without_its_password(text: str, monkeypatch: pytest.MonkeyPatch):
    """Also in words of theirs that are no address."""
    monkeypatch.setenv("HTTPS_PROXY", PROXY.format(PASSWORD))
    assert "S3cret" not in redact(text)
    assert "UzY3JldC" not in redact(text)


@pytest.mark.parametrize(
    "write", ["sig={}", "'sig': '{}'", '"token":"{}"', "sig%3D{}", "&sig={}", "a.mp3?{}", "Bearer {}"]
)
def test_what_a_text_calls_secret_is_masked_although_nobody_here_knows_it(write: str):
    """The triggerer was not given the address; what looks like a word stays."""
    assert SECOND not in redact(f"cannot use {write.format(SECOND)} now")
    assert redact("the key is missing; no token found, signature mismatch") == (
        "the key is missing; no token found, signature mismatch"
    )


@pytest.mark.parametrize(
    "text", ["https://" * 20_000, "key " * 20_000, "key" + " " * 50_000, "a?" * 50_000, "sig=" * 20_000, "%25" * 50_000]
)
def test_a_hostile_text_is_redacted_too(text: str):
    """The service's words may be anything; none of them takes forever."""
    assert isinstance(redact(text), str)
