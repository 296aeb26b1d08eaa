"""A transform sees every text before it is written, and what it takes out is in no output."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode
from dataclasses import replace

import pytest
from hypothesis import given

from airflow_provider_nanostt.api.errors import InvalidInput, TransformFailed
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.timeline import normalised
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.ledger import TaskIdentity
from airflow_provider_nanostt.outputs import FORMATS, OutputSettings, check_existing, schema, write_outputs
from airflow_provider_nanostt.outputs.formats.registry import file_name
from airflow_provider_nanostt.outputs.redaction import transformed

from . import redactors, strategies

HERE = "tests.outputs.redactors"
NAMES = f"{HERE}.names"
ALONE = TaskIdentity("calls", "transcribe", "manual__1")
LINES = (
    ("Speaker 1", "Good morning, my name is Miller."),
    ("Speaker 2", "(laughs) Hello, Mr Miller!"),
    ("Speaker 1", "Is the parcel there?"),
    ("Speaker 2", "It is (door closes) not."),
)


def call(*, label: bool = False, events_in_segments: bool = True, **more) -> Transcript:
    """A call in which a name is said twice, with words, sounds and an answer that repeats all of it."""
    words, segments, clock = [], [], 0.0
    for speaker, line in LINES:
        start = clock
        for text in re.findall(r"\([^)]*\)|\S+", line):
            kind = "audio_event" if text.startswith("(") else "word"
            words += [
                Word(text, clock, clock + 0.4, kind, speaker, None if kind == "audio_event" else 0.9),
                Word(" ", clock + 0.4, clock + 0.5, "spacing", speaker),
            ]
            clock = round(clock + 0.5, 2)
        shown = line if events_in_segments else re.sub(r"\([^)]*\) ?", "", line)
        segments.append(Segment(speaker, start, clock - 0.1, shown))
        clock += 2
    text = " ".join(f"{speaker}: {line}" if label else line for speaker, line in LINES)
    raw = {"transcription": text, "words": [{"text": word.text} for word in words]}
    return normalised(
        Transcript(
            text, tuple(segments), tuple(words), "en", "m", run_id="run-1", cost=0.5, raw=raw, metadata=raw, **more
        )
    )


def written(transcript, tmp_path, **settings):
    folder = object_storage.resolve(str(tmp_path))
    made = OutputSettings(**{"formats": FORMATS, "transform": NAMES, "review_below": 0.95, **settings})
    return write_outputs(transcript, folder=folder, source="call.wav", identity=ALONE, settings=made)


def everything(folder) -> str:
    """All that is in the files of a folder, what is packed in a page included."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())]
    packed = [
        gzip.decompress(b64decode(one)).decode()
        for text in texts
        for one in re.findall(r"data-file=[^>]*>([^<]+)<", text)
    ]
    return "\n".join([*texts, *packed])


@pytest.mark.airflow
@pytest.mark.parametrize("label", [False, True])
@pytest.mark.parametrize("events_in_segments", [False, True])
@pytest.mark.parametrize("with_segments", [False, True])
def test_what_is_taken_out_is_in_no_file(tmp_path, label, events_in_segments, with_segments):
    """Not in text, segments, words, captions, page, its downloads, or the service's answer; the rest is there."""
    transcript = call(label=label, events_in_segments=events_in_segments)
    result = written(transcript if with_segments else replace(transcript, segments=()), tmp_path).result
    assert {path.name for path in tmp_path.iterdir()} == {file_name("call", name) for name in FORMATS}
    text = everything(tmp_path)
    assert "miller" not in (text + json.dumps(result)).lower()
    for path in tmp_path.iterdir():
        text = path.read_text(encoding="utf-8").replace("\\[", "[").replace("\\]", "]")  # as Markdown escapes them
        plain = " ".join(re.sub(r"<[^>]*>|\\n", " ", text).split())
        for said in ("my name is [NAME].", "Is the parcel there?", "Mr [NAME]!"):
            assert said in plain or path.suffix == ".srt", (path.name, said)


