"""What a file system remembers of a listing is not believed: others write into the same folder."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import pytest

from airflow_provider_nanostt.audio.sources import locate_source
from airflow_provider_nanostt.common import listing, object_storage
from tests.real_store import Shelf, forget

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def other(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], object]:
    """Writes as another process does: by a file system that shares no memory with this one's."""
    with monkeypatch.context() as patched:
        forget(patched)
        fs = type(shelf.fs)(*shelf.fs.storage_args, **{**shelf.fs.storage_options, "skip_instance_cache": True})
    assert fs is not shelf.fs
    return lambda key, data: fs.pipe_file(shelf.path(key), data)


def listed(shelf: Shelf) -> None:
    """Let this process's file system remember the folder, as other users of it in the same process do."""
    shelf.fs.ls(shelf.path("records/x").rpartition("/")[0], detail=True)


def test_a_record_that_came_after_the_listing_is_seen(shelf: Shelf, other):
    """A retry that reads it as absent pays again."""
    shelf.put("records/a.json", b"first")
    listed(shelf)
    other("records/b.json", b"second")
    file = shelf.at("records/b.json")
    assert object_storage.read(file) == b"second"
    listed(shelf)
    other("records/c.json", b"third")
    info = object_storage.file_info(shelf.at("records/c.json"))
    assert info is not None
    assert info.size == 5
    listed(shelf)
    other("records/d.json", b"fourth")
    assert object_storage.create(shelf.at("records/d.json"), b"mine") is False


def test_a_file_that_has_grown_since_is_not_cut_off(shelf: Shelf, other, tmp_path):
    """Neither a record nor a recording."""
    shelf.only("s3", "gs", "abfs")
    shelf.put("records/a.json", b"short")
    listed(shelf)
    other("records/a.json", b"much longer than it was")
    assert object_storage.read(shelf.at("records/a.json")) == b"much longer than it was"
    listed(shelf)
    other("records/a.json", b"longer" * 1000)
    source = locate_source(f"{shelf.uri}/records/a.json")
    assert source.size() == 6000
    assert source.fetch(tmp_path / "a.json", 10_000).path.stat().st_size == 6000


def test_a_file_that_is_replaced_while_it_is_read_is_the_old_or_the_new(shelf: Shelf, other):
    """However often: an error here has stopped whole batches."""
    shelf.only("s3", "gs", "abfs")
    versions = [b"a" * 900, b"b" * 40_000]
    shelf.put("records/a.json", versions[0])
    done = threading.Event()

    def replace() -> None:
        for turn in range(60):
            other("records/a.json", versions[turn % 2])
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    seen = set()
    while not done.is_set():
        listed(shelf)
        seen.add(object_storage.read(shelf.at("records/a.json")))
    writer.join()
    assert seen <= set(versions)


@pytest.mark.parametrize("is_on", [True, False], ids=["on", "off"])
def test_a_listing_leaves_the_garbage_collector_as_it_was(shelf: Shelf, is_on):
    """Held off while a page is read, it is as before while its entries are used, and after a page that is refused."""
    shelf.only("s3")
    shelf.put("inbox/a.mp3", b"a")
    before, states = gc.isenabled(), []
    (gc.enable if is_on else gc.disable)()
    try:
        for entry in listing.matching(shelf.fs, shelf.path("inbox/**")):
            states.append(gc.isenabled())
            assert entry["size"] == 1
        states.append(gc.isenabled())
        with pytest.raises(FileNotFoundError):
            list(listing.matching(shelf.fs, "no-such-bucket-here/inbox/**"))
        states.append(gc.isenabled())
    finally:
        (gc.enable if before else gc.disable)()
    assert states == [is_on] * 3


def test_no_collection_of_the_whole_process_while_a_page_is_read(shelf: Shelf):
    """Each takes the event loop of a triggerer some 150 ms."""
    shelf.only("s3")
    for number in range(50):
        shelf.put(f"inbox/{number}.mp3", b"a")
    entries = listing.matching(shelf.fs, shelf.path("inbox/**"))
    begun: list[int] = []

    def noted(phase: str, info: dict[str, int]) -> None:
        begun.append(info["generation"])

    thresholds = gc.get_threshold()
    gc.set_threshold(50, 1, 1)  # as if each object were a thousand
    gc.callbacks.append(noted)
    try:
        first = next(entries)
        during = list(begun)
    finally:
        gc.callbacks.remove(noted)
        gc.set_threshold(*thresholds)
    assert first["size"] == 1
    assert sum(1 for _ in entries) == 49
    assert len(during) < 20  # before and after the page; over fifty where they are not held off
