"""The watcher in the triggerer: when it rings, what it survives, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from local_store import LocalBucket, LocalStore, find_binary

from airflow_provider_nanostt.assets import RecordingsTrigger, watcher
from tests.real_store import Shelf, forget

BELL_SECONDS = 60.0


class Memory:
    """What Airflow 3.3.2 keeps for an asset; ``error`` stands for what it raises instead."""

    def __init__(self, error: Exception | None = None) -> None:
        self.kept: dict[str, Any] = {}
        self.error = error

    async def aget(self, key: str, default: object = None) -> object:
        if self.error:
            raise self.error
        return json.loads(json.dumps(self.kept.get(key, default)))

    async def aset(self, key: str, value: object) -> None:
        if self.error:
            raise self.error
        self.kept[key] = value


class Watching:
    """A watcher, as a triggerer makes it from its row in the database; the names it rings for are ``bell``'s."""

    def __init__(self, pattern: str, memory: Memory | None = None, **how: Any) -> None:
        arguments = {"pattern": pattern, "every": 0.05, "settle": 0.05, "name": "inbox", **how}
        path, kwargs = RecordingsTrigger(**arguments).serialize()
        assert path == "airflow_provider_nanostt.assets.RecordingsTrigger"
        trigger = RecordingsTrigger(**json.loads(json.dumps(kwargs)))
        if memory is not None:
            trigger.asset_state_store = memory
        self.events = trigger.run()

    async def event(self) -> dict[str, Any]:
        async with asyncio.timeout(BELL_SECONDS):
            return dict((await anext(self.events)).payload)

    async def bell(self) -> list[str]:
        return sorted(name.rpartition("/")[2] for name in (await self.event())["names"])


@contextlib.asynccontextmanager
async def watching(pattern: str, memory: Memory | None = None, **how: Any) -> AsyncIterator[Watching]:
    """A watcher that is killed at the end of the block."""
    one = Watching(pattern, memory, **how)
    try:
        yield one
    finally:
        await one.events.aclose()


class Log:
    """What was logged, in this Airflow's own way."""

    def __init__(self, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
        self._capsys, self._caplog = capsys, caplog
        self._printed = ""

    def text(self) -> str:
        self._printed += self._capsys.readouterr().out
        return self._printed or self._caplog.text

    def complaints(self) -> list[str]:
        return [line for line in self.text().splitlines() if "tried again and again" in line]

    def complaint(self) -> str:
        """The line about trouble, of which there is one however often a scan has failed."""
        (line,) = self.complaints()
        return line


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Log:
    return Log(capsys, caplog)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "a.mp3").write_bytes(b"a")
    return folder


@pytest.fixture
def pattern(inbox: Path) -> str:
    return f"{inbox}/*.mp3"


async def test_it_rings_once_for_what_has_come(inbox: Path, pattern: str):
    """One event for all of a scan, and the next one only for something new."""
    async with watching(pattern) as watch:
        assert await watch.bell() == ["a.mp3"]
        (inbox / "b.mp3").write_bytes(b"b")
        (inbox / "c.mp3").write_bytes(b"c")
        event = await watch.event()
        assert (event["new"], event["total"], event["pattern"]) == (2, 3, pattern)
        (inbox / "d.mp3").write_bytes(b"d")
        assert await watch.bell() == ["d.mp3"]


async def test_it_waits_for_what_is_being_written(inbox: Path, pattern: str):
    """A file that grows between any two scans does not ring; one that came after it does."""
    async with watching(pattern) as watch:
        assert await watch.bell() == ["a.mp3"]
        growing = (inbox / "growing.mp3").open("ab", buffering=0)

        async def write() -> None:
            while True:
                growing.write(b"x")
                await asyncio.sleep(0.005)

        writer = asyncio.create_task(write())
        await asyncio.sleep(0.02)
        (inbox / "later.mp3").write_bytes(b"b")
        assert await watch.bell() == ["later.mp3"]
        writer.cancel()
        assert await watch.bell() == ["growing.mp3"]


