"""Where a job is waited for: in the worker if it is expected soon, else in the triggerer; one rule for all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from tests.conftest import TEXT, Memory

ASYNC = "Elevenlabs-STT"


@pytest.fixture
def job_seconds() -> float:
    """Longer than any test waits."""
    return 60.0


def operator(kind: str, wav: Any, files: Memory, **arguments: Any) -> Any:
    given = {"task_id": "t", "model": ASYNC, "deferrable": True, "poll_interval": 0.05, **files.arguments, **arguments}
    if kind == "single":
        return TranscribeOperator(audio=str(wav), **given)
    return TranscribeBatchOperator(audio=[str(wav)], **given)


def deferral(made: Any, context: Any) -> Any:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  TaskDeferred is not an Exception, and moves about
        made.execute(context)
    assert type(caught.value).__name__ == "TaskDeferred"
    return caught.value


def questions(emulator: Emulator) -> int:
    return sum(request.endpoint == "/transcribe/status" for request in emulator.requests)


def age(files: Memory, seconds: float) -> None:
    """Let the recorded job be so many seconds older."""
    for file in (files.folder / ".nanostt").glob("*.json"):
        record = json.loads(file.read_text())
        record["job"]["submitted_at"] -= seconds
        file.write_text(json.dumps(record))


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_an_overdue_short_job_is_left_to_the_triggerer(emulator: Emulator, wav, files, kind):
    """More than twice as old as expected, nobody knows how long it takes: it is looked at once, and no slot is held."""
    emulator.script("note.wav", text=TEXT, duration=5.0)
    deferral(operator(kind, wav, files, max_worker_wait=0), files.context())
    age(files, 3600.0)
    before = questions(emulator)
    deferral(operator(kind, wav, files, max_worker_wait=0.5), files.context())
    assert questions(emulator) == before + 1
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_a_young_short_job_is_waited_for_in_the_worker(emulator: Emulator, wav, files, kind):
    """A resume would take longer."""
    emulator.script("note.wav", text=TEXT, duration=5.0, processing_seconds=0.05)
    result = operator(kind, wav, files, max_worker_wait=30).execute(files.context())
    assert result.get("files") or result["written"] == 1
    assert len(emulator.charges) == 1
