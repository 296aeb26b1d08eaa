"""A batch as a user runs it: recordings on the disk or at addresses, attempts of one task, and what they leave."""

from __future__ import annotations

import json
import wave
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators.batch import TranscribeBatchOperator
from tests.conftest import Memory

ASYNC, SYNC = "Elevenlabs-STT", "gpt-4o-mini-transcribe"
MINUTES = 0.5
PRICE = {ASYNC: 0.03 * MINUTES, SYNC: 0.003 * MINUTES}
"""USD for half a minute, which is how long every recording here is said to be."""


def text_of(name: str) -> str:
    """What is said in a recording: nothing that another one says."""
    return f"These are the words of {name}."


class Batch:
    """One task, attempt after attempt.

    :param folder: of recordings on the disk.

    ``before_resume`` is called when the triggerer is done, before the worker resumes.
    """

    def __init__(self, emulator: Emulator, run_task: Any, memory: Memory, folder: Path) -> None:
        self.emulator = emulator
        self.memory = memory
        self.folder = folder
        self.run_task = run_task
        self.before_resume: Callable[[], object] | None = None
        self.usual: dict[str, Any] = {
            "model": ASYNC,
            "output_path": str(memory.folder),
            "deferrable": True,
            "max_worker_wait": 0,
            "poll_interval": 0.1,
            "actual_duration": MINUTES,
        }

    def recording(self, name: str, **script: Any) -> str:
        """Make a recording on the disk that says its own name, and tell the emulator."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(8000)
            out.writeframes(name.encode().ljust(1600, b"\0"))
        self.script(path.name, **script)
        return str(path)

    def script(self, name: str, **script: Any) -> str:
        self.emulator.script(name, **{"text": text_of(name.rpartition("/")[2]), "duration": MINUTES * 60, **script})
        return name

    def recordings(self, count: int, **script: Any) -> list[str]:
        return [self.recording(f"call-{number:03d}.wav", **script) for number in range(count)]

    # An address that nobody has, in figures: no name is looked up, and what is not public is not looked at.
    def urls(self, count: int, **script: Any) -> list[str]:
        return [self.script(f"https://192.0.2.7/call-{number:03d}.mp3", **script) for number in range(count)]

    def make(self, audio: Any, **arguments: Any) -> TranscribeBatchOperator:
        return TranscribeBatchOperator(task_id="transcribe", audio=audio, **{**self.usual, **arguments})

    def run(self, audio: Any, instance: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
        """Run one attempt to its end, through the triggerer."""
        context = self.memory.context(**(instance or {}))
        result: dict[str, Any] = self.run_task(lambda: self.make(audio, **arguments), context, self.before_resume)
        assert json.loads(json.dumps(result)) == result
        return result

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The manifest."""
        return read_manifest(self.memory.folder)

    @property
    def statuses(self) -> list[str]:
        rows = self.rows
        assert [row["number"] for row in rows] == list(range(len(rows)))
        return [row["status"] for row in rows]

    @property
    def texts(self) -> list[str | None]:
        """What the file of each input says; None for one that has none."""
        return [text_in(row["files"]["json"]) if row["files"] else None for row in self.rows]

    @property
    def charged(self) -> Counter[str]:
        """How often each recording was charged, by its name."""
        return Counter(charge.source.rpartition("/")[2] for charge in self.emulator.charges)

    @property
    def submits(self) -> int:
        return sum(request.endpoint == "/transcribe" for request in self.emulator.requests)

    @property
    def answers(self) -> list[Path]:
        """What the triggerer has left for the worker."""
        return list((self.memory.folder / ".nanostt").glob("*.answers/*.json"))

    def forget_answers(self) -> None:
        """Make it as if the triggerer could not write here."""
        for path in self.answers:
            path.unlink()

    def everything_written(self) -> str:
        """All that lies in the output folder, and the names of the files."""
        files = [path for path in self.memory.folder.rglob("*") if path.is_file()]
        return "\n".join([*map(str, files), *(path.read_text() for path in files)])


def text_in(uri: str) -> str:
    return str(json.loads(Path(uri.removeprefix("file://")).read_text())["text"]).removeprefix("Speaker 1: ")


def read_manifest(folder: Path, name: str = "manifest") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def once(names: Sequence[str]) -> dict[str, int]:
    """Each recording charged once, by their names."""
    return dict.fromkeys((name.rpartition("/")[2] for name in names), 1)


@pytest.fixture
def batch(emulator: Emulator, run_task: Any, files: Memory, tmp_path: Path, no_pauses: None, monkeypatch: Any) -> Batch:
    """A batch whose recordings, results and manifest are on the disk, with a service that is as quick as it can be."""
    emulator.add_key(emulator.api_key, balance=100.0, requests_per_second=0)
    connection = {**emulator.connection, "extra": {"requests_per_second": 10_000}}
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(connection))
    return Batch(emulator, run_task, files, tmp_path / "recordings")


@pytest.fixture
def actions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's Required actions as they are from 3.4 on, for a running task."""
    from airflow.sdk.execution_time import task_runner

    from tests.workflow.batch.required_actions import RequiredActions

    made = RequiredActions()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", made, raising=False)
    return made


@pytest.fixture
def task(batch: Batch, actions: Any) -> Any:
    """A task instance whose batch may ask."""
    from tests.workflow.batch.required_actions import Task

    return Task(batch, actions)
