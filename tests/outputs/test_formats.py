"""A transcript in each format, for scripts and for files; speakers' names; what is refused before anything is paid."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from airflow_provider_nanostt.api.catalogue import KnownModels
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.timeline import normalised
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.outputs import (
    FORMATS,
    OutputSettings,
    format_transcript,
    rename,
    to_document,
    write_outputs,
)
from airflow_provider_nanostt.outputs.formats.registry import REGISTRY
from airflow_provider_nanostt.outputs.settings import check_formats
from airflow_provider_nanostt.outputs.timed_tokens import spoken
from tests.outputs.strategies import transcripts

PACKED = re.compile(r'<script type="application/gzip" data-file="([^"]+)">([^<]+)</script>')
CALL = Transcript(
    "Speaker 1: Good morning. Speaker 2: Speaker 1: that is you.",
    (Segment("Speaker 1", 0.0, 1.0, "Good morning."), Segment("Speaker 2", 1.5, 3.0, "Speaker 1: that is you.")),
    (
        Word("Good", 0.0, 0.5, speaker="Speaker 1"),
        Word("morning.", 0.5, 1.0, speaker="Speaker 1"),
        Word("Speaker 1: that is you.", 1.5, 3.0, speaker="Speaker 2"),
    ),
    language="en",
    model="Elevenlabs-STT",
    cost=0.01,
    charged_minutes=0.05,
    run_id="run-1",
)
TXT = "Speaker 1: Good morning.\n\nSpeaker 2: Speaker 1: that is you.\n"


def test_speakers_are_renamed_everywhere_and_what_is_said_stays():
    """In segments, words and the labels of the text; not where somebody says a name. Unknown names are returned."""
    renamed, unused = rename(CALL, {"Speaker 1": "Agent", "Speaker 9": "Nobody"})
    assert unused == ["Speaker 9"]
    assert renamed.text == "Agent: Good morning. Speaker 2: Speaker 1: that is you."
    assert [one.speaker for one in renamed.segments] == ["Agent", "Speaker 2"]
    assert [one.speaker for one in renamed.words] == ["Agent", "Agent", "Speaker 2"]
    assert rename(CALL, {}) == (CALL, [])


def test_names_may_be_exchanged():
    """All at once, not one after the other."""
    renamed, _ = rename(CALL, {"Speaker 1": "Speaker 2", "Speaker 2": "Speaker 1"})
    assert [one.speaker for one in renamed.segments] == ["Speaker 2", "Speaker 1"]
    assert renamed.text == "Speaker 2: Good morning. Speaker 1: Speaker 1: that is you."


def test_a_text_that_does_not_follow_the_segments_is_left_alone():
    """Better a label of the service than a word of somebody changed."""
    odd = Transcript("Something else. Speaker 1: no.", (Segment("Speaker 1", 0.0, 1.0, "Yes."),))
    assert rename(odd, {"Speaker 1": "Agent"})[0].text == odd.text


def test_plain_text_has_a_paragraph_for_each_turn():
    """With the speaker's name."""
    assert format_transcript(CALL) == TXT


def test_plain_text_without_speakers_has_paragraphs_at_pauses_and_lengths():
    """A new one begins where a sentence is followed by silence, or when a paragraph has become long."""
    words = (Word("One.", 0.0, 0.5), Word("two", 3.0, 3.5), Word("three.", 6.0, 6.5), Word("Four.", 9.0, 9.5))
    assert format_transcript(Transcript("", words=words)) == "One.\n\ntwo three.\n\nFour.\n"
    sentences = " ".join(["It was a quiet day in the office."] * 60)
    paragraphs = format_transcript(Transcript(sentences)).strip().split("\n\n")
    assert len(paragraphs) == 3
    assert " ".join(paragraphs) == sentences
    assert format_transcript(Transcript("")) == ""


