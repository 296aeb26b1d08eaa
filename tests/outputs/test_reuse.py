"""A second night over a folder of transcripts: files that are as they were written are not read again, others are."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_nanostt.api.errors import LedgerError
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.ledger import TaskIdentity
from airflow_provider_nanostt.outputs import (
    OutputSettings,
    WrittenFiles,
    check_existing,
    write_outputs,
)
from tests.conftest import Bucket

pytestmark = pytest.mark.airflow

ALONE = TaskIdentity("calls", "transcribe", "manual__1")
SAMPLES = Path(__file__).parents[1] / "samples" / "documents"
ALL_TEXT = OutputSettings(formats=("json", "txt", "srt", "vtt", "chunks", "whisperx"))
TRANSCRIPT = Transcript(
    "Good morning.",
    (Segment("Speaker 1", 0.0, 1.0, "Good morning."),),
    (Word("Good", 0.0, 0.5, speaker="Speaker 1"), Word("morning.", 0.5, 1.0, speaker="Speaker 1")),
    model="Elevenlabs-STT",
    cost=0.01,
    run_id="run-1",
)


class Night:
    """What a task knows of a folder: results and records from the ledger, and a listing made now."""

    def __init__(self, uri: str) -> None:
        self.folder = object_storage.resolve(uri)
        self.settings = ALL_TEXT

    def write(self, source="note.wav", transcript=TRANSCRIPT, **more):
        arguments = {"identity": ALONE, "settings": self.settings, **more}
        return write_outputs(transcript, folder=self.folder, source=source, **arguments)

    def check(self, before, **more):
        """Check a result, whose record has been through the ledger's JSON."""
        record = json.loads(json.dumps([before.result, before.written.to_json()]))
        arguments = {
            "listing": object_storage.list_folder(self.folder),
            "folder": self.folder,
            "source": "note.wav",
            "identity": ALONE,
            "settings": self.settings,
            **more,
        }
        return check_existing(record[0], WrittenFiles.from_json(record[1]), **arguments)


@pytest.fixture
def night(tmp_path):
    return Night(str(tmp_path))


@pytest.fixture
def nothing_is_read(monkeypatch):
    """Fail if any file is read or asked for by its name."""

    def refuse(place):
        raise AssertionError(place)

    monkeypatch.setattr(object_storage, "read", refuse)
    monkeypatch.setattr(object_storage, "file_info", refuse)


def test_the_record_has_what_was_written(night, tmp_path):
    """Name, size and digests of every file, from the bytes; on a disk the time of its last change, too."""
    written = night.write().written
    assert written.settings == ALL_TEXT.digest
    assert list(written.files) == ["json", "txt", "srt", "vtt", "chunks", "whisperx"]
    listing = object_storage.list_folder(night.folder)
    assert {one.name: (one.size, one.mtime) for one in written.files.values()} == {
        name: (info.size, info.mtime) for name, info in listing.items()
    }
    assert json.loads((tmp_path / "note.json").read_bytes())["files"] == {
        fmt: {"name": one.name, "sha256": one.sha256} for fmt, one in written.files.items() if fmt != "json"
    }
    assert WrittenFiles.from_json(json.loads(json.dumps(written.to_json()))) == written


@pytest.mark.parametrize("data", [None, [], {}, {"settings": "x", "files": {"json": {"name": "a"}}}, {"files": {}}])
def test_a_record_that_cannot_be_read_is_none(data):
    """Then the files are read, as without a record."""
    assert WrittenFiles.from_json(data) is None


def test_without_a_folder_there_is_no_record():
    """Nothing was written."""
    assert write_outputs(TRANSCRIPT, folder=None, source="note.wav", identity=ALONE).written is None


def test_files_as_they_were_written_are_not_read(night, request):
    """Three hundred files are known by one listing of their folder."""
    before = [night.write(f"note{number}.wav") for number in range(50)]
    listing = object_storage.list_folder(night.folder)
    assert len(listing) == 300
    request.getfixturevalue("nothing_is_read")
    for one in before:
        found = night.check(one, listing=listing)
        assert (found.result, found.written, found.lost, found.rewritten) == (one.result, one.written, "", False)


