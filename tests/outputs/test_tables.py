"""Transcripts as rows: which columns there are, which segment a word is in, and files that hold many recordings."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.outputs.merge import merge
from airflow_provider_nanostt.outputs.settings import ChunkRules
from airflow_provider_nanostt.outputs.table_files import read_keys, write_table
from airflow_provider_nanostt.outputs.tables import PARQUET
from tests.outputs.talk import talk

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

times = st.none() | st.floats(-5, 3600, allow_nan=False)
names = st.sampled_from([None, "Ana", "Ben"])
texts = st.sampled_from(["", " ", "so", "ja \udcff", "好"])
transcripts = st.builds(
    Transcript,
    text=texts,
    segments=st.lists(st.builds(Segment, names, times, times, texts), max_size=6).map(tuple),
    words=st.lists(st.builds(Word, texts, times, times, st.just("word"), names), max_size=8).map(tuple),
    language=st.none() | st.just("en"),
    run_id=st.none() | st.just("run-1"),
)


def written(table: str, recordings: Iterable[tuple[str, Transcript]], **old: Any) -> io.BytesIO:
    file = io.BytesIO()
    rows = write_table(table, file)
    for source, transcript in recordings:
        rows.add(transcript, source)
    if old:
        rows.keep(**old)
    rows.close()
    file.seek(0)
    return file


def read(table: str, *recordings: tuple[str, Transcript]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parquet.read_table(written(table, recordings)).to_pylist()
    return found


def said(text: str, speaker: str | None, start: float, seconds: float = 0.5) -> Word:
    return Word(text, start, start + seconds, "word", speaker)


def test_a_talk_becomes_rows():
    """A row for each segment and for each word, with what both are joined by."""
    transcript = talk(200)
    segments, words = read("segments", ("a.wav", transcript)), read("words", ("a.wav", transcript))
    assert [row["text"] for row in segments] == [one.text for one in transcript.segments]
    assert [row["segment"] for row in segments] == list(range(len(transcript.segments)))
    assert len(words) == 200
    for row in segments:
        own = [word for word in words if word["segment"] == row["segment"]]
        assert " ".join(word["word"] for word in own) == row["text"]
        assert {word["speaker"] for word in own} == {row["speaker"]}
    shared = {"source": "a.wav", "run_id": "run_4f2c81"}
    assert all(row.items() >= {**shared, "language": "en", "model": "Elevenlabs-STT"}.items() for row in segments)
    assert all(row.items() >= {**shared, "type": "word"}.items() for row in words)


def test_people_who_speak_at_once_keep_their_words():
    """A word is in the segment of its own speaker, though another one has begun later."""
    transcript = Transcript(
        "",
        segments=(
            Segment("Ana", 0.0, 9.0, "one two three"),
            Segment("Ben", 2.0, 3.0, "no"),
            Segment("Ben", 20.0, None, "x"),
        ),
        words=(said("one", "Ana", 0.0), said("no", "Ben", 2.1), said("two", "Ana", 2.5), said("three", "Ana", 8.0)),
    )
    assert [(row["word"], row["segment"]) for row in read("words", ("a", transcript))] == [
        ("one", 0),
        ("no", 1),
        ("two", 0),
        ("three", 0),
    ]


def test_a_word_without_a_time_is_where_the_one_before_it_is():
    """And the entries for spaces are no words."""
    words = (
        said("a", None, 0.0),
        Word("b"),
        Word(" ", 0.5, 5.0, "spacing"),
        said("c", None, 5.0),
        Word("[noise]", type="sound"),
    )
    transcript = Transcript("", segments=(Segment(None, 0.0, 1.0, "a b"), Segment(None, 5.0, 6.0, "c")), words=words)
    found = [(row["word"], row["segment"], row["type"]) for row in read("words", ("x", transcript))]
    assert found == [("a", 0, "word"), ("b", 0, "word"), ("c", 1, "word"), ("[noise]", 1, "sound")]


def test_text_without_segments_is_one_and_silence_is_none():
    """So no text is missing from the table."""
    assert [(row["segment"], row["text"], row["start"]) for row in read("segments", ("a", Transcript("Hello.")))] == [
        (0, "Hello.", None)
    ]
    assert read("segments", ("a", Transcript(" "))) == []


def test_a_recording_in_parts_has_the_ids_of_all_its_jobs():
    """Rows can be joined, though no job has the whole."""
    whole = merge([(0.0, Transcript("a", run_id="r1")), (60.0, Transcript("b", run_id="r2"))])
    assert [row["run_id"] for row in read("segments", ("a.wav", whole))] == ["r1, r2"]


@given(transcripts)
def test_every_word_has_a_segment_that_exists(transcript):
    """Whatever the times are; and whatever the texts are, they can be written."""
    segments, words = read("segments", ("a", transcript)), read("words", ("a", transcript))
    assert [row["word"] for row in words] == [
        one.text.strip().replace("\udcff", "?") for one in transcript.words if one.text.strip()
    ]
    assert {row["segment"] for row in words} <= {row["segment"] for row in segments} or not transcript.segments


@pytest.mark.parametrize("table", PARQUET)
def test_many_recordings_are_a_few_row_groups(table):
    """Rows are written as they come, some 4 MB of them at a time, all with the columns of the table."""
    transcript, file = talk(3_000), None
    count = 40 if table == "words" else 600
    file = parquet.ParquetFile(written(table, ((f"{number}.wav", transcript) for number in range(count))))
    sizes = [file.read_row_group(at).nbytes for at in range(file.num_row_groups)]
    assert len(sizes) > 1
    assert all(3_500_000 <= size <= 5_000_000 for size in sizes[:-1])
    schema = file.schema_arrow
    assert {name: str(schema.field(name).type) for name in schema.names} == dict(PARQUET[table].columns)
    assert len(read_keys(table, written(table, [("a", transcript), ("b", transcript)]))) == 2


def test_rows_of_an_older_file_are_kept():
    """But those of recordings that come anew; of an earlier version's file what it has not is empty."""
    old = written("segments", [("a", Transcript("old a", run_id="1")), ("b", Transcript("old b", run_id="2"))])
    file = written("segments", [("a", Transcript("new a", run_id="3"))], old=old, without=["a"])
    assert [(row["source"], row["text"]) for row in parquet.read_table(file).to_pylist()] == [
        ("a", "new a"),
        ("b", "old b"),
    ]
    assert read_keys("segments", file) == {"a": {"3"}, "b": {"2"}}
    earlier = io.BytesIO()
    parquet.write_table(parquet.read_table(old).drop_columns(["confidence"]), earlier)
    kept = parquet.read_table(written("segments", [], old=earlier, without=[])).to_pylist()
    assert [(row["text"], row["confidence"]) for row in kept] == [("old a", None), ("old b", None)]


