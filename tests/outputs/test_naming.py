"""What files are called, whatever the recording is called."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.ledger import TaskIdentity
from airflow_provider_nanostt.outputs import FORMATS, file_stem
from airflow_provider_nanostt.outputs.formats.registry import REGISTRY, file_name
from airflow_provider_nanostt.outputs.naming import check_pattern

ALONE = TaskIdentity("calls", "transcribe", "manual__1")
MAPPED = TaskIdentity("calls", "transcribe", "manual__1", 3)


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


NAMES = st.lists(st.sampled_from(["a", ".", *".".join(one.suffix for one in REGISTRY.values()).split(".")]), max_size=5)


@given(NAMES, NAMES)
def test_no_file_of_one_name_is_a_file_of_another(one, other):
    """Whatever a recording's own name looks like, and in whatever formats the two are written."""
    stems = {file_stem(f"{'.'.join(parts)}.mp3", ALONE) for parts in (one, other, [*one, *other])}
    files = [file_name(stem, name) for stem in stems for name in FORMATS]
    assert len(set(files)) == len(files)


@given(st.text(max_size=300), st.sampled_from([None, ALONE, MAPPED]))
def test_every_name_can_be_written(source, identity):
    """No audio has a name under which its transcript cannot be put on a disk, in the folder it was meant for."""
    stem = file_stem(source, identity)
    assert 0 < len(os.fsencode(f"{stem}.json")) <= 200
    assert not set(stem) & set("/\\\0\n ")
    assert not stem.startswith(".")


@pytest.mark.parametrize(
    ("pattern", "stem"),
    [
        ("{name}", "note"),
        ("{name}.{language}", "note.de"),
        ("2026-07-01_{name}", "2026-07-01_note"),
        ("{model} {run_id}", "Elevenlabs-STT_run_1"),
        ("call-{map_index}", "call-0"),
        ("{{x}}", "x"),
        ("", "transcript"),
    ],
)
def test_a_pattern_names_the_files(pattern, stem):
    """Its fields are filled, and the whole is cleaned."""
    check_pattern(pattern)
    made = file_stem("note.wav", ALONE, pattern, run_id="run/1", model="Elevenlabs-STT", language="de")
    assert made == stem


def test_what_is_not_known_has_a_name_too():
    """An answer that came at once has no run id, and some have no language."""
    assert file_stem("note.wav", None, "{name}-{run_id}-{language}") == "note-none-none"


def test_a_pattern_with_the_map_index_tells_mapped_tasks_apart_by_it():
    """Then nothing else has to."""
    assert file_stem("note.wav", MAPPED, "{name}-{map_index}") == "note-3"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (
            "{date}",
            "unknown field {date}; allowed, without format or conversion: {name}, {run_id}, {model}, {language}",
        ),
        ("{}", "unknown field {}"),
        ("{0}", "unknown field {0}"),
        ("{name.__class__}", "unknown field {name.__class__}"),
        ("{name[0]}", "unknown field {name[0]}"),
        ("{name!r}", "unknown field {name}"),
        ("{name:>1000000000}", "unknown field {name}"),
        ("{name", "is not a valid pattern"),
        ("a/{name}", "must not contain a folder"),
        ("..\\{name}", "must not contain a folder"),
    ],
)
def test_patterns_that_name_what_there_is_not_are_refused(pattern, words):
    """The message has what there is."""
    with pytest.raises(InvalidInput, match=re.escape(words)):
        check_pattern(pattern)


@given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50))
def test_nothing_from_outside_leads_out_of_the_folder(source, model, run_id):
    """No recording, model or run id makes a name with a folder in it."""
    stem = file_stem(source, ALONE, "{name}{model}{run_id}", run_id=run_id, model=model)
    assert not set(stem) & set("/\\\0")
    assert stem not in ("", ".", "..")