@pytest.mark.airflow
def test_the_file_says_what_it_went_through_and_validates(tmp_path):
    """The function's path is in file and result; raw answer and metadata are not, unless they were asked for."""
    jsonschema = pytest.importorskip("jsonschema")
    for keep_raw in (False, True):
        result = written(call(), tmp_path, keep_raw=keep_raw).result
        document = json.loads((tmp_path / "call.json").read_bytes())
        jsonschema.Draft202012Validator(schema()).validate(document)
        assert document["transform"] == result["transform"] == NAMES
        assert document["raw"] == (json.loads(json.dumps(call().raw)) if keep_raw else {})
    assert "transform" not in written(call(), tmp_path, transform=None).result
    assert json.loads((tmp_path / "call.json").read_bytes())["raw"]


def test_xcom_is_transformed(tmp_path):
    """Text, segments and metadata of a result without files."""
    result = write_outputs(
        call(), folder=None, source="call.wav", identity=None, settings=OutputSettings(transform=NAMES)
    ).result
    assert "miller" not in json.dumps(result).lower()
    assert result["segments"][0]["text"] == "Good morning, my name is [NAME]."
    assert result["transcription"] == " ".join(line for _, line in LINES).replace("Miller", "[NAME]")
    assert result["metadata"] == {}


def test_words_of_a_changed_segment_are_one_entry_and_the_others_stay():
    """With the segment's times and speaker, and no confidence; the segment's own figure stays."""
    before, after = call(), transformed(call(), NAMES, keep_raw=False)
    assert [(one.text, one.confidence) for one in after.words if one.text.strip()][:4] == [
        ("Good morning, my name is [NAME].", None),
        ("(laughs) Hello, Mr [NAME]!", None),
        ("Is", 0.9),
        ("the", 0.9),
    ]
    first = before.segments[0]
    assert after.words[0] == Word("Good morning, my name is [NAME].", first.start, first.end, "word", "Speaker 1")
    assert [one.confidence for one in after.segments] == [one.confidence for one in before.segments]
    kept = [word for word in before.words if word.start >= before.segments[2].start]
    assert list(after.words)[-len(kept) :] == kept


def test_sounds_that_no_segment_has_are_transformed_by_themselves():
    """Where the service's segments leave them out, they stay; the function has seen them, too."""
    redactors.seen.clear()
    after = transformed(call(events_in_segments=False), f"{HERE}.note", keep_raw=False)
    assert [word.text for word in after.words if word.type == "audio_event"] == ["(laughs)", "(door closes)"]
    assert {"(laughs)", "(door closes)"} <= set(redactors.seen)
    silent = transformed(call(events_in_segments=False), f"{HERE}.nothing", keep_raw=False)
    assert (silent.text, silent.segments, silent.words) == ("", (), ())


def test_a_word_that_is_in_no_segment_is_in_no_output():
    """The function has not seen it, whatever it left of the segments."""
    secret = Word("Miller", 5.2, 5.3, "word", "Speaker 2")
    given = call()
    odd = Word("Miller", None, None, "spacing")
    given = replace(given, words=(*given.words[:9], secret, odd, *given.words[9:]))
    after = transformed(given, f"{HERE}.note", keep_raw=False)
    assert "Miller" not in [word.text for word in after.words]
    assert after.text == given.text


def test_two_who_speak_at_a_time_do_not_tell_on_each_other():
    """The words of an unchanged segment stay only if they are its text."""
    segments = (
        Segment("Speaker 1", 0.0, 6.0, "Well, Miller is my name."),
        Segment("Speaker 2", 1.0, 2.0, "Is that so?"),
    )
    texts = ["Well,", "Is", "Miller", "that", "is", "so?", "my", "name."]
    words = tuple(Word(text, at * 0.5, at * 0.5 + 0.4) for at, text in enumerate(texts))
    after = transformed(normalised(Transcript("", segments, words)), NAMES, keep_raw=False)
    assert "miller" not in repr(after).lower()
    assert "Well, [NAME] is my name." in [word.text for word in after.words]


