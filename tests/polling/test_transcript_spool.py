"""What the triggerer leaves for the worker, and that nobody depends on it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.errors import StorageUnavailable
from airflow_provider_nanostt.polling import transcript_spool
from airflow_provider_nanostt.polling.transcript_spool import SpoolWriter, TranscriptSpool, load_jobs
from tests.real_store import Shelf

pytestmark = [pytest.mark.airflow, pytest.mark.store]

RUNS = ["run-1", "../../etc/passwd", "", "läuft/…", "x" * 5000]


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A folder that is not there yet."""
    if request.param == "disk":
        return object_storage.resolve(str(tmp_path / "out" / "answers"))
    shelf: Shelf = request.getfixturevalue("shelf")
    return object_storage.resolve(f"{shelf.uri}/out/answers")


def test_what_one_leaves_the_other_finds(place):
    """Under any run id, as often as it is left; the folder goes when it has served."""
    location = json.loads(json.dumps(TranscriptSpool(place).open()))
    other = TranscriptSpool(object_storage.resolve(location["folder"]))
    assert other.is_open(location["token"])
    for run_id in RUNS:
        other.put(run_id, b"of an earlier time")
        other.put(run_id, run_id.encode())
    found = TranscriptSpool(place)
    assert [found.take(run_id) for run_id in RUNS] == [run_id.encode() for run_id in RUNS]
    assert found.take("run-2") is None
    found.clear()
    assert object_storage.list_folder(place) == {}
    assert TranscriptSpool(place).take("run-1") is None
    TranscriptSpool(place).clear()


JOBS = [Job(f"run-{number}", "m", 1.0, body={"runId": f"run-{number}"}) for number in range(3)]


def left(place: Any) -> tuple[dict[str, str], dict[str, object]]:
    """Leave jobs in a folder; return what the arguments of a trigger name, as they are stored."""
    spool = TranscriptSpool(place)
    location, reference = spool.open(), spool.leave_jobs([job.to_json() for job in JOBS])
    assert location is not None
    assert reference is not None
    return json.loads(json.dumps((location, reference)))


def test_jobs_that_were_left_are_found(place):
    """From the arguments of a trigger alone."""
    location, reference = left(place)
    assert asyncio.run(load_jobs(location, reference)) == JOBS
    assert reference["count"] == 3


def test_a_storage_that_comes_back_is_asked_again(place, monkeypatch):
    """It may be restarting at the moment in which the trigger begins."""
    location, reference = left(place)
    path = place / "jobs.jsonl"
    data = object_storage.read(path)
    assert data is not None
    object_storage.remove(path)
    sleep = asyncio.sleep

    async def comes_back(_: float) -> None:
        await sleep(0)
        if threading.current_thread() is threading.main_thread():  # a store's own library may sleep in its own loop
            object_storage.write(path, data)

    monkeypatch.setattr(asyncio, "sleep", comes_back)
    assert asyncio.run(load_jobs(location, reference)) == JOBS


@pytest.mark.parametrize("argument", [None, {}, {"folder": "/no", "token": "x"}, {"folder": "odd://x", "token": "x"}])
def test_where_no_jobs_can_be_found_the_reason_is_said(argument, monkeypatch):
    """Whatever the arguments of a trigger say."""
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda _: sleep(0))
    with pytest.raises(StorageUnavailable, match="cannot be read: "):
        asyncio.run(load_jobs(argument, {"count": 1, "sha256": ""}))


def test_where_jobs_cannot_be_left_the_arguments_carry_them(tmp_path, caplog):
    """A folder that cannot be written is none."""
    (tmp_path / "out").write_text("a file")
    with caplog.at_level("INFO"):
        assert TranscriptSpool(object_storage.resolve(str(tmp_path / "out" / "answers"))).leave_jobs([]) is None
    assert "jobs.jsonl cannot be written" in caplog.text


def test_all_threads_find_what_is_there(place, monkeypatch):
    """Also those that come while the folder is being listed, which it is once."""
    TranscriptSpool(place).open()
    TranscriptSpool(place).put("run-1", b"{}")
    listed, list_folder = [], object_storage.list_folder

    def slowly(folder: Any) -> list[str]:
        listed.append(folder)
        time.sleep(0.2)
        return list_folder(folder)

    monkeypatch.setattr(object_storage, "list_folder", slowly)
    found = TranscriptSpool(place)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(found.take, ["run-1"] * 8)) == [b"{}"] * 8
    assert len(listed) == 1


