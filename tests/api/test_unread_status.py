"""The answer that a triggerer hands on: judged as one that is read, kept as it came, and without anything secret."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_nanostt.api import endpoints, errors
from airflow_provider_nanostt.api.http import Call, Response, read
from airflow_provider_nanostt.api.models import Job, JobStatus
from airflow_provider_nanostt.api.responses import stored_status
from airflow_provider_nanostt.common.urls import redact_answer

from .recorded import JOB, names, sample
from .strategies import steady, values, word_lists

STATUS, UNREAD = endpoints.status(JOB), endpoints.unread_status(JOB)
SIGNED = "https://b.example/a.mp3?sig=0123456789abcdef"
LONG = b" " * 20_000  # however long an answer is, it is judged in the same way


def judged(call: Call[JobStatus], body: bytes) -> Any:
    """Return how the job stands, or which error it is."""
    try:
        status = read(call, Response(200, {}, body, 0.0))
    except errors.ProtocolError as error:
        return type(error).__name__
    return status.raw_status, status.is_completed, status.is_failed, status.is_known, status.error


def handed_on(body: bytes) -> bytes:
    answer = read(UNREAD, Response(200, {}, body, 0.0)).answer
    assert answer is not None
    return answer


@pytest.mark.parametrize("padding", [b"", LONG])
@pytest.mark.parametrize("name", names("status"))
def test_every_answer_ever_seen_means_the_same(name: str, padding: bytes):
    """Whether its words are read now or later."""
    body = sample(name) + padding
    assert judged(UNREAD, body) == judged(STATUS, body)


@pytest.mark.parametrize("padding", [b"", LONG])
@steady(300)
@given(body=values())
@example(body={"status": "processing", "text": '"status": "completed"', "words": [{"text": '{"status": "completed"}'}]})
@example(body={"data": {"status": "completed", "text": "a", "words": [[[]], {"x": [{}]}]}, "words": {}})
@example(body={"status": "completed", "transcription": "a", "words": [1, None, "x", []], "segments": "no list"})
def test_any_answer_means_the_same(body: Any, padding: bytes):
    """A status is never taken from a text that only looks like one; what is handed on is the same transcript."""
    data = json.dumps(body).encode() + padding
    found = judged(UNREAD, data)
    assert found == judged(STATUS, data)
    if isinstance(found, tuple) and found[1]:
        as_read = json.dumps(redact_answer(read(STATUS, Response(200, {}, data, 0.0)).transcript.raw)).encode()
        assert stored_status(JOB, handed_on(data)) == stored_status(JOB, as_read)


@steady(300)
@given(words=word_lists(), at=st.integers(0, 10**6), instead=st.binary(max_size=3), cut=st.integers(0, 3))
def test_a_damaged_answer_is_refused_by_both(words: list[Any], at: int, instead: bytes, cut: int):
    """One that was cut or overwritten anywhere is no answer, not even where only its words are damaged."""
    whole = json.dumps({"status": "completed", "transcription": "a", "words": words, "z": {"y": [1]}}).encode()
    at %= len(whole)
    data = whole[:at] + instead + whole[at + cut :] + LONG
    assert judged(UNREAD, data) == judged(STATUS, data)


LONG_LISTS: dict[str, Any] = {
    "words": [{"text": f"word{at}", "start": at * 0.4, "end": at * 0.4 + 0.3, "type": "word"} for at in range(900)],
    "braces in texts": [{"text": '}, {"text": "]}', "end": 1} for _ in range(900)],
    "braces at the end of texts": [{"text": "a" * 100, "x": "}"} for _ in range(900)],
    "entries in entries": [{"text": "a", "x": {"y": [{"z": at}, {}]}} for at in range(900)],
    "lists": [[{"a": 1}, {"b": 2}] for _ in range(900)],
    "anything": [1, "}", None, [], {}, {"a": "{"}, "]", {"text": "}"}] * 300,
    "one word without an end": [{"text": "a" * 40_000, "start": 0.0}],
    "long words": [{"text": "a" * 40_000}, {"text": "b"}, {"text": "c" * 40_000, "x": {"y": []}}],
    "one long one": [{"text": "}" * 40_000}, {"text": "b"}],
}


@pytest.mark.parametrize("entries", LONG_LISTS.values(), ids=LONG_LISTS)
@pytest.mark.parametrize("separators", [(",", ":"), (" ,\n ", " : ")])
def test_a_long_list_is_passed_over_whatever_is_in_it(entries: list[Any], separators: tuple[str, str]):
    """It ends where it ends; a signature at its very end is found, and damage anywhere in it."""
    body = {"words": entries, "status": "completed", "transcription": "a"}
    data = json.dumps(body, separators=separators).encode()
    assert handed_on(data) == data
    signed = {**body, "words": [*entries, {"from": SIGNED}]}
    assert json.loads(handed_on(json.dumps(signed, separators=separators).encode())) == redact_answer(signed)
    for at in range(20, len(data), len(data) // 7):
        for instead in (b"]", b"}", b'"', b",,"):
            damaged = data[:at] + instead + data[at + 1 :]
            assert judged(UNREAD, damaged) == judged(STATUS, damaged)


@pytest.mark.parametrize("behind", [b"x", b"{}", b",", b"]", b"}", b" \x00"])
def test_something_behind_the_answer_is_refused_by_both(behind: bytes):
    """However long the answer is."""
    data = b'{"status": "completed", "text": "hi"}' + LONG + behind
    assert judged(UNREAD, data) == judged(STATUS, data)


@pytest.mark.parametrize("levels", [60, 61, 62, 63, 64, 65, 100, 100_000])
@pytest.mark.parametrize("where", ['"x": %s', '"words": [%s]', '"data": {"words": [1, %s]}', '"words": %s'])
def test_what_is_nested_too_deeply_is_refused_by_both(levels: int, where: str):
    """At the same depth, also within the words."""
    nested = "[" * levels + "]" * levels
    data = b'{"status": "completed", "text": "hi", %s}' % (where % nested).encode() + LONG
    assert judged(UNREAD, data) == judged(STATUS, data)
    objects = '{"data": ' * levels + '{"a": 1}' + "}" * levels + " " * 20_000
    assert judged(UNREAD, objects.encode()) == judged(STATUS, objects.encode())


@pytest.mark.parametrize("padding", [b"", LONG])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_came_is_what_is_stored(padding: bytes, encoding: str):
    """Byte by byte, in whatever form the service wrote it."""
    text = (
        '{ "status":"completed","transcription": "\\u00fcber \U0001f600 é",\n"words":[ {"text":"a" , "start":1e999} ]}'
    )
    data = (text + padding.decode()).encode(encoding)
    assert handed_on(data) == data


SECRETS: dict[str, dict[str, Any]] = {
    "beside": {"metadata": {"fileName": SIGNED}},
    "in a name": {SIGNED: 1},
    "in the data": {"data": {"url": SIGNED, "words": [{"text": "a", "from": SIGNED}]}},
    "at a word": {"words": [{"text": "a"}] * 500 + [{"text": "b", "from": SIGNED}]},
    "at a word, deep": {"words": [{"text": "a", "x": {"y": [SIGNED]}}]},
    "in a list": {"words": [SIGNED]},
    "among segments": {"diarization": {"segments": [{"text": "a", "from": SIGNED}]}},
    "twice": {"a": SIGNED, "words": [{"text": "a"}], "b": SIGNED},
}


@pytest.mark.parametrize("padding", [b"", LONG])
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_signature_is_not_handed_on(secret: dict[str, Any], padding: bytes):
    """The service may say where it fetched the audio, and how; the rest stays as it is."""
    body = {"status": "completed", "transcription": f"see {SIGNED}", **secret, "cost": 0.25}
    stored = handed_on(json.dumps(body).encode() + padding)
    assert json.loads(stored) == redact_answer(body)
    assert stored.count(b"0123456789abcdef") == 1  # in the text, which is data


def test_an_answer_says_nothing_of_itself_in_a_log():
    """It is a transcript."""
    status = read(UNREAD, Response(200, {}, b'{"text": "a secret thing to say"}', 0.0))
    assert "secret thing" not in repr(status)


def test_large_answers_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch):
    """Each further thread would keep the event loop waiting for its turn."""
    from aiohttp import web

    from airflow_provider_nanostt.api.config import Config
    from airflow_provider_nanostt.api.transport import ONCE, AsyncClient

    monkeypatch.setenv("no_proxy", "*")
    busy, most, lock = 0, 0, threading.Lock()
    body = json.dumps({"status": "completed", "text": "a" * 300_000}).encode()

    def parse(_: Response) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        threading.Event().wait(0.05)
        with lock:
            busy -= 1

    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/api/transcribe/status", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        call = Call(UNREAD.request, parse, max_bytes=None)
        async with AsyncClient(Config("k" * 36, f"http://127.0.0.1:{runner.addresses[0][1]}/api")) as client:
            await asyncio.gather(*(client.send(call, retry=ONCE) for _ in range(6)))
        await runner.cleanup()

    asyncio.run(run())
    assert most == 1


def test_a_job_whose_words_nobody_read_is_completed():
    """With either form of its answer, and with neither it is not."""
    assert JobStatus("completed", answer=b"{}").is_terminal
    assert not JobStatus("processing").is_completed
    assert endpoints.unread_status(Job("r", "m", 0.0)).request == endpoints.status(Job("r", "m", 0.0)).request
