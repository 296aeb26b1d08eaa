"""Of any number of processes that write the same file at the same instant, one wins, on a disk as in a bucket."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import multiprocessing
import os
import stat
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airflow_provider_nanostt.common import object_storage
from tests.real_store import STORE, Shelf, forget, requests_of

pytestmark = pytest.mark.store

PROCESSES, ROUNDS = 8, int(os.environ.get("AT_ONCE", "4"))
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
        context.Process(target=run, args=(kind, folder, number, dict(os.environ), start, won))
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


def run(kind: str, folder: str, number: int, environment: dict[str, str], start, won) -> None:
    """What one of the processes does."""
    os.environ.update(environment)  # the server it comes from is older
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


def test_each_write_on_a_condition_is_one_request(shelf: Shelf):
    """On a store 200 ms away a second one would cost half of the rate; only S3's marks are known without asking."""
    file = shelf.at("a.json")
    assert object_storage.create(shelf.at("first.json"), b"once in a process it is looked whether conditions count")
    with requests_of(shelf) as asked:
        assert object_storage.create(file, b"one")
    assert len(asked) == 1
    with requests_of(shelf) as asked:
        assert object_storage.replace(file, b"one", b"two")
    assert len([method for method in asked if method in ("PUT", "POST")]) == 1
    assert len(asked) == {"s3": 1, "abfs": 2, "gs": 3}[STORE]
    assert object_storage.read(file) == b"two"


class Careless(BaseHTTPRequestHandler):
    """S3 as some servers speak it: whatever the conditions of a write are, it is written."""

    protocol_version = "HTTP/1.1"  # clients ask before they send
    content: dict[str, bytes] = {}  # noqa: RUF012

    def do_PUT(self) -> None:
        self.content[self.path.partition("?")[0]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, b"")

    def do_GET(self) -> None:
        found = self.content.get(self.path.partition("?")[0])
        self.answer(404 if found is None else 206, found or b"")

    def answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_server_that_does_not_look_at_conditions_is_named_once(monkeypatch, caplog):
    """It works as it does without claims, and the log says so once."""
    pytest.importorskip("s3fs")
    forget(monkeypatch)
    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        extra = {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "region_name": "us-east-1"}
        monkeypatch.setenv(
            "AIRFLOW_CONN_CARELESS", json.dumps({"conn_type": "aws", "login": "a", "password": "b", "extra": extra})
        )
        file = object_storage.resolve("s3://careless@calls/a.json")
        assert object_storage.create(file, b"one")
        assert object_storage.create(file, b"two")
        assert object_storage.read(file) == b"two"
        server.shutdown()
    assert len([line for line in caplog.messages if "s3://careless@calls" in line and "condition" in line]) == 1


def test_a_bucket_that_is_not_there_is_no_lost_race(shelf: Shelf):
    """Nobody else's file is there, so it is an error, not the answer that another one has won."""
    shelf.only("gs", "abfs")  # SeaweedFS makes it
    file = object_storage.resolve(shelf.uri.replace("@calls/", "@nobodys-bucket/") + "/a.json")
    with pytest.raises(OSError, match=r"."):
        object_storage.create(file, b"mine")


@pytest.mark.parametrize("kind", ["create", "replace"])
@pytest.mark.parametrize("interruption", [OSError("No space left on device"), SystemExit(1)])
def test_an_interrupted_write_leaves_nothing_new(tmp_path, monkeypatch, kind, interruption):
    """Neither the file, nor a part of it, nor a temporary one; what was there stays."""
    old, new = (object_storage.resolve(str(tmp_path / name)) for name in ("old.json", "new.json"))
    object_storage.write(old, b"old")

    def stop(*_):
        raise interruption

    monkeypatch.setattr(*((os, "link") if kind == "create" else (Path, "rename")), stop)
    with pytest.raises(type(interruption)):
        _ = object_storage.create(new, b"new") if kind == "create" else object_storage.replace(old, b"old", b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["old.json"]
    assert object_storage.read(old) == b"old"


def test_a_disk_without_hard_links_or_locks_of_folders_does_it_too(tmp_path, monkeypatch):
    """Some network file systems have neither: a file beside the others is locked."""
    lock = fcntl.flock

    def files_only(file: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        lock(file, operation)

    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(fcntl, "flock", files_only)
    file = object_storage.resolve(str(tmp_path / "a.json"))
    assert object_storage.create(file, b"one")
    assert object_storage.create(file, b"two") is False
    assert object_storage.replace(file, b"one", b"two")
    assert object_storage.replace(file, b"one", b"three") is False
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock", "a.json"]


def test_a_stopped_process_is_not_waited_for_without_end(tmp_path, monkeypatch):
    """One that holds the lock and does not go on costs an error that is worth a retry, and nothing is written."""
    file, clock = object_storage.resolve(str(tmp_path / "a.json")), itertools.count(step=10)
    object_storage.write(file, b"old")
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="locked the folder"):
            object_storage.replace(file, b"old", b"new")
    finally:
        os.close(other)
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    assert object_storage.read(file) == b"old"


def test_a_storage_without_such_a_write_is_written_plainly_and_named_once(bucket, caplog):
    """It works as it does without claims, and the log says so once."""
    file = object_storage.resolve("s3://plain-writes/a.json")
    assert object_storage.create(file, b"one")
    assert object_storage.create(file, b"two")
    assert object_storage.replace(file, b"one", b"three") is False
    assert object_storage.replace(file, b"two", b"three")
    assert object_storage.read(file) == b"three"
    assert len([line for line in caplog.messages if "s3://plain-writes" in line and "condition" in line]) == 1
