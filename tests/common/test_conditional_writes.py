"""Of any number of processes that write the same file at the same instant, one wins, on a disk as in a bucket."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING

import pytest

from airflow_provider_nanostt.common import object_storage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real_store import Shelf

PROCESSES, ROUNDS = 8, 20
OLD = b"old" * 500


@pytest.fixture(params=["disk", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder."""
    return str(tmp_path) if request.param == "disk" else request.getfixturevalue("shelf").uri


def race(kind: str, folder: str) -> list[tuple[int, bytes]]:
    """Let all processes do it at the same instant, file after file; return each file's winners and what they wrote."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["airflow_provider_nanostt._compat", __name__])
    start, won = context.Barrier(PROCESSES), context.Queue()
    racers = [
        context.Process(target=run, args=(kind, folder, number, os.environ.get("AIRFLOW_CONN_STORE"), start, won))
        for number in range(PROCESSES)
    ]
    for racer in racers:
        racer.start()
    try:
        return [one for _ in racers for one in won.get(timeout=120)]
    finally:
        for racer in racers:
            racer.join(30)
            racer.kill()


def run(kind: str, folder: str, number: int, connection: str | None, start, won) -> None:
    """What one of the processes does."""
    if connection is not None:
        os.environ["AIRFLOW_CONN_STORE"] = connection
    wins = []
    for attempt in range(ROUNDS):
        file, data = object_storage.resolve(f"{folder}/{attempt}.json"), f"{number}".encode() * 1500
        start.wait(60)
        is_won = object_storage.create(file, data) if kind == "create" else object_storage.replace(file, OLD, data)
        if is_won:
            wins.append((attempt, data))
    won.put(wins)


@pytest.mark.parametrize("kind", ["create", "replace"])
def test_of_eight_processes_one_wins(folder, kind):
    """In each of twenty rounds; what is there afterwards is the winner's, whole."""
    files = [object_storage.resolve(f"{folder}/{attempt}.json") for attempt in range(ROUNDS)]
    if kind == "replace":
        for file in files:
            object_storage.write(file, OLD)
    wins = sorted(race(kind, folder))
    assert [attempt for attempt, _ in wins] == list(range(ROUNDS))
    assert [object_storage.read(file) for file in files] == [data for _, data in wins]


def test_what_is_there_is_not_written_over(folder):
    """Neither by a second create nor by a replace that knows another content; nothing else is left in the folder."""
    file = object_storage.resolve(f"{folder}/new/a.json")
    assert object_storage.replace(file, b"", b"none is there") is False
    assert object_storage.create(file, b"one")
    assert object_storage.create(file, b"two") is False
    assert object_storage.replace(file, b"on", b"two") is False
    assert object_storage.replace(file, b"one", b"three")
    assert object_storage.replace(file, b"one", b"two") is False
    assert object_storage.read(file) == b"three"
    assert list(object_storage.list_folder(object_storage.resolve(f"{folder}/new"))) == ["a.json"]
    object_storage.remove(file)
    assert object_storage.replace(file, b"three", b"four") is False
    assert object_storage.read(file) is None


def test_a_request_that_was_repeated_by_itself_has_won(folder):
    """A client that had no answer asks again and is refused because of its own first try: the bytes are its own."""
    file = object_storage.resolve(f"{folder}/a.json")
    object_storage.write(file, b"mine")
    assert object_storage.create(file, b"mine")
    if "://" in folder:
        assert object_storage.replace(file, b"before", b"mine")


def test_each_write_on_a_condition_is_one_request(shelf: Shelf, monkeypatch):
    """On a store 200 ms away a second request for each record would cost half of the rate."""
    import s3fs

    call, asked = s3fs.S3FileSystem._call_s3, []

    async def noted(fs, method, *given, **named):
        asked.append(method)
        return await call(fs, method, *given, **named)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", noted)
    assert object_storage.create(shelf.at("a.json"), b"one")
    assert object_storage.replace(shelf.at("a.json"), b"one", b"two")
    assert asked == ["put_object", "put_object"]
    assert object_storage.read(shelf.at("a.json")) == b"two"
    assert asked[2:] == ["get_object"]


def test_a_storage_without_such_a_write_is_written_plainly_and_named_once(bucket, caplog):
    """It works as it does without claims, and the log says so once."""
    file = object_storage.resolve("s3://calls/a.json")
    assert object_storage.create(file, b"one")
    assert object_storage.create(file, b"two")
    assert object_storage.replace(file, b"one", b"three") is False
    assert object_storage.replace(file, b"two", b"three")
    assert object_storage.read(file) == b"three"
    assert len([line for line in caplog.messages if "on a condition" in line]) <= 1