@pytest.mark.parametrize("label", [False, True])
def test_the_whole_text_keeps_its_labels_and_lines(label):
    """Where it is its segments, they are replaced in it; a segment that is taken out leaves no label."""
    given = call(label=label)
    given = replace(given, text=given.text.replace(" Speaker 2", "\n\nSpeaker 2"))
    assert transformed(given, NAMES, keep_raw=False).text == given.text.replace("Miller", "[NAME]")
    dropped = transformed(given, f"{HERE}.drop_names", keep_raw=False)
    rest = [f"{speaker}: {line}" if label else line for speaker, line in LINES[2:]]
    assert dropped.text.replace("\n\n", " ") == " ".join(rest)
    assert [one.text for one in dropped.segments] == [line for _, line in LINES[2:]]


def test_a_text_that_is_not_its_segments_is_not_trusted():
    """If a segment was changed, it is what the segments are now; if none was, it goes through the function itself."""
    given = replace(call(), text="Mr Miller called about a parcel.")
    joined = " ".join(line for _, line in LINES).replace("Miller", "[NAME]")
    assert transformed(given, NAMES, keep_raw=False).text == joined
    other = replace(given, segments=given.segments[2:])
    assert transformed(other, NAMES, keep_raw=False).text == "Mr [NAME] called about a parcel."


def test_a_model_that_gives_only_text_is_one_text():
    """Silence is not handed to the function."""
    assert transformed(Transcript("Miller here."), NAMES, keep_raw=False) == Transcript("[NAME] here.")
    assert transformed(Transcript(""), f"{HERE}.shout", keep_raw=False).text == ""


@given(strategies.transcripts)
def test_of_any_transcript_only_what_the_function_returned_is_left(transcript):
    """Whatever the service has sent: with every text replaced, no other text is left."""
    after = transformed(normalised(transcript), f"{HERE}.mark", keep_raw=False)
    texts = [after.text, *(one.text for one in (*after.segments, *after.words))]
    seen = set("".join("".join(texts).split()))  # spaces of any kind say nothing
    assert seen <= set("#Speaker12:") | set("".join(one.speaker or "" for one in after.segments))
    assert (after.raw, after.metadata) == ({}, {})


# A transform that is none, or does not work


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_package.redact", "cannot be imported on this worker (ModuleNotFoundError: No module named 'no_such"),
        (f"{HERE}.no_such", "cannot be imported on this worker (AttributeError"),
        ("", "cannot be imported"),
        ("not a path", "cannot be imported"),
        (HERE, "must be a function from text to text; it is a module"),
        (f"{HERE}.number", "must be a function from text to text; it is a int"),
        (f"{HERE}.Redactor", "must be a function from text to text; it is a class"),
        (f"{HERE}.waits", "must be a function from text to text; it is async"),
        (f"{HERE}.waiting", "must be a function from text to text; it is async"),
        (f"{HERE}.yields", "must be a function from text to text; it is a generator"),
        (f"{HERE}.says_none", "must be a function from text to text; it is annotated to return None"),
        (f"{HERE}.takes_two", "cannot be called with one text"),
    ],
)
def test_what_is_no_function_of_a_text_is_refused(path, words):
    """When the settings are read, before anything is paid for."""
    with pytest.raises(InvalidInput, match=re.escape(words)):
        OutputSettings(transform=path)


@pytest.mark.parametrize("path", [NAMES, f"{HERE}:names", f"{HERE}.Redactor.names", "builtins.str.upper"])
def test_functions_are_found_by_their_path(path):
    """In a module, in a class, and those of C."""
    assert OutputSettings(transform=path).transform == path
    assert transformed(Transcript("Miller"), path, keep_raw=False).text in ("[NAME]", "MILLER")


@pytest.mark.airflow
@pytest.mark.parametrize(
    ("name", "problem"),
    [("fails", "it raised KeyError at redactors.py line"), ("returns_none", "it returned NoneType, not str")],
)
def test_a_function_that_does_not_work_writes_nothing_and_tells_no_text(tmp_path, name, problem):
    """What it raises may quote the text: only its class and where it was raised are told."""
    with pytest.raises(TransformFailed, match=re.escape(problem)) as caught:
        written(call(), tmp_path, transform=f"{HERE}.{name}")
    error = caught.value
    assert "Good morning" not in str(error)
    assert (error.__cause__, error.__context__) == (None, None)
    assert list(tmp_path.iterdir()) == []