@pytest.mark.parametrize("given", [CALL, to_document(CALL, source="note.wav"), "xcom"])
def test_scripts_may_have_a_transcript_in_any_form(given):
    """As a value, as one of our files, or as an operator returns it; it reads the same."""
    if given == "xcom":
        given = json.loads(json.dumps(write_outputs(CALL, folder=None, source=None, identity=None).result))
    assert format_transcript(given) == TXT
    assert format_transcript(given, speaker_names={"Speaker 1": "Agent"}).startswith("Agent: Good morning.")
    assert "Speaker 1: Good morning." in format_transcript(given, "srt")
    assert "<v Speaker 2>" in format_transcript(given, "vtt", captions={"max_lines": 1})
    assert json.loads(format_transcript(given, "json"))["text"] == CALL.text


@pytest.mark.airflow
def test_a_file_of_a_task_can_be_formatted(tmp_path):
    """With everything a task adds to it; what it says of the audio goes into what is made of it."""
    files = write_outputs(CALL, folder=object_storage.resolve(str(tmp_path)), source="note.wav", identity=None).result[
        "files"
    ]
    document = json.loads(Path(files["json"]).read_text(encoding="utf-8"))
    assert format_transcript(document) == TXT
    assert json.loads(format_transcript(document, "json"))["source"] == "note.wav"


@pytest.mark.parametrize(
    ("given", "fmt", "words"),
    [
        (CALL, "docx", f"unknown format 'docx'; allowed: {', '.join(FORMATS)}"),
        ({"files": {"json": "s3://b/a.json"}}, "txt", "not in this result but in its files"),
        ({"something": "else"}, "txt", "not a transcript"),
        (Transcript("Yes."), "srt", "estimated_captions=True"),
    ],
)
def test_what_cannot_be_formatted_is_refused(given, fmt, words):
    """The message says why."""
    with pytest.raises(InvalidInput, match=re.escape(words)):
        format_transcript(given, fmt)


def test_estimated_captions_are_marked():
    """In both formats."""
    assert "[estimated times]" in format_transcript(Transcript("Yes."), "srt", estimated_captions=True)
    assert "NOTE The times" in format_transcript(Transcript("Yes."), "vtt", estimated_captions=True)


def test_every_format_has_a_row_in_the_docs():
    """With the name of its file, and whether a model without times can have it."""
    table = re.compile(r"^\| `(\w+)` \| `call\.([\w.]+)` \| (yes|no) \|", re.MULTILINE)
    docs = Path(__file__).parents[2] / "docs" / "outputs.md"
    listed = {name: (suffix, times == "yes") for name, suffix, times in table.findall(docs.read_text())}
    assert listed == {name: (one.suffix, one.needs_times) for name, one in REGISTRY.items()}


@pytest.mark.parametrize(
    ("given", "formats"),
    [
        (("json",), ("json",)),
        ((), ("json",)),
        ("srt, VTT", ("json", "srt", "vtt")),
        (["html", "txt", "txt"], ("json", "txt", "html")),
        (FORMATS, FORMATS),
    ],
)
def test_formats_are_put_in_order(given, formats):
    """Each once, and the JSON file, which tells whose the others are, always."""
    assert check_formats(given) == formats


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"formats": ["json", "docx"]}, f"unknown format 'docx'; allowed: {', '.join(FORMATS)}"),
        ({"formats": 5}, "must be a list of json"),
        ({"filename": "{day}"}, "unknown field {day}"),
        ({"xcom_limit": -1}, "non-negative number of bytes"),
        ({"speaker_names": {"Speaker 1": 2}}, "must be a mapping from names to names"),
        ({"speaker_names": {"Speaker 1": " "}}, "must not be empty"),
    ],
)
def test_settings_that_could_not_be_followed_are_refused(settings, words):
    """Before anything is paid for."""
    with pytest.raises(InvalidInput, match=re.escape(words)):
        OutputSettings(**settings)


def test_captions_of_a_model_without_times_are_refused_before_they_are_paid_for():
    """Unless their times may be estimated; for an unknown model the answer will show."""
    settings = OutputSettings(formats=("srt", "vtt"))
    with pytest.raises(InvalidInput, match=r"'Wizper' gives no times, which srt and vtt need. Use 'Elevenlabs"):
        settings.check_model("Wizper", KnownModels())
    settings.check_model("Elevenlabs-STT", KnownModels())
    settings.check_model("brand-new", KnownModels())
    OutputSettings(formats=("srt",), estimated_captions=True).check_model("Wizper", KnownModels())
    OutputSettings(formats=("txt",)).check_model("Wizper", KnownModels())


