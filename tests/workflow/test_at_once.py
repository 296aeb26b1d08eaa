"""Two processes at the same instant over the same recordings: each is charged once, and both end well."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections import Counter
from functools import partial
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.emulator import Emulator, Fault
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.conftest import Memory
from tests.outside import killed, record, request
from tests.workflow.at_once import claimed_elsewhere, execute

ROUNDS = int(os.environ.get("AT_ONCE", "2"))
ITEMS = 5
FORMS = {"single": 1, "batch": ITEMS, "runs": ITEMS}
PROCESSES = 2


@pytest.fixture
def place(request, tmp_path) -> str:
    """A folder on the disk, or in a real object store."""
    if request.param == "disk":
        return str(tmp_path / "results")
    return str(request.getfixturevalue("shelf").uri)


@pytest.mark.parametrize("place", ["disk", pytest.param("s3", marks=pytest.mark.long)], indirect=True)
@pytest.mark.parametrize("form", FORMS)
def test_two_at_the_same_instant_pay_once(form, place, emulator: Emulator, tmp_path):
    """One task that runs twice, one batch that runs twice, two runs over one folder."""
    emulator.fail("/transcribe", Fault(kind="slow", delay=0.1, times=10_000))
    audio = []
    for number in range(ROUNDS * FORMS[form]):
        file = tmp_path / f"call-{number:04d}.wav"
        file.write_bytes(recording(number))
        emulator.script(file.name, text=f"These are the words of {number}.", duration=1.0)
        audio.append(str(file))
    ends = run_together(form, place, audio)
    charged = Counter(charge.source for charge in emulator.charges)
    assert charged == {name.rpartition("/")[2]: 1 for name in audio}
    assert [all_ends for *_, all_ends in ends if all_ends[-1]] == []
    for at in range(ROUNDS):
        names = object_storage.list_folder(object_storage.resolve(f"{place}/{at}"))
        found = sorted(json.loads(object_storage.read(object_storage.resolve(f"{place}/{at}/{name}")) or b"")["text"]
                       for name in names if name.endswith(".json") and not name.startswith("manifest"))  # fmt: skip
        each = FORMS[form]
        expected = sorted(f"These are the words of {number}." for number in range(at * each, (at + 1) * each))
        assert [text.removeprefix("Speaker 1: ") for text in found] == expected


def recording(number: int) -> bytes:
    """A WAV of a second that no other is like."""
    sound = number.to_bytes(4, "little") * 4000
    head = b"RIFF" + (36 + len(sound)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    form = b"\x01\0\x01\0" + (8000).to_bytes(4, "little") + (16_000).to_bytes(4, "little") + b"\x02\0\x10\0"
    return head + form + b"data" + len(sound).to_bytes(4, "little") + sound


def run_together(form: str, place: str, audio: list[str]) -> list[Any]:
    """Run the processes to their end; return how each round ended in each of them."""
    start = multiprocessing.get_context("spawn")
    together, ended = start.Barrier(PROCESSES), start.Queue()
    processes = [
        start.Process(target=execute, args=(number, together, ended, ROUNDS, form, place, audio))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    ends = [ended.get(timeout=300) for _ in range(PROCESSES * ROUNDS)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return ends


def test_what_another_machine_is_submitting_is_neither_submitted_nor_called_an_orphan(
    emulator: Emulator, memory: Memory, wav, no_pauses
):
    """Until its time has passed it is an error that a retry may fix; from then on nobody knows what became of it."""
    make = partial(
        TranscribeOperator, task_id="transcribe", model="Elevenlabs-STT", audio_path=str(wav), deferrable=False,
        poll_interval=0.05, **memory.arguments,
    )  # fmt: skip
    with killed(before=request("/transcribe")):
        make().execute(memory.context())
    memory.record = claimed_elsewhere(memory.record, time.time() + 600)
    for force in (False, True):
        with pytest.raises(
            errors.SubmittedElsewhere, match=r"run manual__1, try 1 on worker-7, until \d{4}-"
        ) as caught:
            make(force=force).execute(memory.context(max_tries=2 + force))
        assert caught.value.retry == "yes"
    memory.record = claimed_elsewhere(memory.record, time.time() - 1)
    with pytest.raises(AirflowFailException, match="never recorded an answer"):
        make().execute(memory.context())
    assert emulator.charges == []


def test_a_job_that_comes_while_it_is_waited_for_is_taken_over(emulator: Emulator, files: Memory, wav):
    """The other attempt has paid; this one waits for the same job."""
    make = partial(
        TranscribeOperator, task_id="transcribe", model="Elevenlabs-STT", audio_path=str(wav), deferrable=False,
        poll_interval=0.05, **files.arguments,
    )  # fmt: skip
    with killed(after=record("submitted")):
        make().execute(files.context())
    submitted = files.record
    files.record = claimed_elsewhere({**submitted, "state": "intended", "job": None}, time.time() + 600)
    (file,) = (files.folder / ".nanostt").glob("*.json")
    (files.folder / "new").write_text(json.dumps(submitted))
    threading.Timer(1.0, (files.folder / "new").replace, [file]).start()
    assert make().execute(files.context())["run_id"] == submitted["job"]["run_id"]
    assert len(emulator.charges) == 1
