"""Writing a transcript: the dict for XCom, the files, and the files' names."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput, ResultTooLarge
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.ledger import TaskIdentity
from airflow_provider_nanostt.outputs import OutputSettings, to_document, write_outputs

pytestmark = pytest.mark.airflow

ALONE = TaskIdentity("calls", "transcribe", "manual__1")

TRANSCRIPT = Transcript(
    text="Grüße … good morning.",
    segments=(Segment("Speaker 1", 0.0, 1.5, "Grüße …", 0.9), Segment("Speaker 2", 1.5, 2.0, "good morning.")),
    words=(Word("Grüße", 0.0, 0.5, speaker="Speaker 1"),),
    language="en",
    model="Elevenlabs-STT",
    cost=0.015,
    charged_minutes=0.5,
    run_id="run-1",
    confidence=0.8,
    metadata={"fileName": "https://me:pw@example.com/a.mp3?X-Amz-Signature=abcdef", "chargedDuration": 0.5},
    raw={"transcription": "Grüße … good morning."},
)


TIMED = replace(TRANSCRIPT, words=())


def written(folder=None, source="note.wav", identity=None, transcript=TRANSCRIPT, **more):
    place = object_storage.resolve(str(folder)) if folder else None
    return write_outputs(transcript, folder=place, source=source, identity=identity, **more).result


def test_without_a_folder_everything_but_the_words_goes_to_xcom():
    """The documented shape, plain JSON, without signatures."""
    result = written()
    assert json.loads(json.dumps(result)) == result
    assert result == {
        "transcription": TRANSCRIPT.text,
        "segments": [
            {"speaker": "Speaker 1", "start": 0.0, "end": 1.5, "text": "Grüße …", "confidence": 0.9},
            {"speaker": "Speaker 2", "start": 1.5, "end": 2.0, "text": "good morning.", "confidence": None},
        ],
        "metadata": {"fileName": "https://example.com/a.mp3", "chargedDuration": 0.5},
        "run_id": "run-1",
        "model": "Elevenlabs-STT",
        "language": "en",
        "charged_minutes": 0.5,
        "cost_usd": 0.015,
        "confidence": 0.8,
    }


def test_with_a_folder_the_text_stays_out_of_xcom(tmp_path):
    """The dict names the file and counts; the file holds text, segments and words."""
    result = written(tmp_path, identity=ALONE)
    assert result == {
        "files": {"json": str(tmp_path / "note.json")},
        "run_id": "run-1",
        "model": "Elevenlabs-STT",
        "language": "en",
        "charged_minutes": 0.5,
        "cost_usd": 0.015,
        "confidence": 0.8,
        "speakers": ["Speaker 1", "Speaker 2"],
        "words": 4,
    }
    document = json.loads((tmp_path / "note.json").read_text(encoding="utf-8"))
    assert document == {
        **json.loads(json.dumps(to_document(TRANSCRIPT, source="note.wav"))),
        "written_by": ALONE.digest,
        "renamed": {},
        "settings": OutputSettings().digest,
        "files": {},
    }
    assert (document["version"], document["text"], document["words"][0]["start"]) == (2, TRANSCRIPT.text, 0.0)


@pytest.mark.parametrize(("cost", "before", "total"), [(0.1, 0.2, 0.3), (None, 0.2, None), (0.0, 0.0, 0.0)])
def test_the_cost_is_of_all_submits(cost, before, total):
    """The cost of earlier submits is added; an unknown cost stays unknown."""
    assert written(transcript=Transcript("", cost=cost), spent_before=before)["cost_usd"] == total


def test_text_that_is_no_valid_unicode_is_written_all_the_same(tmp_path):
    """Half a surrogate pair in what the service says must not cost a paid transcript."""
    written(tmp_path, transcript=Transcript("half \ud83d a smile"))
    assert json.loads((tmp_path / "note.json").read_bytes())["text"] == "half ? a smile"


def test_two_mapped_tasks_with_recordings_of_one_name_have_files_of_their_own(tmp_path):
    """Neither overwrites the other, also in the same moment."""
    one = written(tmp_path, identity=TaskIdentity("d", "t", "r", 0))
    two = written(tmp_path, identity=TaskIdentity("d", "t", "r", 1))
    assert one["files"] != two["files"]
    assert len(list(tmp_path.iterdir())) == 2


def test_another_runs_transcript_is_not_overwritten(tmp_path):
    """A recording of the same name tomorrow goes beside today's transcript; a retry goes in its own place."""
    today, tomorrow = TaskIdentity("d", "t", "1"), TaskIdentity("d", "t", "2")
    first = written(tmp_path, identity=today)
    second = written(tmp_path, identity=tomorrow)
    assert second["files"]["json"] == str(tmp_path / f"note-{tomorrow.digest}.json")
    assert written(tmp_path, identity=today) == first
    assert written(tmp_path, identity=tomorrow) == second


