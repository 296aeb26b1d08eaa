"""A service that names jobs in odd characters: nothing breaks, and what is paid for is found again."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_nanostt.emulator import work
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from tests.conftest import TEXT
from tests.outside import killed, record

ASYNC = "Elevenlabs-STT"


@pytest.fixture(autouse=True)
def at_once(no_pauses):
    """No pauses in this module."""


@pytest.fixture(
    params=["run\n\x1b[2J %d", "a, b/../%d", "\ud800%d", "A" * 3000 + "%d", "https://u:p@h.example/?sig=%09d"]
)
def odd_ids(request, monkeypatch):
    """Let the emulator name its jobs like this."""
    counter = itertools.count()
    monkeypatch.setattr(work, "uuid", SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=request.param % next(counter))))


def test_a_job_with_an_odd_id_is_found_again(odd_ids, emulator, memory, wav, run_task, logged):
    """Killed after the submit, the next attempt waits for that very job; the log is made of whole lines."""

    def attempt():
        made = {"task_id": "transcribe", "model": ASYNC, "poll_interval": 0.03, "deferrable": True}
        return run_task(lambda: TranscribeOperator(audio_path=str(wav), **made, **memory.arguments), memory.context())

    with killed(after=record("submitted")):
        attempt()
    result = attempt()
    text = (
        json.loads(Path(result["files"]["json"]).read_text())["text"] if "files" in result else result["transcription"]
    )
    assert text == TEXT
    assert len(emulator.charges) == 1
    assert result["run_id"].isprintable()
    assert all(line.isprintable() for line in logged())


def test_a_batch_of_odd_ids_is_written(odd_ids, emulator, files, wav, run_task):
    """Each item has its own job, whatever its id is."""
    other = wav.with_name("call.wav")
    other.write_bytes(wav.read_bytes() + b"\0\0")
    made = {"task_id": "batch", "model": ASYNC, "poll_interval": 0.03, "deferrable": True}
    result = run_task(
        lambda: TranscribeBatchOperator(audio=[str(wav), str(other)], **made, **files.arguments), files.context()
    )
    assert result["written"] == 2
    assert len(emulator.charges) == 2