@pytest.mark.airflow
def test_the_page_carries_the_other_files_that_were_asked_for(tmp_path):
    """html is a format like the others; what was written beside it is inside it, byte for byte."""
    settings = OutputSettings(
        formats=("txt", "vtt", "chunks", "html"), page_audio_url="https://recordings.example/note.wav"
    )
    files = write_outputs(
        CALL, folder=object_storage.resolve(str(tmp_path)), source="note.wav", identity=None, settings=settings
    ).result
    html = Path(files["files"]["html"]).read_text(encoding="utf-8")
    inside = {
        name: gzip.decompress(base64.b64decode(packed))
        for packed, name in ((one[2], one[1]) for one in PACKED.finditer(html))
    }
    assert set(inside) == {"note.json", "note.txt", "note.vtt", "note.chunks.jsonl"}
    assert inside["note.txt"] == Path(files["files"]["txt"]).read_bytes()
    assert json.loads(inside["note.json"])["text"] == CALL.text
    assert "https://recordings.example/note.wav" in html
    assert re.findall(r'data-get="[^"]+" aria-label="[^"]+">([^<]+)<', html) == ["JSON", "TXT", "VTT", "CHUNKS.JSONL"]


@pytest.mark.airflow
def test_text_in_files_is_what_render_returns(tmp_path):
    """Files hold the very text that scripts get."""
    settings = OutputSettings(formats=("txt", "srt", "vtt"))
    files = write_outputs(
        CALL, folder=object_storage.resolve(str(tmp_path)), source="note.wav", identity=None, settings=settings
    ).result
    for name in ("txt", "srt", "vtt"):
        assert Path(files["files"][name]).read_text(encoding="utf-8") == format_transcript(CALL, name)


def strictly(text: str) -> Any:
    """JSON as its standard has it, without NaN and Infinity."""

    def refuse(constant: str) -> object:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", FORMATS)
def test_numbers_that_cannot_be_are_in_no_format(name, odd):
    """A script may put them anywhere; they are unknown, and all that is said is there."""
    given = Transcript(
        "Well now.",
        (Segment("A", odd, 1.0, "Well", odd), Segment("A", 1.0, odd, "now.", 0.9)),
        (Word("Well", odd, 1.0, "word", "A", odd), Word("now.", 1.0, odd, "word", "A", odd)),
        cost=odd,
        charged_minutes=odd,
        confidence=odd,
    )
    made = format_transcript(given, name)
    if REGISTRY[name].suffix.endswith("json"):
        strictly(made)
    for line in made.splitlines() if name == "chunks" else ():
        strictly(line)
    assert "Well" in made
    assert "now." in made


@settings(max_examples=30)
@given(transcripts)
def test_whatever_was_sent_the_formats_of_other_programs_can_be_read(transcript):
    """Odd times, names and texts are JSON and rows with times that never go back; without times it is said so."""
    for name in ("whisperx", "diarized_json", "podcast", "tsv"):
        if not spoken(normalised(transcript)).timed:
            with pytest.raises(InvalidInput, match="has given no times"):
                format_transcript(transcript, name)
            continue
        made = format_transcript(transcript, name)
        if name == "tsv":
            rows = [line.split("\t") for line in made.splitlines()[1:]]
            times = [int(time) for start, end, _ in rows for time in (start, end)]
            names: list[str] = []
        else:
            found = strictly(made)["segments"]
            keys = ("startTime", "endTime") if name == "podcast" else ("start", "end")
            times = [one[key] for one in found for key in keys]
            names = [one["speaker"] for one in found if one.get("speaker")]
        assert times == sorted(times)
        assert all(time >= 0 for time in times)
        assert all(len(one.splitlines()) == 1 and one.strip() for one in names)