async def test_a_restart_rings_for_what_came_meanwhile(inbox: Path, pattern: str):
    """With Airflow's memory only for that."""
    memory = Memory()
    async with watching(pattern, memory) as watch:
        assert await watch.bell() == ["a.mp3"]
        (inbox / "b.mp3").write_bytes(b"b")
        assert await watch.bell() == ["b.mp3"]
        (inbox / "c.mp3").write_bytes(b"c")
        assert await watch.bell() == ["c.mp3"]  # by now, that a and b were rung for is kept
    (inbox / "d.mp3").write_bytes(b"d")
    async with watching(pattern, memory) as watch:
        assert await watch.bell() == ["c.mp3", "d.mp3"]  # the bell for c may not have been stored yet


@pytest.mark.parametrize("memory", [None, Memory(ValueError("Task has 2 concrete inlets")), Memory(OSError("gone"))])
async def test_a_restart_without_a_memory_rings_for_all(inbox: Path, pattern: str, memory: Memory | None):
    """Once; that is harmless, since the batch skips what has been written."""
    for _ in range(2):
        async with watching(pattern, memory) as watch:
            assert await watch.bell() == ["a.mp3"]
            (inbox / "b.mp3").write_bytes(b"b")
            assert await watch.bell() == ["b.mp3"]
            (inbox / "b.mp3").unlink()


async def test_what_was_not_heard_is_rung_for_again(pattern: str):
    """A triggerer that dies right after ringing has kept nothing, since its event may not have been stored."""
    memory = Memory()
    async with watching(pattern, memory) as watch:
        assert await watch.bell() == ["a.mp3"]
        assert memory.kept == {}
    async with watching(pattern, memory) as watch:
        assert await watch.bell() == ["a.mp3"]


async def test_another_pattern_has_another_memory(inbox: Path, pattern: str):
    """So that several watchers of one asset keep theirs apart."""
    memory = Memory()
    (inbox / "a.wav").write_bytes(b"a")
    for one, name in ((pattern, "mp3"), (f"{inbox}/*.wav", "wav")):
        async with watching(one, memory) as watch:
            assert await watch.bell() == [f"a.{name}"]
            (inbox / f"b.{name}").write_bytes(b"b")
            assert await watch.bell() == [f"b.{name}"]
    assert len(memory.kept) == 2


async def test_two_triggerers_say_the_same(pattern: str):
    """Airflow may run a watcher twice at the same time; their events have nothing of their own."""
    async with watching(pattern) as one, watching(pattern) as other:
        assert await one.event() == await other.event()


async def test_a_missing_connection_is_named_and_waited_for(
    shelf: Shelf, object_store: LocalBucket, monkeypatch: pytest.MonkeyPatch, log: Log
):
    """The cloud itself is not asked, one line says so, and the watcher goes on when the connection is there."""
    await put(shelf, "inbox/a.mp3", b"a")
    connection = object_store.connection()
    monkeypatch.delenv("AIRFLOW_CONN_STORE")
    async with watching(f"{shelf.uri}/inbox/*.mp3") as watch:
        bell = asyncio.create_task(watch.bell())
        await asyncio.sleep(1.0)
        assert not bell.done()
        monkeypatch.setenv("AIRFLOW_CONN_STORE", connection)
        assert await bell == ["a.mp3"]
    assert "store" in log.complaint()
    assert "can be listed again" in log.text()


async def test_a_revoked_key_is_said_and_its_successor_used(
    shelf: Shelf, object_store: LocalBucket, monkeypatch: pytest.MonkeyPatch, log: Log
):
    """Without a restart of the triggerer, which keeps a connection as long as it lives."""
    shelf.only("s3")
    await put(shelf, "inbox/a.mp3", b"a")
    forget(monkeypatch)
    monkeypatch.setattr(watcher, "REOPEN_SECONDS", 0.3)
    monkeypatch.setenv("AIRFLOW_CONN_STORE", object_store.wrong_connections()[0])
    async with watching(f"{shelf.uri}/inbox/*.mp3") as watch:
        bell = asyncio.create_task(watch.bell())
        await asyncio.sleep(1.0)
        assert not bell.done()
        monkeypatch.setenv("AIRFLOW_CONN_STORE", object_store.connection())
        assert await bell == ["a.mp3"]
        monkeypatch.setenv("AIRFLOW_CONN_STORE", object_store.wrong_connections()[0])
        await asyncio.sleep(1.0)  # what works is kept, whatever the connection says by now
        await put(shelf, "inbox/b.mp3", b"b")
        assert await watch.bell() == ["b.mp3"]
    assert "cannot be listed" in log.complaint()
    assert "wrongwrong" not in log.text()


