"""The JSON form: every file validates against the schema that is shipped, and can be read again."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.timeline import normalised
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.ledger import TaskIdentity
from airflow_provider_nanostt.outputs import FORMATS, OutputSettings, from_document, schema, to_document, write_outputs
from airflow_provider_nanostt.outputs.document import encode, own_document
from airflow_provider_nanostt.outputs.formats.registry import file_name
from tests.outputs import strategies

ALONE = TaskIdentity("calls", "transcribe", "manual__1")
SAMPLES = Path(__file__).parents[1] / "samples" / "documents"


def valid(document):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(schema()).validate(document)


def test_the_schema_is_one():
    """It is a valid schema of the draft that it names."""
    jsonschema = pytest.importorskip("jsonschema")
    assert schema()["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    jsonschema.Draft202012Validator.check_schema(schema())


@given(strategies.transcripts)
def test_every_document_validates_and_is_json(transcript):
    """Whatever the service has sent: what is written is strict JSON, and as the schema says."""
    data = encode({**to_document(transcript, source="a.wav"), "written_by": None})

    def refuse(constant):
        raise AssertionError(constant)

    valid(json.loads(data, parse_constant=refuse))


@given(strategies.transcripts)
def test_what_is_written_can_be_read_again(transcript):
    """Text, segments, words and figures come back as they were, less what JSON or UTF-8 cannot hold."""

    def kept(value):
        return None if value is None or not math.isfinite(value) else value

    def text(value):
        return None if value is None else value.encode("utf-8", "replace").decode() or None

    transcript = normalised(transcript)
    again = from_document(json.loads(encode(to_document(transcript, source=None))))
    assert again.text == (text(transcript.text) or "")
    figures = (transcript.cost, transcript.charged_minutes)
    assert (again.cost, again.charged_minutes) == tuple(
        one if one is None or 0 <= one < math.inf else None for one in figures
    )
    assert [(one.start, one.end, one.speaker) for one in again.words] == [
        (kept(one.start), kept(one.end), text(one.speaker)) for one in transcript.words
    ]
    assert [(one.text, one.type) for one in again.words] == [
        (text(one.text) or "", one.type) for one in transcript.words
    ]
    assert [one.confidence for one in again.segments] == [one.confidence for one in transcript.segments]
    assert [one.confidence for one in again.words] == [one.confidence for one in transcript.words]
    assert again.confidence == transcript.confidence


@pytest.mark.airflow
def test_a_file_of_a_task_validates(tmp_path):
    """With everything a task adds to it, whatever formats there are."""
    transcript = Transcript(
        "Yes.", (Segment("Speaker 1", 0.0, 1.0, "Yes."),), (Word("Yes.", 0.0, 1.0, speaker="Speaker 1"),), raw={"a": 1}
    )
    settings = OutputSettings(formats=FORMATS, speaker_names={"Speaker 1": "Agent"})
    folder = object_storage.resolve(str(tmp_path))
    result = write_outputs(transcript, folder=folder, source="note.wav", identity=ALONE, settings=settings).result
    document = json.loads(Path(result["files"]["json"]).read_bytes())
    valid(document)
    assert document["renamed"] == {"Agent": "Speaker 1"}
    assert {fmt: file["name"] for fmt, file in document["files"].items()} == {
        fmt: file_name("note", fmt) for fmt in FORMATS if fmt != "json"
    }
    assert replace(from_document(document), raw={}) == replace(
        transcript,
        segments=(Segment("Agent", 0.0, 1.0, "Yes."),),
        words=(Word("Yes.", 0.0, 1.0, speaker="Agent"),),
        raw={},
    )


def test_audio_events_are_listed_with_their_times():
    """Without the brackets that the service may put around them; in the list of words they stay as they are."""
    words = (Word("(door closes)", 1.0, 2.0, "audio_event", "Speaker 1"), Word("Yes.", 2.0, 3.0))
    document = to_document(Transcript("", words=words), source=None)
    assert document["audio_events"] == [{"event": "door closes", "start": 1.0, "end": 2.0, "speaker": "Speaker 1"}]
    assert [word["text"] for word in document["words"]] == ["(door closes)", "Yes."]


def test_signatures_are_left_out_of_the_answer_however_deep():
    """The service may repeat the address it was given."""
    raw = {"a": [{"b": "https://example.com/a.mp3?X-Amz-Signature=secret", "c": [1, 2.5, None, True]}]}
    assert to_document(Transcript("", raw=raw), source=None)["raw"] == {
        "a": [{"b": "https://example.com/a.mp3", "c": [1, 2.5, None, True]}]
    }


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "no 'text'"),
        ({"version": 1}, "no 'text'"),
        ({"text": "Yes."}, "has version None"),
        ({"text": "Yes.", "version": 3}, "has version 3; this provider reads up to 2"),
    ],
)
def test_what_is_no_document_is_refused(document, words):
    """So is one of a version that is yet to come."""
    with pytest.raises(InvalidInput, match=words):
        from_document(document)


def test_a_document_of_an_earlier_provider_can_be_read():
    """What was not written then is empty."""
    found = from_document({"version": 1, "text": "Yes.", "words": [{"text": "Yes."}, "?"], "segments": None, "raw": 3})
    assert found == Transcript("Yes.", words=(Word("Yes."),))


def test_a_file_of_version_1_is_read_as_it_is():
    """All that stands in it, and no confidence, which it does not have."""
    document = json.loads((SAMPLES / "version-1.json").read_bytes())
    found = from_document(document)
    assert [(one.speaker, one.text) for one in found.segments] == [
        ("Speaker 1", "Did it arrive?"),
        ("Customer", "No, not yet."),
    ]
    assert (found.run_id, found.cost, len(found.words), found.raw) == ("run_4f2c81", 0.00255, 11, document["raw"])
    assert {one.confidence for one in (*found.words, *found.segments, found)} == {None}
    valid(to_document(found, source="call.wav"))


def test_the_beginning_of_a_file_can_be_read_by_people():
    """One key to a line, the words last but for the answer itself."""
    lines = encode(to_document(Transcript("Grüße", language="de"), source="note.wav")).decode().split("\n")
    assert lines[:3] == ["{", '"version": 2,', '"source": "note.wav",']
    assert '"text": "Grüße",' in lines


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"written_by": null}', b"\xff", b"[" * 100_000])
def test_only_what_a_task_has_left_itself_is_its_own(data):
    """Files of anybody else, and files that are damaged, are not taken for the result."""
    own = {"written_by": ALONE.digest}
    assert own_document(data, ALONE) is None
    assert own_document(json.dumps(own).encode(), ALONE) == own
