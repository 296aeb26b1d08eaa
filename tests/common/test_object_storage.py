"""Files appear whole or not at all, wherever they lie, and a storage in trouble is not an empty one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.common import object_storage
from tests.conftest import Bucket
from tests.real_store import Shelf


def place(where: str, *parts: str):
    return object_storage.resolve(where).joinpath(*parts)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_local_file_is_written_and_read_back(tmp_path, scheme):
    """Folders are made as needed, odd characters survive, and the returned address leads back to the file."""
    file = place(f"{scheme}{tmp_path}/new", "a folder", "né ?x#%.json")
    assert object_storage.read(file) is None
    address = object_storage.write(file, b"one")
    object_storage.write(file, b"two")
    assert (tmp_path / "new/a folder/né ?x#%.json").read_bytes() == b"two"
    assert object_storage.read(object_storage.resolve(address)) == b"two"


def test_an_object_is_written_and_read_back(bucket):
    """The same holds for object storage."""
    file = place("s3://calls/july", "note.json")
    assert object_storage.read(file) is None
    address = object_storage.write(file, b"one")
    assert address == "s3://calls/july/note.json"
    object_storage.write(file, b"two")
    assert object_storage.read(object_storage.resolve(address)) == b"two"


def test_a_real_object_is_read_with_one_request(shelf: Shelf, monkeypatch):
    """Nobody asks for its size first: a folder of thousands of records is read each night."""
    import s3fs

    shelf.put("note.json", b"one")
    call, asked = s3fs.S3FileSystem._call_s3, []

    async def noted(fs, method, *given, **named):
        asked.append(method)
        return await call(fs, method, *given, **named)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", noted)
    assert object_storage.read(shelf.at("note.json")) == b"one"
    assert asked == ["get_object"]
    assert object_storage.read(shelf.at("nothing.json")) is None


@pytest.mark.parametrize("error", [PermissionError("403"), OSError("503 Slow Down"), ValueError("no credentials")])
def test_a_storage_that_cannot_tell_is_not_an_empty_one(bucket, error):
    """Only "there is no such file" is None; everything else is an error of the storage, never of what is in it."""
    Bucket.trouble["rb"] = error
    with pytest.raises(OSError, match=str(error)):
        object_storage.read(place("s3://calls", "note.json"))


def test_an_upload_that_fails_leaves_the_old_object(bucket):
    """What is there stays until the new one is complete."""
    file = place("s3://calls", "note.json")
    object_storage.write(file, b"old")
    Bucket.trouble["wb"] = OSError("503 Slow Down")
    with pytest.raises(OSError, match="503"):
        object_storage.write(file, b"new")
    assert object_storage.read(file) == b"old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("interruption", [OSError("No space left on device"), SystemExit(1), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, interruption):
    """Neither a part of the new file nor a temporary one remains, whenever the process is stopped."""
    file = place(str(tmp_path), "note.json")
    object_storage.write(file, b"old")

    def stop(*_):
        raise interruption

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), stop)
    with pytest.raises(type(interruption)):
        object_storage.write(file, b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["note.json"]
    assert (tmp_path / "note.json").read_bytes() == b"old"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_permissions_of_any_new_file(tmp_path, umask, mode):
    """The umask decides, as for every other file of the user; a temporary file's 0600 would lock others out."""
    before = os.umask(umask)
    try:
        object_storage.write(place(str(tmp_path), "note.json"), b"{}")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "note.json").stat().st_mode & 0o777 == mode


def test_the_longest_name_a_disk_takes_can_be_written(tmp_path):
    """The temporary file beside it must not need a longer one, in bytes."""
    name = "録" * 83 + ".json"
    assert object_storage.write(place(str(tmp_path), name), b"{}")
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("where", ["results", "./results", "../results", ""])
def test_a_relative_folder_is_refused(where):
    """Workers and Airflow versions do not agree from where it counts, so a retry would not find what was paid for."""
    with pytest.raises(InvalidInput, match="relative path"):
        object_storage.resolve(where)


def test_an_unknown_kind_of_storage_is_refused():
    """A scheme that nothing is installed for fails before anything is paid for, at the latest when it is read."""
    with pytest.raises((InvalidInput, ValueError), match="carrierpigeon"):
        object_storage.read(object_storage.resolve("carrierpigeon://loft/results"))


def test_a_file_is_removed_once(tmp_path, bucket):
    """On a disk as in object storage; one that is gone already is no error."""
    for place in (object_storage.resolve(str(tmp_path / "a.txt")), object_storage.resolve("s3://calls/a.txt")):
        object_storage.write(place, b"text")
        object_storage.remove(place)
        assert object_storage.read(place) is None
        object_storage.remove(place)


def test_a_listing_says_what_each_file_is(tmp_path):
    """Size and time of the files of a folder, without those of the folders in it; no folder is an empty one."""
    assert object_storage.list_folder(place(f"{tmp_path}/none")) == {}
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "deep.json").write_bytes(b"x")
    (tmp_path / "né ?x#%.json").write_bytes(b"four")
    os.utime(tmp_path / "né ?x#%.json", (1.5, 2.5))
    found = object_storage.list_folder(place(str(tmp_path)))
    assert found == {"né ?x#%.json": object_storage.FileInfo(size=4, etag=None, mtime=2.5)}


def test_a_listing_of_object_storage_has_marks_of_content(bucket, monkeypatch):
    """S3 and Azure give an ETag, in quotes or not; a marker of the folder itself is not a file."""
    assert object_storage.list_folder(place("s3://calls/july")) == {}
    monkeypatch.setattr(
        bucket,
        "ls",
        lambda *_, **__: [
            {"name": "calls/july", "size": 0, "type": "file"},
            {"name": "calls/july/more", "size": 0, "type": "directory"},
            {"name": "calls/july/a.json", "size": 3, "type": "file", "ETag": '"9e107d9d"', "LastModified": None},
            {"name": "calls/july/wjuly", "size": None, "type": "file", "etag": "0x8D"},
        ],
    )
    assert object_storage.list_folder(place("s3://calls/july")) == {
        "a.json": object_storage.FileInfo(3, "9e107d9d", None),
        "wjuly": object_storage.FileInfo(0, "0x8D", None),
    }


def test_a_storage_that_cannot_list_is_not_an_empty_folder(bucket, monkeypatch):
    """Only "there is no such folder" is nothing."""
    monkeypatch.setattr(bucket, "ls", lambda *_, **__: (_ for _ in ()).throw(OSError("503 Slow Down")))
    with pytest.raises(OSError, match="503"):
        object_storage.list_folder(place("s3://calls/july"))


@pytest.mark.parametrize("size", [1000, 200_000])
def test_an_object_that_has_grown_is_not_fetched_to_its_end(shelf: Shelf, tmp_path, size):
    """The limit holds while it is read, whatever its size was when that was asked for."""
    shelf.put("call.wav", b"x" * size)
    target = tmp_path / "call.wav"
    if size > 1000:
        with pytest.raises(ValueError, match="more than 1,000 bytes"):
            object_storage.copy(shelf.at("call.wav"), target, at_most=1000)
        assert not target.exists() or target.stat().st_size <= 1000
    else:
        object_storage.copy(shelf.at("call.wav"), target, at_most=1000)
        assert target.stat().st_size == size