async def test_a_storage_that_hangs_holds_up_nobody(
    shelf: Shelf, object_store: LocalBucket, monkeypatch: pytest.MonkeyPatch, log: Log
):
    """The event loop goes on, one line says that there is no answer, and no second scan begins beside the first."""
    shelf.only("s3")
    await put(shelf, "inbox/a.mp3", b"a")
    monkeypatch.setattr(watcher, "SLOW_SECONDS", 0.1)
    async with watching(f"{shelf.uri}/inbox/*.mp3") as watch:
        assert await watch.bell() == ["a.mp3"]
        await put(shelf, "inbox/b.mp3", b"b")
        object_store.service.suspend()
        try:
            bell = asyncio.create_task(watch.bell())
            await asyncio.sleep(1.0)
            assert scans() == 1
            assert not bell.done()
        finally:
            object_store.service.resume()
        assert await bell == ["b.mp3"]
    assert "has not answered for" in log.complaint()


@pytest.mark.long
async def test_a_store_that_was_away_is_watched_again(log: Log, monkeypatch: pytest.MonkeyPatch):
    """While it is away the log has one line, however often it is asked."""
    pytest.importorskip("airflow.providers.amazon")
    pytest.importorskip("s3fs")
    if find_binary() is None:
        pytest.skip("needs the object store of the development environment")
    forget(monkeypatch)
    with LocalStore() as store:
        monkeypatch.setenv("AIRFLOW_CONN_AWAY", store.connection())
        from airflow_provider_nanostt._compat import ObjectStoragePath

        def written(name: str) -> str:
            folder = ObjectStoragePath(f"s3://away@{store.bucket}/inbox")
            folder.fs.pipe_file(f"{folder.path}/{name}", b"x")
            return f"{folder}/*.mp3"

        async with watching(await asyncio.to_thread(written, "a.mp3")) as watch:
            assert await watch.bell() == ["a.mp3"]
            bell = asyncio.create_task(watch.bell())
            await asyncio.to_thread(store.restart, 2.0)
            await asyncio.to_thread(written, "b.mp3")
            assert await bell == ["b.mp3"]
    assert len(log.complaints()) <= 1


async def put(shelf: Shelf, key: str, data: bytes) -> None:
    """Put an object there from a thread: Airflow opens S3 with an event loop of its own."""
    await asyncio.to_thread(shelf.put, key, data)


def scans() -> int:
    return sum(thread.name == "nanostt-storage" for thread in threading.enumerate())


SCAN = """
import asyncio, json, sys
from airflow_provider_nanostt.assets import RecordingsTrigger

async def first(pattern):
    trigger = RecordingsTrigger(pattern=pattern, every=0.05, settle=0.05, name="inbox")
    async for event in trigger.run():
        return event.payload

event = asyncio.run(first(sys.argv[1]))
print(json.dumps([event, [name for name in sys.modules if name.startswith("airflow_provider_nanostt.")]]))
"""


def test_the_triggerer_loads_what_a_listing_needs(pattern: str):
    """Nothing of results, of jobs or of sound but how a recording is named."""
    done = subprocess.run([sys.executable, "-c", SCAN, pattern], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    event, loaded = json.loads(done.stdout.splitlines()[-1])
    assert event["new"] == 1
    rooms = {name.split(".")[1] for name in loaded}
    assert rooms.isdisjoint({"outputs", "workflow", "operators", "hooks", "ledger", "polling", "triggers"})
    assert [name for name in loaded if ".audio.prepare" in name or ".containers" in name] == []
