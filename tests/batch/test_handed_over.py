"""What the triggerer has fetched the worker does not ask for again; and where it has not, it does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt.batch.attempts import ItemAttempt
from airflow_provider_nanostt.emulator import Emulator
from tests.batch.conftest import Batch, Killed, kill_at, once, text_of
from tests.real_store import Shelf


def asked(emulator: Emulator) -> Counter[str]:
    """How often each job was asked for."""
    return Counter(str(one.fields["runId"]) for one in emulator.requests if one.endpoint == "/transcribe/status")


def after_the_wait(batch: Batch, monkeypatch: pytest.MonkeyPatch, then: Any) -> None:
    """Do something when the triggerer is done, before the worker resumes."""
    resume = type(batch.make([]))._resume

    def resumed(operator: Any, context: Any, event: Any) -> Any:
        then()
        return resume(operator, context, event)

    monkeypatch.setattr(type(batch.make([])), "_resume", resumed)


def test_a_transcript_is_fetched_once(batch: Batch, monkeypatch):
    """By the triggerer; the resume finds all of them, and removes what it found."""
    audio, seen = batch.urls(5), []
    after_the_wait(batch, monkeypatch, lambda: seen.append((len(batch.answers), asked(batch.emulator))))
    batch.run(audio)
    ((kept, before),) = seen
    assert kept == 5
    assert asked(batch.emulator) == before
    assert batch.texts == [text_of(Path(one).name) for one in audio]
    assert list((batch.memory.folder / ".nanostt").glob("*.answers")) == []


def damaged(batch: Batch) -> None:
    for path, text in zip(batch.answers, ['{"status": "comp', "[]", '{"status": "processing"}'], strict=True):
        path.write_text(text)


@pytest.mark.parametrize("what", [Batch.forget_answers, damaged])
def test_without_them_the_service_is_asked(batch: Batch, monkeypatch, what):
    """Nothing depends on what lies there."""
    audio = batch.urls(3)
    after_the_wait(batch, monkeypatch, lambda: what(batch))
    batch.run(audio)
    assert batch.texts == [text_of(Path(one).name) for one in audio]
    assert batch.charged == once(audio)
    assert list((batch.memory.folder / ".nanostt").glob("*.answers")) == []


def test_a_retry_finds_what_a_killed_resume_has_left(batch: Batch, monkeypatch):
    """Even if the service is out of reach by then."""
    audio = batch.urls(4)
    with monkeypatch.context() as patch:
        kill_at(patch, ItemAttempt, "land", 2, before=True)
        with pytest.raises(Killed):
            batch.run(audio)
    before = asked(batch.emulator)
    batch.emulator.fail("/transcribe/status", status=503, times=1000)
    batch.run(audio)
    assert asked(batch.emulator) == before
    assert batch.texts == [text_of(Path(one).name) for one in audio]
    assert batch.charged == once(audio)


def test_in_a_real_store(batch: Batch, monkeypatch, shelf: Shelf):
    """Nothing stays but the results and the records."""
    audio, seen = batch.urls(3), []
    after_the_wait(batch, monkeypatch, lambda: seen.append(asked(batch.emulator)))
    batch.run(audio, output=shelf.uri)
    assert seen == [asked(batch.emulator)]
    left = shelf.keys()
    assert [key for key in left if ".answers" in key] == []
    assert len([key for key in left if key.endswith(".json") and not key.startswith(".")]) == 3