# A result that is written already


def rewritten(tmp_path, before, **settings):
    made = OutputSettings(**{"formats": FORMATS, "review_below": 0.95, **settings})
    folder = object_storage.resolve(str(tmp_path))
    arguments = {"listing": None, "folder": folder, "source": "call.wav", "identity": ALONE, "settings": made}
    return check_existing(json.loads(json.dumps(before.result)), before.written, **arguments)


@pytest.mark.airflow
def test_a_transform_that_is_new_is_applied_to_what_is_written(tmp_path):
    """From the JSON file, without the service; afterwards the name is in none of the files."""
    before = written(call(), tmp_path, transform=None)
    assert "miller" in everything(tmp_path).lower()
    found = rewritten(tmp_path, before, transform=NAMES)
    assert found.rewritten
    assert "miller" not in (everything(tmp_path) + json.dumps(found.result)).lower()


@pytest.mark.airflow
def test_other_settings_do_not_apply_a_transform_twice(tmp_path):
    """What a function has changed already is not given to it again."""
    before = written(call(), tmp_path, transform=f"{HERE}.shout")
    texts = [one["text"] for one in json.loads((tmp_path / "call.json").read_bytes())["segments"]]
    found = rewritten(tmp_path, before, transform=f"{HERE}.shout", speaker_names={"Speaker 1": "Agent"})
    assert (found.rewritten, found.result["speakers"]) == (True, ["Agent", "Speaker 2"])
    document = json.loads((tmp_path / "call.json").read_bytes())
    assert [one["text"] for one in document["segments"]] == texts
    assert texts[0] == "<Good morning, my name is Miller.>"


@pytest.mark.airflow
def test_what_was_taken_out_does_not_come_back(tmp_path):
    """Without a transform, or with another one, the text is the one in the file; it still says what was done to it."""
    before = written(call(), tmp_path)
    found = rewritten(tmp_path, before, transform=None)
    assert (found.rewritten, found.result["transform"]) == (True, NAMES)
    assert "miller" not in everything(tmp_path).lower()
    document = json.loads((tmp_path / "call.json").read_bytes())
    assert (document["raw"], document["transform"]) == ({}, NAMES)
    found = rewritten(tmp_path, found, transform=f"{HERE}.shout")
    assert found.result["transform"] == f"{HERE}.shout"
    assert "<Good morning, my name is [NAME].>" in json.loads((tmp_path / "call.json").read_bytes())["text"]


def test_a_result_in_xcom_is_transformed_when_the_transform_is_new():
    """Such as one in the task's state, which a cleared task would return as it was."""
    before = write_outputs(call(), folder=None, source="call.wav", identity=None)
    arguments = {"listing": None, "folder": None, "source": "call.wav", "identity": None}
    found = check_existing(before.result, None, settings=OutputSettings(transform=NAMES), **arguments)
    assert "miller" not in json.dumps(found.result).lower()
    again = check_existing(found.result, None, settings=OutputSettings(transform=NAMES), **arguments)
    assert (again.result, again.rewritten) == (found.result, False)


def test_an_answer_that_is_no_longer_to_be_kept_is_left_out():
    """Nor does a result without files keep what the service said beside the text."""
    how = {"folder": None, "source": "call.wav", "identity": None}
    before = write_outputs(call(), settings=OutputSettings(transform=NAMES, keep_raw=True), **how)
    assert "miller" in json.dumps(before.result).lower()
    found = check_existing(before.result, None, listing=None, settings=OutputSettings(transform=NAMES), **how)
    assert "miller" not in json.dumps(found.result).lower()


def test_settings_with_another_transform_are_other_settings():
    """So that files that were written without it are written again."""
    digests = {
        OutputSettings(**more).digest
        for more in ({}, {"transform": NAMES}, {"transform": f"{HERE}.note"}, {"transform": NAMES, "keep_raw": True})
    }
    assert len(digests) == 4