def test_chunks_are_lines_and_kept_like_rows():
    """Each says which recording and which jobs it is of; the rules are those that were given."""
    whole = merge([(0.0, Transcript("One. Two.", run_id="r1")), (60.0, Transcript("Three.", run_id="r2"))])
    old = written("chunks", [("a", Transcript("Old.", run_id="1")), ("b", Transcript("Other.", run_id="2"))])
    file = io.BytesIO()
    rows = write_table("chunks", file, ChunkRules(size=5))
    rows.add(whole, "a")
    rows.keep(old, ["a"])
    rows.close()
    found = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(one["source"], one["text"]) for one in found] == [
        ("a", "One."),
        ("a", "Two."),
        ("a", "Three."),
        ("b", "Other."),
    ]
    assert len({one["id"] for one in found}) == 4
    assert read_keys("chunks", io.BytesIO(file.getvalue())) == {"a": {"r1, r2"}, "b": {"2"}}


def test_what_is_no_table_is_said_so():
    """A damaged file is told from a storage in trouble."""
    with pytest.raises(ValueError, match="magic bytes"):
        read_keys("words", io.BytesIO(b"not a table at all"))
    for line in (b"not a chunk\n", b"[]\n", b'{"source": 1}\n'):
        with pytest.raises(ValueError, match=r"not JSON|not a JSON object|no recording"):
            read_keys("chunks", io.BytesIO(line))


