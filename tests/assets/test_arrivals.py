"""Which recordings count as new, from one scan of a real folder or a real store after another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_store import LocalBucket

from airflow_provider_nanostt.assets.arrivals import MAX_NAMED, MAX_RECORDINGS, Arrivals, Look
from airflow_provider_nanostt.audio.find import listing
from airflow_provider_nanostt.common.errors import InvalidInput
from tests.real_store import Shelf, requests_of

KEYS = 100_000


def scan(arrivals: Arrivals, pattern: str) -> Look:
    return arrivals.take((found.audio, found.version) for found in listing(pattern))


def new(arrivals: Arrivals, pattern: str) -> list[str]:
    """Names of what one scan has found new."""
    look = scan(arrivals, pattern)
    assert look.new == len(look.names)
    return [name.rpartition("/")[2] for name in look.names]


class Folder:
    """An inbox on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.pattern = f"{path}/**/*.mp3"

    def put(self, name: str, data: bytes) -> None:
        (self.path / name).write_bytes(data)

    def rename(self, old: str, name: str) -> None:
        (self.path / old).rename(self.path / name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()


class Bucket:
    """An inbox in a real store."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.pattern = f"{shelf.uri}/inbox/**/*.mp3"

    def put(self, name: str, data: bytes) -> None:
        self.shelf.put(f"inbox/{name}", data)

    def rename(self, old: str, name: str) -> None:
        self.put(name, self.shelf.read(f"inbox/{old}"))
        self.remove(old)

    def remove(self, name: str) -> None:
        self.shelf.fs.rm_file(self.shelf.path(f"inbox/{name}"))


@pytest.fixture(params=["folder", "bucket"])
def inbox(request: pytest.FixtureRequest, tmp_path: Path) -> Folder | Bucket:
    if request.param == "folder":
        return Folder(tmp_path / "inbox")
    return Bucket(request.getfixturevalue("shelf"))


@pytest.fixture
def watched(inbox: Folder | Bucket) -> Arrivals:
    """A watcher that knows two recordings."""
    inbox.put("a.mp3", b"aa")
    inbox.put("b.mp3", b"bb")
    arrivals = Arrivals(1)
    assert scan(arrivals, inbox.pattern).new == 0
    assert scan(arrivals, inbox.pattern).new == 2
    return arrivals


def test_a_recording_counts_once(inbox: Folder | Bucket, watched: Arrivals):
    """When it has been the same in two scans, and never again; what else is in the folder does not count."""
    inbox.put("c.mp3", b"cc")
    inbox.put("c.txt", b"cc")
    assert [new(watched, inbox.pattern) for _ in range(4)] == [[], ["c.mp3"], [], []]


def test_a_half_written_one_does_not_count(inbox: Folder | Bucket, watched: Arrivals):
    """As long as it grows it is not new, however many scans that takes."""
    for size in range(1, 6):
        inbox.put("c.mp3", b"c" * size)
        assert new(watched, inbox.pattern) == []
    assert new(watched, inbox.pattern) == ["c.mp3"]


@pytest.mark.parametrize("data", [b"longer", b"xx"])
def test_a_replaced_one_is_new(inbox: Folder | Bucket, watched: Arrivals, data: bytes):
    """Also one of the same size."""
    inbox.put("a.mp3", data)
    assert [new(watched, inbox.pattern) for _ in range(3)] == [[], ["a.mp3"], []]


def test_a_renamed_one_is_new(inbox: Folder | Bucket, watched: Arrivals):
    """The batch knows it under its new name as another recording, too."""
    inbox.rename("a.mp3", "z.mp3")
    assert [new(watched, inbox.pattern) for _ in range(3)] == [[], ["z.mp3"], []]


def test_a_deleted_one_is_nothing(inbox: Folder | Bucket, watched: Arrivals):
    """Until it comes back."""
    inbox.remove("a.mp3")
    assert [scan(watched, inbox.pattern).total for _ in range(2)] == [1, 1]
    assert new(watched, inbox.pattern) == []


def test_one_that_comes_with_an_old_time_is_seen(tmp_path: Path):
    """Nothing is asked of a time but whether it is another: copies and moves bring old ones along."""
    inbox, outside = Folder(tmp_path / "inbox"), tmp_path / "old.mp3"
    arrivals = Arrivals(1)
    inbox.put("a.mp3", b"aa")
    assert [new(arrivals, inbox.pattern) for _ in range(2)] == [[], ["a.mp3"]]
    outside.write_bytes(b"old")
    os.utime(outside, (1_000_000_000, 1_000_000_000))
    shutil.copy2(outside, inbox.path / "b.mp3")
    outside.rename(inbox.path / "c.mp3")
    assert new(arrivals, inbox.pattern) == []
    assert sorted(new(arrivals, inbox.pattern)) == ["b.mp3", "c.mp3"]


def test_a_longer_wait_takes_more_scans(tmp_path: Path):
    """As many as ``settle`` has intervals."""
    inbox = Folder(tmp_path / "inbox")
    inbox.put("a.mp3", b"aa")
    arrivals = Arrivals(3)
    assert [new(arrivals, inbox.pattern) for _ in range(5)] == [[], [], [], ["a.mp3"], []]


def restarted(arrivals: Arrivals, pattern: str) -> Arrivals:
    """Another process, which has what the last one kept."""
    cursors = [look.cursor for look in (scan(arrivals, pattern) for _ in range(3)) if look.cursor]
    return Arrivals(1, cursors[-1])


def test_a_restart_knows_what_was_there(inbox: Folder | Bucket):
    """What came, was replaced or went meanwhile is told from what has stayed."""
    for name in ("a.mp3", "b.mp3", "c.mp3"):
        inbox.put(name, name.encode())
    arrivals = restarted(Arrivals(1), inbox.pattern)
    inbox.put("b.mp3", b"another")
    inbox.put("d.mp3", b"d")
    inbox.remove("c.mp3")
    assert new(arrivals, inbox.pattern) == []
    assert sorted(new(arrivals, inbox.pattern)) == ["b.mp3", "d.mp3"]
    assert new(arrivals, inbox.pattern) == []


@pytest.mark.parametrize("cursor", [None, "", "odd", "eJwDAAAAAAE=", "é", "e" * 100_000])
def test_a_restart_without_a_memory_counts_all(tmp_path: Path, cursor: str | None):
    """That is harmless: what has been transcribed is skipped."""
    inbox = Folder(tmp_path / "inbox")
    inbox.put("a.mp3", b"aa")
    arrivals = Arrivals(1, cursor)
    assert [new(arrivals, inbox.pattern) for _ in range(3)] == [[], ["a.mp3"], []]


def test_a_broken_scan_counts_for_nothing(tmp_path: Path):
    """A storage that fails in the middle of a listing makes nothing new and nothing forgotten."""
    known = [(f"/calls/{number}.mp3", "1") for number in range(10)]
    arrivals = Arrivals(1)
    assert [arrivals.take(known).new for _ in range(2)] == [0, 10]

    def broken() -> Iterator[tuple[str, str]]:
        yield from [*known[:5], ("/calls/new.mp3", "1")]
        raise ConnectionResetError

    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            arrivals.take(broken())
    assert [arrivals.take([*known, ("/calls/new.mp3", "1")]).names for _ in range(2)] == [[], ["/calls/new.mp3"]]


def many(count: int, version: str = "1") -> Iterator[tuple[str, str]]:
    return ((f"s3://bucket/inbox/{number:06d}.mp3", version) for number in range(count))


def test_a_hundred_thousand_recordings_are_kept_in_little():
    """What is kept over a restart has a bounded size, few are named, and a few new ones are found among all."""
    arrivals = Arrivals(1)
    arrivals.take(many(KEYS))
    look = arrivals.take(many(KEYS))
    assert (look.total, look.new, len(look.names)) == (KEYS, KEYS, MAX_NAMED)
    assert look.cursor is not None
    assert len(look.cursor) < 25_000
    later = Arrivals(1, look.cursor)
    assert [later.take(many(KEYS + 3)).new, later.take(many(KEYS + 3)).new] == [0, pytest.approx(150, abs=147)]
    assert [arrivals.take(many(KEYS + 3)).new, arrivals.take(many(KEYS + 3)).new] == [0, 3]


def test_too_many_are_refused_and_not_gathered():
    """A pattern over everything does not fill the triggerer's memory."""
    with pytest.raises(InvalidInput, match="more than 250,000 files"):
        Arrivals(1).take(many(MAX_RECORDINGS + 1))


def test_a_scan_of_a_bucket_is_one_listing(shelf: Shelf, object_store: LocalBucket):
    """A request for each thousand keys and a few to see what the pattern is; none for each recording."""
    shelf.only("s3")
    keys = [f"inbox/{number // 500}/{number:04d}.mp3" for number in range(1_010)]
    shelf.fs.pipe({shelf.path(key): b"x" for key in keys})
    arrivals = Arrivals(1)
    for pattern, pages in (("inbox/**/*.mp3", 2), ("inbox/1/*.mp3", 1)):
        with requests_of(shelf) as asked:
            scan(arrivals, f"{shelf.uri}/{pattern}")
        assert len(asked) <= pages + 5