def test_objects_as_they_were_written_are_not_read(shelf, request):
    """The same on a real object store, by the MD5 of what was uploaded, which is the ETag or beside it."""
    shelf.only("s3", "gs", "abfs")
    night = Night(f"{shelf.uri}/out")
    before = night.write()
    assert before.written.files["json"].mtime is None
    listing = object_storage.list_folder(night.folder)
    request.getfixturevalue("nothing_is_read")
    found = night.check(before, listing=listing)
    assert (found.lost, found.rewritten) == ("", False)


def anothers(data: bytes) -> bytes:
    """A document of the same size that another task has written."""
    return data.replace(ALONE.digest.encode(), b"x" * len(ALONE.digest))


def test_another_tasks_file_of_the_same_size_is_noticed(night, tmp_path):
    """By the time of its last change."""
    before = night.write()
    file = tmp_path / "note.json"
    file.write_bytes(anothers(file.read_bytes()))
    os.utime(file, (1e9, 1e9))
    assert night.check(before).lost == "overwritten by another task"


def test_another_tasks_object_of_the_same_size_is_noticed(shelf):
    """By its ETag."""
    night = Night(f"{shelf.uri}/out")
    before = night.write()
    shelf.put("out/note.json", anothers(shelf.read("out/note.json")))
    assert night.check(before).lost == "overwritten by another task"


def test_a_file_without_etag_or_time_is_read(bucket):
    """Where the storage says nothing that would tell two files apart, the size alone is not enough."""
    night = Night("s3://calls/july")
    before = night.write()
    assert night.check(before).lost == ""
    place = night.folder / "note.json"
    object_storage.write(place, anothers(object_storage.read(place)))
    assert night.check(before).lost == "overwritten by another task"


def test_an_own_file_that_was_touched_is_read_once(night, tmp_path, request):
    """Its content is still its own; the new record says so, and the next night does not read it again."""
    before = night.write()
    os.utime(tmp_path / "note.json", (1e9, 1e9))
    found = night.check(before)
    assert (found.lost, found.rewritten, found.written.files["json"].mtime) == ("", False, 1e9)
    request.getfixturevalue("nothing_is_read")
    assert night.check(replace(before, written=found.written)).lost == ""


def test_a_file_mended_by_hand_stays(night, tmp_path):
    """Captions that somebody has corrected are not written over, as long as nothing else is asked for."""
    before = night.write()
    (tmp_path / "note.srt").write_text("mended by hand")
    found = night.check(before)
    assert (found.lost, found.rewritten) == ("", False)
    assert (tmp_path / "note.srt").read_text() == "mended by hand"


def test_a_missing_file_is_written_again(night, tmp_path):
    """From the JSON file; cost and record are those of the result."""
    before = night.write(spent_before=1.0)
    (tmp_path / "note.srt").unlink()
    found = night.check(before)
    assert found.rewritten
    assert found.result == before.result
    assert found.written.files["srt"].sha256 == before.written.files["srt"].sha256
    assert (tmp_path / "note.srt").exists()


def test_speakers_can_be_renamed_again(night, tmp_path):
    """The JSON file has the names that the service gave them."""
    night.settings = OutputSettings(speaker_names={"Speaker 1": "Wrong"})
    before = night.write()
    night.settings = OutputSettings(formats=("txt",), speaker_names={"Speaker 1": "Agent"})
    assert night.check(before).result["speakers"] == ["Agent"]
    assert (tmp_path / "note.txt").read_text(encoding="utf-8") == "Agent: Good morning.\n"


def test_speakers_that_became_one_stay_one(night):
    """Two speakers with one name cannot be separated again."""
    two = replace(TRANSCRIPT, words=(*TRANSCRIPT.words, Word("Yes.", 1.0, 2.0, speaker="Speaker 2")))
    night.settings = OutputSettings(speaker_names={"Speaker 1": "Both", "Speaker 2": "Both"})
    before = night.write(transcript=two)
    night.settings = OutputSettings(speaker_names={"Speaker 1": "Agent"})
    assert night.check(before).result["speakers"] == ["Both"]


def test_changed_settings_write_again(night, tmp_path):
    """The new record is of the new settings, and holds for the next night."""
    before = night.write()
    night.settings = OutputSettings(formats=("txt",))
    found = night.check(before)
    assert found.rewritten
    assert sorted(file.name for file in tmp_path.iterdir()) == ["note.json", "note.txt"]
    assert not night.check(replace(before, result=found.result, written=found.written)).rewritten