def test_a_file_of_the_users_own_is_left_alone(tmp_path):
    """A file that has the transcript's name already stays."""
    (tmp_path / "note.json").write_text("my own notes")
    result = written(tmp_path, identity=ALONE)
    assert (tmp_path / "note.json").read_text() == "my own notes"
    assert result["files"]["json"] == str(tmp_path / f"note-{ALONE.digest}.json")


ALL_TEXT = OutputSettings(formats=("json", "txt", "srt", "vtt"))


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_every_format_is_a_file_and_the_json_file_is_written_last(tmp_path, monkeypatch):
    """A reader who finds the JSON file finds all files that it names."""
    order = []
    write = object_storage.write
    monkeypatch.setattr(object_storage, "write", lambda place, data: order.append(place.name) or write(place, data))
    result = written(tmp_path, identity=ALONE, settings=ALL_TEXT)
    assert list(result["files"]) == ["json", "txt", "srt", "vtt"]
    assert result["files"] == {name: str(tmp_path / f"note.{name}") for name in ("json", "txt", "srt", "vtt")}
    assert order == ["note.txt", "note.srt", "note.vtt", "note.json"]
    assert names(tmp_path) == sorted(order)


def test_a_rerun_replaces_all_and_leaves_nothing_of_its_own_behind(tmp_path):
    """A file in a format that is no longer asked for is removed, if it is as it was written."""
    written(tmp_path, identity=ALONE, settings=ALL_TEXT)
    (tmp_path / "note.vtt").write_text("mended by hand")
    written(tmp_path, identity=ALONE, settings=OutputSettings(formats=("txt",)))
    assert names(tmp_path) == ["note.json", "note.txt", "note.vtt"]
    assert (tmp_path / "note.vtt").read_text() == "mended by hand"


def test_a_stale_file_that_cannot_be_removed_does_not_fail_the_task(tmp_path, monkeypatch, caplog):
    """The new files are there, and the log tells of the old one."""

    def refuse(place):
        raise PermissionError(place)

    written(tmp_path, identity=ALONE, settings=ALL_TEXT)
    monkeypatch.setattr(object_storage, "remove", refuse)
    assert list(written(tmp_path, identity=ALONE)["files"]) == ["json"]
    assert "note.vtt of an earlier attempt" in caplog.text