def test_a_folder_that_cannot_be_listed_is_left_alone(place, monkeypatch, caplog):
    """Then the service is asked, and the log says why."""
    TranscriptSpool(place).open()
    found = TranscriptSpool(place)

    def refused(_: Any) -> list[str]:
        raise PermissionError("403 AccessDenied")

    monkeypatch.setattr(object_storage, "list_folder", refused)
    with caplog.at_level("INFO"):
        assert [found.take("run-1"), found.take("run-2")] == [None, None]
        found.clear()
    assert caplog.text.count("403 AccessDenied") == 1


def test_a_folder_of_the_same_name_elsewhere_is_not_the_same(place):
    """On another machine the path may lead nowhere, or to what an earlier attempt has left there."""
    location = TranscriptSpool(place).open()
    assert location is not None
    assert not TranscriptSpool(place).is_open("of-another-time")
    object_storage.remove_folder(place)
    assert not TranscriptSpool(place).is_open(location["token"])


def test_where_nothing_can_be_written_nothing_is_promised(tmp_path, caplog):
    """Then the worker asks the service."""
    (tmp_path / "out").write_text("a file")
    with caplog.at_level("INFO"):
        assert TranscriptSpool(object_storage.resolve(str(tmp_path / "out" / "answers"))).open() is None
    assert "cannot be written" in caplog.text


class Slow(TranscriptSpool):
    """A folder where storing takes until it is let go, or fails."""

    def __init__(self, folder: Any) -> None:
        super().__init__(folder)
        self.go = threading.Event()
        self.kept: list[str] = []
        self.error: Exception | None = None

    def put(self, run_id: str, _answer: Any) -> None:
        self.go.wait(20)
        if self.error:
            raise self.error
        self.kept.append(run_id)


class Said:
    """A trigger's log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str, *arguments: object) -> None:
        self.lines.append(text % arguments)


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slow:
    """The folder that every writer finds."""
    made = Slow(object_storage.resolve(str(tmp_path / "answers")))
    monkeypatch.setattr(transcript_spool, "TranscriptSpool", lambda _: made)
    return made


def keep(slow: Slow, count: int, log: Said, *, let_go: bool = True) -> None:
    location = slow.open()

    async def all_of_them() -> None:
        async with SpoolWriter(location, log) as writer:
            given = [asyncio.create_task(writer.keep(f"run-{number}", b"{}")) for number in range(count)]
            await asyncio.sleep(0)
            if let_go:
                slow.go.set()
            await asyncio.gather(*given)

    asyncio.run(all_of_them())


def test_a_slow_storage_does_not_fill_the_memory(slow):
    """What comes while enough is on its way is left to the worker."""
    said = Said()
    keep(slow, 100, said)
    assert sorted(slow.kept) == sorted(f"run-{number}" for number in range(8))
    assert said.lines == []


def test_a_broken_storage_is_tried_no_more(slow):
    """Nor does it fail the wait."""
    said, slow.error = Said(), OSError("503 Slow Down")
    keep(slow, 10, said)
    assert slow.kept == []
    (line,) = said.lines
    assert "left to the worker" in line
    assert "503 Slow Down" in line


def test_nobody_waits_long_for_a_storage(slow, monkeypatch):
    """One that never answers costs the longest wait once, and no more answers."""
    monkeypatch.setattr(transcript_spool, "STORAGE_TIMEOUT_SECONDS", 0.2)
    said = Said()
    keep(slow, 10, said, let_go=False)
    slow.go.set()
    (line,) = said.lines
    assert "TimeoutError" in line


@pytest.mark.parametrize(
    ("location", "words"),
    [(None, ""), ({}, ""), ({"folder": "nowhere://x", "token": ""}, "nowhere"), ({"folder": "/no", "token": "x"}, "")],
)
def test_no_answers_are_kept_where_they_cannot_be(location, words):
    """Whatever the arguments of a trigger say, it waits."""
    said = Said()

    async def wait() -> None:
        async with SpoolWriter(location, said) as writer:
            await writer.keep("run-1", b"{}")

    asyncio.run(wait())
    assert not Path("/no").exists()
    assert bool(said.lines) == bool(location)
    assert words in "".join(said.lines)
