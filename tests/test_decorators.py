"""``@task.transcribe``: a function says what to transcribe, and the task does it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.decorators import transcribe_task
from tests.conftest import TEXT

ASYNC = "Elevenlabs-STT"


def made(function, **arguments):
    """The operator that the decorated function becomes."""
    return transcribe_task(function, task_id="said", poll_interval=0.1, **arguments)().operator


@pytest.fixture
def run(run_task, files):
    def run(function, **arguments):
        return run_task(lambda: made(function, **arguments), files.context(task_id="said"))

    return run


@pytest.mark.parametrize("deferrable", [False, True])
def test_one_recording_is_a_task_like_any_other(emulator, wav, run, deferrable):
    """What the function returns is transcribed; the result is that of the operator."""
    result = run(lambda: str(wav), model=ASYNC, deferrable=deferrable, max_worker_wait=0)
    assert result["transcription"] == TEXT
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_list_is_a_batch(emulator, wav, run, files, deferrable):
    """A list becomes a batch, deferred as one, with a manifest."""

    def recordings():
        return [str(wav), {"audio": str(wav), "name": "again", "language": "en"}]

    result = run(recordings, model=ASYNC, deferrable=deferrable, max_worker_wait=0, output_path=str(files.folder))
    assert (result["total"], result["written"]) == (2, 2)
    assert {"note.json", "again.json", "manifest.jsonl"} <= {file.name for file in files.folder.iterdir()}
    assert len(emulator.charges) == 2


@pytest.mark.parametrize("longest", [0, 5])
def test_files_are_given_the_time_to_become_whole(emulator, wav, run, files, longest):
    """In the triggerer or in the worker; the list that the function returns is then transcribed."""
    folder, listed = str(files.folder), []

    def recordings():
        listed.append(str(wav))
        return [str(wav)]

    result = run(recordings, model=ASYNC, settle=0.2, max_worker_wait=longest, output_path=folder, deferrable=True)
    assert (result["written"], len(emulator.charges)) == (1, 1)
    assert len(listed) == (1 if longest else 2)


def test_the_function_gets_its_arguments_and_the_context(emulator, wav, run_task, files):
    """Arguments of the call and names of the context arrive as in every ``@task``."""
    seen = []

    def which(folder, name="call.wav", ti=None):
        seen.append((name, ti.run_id))
        return f"{folder}/{name}"

    task = transcribe_task(which, task_id="said", deferrable=False)
    operator = task(str(wav.parent), name="note.wav").operator
    result = run_task(lambda: operator, files.context(task_id="said"))
    assert seen == [("note.wav", "manual__1")]
    assert result["transcription"] == TEXT


class Lazy(Sequence):
    """The results of a mapped task arrive as a sequence of a class of Airflow's."""

    def __init__(self, *values):
        self.values = values

    def __getitem__(self, index):
        return self.values[index]

    def __len__(self):
        return len(self.values)


def test_the_results_of_a_mapped_task_are_a_list(emulator, wav, run, files):
    """It is a batch, though Airflow hands it over as something else."""
    assert run(lambda: Lazy(str(wav)), model=ASYNC, output_path=str(files.folder))["written"] == 1


@pytest.mark.parametrize("returned", [None, "", 7, b"RIFF", {"audio": "x.wav"}])
def test_a_function_that_names_no_recording_fails_before_money_is_spent(emulator, run, returned):
    """The error shows what it has returned."""
    with pytest.raises(AirflowFailException, match="must return a recording or a list, got"):
        run(lambda: returned)
    assert not emulator.charges


def test_an_error_shows_no_signature_of_what_was_returned(run):
    """Whoever returns a mapping sees which, but for what is secret in it."""
    with pytest.raises(AirflowFailException, match="must return a recording or a list, got") as caught:
        run(lambda: {"audio": "https://example.com/a.mp3?X-Amz-Signature=5ec2e7f00d"})
    assert "example.com/a.mp3" in str(caught.value)
    assert "5ec2e7f00d" not in str(caught.value)


def test_a_list_without_a_folder_is_refused(emulator, wav, run):
    """A batch needs a place for its transcripts."""
    with pytest.raises(AirflowFailException, match="output_path is needed"):
        run(lambda: [str(wav)])
    assert not emulator.charges


def test_a_retry_pays_nothing(emulator, wav, run, files):
    """The ledger knows the task, whatever its function is called for again."""
    for _ in range(2):
        result = run(lambda: str(wav), model=ASYNC, output_path=str(files.folder))
    assert json.loads(Path(result["files"]["json"]).read_text())["text"] == TEXT
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("argument", ["audio", "audio_url", "audio_path", "wait_for_completion"])
def test_the_recording_is_no_argument(argument):
    """The function returns it, and an argument for it is refused when the DAG is parsed."""
    with pytest.raises(TypeError, match=argument):
        made(lambda: "x.wav", **{argument: "x"})