def test_a_moved_output_is_written_where_it_is_wanted(night, tmp_path):
    """From the JSON file in the old folder, which stays as it is."""
    before = night.write()
    night.folder = object_storage.resolve(str(tmp_path / "new"))
    found = night.check(before, moved=True)
    assert found.rewritten
    assert found.result["files"]["json"] == str(tmp_path / "new" / "note.json")
    assert (tmp_path / "note.json").exists()


@pytest.mark.parametrize("listing", [None, {}])
def test_a_listing_that_does_not_have_a_file_does_not_make_it_lost(night, listing):
    """It may be older than the file, or there may be none; a paid result is not given up without a look."""
    assert night.check(night.write(), listing=listing).lost == ""


def test_files_in_a_subfolder_are_found(night, tmp_path):
    """The folder above may be listed; it does not have them."""
    night.folder = object_storage.resolve(str(tmp_path / "july"))
    before = night.write()
    night.folder = object_storage.resolve(str(tmp_path))
    found = night.check(before)
    assert (found.lost, found.rewritten) == ("", False)


def test_a_damaged_json_file_is_lost(night, tmp_path):
    """It does not say any more which task wrote it."""
    before = night.write()
    (tmp_path / "note.json").write_bytes(b"{}")
    assert night.check(before).lost == "overwritten by another task"


@pytest.mark.parametrize("listing", [None, {}])
def test_a_result_without_its_json_file_is_gone(night, tmp_path, listing):
    """The other files alone do not say which task wrote them."""
    before = night.write()
    (tmp_path / "note.json").unlink()
    assert night.check(before, listing=listing).lost == "gone"
    assert night.check(before).lost == "gone"


def test_a_storage_in_trouble_is_not_an_empty_one(bucket):
    """What cannot be read is not called gone."""
    night = Night("s3://calls/july")
    before = night.write()
    Bucket.trouble["rb"] = PermissionError("403")
    with pytest.raises(LedgerError, match=r"note\.json cannot be read \(PermissionError: 403\)"):
        night.check(before)


def test_a_result_with_its_text_becomes_files(night, tmp_path):
    """What was in XCom is written where a folder is given now; without one it stays."""
    in_xcom = write_outputs(TRANSCRIPT, folder=None, source="note.wav", identity=ALONE)
    arguments = {"source": "note.wav", "identity": ALONE, "settings": OutputSettings(), "listing": None}
    assert check_existing(in_xcom.result, None, folder=None, **arguments).result == in_xcom.result
    found = check_existing(in_xcom.result, None, folder=night.folder, **arguments)
    assert found.rewritten
    assert json.loads(Path(found.result["files"]["json"]).read_bytes())["text"] == TRANSCRIPT.text
    assert found.written.files["json"].name == "note.json"


def test_a_file_of_version_1_is_written_again_as_version_2(tmp_path):
    """On changed settings, from itself: with the names, times and figures in it, and the service's names to rename."""
    (tmp_path / "call.json").write_bytes((SAMPLES / "version-1.json").read_bytes())
    (tmp_path / "call.srt").write_text("as it was")
    arguments = {"listing": None, "folder": object_storage.resolve(str(tmp_path)), "source": "call.wav"}
    settings = OutputSettings(formats=("txt",), speaker_names={"Speaker 2": "Client"})
    result = {
        "run_id": "run_4f2c81",
        "cost_usd": 0.00255,
        "files": {fmt: str(tmp_path / f"call.{fmt}") for fmt in ("json", "srt")},
    }
    found = check_existing(result, None, identity=ALONE, settings=settings, **arguments)
    assert found.rewritten
    document = json.loads((tmp_path / "call.json").read_bytes())
    before = json.loads((SAMPLES / "version-1.json").read_bytes())
    assert (document["version"], document["confidence"], document["raw"]) == (2, None, before["raw"])
    assert [word["text"] for word in document["words"]] == [word["text"] for word in before["words"]]
    assert (tmp_path / "call.txt").read_text() == "Speaker 1: Did it arrive?\n\nClient: No, not yet.\n"
