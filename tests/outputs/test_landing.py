"""What becomes of a transcript: the dict for XCom, the file, and the file's name."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt import storage
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.ledger import Identity
from airflow_provider_nanostt.outputs import OutputSettings, belongs_to_another, file_stem, land, to_document

pytestmark = pytest.mark.airflow

ALONE = Identity("calls", "transcribe", "manual__1")
MAPPED = Identity("calls", "transcribe", "manual__1", 3)

TRANSCRIPT = Transcript(
    text="Grüße … good morning.",
    segments=(Segment("Speaker 1", 0.0, 1.5, "Grüße …"), Segment("Speaker 2", 1.5, 2.0, "good morning.")),
    words=(Word("Grüße", 0.0, 0.5, speaker="Speaker 1"),),
    language="en",
    model="Elevenlabs-STT",
    cost=0.015,
    charged_minutes=0.5,
    run_id="run-1",
    metadata={"fileName": "https://me:pw@example.com/a.mp3?X-Amz-Signature=abcdef", "chargedDuration": 0.5},
    raw={"transcription": "Grüße … good morning."},
)


def landed(folder=None, source="note.wav", identity=None, transcript=TRANSCRIPT, **more):
    place = storage.location(str(folder)) if folder else None
    return land(transcript, folder=place, source=source, identity=identity, **more)


def test_without_a_folder_everything_but_the_words_goes_to_xcom():
    """The documented shape, plain JSON, without signatures."""
    result = landed()
    assert json.loads(json.dumps(result)) == result
    assert result == {
        "transcription": TRANSCRIPT.text,
        "segments": [
            {"speaker": "Speaker 1", "start": 0.0, "end": 1.5, "text": "Grüße …"},
            {"speaker": "Speaker 2", "start": 1.5, "end": 2.0, "text": "good morning."},
        ],
        "metadata": {"fileName": "https://example.com/a.mp3", "chargedDuration": 0.5},
        "run_id": "run-1",
        "model": "Elevenlabs-STT",
        "language": "en",
        "charged_minutes": 0.5,
        "cost_usd": 0.015,
    }


def test_with_a_folder_the_text_stays_out_of_xcom(tmp_path):
    """The dict names the file and counts; the file holds text, segments and words."""
    result = landed(tmp_path, identity=ALONE)
    assert result == {
        "files": {"json": str(tmp_path / "note.json")},
        "run_id": "run-1",
        "model": "Elevenlabs-STT",
        "language": "en",
        "charged_minutes": 0.5,
        "cost_usd": 0.015,
        "speakers": ["Speaker 1", "Speaker 2"],
        "words": 4,
    }
    document = json.loads((tmp_path / "note.json").read_text(encoding="utf-8"))
    assert document == {
        **json.loads(json.dumps(to_document(TRANSCRIPT, source="note.wav"))),
        "landed_by": ALONE.digest,
        "renamed": {},
        "settings": OutputSettings().digest,
        "files": {},
    }
    assert (document["version"], document["text"], document["words"][0]["start"]) == (1, TRANSCRIPT.text, 0.0)


@pytest.mark.parametrize(("cost", "before", "total"), [(0.1, 0.2, 0.3), (None, 0.2, None), (0.0, 0.0, 0.0)])
def test_the_cost_is_of_all_submits(cost, before, total):
    """What earlier submits have cost is added; a cost that nobody told stays unknown."""
    assert landed(transcript=Transcript("", cost=cost), spent_before=before)["cost_usd"] == total


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("note.wav", "note"),
        ("https://example.com/calls/Monday%20call.mp3", "Monday_20call"),
        ("grüße an Jürgen.m4a", "grüße_an_Jürgen"),
        ("../../etc/passwd", "passwd"),
        ("..", "transcript"),
        ("....wav", "transcript"),
        (".hidden.wav", "hidden"),
        ("C:\\calls\\note.wav", "C_calls_note"),
        ('a\0b\n\r\t*?:|<>".wav', "a_b"),
        ("-rf.wav", "-rf"),
        ("", "transcript"),
        (None, "transcript"),
        ("😀.wav", "transcript"),
        ("a.b.wav", "a.b"),
    ],
)
def test_files_are_named_after_the_audio(source, stem):
    """The name is the audio's own, less what a file system or a shell could take amiss."""
    assert file_stem(source, ALONE) == stem
    assert file_stem(source, MAPPED) == f"{stem}-{MAPPED.digest}"


@given(st.text(max_size=300), st.sampled_from([None, ALONE, MAPPED]))
def test_every_name_can_be_written(source, identity):
    """No audio has a name under which its transcript cannot be put on a disk, in the folder it was meant for."""
    stem = file_stem(source, identity)
    assert 0 < len(os.fsencode(f"{stem}.json")) <= 200
    assert not set(stem) & set("/\\\0\n ")
    assert not stem.startswith(".")


def test_text_that_is_no_valid_unicode_is_written_all_the_same(tmp_path):
    """Half a surrogate pair in what the service says must not cost a paid transcript."""
    landed(tmp_path, transcript=Transcript("half \ud83d a smile"))
    assert json.loads((tmp_path / "note.json").read_bytes())["text"] == "half ? a smile"


def test_two_mapped_tasks_with_recordings_of_one_name_have_files_of_their_own(tmp_path):
    """Neither overwrites the other, also in the same moment."""
    one = landed(tmp_path, identity=Identity("d", "t", "r", 0))
    two = landed(tmp_path, identity=Identity("d", "t", "r", 1))
    assert one["files"] != two["files"]
    assert len(list(tmp_path.iterdir())) == 2


def test_another_runs_transcript_is_not_overwritten(tmp_path):
    """A recording of the same name tomorrow goes beside today's transcript; a retry goes in its own place."""
    today, tomorrow = Identity("d", "t", "1"), Identity("d", "t", "2")
    first = landed(tmp_path, identity=today)
    second = landed(tmp_path, identity=tomorrow)
    assert second["files"]["json"] == str(tmp_path / f"note-{tomorrow.digest}.json")
    assert landed(tmp_path, identity=today) == first
    assert landed(tmp_path, identity=tomorrow) == second


def test_a_file_of_the_users_own_is_left_alone(tmp_path):
    """What happens to lie under the name of the transcript stays."""
    (tmp_path / "note.json").write_text("my own notes")
    result = landed(tmp_path, identity=ALONE)
    assert (tmp_path / "note.json").read_text() == "my own notes"
    assert result["files"]["json"] == str(tmp_path / f"note-{ALONE.digest}.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"landed_by": null}', b"\xff", b"[" * 100_000])
def test_only_what_a_task_has_left_itself_is_its_own(data):
    """Files of anybody else, and files that are damaged, are not taken for the result."""
    assert belongs_to_another(data, ALONE)
    assert not belongs_to_another(data, None)
    assert not belongs_to_another(json.dumps({"landed_by": ALONE.digest}).encode(), ALONE)