MANY = 1_100_000
FORGED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a nested line": ("chunks", lambda: b"[" * 100_000 + b"\n"),
    "a list in the place of a name": ("chunks", lambda: b'{"source": "a", "run_id": []}\n'),
    "a line without end": ("chunks", lambda: b'{"source": "a", "text": "' + b"x" * (65 * 1024 * 1024)),
    "another table": ("segments", lambda: as_parquet({"word": ["a"]})),
    "other types": ("segments", lambda: as_parquet({"source": [1], "run_id": ["a"]})),
    "a nested column": ("segments", lambda: as_parquet({"source": [["a"] * 100], "run_id": ["a"]})),
    "no names": ("segments", lambda: as_parquet({"source": [None], "run_id": ["a"]})),
    "a group of too many rows": ("segments", lambda: as_parquet({"source": ["a"] * MANY, "run_id": ["b"] * MANY})),
    "a text for many rows": ("segments", lambda: as_parquet({"source": ["a" * 2**20] * 600, "run_id": ["b"] * 600})),
    "a long end": ("segments", lambda: b"PAR1" + b"\xff" * 100 + b"\xff\xff\xff\x7fPAR1"),
    "damage within": ("segments", lambda: with_damage(as_parquet({"source": ["a"], "run_id": ["b"]}))),
}


def with_damage(file: bytes) -> bytes:
    return file[:4] + b"\xff" * 40 + file[44:]


def as_parquet(columns: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file, row_group_size=2 * MANY)
    return file.getvalue()


@pytest.mark.parametrize("name", FORGED)
def test_whatever_somebody_has_forged_is_damage(name):
    """It is neither another error, which would end the task each time, nor read into memory."""
    table, make = FORGED[name]
    forged = make()
    with pytest.raises(ValueError):  # noqa: PT011  whichever it is
        read_keys(table, io.BytesIO(forged))
    with pytest.raises(ValueError):  # noqa: PT011
        write_table(table, io.BytesIO()).keep(io.BytesIO(forged), ["c"])


def test_a_large_file_of_nothing_is_not_read(tmp_path):
    """A file that takes no room on the disk takes none in memory."""
    file = tmp_path / "sparse"
    with file.open("wb") as sparse:
        sparse.truncate(2**30)
    tracemalloc.start()
    for table in ("chunks", "segments"):
        with file.open("rb") as opened, pytest.raises(ValueError):  # noqa: PT011
            read_keys(table, opened)
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()


def test_a_line_that_is_cut_swallows_no_other():
    """The rows that come after it have lines of their own."""
    file = io.BytesIO()
    rows = write_table("chunks", file)
    rows.keep(io.BytesIO(b'{"source": "b", "text": "x"}'), ["a"])
    rows.add(Transcript("New.", run_id="1"), "a")
    rows.close()
    assert [json.loads(line)["source"] for line in file.getvalue().splitlines()] == ["b", "a"]


def test_long_texts_are_written_before_they_are_many():
    """However few rows they are."""
    text = "x" * 2**20
    file = parquet.ParquetFile(written("segments", ((f"{number}.wav", Transcript(text)) for number in range(130))))
    assert file.num_row_groups > 1


def test_short_recordings_take_little_memory():
    """However many wait for a row group to be full, they take little more than what they say."""
    rows, before = write_table("segments", io.BytesIO()), pa.total_allocated_bytes()
    for number in range(400):
        rows.add(Transcript("Yes."), f"{number}.wav")
    assert pa.total_allocated_bytes() - before < 400 * 500
    rows.close()