def test_a_rerun_after_a_kill_in_the_middle_writes_the_same_files(tmp_path, monkeypatch):
    """Files that were written before the JSON file are recognised by their content."""
    write = object_storage.write

    def dies(place, data):
        if place.name.endswith(".vtt"):
            raise KeyboardInterrupt
        return write(place, data)

    with monkeypatch.context() as patched:
        patched.setattr(object_storage, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            written(tmp_path, identity=ALONE, settings=ALL_TEXT)
    assert names(tmp_path) == ["note.srt", "note.txt"]
    written(tmp_path, identity=ALONE, settings=ALL_TEXT)
    assert names(tmp_path) == ["note.json", "note.srt", "note.txt", "note.vtt"]


def test_a_text_file_of_somebody_else_is_left_alone(tmp_path):
    """All files of the transcript then go under a name of their own, and a re-run finds them there."""
    (tmp_path / "note.txt").write_text("my own notes")
    written(tmp_path, identity=ALONE, settings=OutputSettings(formats=("txt",)))
    own = f"note-{ALONE.digest}"
    assert names(tmp_path) == sorted(["note.txt", f"{own}.json", f"{own}.txt"])
    assert (tmp_path / "note.txt").read_text() == "my own notes"
    written(tmp_path, identity=ALONE)
    assert names(tmp_path) == sorted(["note.txt", f"{own}.json"])


def test_a_format_that_is_added_later_does_not_replace_a_file_of_somebody_else(tmp_path):
    """Also where the transcript's own JSON file has the shorter name already; a re-run then stays with the longer."""
    written(tmp_path, identity=ALONE)
    (tmp_path / "note.txt").write_text("my own notes")
    for _ in range(2):
        result = written(tmp_path, identity=ALONE, settings=OutputSettings(formats=("txt",)))
        assert result["files"]["txt"] == str(tmp_path / f"note-{ALONE.digest}.txt")
        assert (tmp_path / "note.txt").read_text() == "my own notes"


DOTTED = OutputSettings(formats=("txt", "whisperx", "diarized_json", "podcast", "chunks"))


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("inner", ["whisperx", "diarized", "podcast", "chunks"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_recording_that_is_called_like_a_format_of_another_keeps_its_files(tmp_path, inner, first, earlier):
    """Whichever is written first, and also if an earlier attempt has written the JSON file already."""
    sources = ["note.wav", f"note.{inner}.wav"]
    found = {}
    for source in [*sources, *sources][first : first + 2]:
        for settings in [OutputSettings(), DOTTED][not earlier :]:
            found[source] = written(
                tmp_path, source, TaskIdentity("d", "t", source), settings=settings, transcript=TIMED
            )["files"]
    files = [file for one in found.values() for file in one.values()]
    assert len(set(files)) == len(files) == len(names(tmp_path)) == 12
    for source, one in found.items():
        assert json.loads(Path(one["json"]).read_bytes())["source"] == source


@pytest.mark.parametrize("earlier", [False, True])
def test_another_tasks_transcript_is_not_replaced_by_a_format_that_would_have_its_name(tmp_path, earlier):
    """Such as one that was written before there was that format."""
    other = written(tmp_path, "other.wav", TaskIdentity("d", "t", "other"), transcript=TIMED)["files"]["json"]
    kept = Path(other).rename(tmp_path / "note.whisperx.json").read_bytes()
    if earlier:
        written(tmp_path, identity=ALONE, transcript=TIMED)
    result = written(tmp_path, identity=ALONE, settings=DOTTED, transcript=TIMED)
    assert (tmp_path / "note.whisperx.json").read_bytes() == kept
    assert result["files"]["whisperx"] == str(tmp_path / f"note-{ALONE.digest}.whisperx.json")


def test_captions_that_cannot_be_made_leave_no_file(tmp_path):
    """It is all or nothing."""
    with pytest.raises(InvalidInput, match="given no times"):
        written(tmp_path, transcript=Transcript("Yes.", model="new"), identity=ALONE, settings=ALL_TEXT)
    assert names(tmp_path) == []


def test_files_in_object_storage(bucket):
    """Writing, and removing formats that are no longer asked for, work the same there."""
    written("s3://calls/july", identity=ALONE, settings=ALL_TEXT)
    written("s3://calls/july", identity=ALONE)
    assert sorted(bucket.store) == ["/calls/july/note.json"]


def test_speakers_have_their_new_names_in_files_and_in_the_result(tmp_path, caplog):
    """Names that are not in the transcript are logged."""
    settings = OutputSettings(speaker_names={"Speaker 1": "Agent", "Speaker 7": "Nobody"})
    assert written(tmp_path, settings=settings)["speakers"] == ["Agent", "Speaker 2"]
    assert [one["speaker"] for one in written(settings=settings)["segments"]] == ["Agent", "Speaker 2"]
    assert "speaker_names: no such speakers: Speaker 7" in caplog.text
    assert "Speaker 1" not in (tmp_path / "note.json").read_text(encoding="utf-8").replace('"Speaker 1"}', "")


def test_a_text_over_the_limit_is_refused_for_xcom():
    """The message has the size, the cost, the run and the way out; a text of just the limit passes."""
    size = len(json.dumps(written()))
    assert written(settings=OutputSettings(xcom_limit=size)) == written()
    with pytest.raises(ResultTooLarge) as caught:
        written(settings=OutputSettings(xcom_limit=size - 1))
    for words in (f"{size:,} bytes", "$0.015", "run run-1", "Set output_path to a folder"):
        assert words in str(caught.value)


def test_the_limit_counts_what_airflow_writes():
    """Letters beyond ASCII take six bytes in Airflow's JSON."""
    long = replace(TRANSCRIPT, text="ü" * 9000)
    with pytest.raises(ResultTooLarge, match=re.escape("xcom_limit allows 48,000")):
        written(transcript=long)
    assert written(transcript=replace(TRANSCRIPT, text="u" * 40_000))["transcription"]
