"""The tables of batches: many runs are one data set that has each transcript once, whatever happens to the tasks."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from tests.outside import failing, killed, output, record
from tests.real_store import Shelf
from tests.workflow.batch.conftest import ASYNC, SYNC, Batch, once, text_of

dataset = pytest.importorskip("pyarrow.dataset")
parquet = pytest.importorskip("pyarrow.parquet")

BOTH = ("segments", "words")
ALL = (*BOTH, "chunks")
DAYS = 86_400.0


class Night:
    """A run of a day, whose batch writes tables."""

    def __init__(self, batch: Batch, number: int) -> None:
        self.batch = batch
        self.day = f"2026-11-{number:02d}"
        self.instance = {"run_id": f"scheduled__{self.day}"}
        self.dag_run = SimpleNamespace(logical_date=datetime(2026, 11, number, tzinfo=UTC))

    def run(self, audio: Any, **arguments: Any) -> dict[str, Any]:
        made = {"tables": ALL, "skip_existing": True, **arguments}
        context = {**self.batch.memory.context(**self.instance), "dag_run": self.dag_run}
        result: dict[str, Any] = self.batch.run_task(lambda: self.batch.make(audio, **made), context)
        return result


@pytest.fixture
def night(batch: Batch) -> Any:
    return lambda number: Night(batch, number)


@pytest.fixture
def days_pass(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the clock go on by a day for each call."""
    now, passed = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: now() + passed[0])
    return lambda: passed.__setitem__(0, passed[0] + DAYS)


def duckdb() -> Any:
    """The reader that nobody here wrote; the environments of the clouds and of other Airflows have none."""
    return pytest.importorskip("duckdb")


def files(batch: Batch, table: str = "segments") -> list[Path]:
    return sorted((batch.memory.folder / table).rglob("*.*"))


def rows(batch: Batch, table: str = "segments") -> list[dict[str, Any]]:
    """All rows of a table, as DuckDB reads it."""
    reader, suffix = ("read_json", "jsonl") if table == "chunks" else ("read_parquet", "parquet")
    files = f"'{batch.memory.folder}/{table}/*/*.{suffix}'"
    found = duckdb().sql(f"select * from {reader}({files}, hive_partitioning = true) order by source, start")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def told(batch: Batch, table: str = "segments") -> Counter[str]:
    """How often each recording begins in a table."""
    first, value = {"segments": ("segment", 0), "words": ("start", 0.0), "chunks": ("chunk", 1)}[table]
    return Counter(Path(row["source"]).name for row in rows(batch, table) if row[first] == value)


def assert_each_once(batch: Batch, audio: list[str]) -> None:
    for table in ALL:
        assert told(batch, table) == once(audio)
    by_source = {Path(row["source"]).name: row["text"] for row in rows(batch)}
    assert by_source == {Path(one).name: text_of(Path(one).name) for one in audio}
    assert not list((batch.memory.folder / ".nanostt" / "tables").glob("*"))
    assert not list(batch.memory.folder.rglob("*.part"))


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_night_is_in_the_tables(batch: Batch, night, deferrable):
    """Whichever way is waited; two readers see the same rows, and words find their segment and their manifest's row."""
    audio = batch.recordings(4)
    result = night(26).run(audio, deferrable=deferrable)
    assert_each_once(batch, audio)
    assert [uri.removeprefix("file://") for uri in result["tables"].values()] == [
        str(files(batch, table)[0]) for table in ALL
    ]
    read = dataset.dataset(str(batch.memory.folder / "segments"), partitioning="hive").to_table().to_pylist()
    key = lambda row: (row["source"], row["segment"])  # noqa: E731
    assert [{**row, "day": None} for row in sorted(read, key=key)] == [{**row, "day": None} for row in rows(batch)]
    assert {str(row["day"]) for row in [*rows(batch), *rows(batch, "words")]} == {"2026-11-26"}
    assert {row["audio"]: (row["run_id"], row["model"], row["language"]) for row in batch.rows} == {
        row["source"]: (row["run_id"], row["model"], row["language"]) for row in rows(batch)
    }
    assert all(set(row["tables"]) == set(ALL) for row in batch.rows)
    assert {row["text"] for row in rows(batch, "chunks")} == {text_of(Path(one).name) for one in audio}
    for table in BOTH:
        duckdb().sql(f"create or replace view {table} as from '{batch.memory.folder}/{table}/*/*.parquet'")
    texts = "select text, string_agg(word, ' ' order by words.start) from words"
    found = duckdb().sql(f"{texts} join segments using (source, run_id, segment) group by all").fetchall()
    assert len(found) == 4
    assert all(text == words for text, words in found)


def test_several_nights_are_one_data_set(batch: Batch, night):
    """Each night adds one file with what is new, and touches no other; a night that brings nothing adds none."""
    audio = batch.recordings(2)
    night(1).run(audio)
    first = {file: file.stat().st_mtime_ns for table in ALL for file in files(batch, table)}
    audio.append(batch.recording("new.wav"))
    assert set(night(2).run(audio)["tables"]) == set(ALL)
    assert night(3).run(audio)["tables"] == {}
    assert_each_once(batch, audio)
    assert [file.parent.name for file in files(batch)] == ["day=2026-11-01", "day=2026-11-02"]
    assert {file: file.stat().st_mtime_ns for file in first} == first
    assert {Path(row["source"]).name: str(row["day"])[-2:] for row in rows(batch)} == {
        "call-000.wav": "01",
        "call-001.wav": "01",
        "new.wav": "02",
    }


KILLS: dict[str, dict[str, Any]] = {
    "while landing": {"after": record("written"), "nth": 3},
    "before the first file": {"before": output("*.parquet")},
    "between the files": {"after": output("*.parquet")},
    "before the last file": {"before": output("chunks/*/*.jsonl")},
    "after the last file": {"after": output("chunks/*/*.jsonl")},
}
QUICK = "between the files"
AT = pytest.mark.parametrize(
    "at", [pytest.param(at, marks=[] if at == QUICK else pytest.mark.long, id=at) for at in KILLS]
)


@AT
def test_killed_and_retried_each_is_there_once(batch: Batch, night, at):
    """The retry writes the same file anew; half a file is never there."""
    audio = batch.recordings(4)
    with killed(**KILLS[at]):
        night(1).run(audio)
    for table in BOTH:
        assert all(len(parquet.read_table(file)) for file in files(batch, table))
    assert set(night(1).run(audio)["tables"]) == set(ALL)
    assert_each_once(batch, audio)
    assert [len(files(batch, table)) for table in ALL] == [1, 1, 1]
    assert batch.charged == once(audio)


@AT
def test_killed_and_never_retried_the_next_night_has_what_is_missing(batch: Batch, night, days_pass, at):
    """And if the first run is cleared after all, each is still there once."""
    audio = batch.recordings(4)
    with killed(**KILLS[at]):
        night(1).run(audio)
    marked = list((batch.memory.folder / ".nanostt" / "tables").glob("*"))
    days_pass()
    audio.append(batch.recording("new.wav"))
    night(2).run(audio)
    for table in ALL:
        assert told(batch, table) == once(audio)
    assert list((batch.memory.folder / ".nanostt" / "tables").glob("*")) == marked
    night(1).run(audio)
    assert_each_once(batch, audio)
    assert batch.charged == once(audio)


@pytest.mark.long
def test_what_another_run_is_about_to_write_is_left_to_it(batch: Batch, night):
    """As long as it may be at work, nobody takes its recordings over."""
    audio = batch.recordings(3)
    with killed(before=output("*.parquet")):
        night(1).run(audio)
    audio.append(batch.recording("new.wav"))
    night(2).run(audio)
    assert told(batch) == once(["new.wav"])
    night(1).run(audio)
    assert_each_once(batch, audio)


@pytest.mark.long
def test_what_is_damaged_of_a_killed_run_is_taken_over(batch: Batch, night):
    """Neither a marker nor a file that cannot be read stops the next night, and nothing is left out."""
    audio = batch.recordings(2)
    with killed(**KILLS["between the files"]):
        night(1).run(audio)
    (marker,) = (batch.memory.folder / ".nanostt" / "tables").glob("*")
    for content in (b"{", b"[]", b'{"until": "soon"}'):
        marker.write_bytes(content)
        files(batch)[0].write_bytes(b"not a table")
        night(2).run(audio)
    files(batch)[0].unlink()
    marker.unlink()
    for table in ALL:
        assert told(batch, table) == once(audio)


@pytest.mark.parametrize("is_retried", [True, False])
def test_what_failed_first_and_landed_later(batch: Batch, night, days_pass, is_retried):
    """It comes into the file of its run, or into that of the next night if the retry was killed before that."""
    audio = [*batch.recordings(2), str(batch.folder / "late.wav")]
    with pytest.raises(AirflowFailException, match="1 of 3"):
        night(1).run(audio)
    assert told(batch) == once(audio[:2])
    batch.recording("late.wav")
    if is_retried:
        night(1).run(audio)
        assert len(files(batch)) == 1
    else:
        with killed(before=output("*.parquet")):
            night(1).run(audio)
        days_pass()
        night(2).run(audio)
        assert told(batch) == once(audio)
        night(1).run(audio)
    assert_each_once(batch, audio)


def test_a_clear_writes_its_own_file_anew(batch: Batch, night):
    """With what the task says now; recordings that are in the folder no more stay in it, with their old rows."""
    told_twice = [{"speaker": f"Speaker {one}", "text": f"Part {one}.", "start": one, "end": one + 1} for one in (1, 2)]
    audio = [batch.recording(f"{name}.wav", text=None, segments=told_twice) for name in "ab"]
    night(1).run(audio, diarize=True)
    night(2).run([*audio, batch.recording("c.wav")], diarize=True)
    other = files(batch)[1].read_bytes()
    names = {"Speaker 1": "Agent", "Speaker 2": "Caller"}
    night(1).run(audio[:1], diarize=True, output_options={"speaker_names": names})
    assert [(Path(row["source"]).stem, row["speaker"]) for row in rows(batch)] == [
        ("a", "Agent"),
        ("a", "Caller"),
        ("b", "Speaker 1"),
        ("b", "Speaker 2"),
        ("c", "Speaker 1"),
    ]
    assert files(batch)[1].read_bytes() == other


def test_a_recording_that_changed_has_its_newest_rows_in_the_newest_file(batch: Batch, night):
    """It is another transcript; the query on the page of tables leaves the old one out."""
    audio = batch.recordings(2)
    night(1).run(audio)
    batch.script("call-000.wav", text="Something else was said.")
    Path(audio[0]).write_bytes(Path(batch.recording("other.wav")).read_bytes())
    night(2).run(audio)
    texts = [row["text"] for row in rows(batch) if row["source"] == audio[0]]
    assert sorted(texts) == ["Something else was said.", text_of("call-000.wav")]
    page = (Path(__file__).parents[3] / "docs" / "tables.md").read_text()
    query = page.partition("```sql\n")[2].partition("```")[0].replace("transcripts/", f"{batch.memory.folder}/")
    newest = duckdb().sql(f"select text from ({query}) order by source").fetchall()
    assert newest == [("Something else was said.",), (text_of("call-001.wav"),)]


@pytest.mark.long
def test_a_forced_run_has_only_its_new_transcripts(batch: Batch, night):
    """Runs without shared records pay for themselves, and force replaces what the run had."""
    audio = batch.recordings(2)
    plain = {"skip_existing": False}
    night(1).run(audio, **plain)
    before = {row["run_id"] for row in rows(batch)}
    night(1).run(audio, **plain, force=True)
    after = {row["run_id"] for row in rows(batch)}
    assert told(batch) == once(audio)
    assert len(after) == 2
    assert not after & before
    night(2).run(audio, **plain)
    assert len({row["run_id"] for row in rows(batch)}) == len(rows(batch)) == 4


def test_a_batch_without_words(batch: Batch, night):
    """A model without times has one segment with all its text, and a file of words without rows, which readers take."""
    audio = batch.recordings(2)
    night(1).run(audio, model=SYNC)
    assert [(row["segment"], row["start"], row["text"]) for row in rows(batch)] == [
        (0, None, text_of(Path(one).name)) for one in audio
    ]
    assert rows(batch, "words") == []
    night(2).run([*audio, batch.recording("c.wav")], model=SYNC)
    assert len(files(batch, "words")) == len(files(batch)) == 2
    with_words = batch.recording("d.wav")
    night(3).run([with_words], model=ASYNC)
    assert told(batch, "words") == once([with_words])


def test_older_transcripts_and_lost_files_come_in_by_themselves(batch: Batch, night):
    """Tables may be asked for later, and a file that somebody has removed is made up for by the next night."""
    audio = batch.recordings(3)
    night(1).run(audio, tables=())
    assert not (batch.memory.folder / "segments").exists()
    night(2).run(audio, tables="segments")
    night(3).run(audio)
    assert_each_once(batch, audio)
    assert [file.parent.name for file in files(batch)] == ["day=2026-11-02"]
    assert [file.parent.name for file in files(batch, "words")] == ["day=2026-11-03"]
    files(batch)[0].unlink()
    night(4).run(audio)
    assert_each_once(batch, audio)
    assert len(batch.emulator.charges) == 3


def test_a_storage_that_refuses_a_table_loses_no_transcript(batch: Batch, night):
    """The task fails and may be retried; transcripts and manifest are there, and the retry pays nothing."""
    audio = batch.recordings(3)
    with failing(output("*.parquet"), OSError("no space left"), first=2), pytest.raises(errors.StorageUnavailable):
        night(1).run(audio)
    assert batch.statuses == ["written"] * 3
    assert night(1).run(audio)["written"] == 3
    assert_each_once(batch, audio)
    assert batch.charged == once(audio)


@pytest.mark.long
def test_a_transcript_that_is_gone_is_written_again(batch: Batch, night):
    """Rows are never left out: the retry fetches what the tables need, for nothing."""
    audio = batch.recordings(2)
    with killed(before=output("*.parquet")):
        night(1).run(audio)
    (batch.memory.folder / "call-000.json").write_text("{")
    files(batch)
    night(1).run(audio)
    assert_each_once(batch, audio)
    assert batch.charged == once(audio)


def test_what_is_no_file_is_not_opened(batch: Batch, night):
    """A pipe in the place of a table, which nobody ends, does not hold the worker; the table is written."""
    audio = batch.recordings(2)
    night(1).run(audio)
    (table,) = files(batch)
    table.unlink()
    os.mkfifo(table)
    night(1).run(audio)
    assert_each_once(batch, audio)
    assert batch.charged == once(audio)


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda marker: marker.write_text('{"until": 1e300}'), id="for ever"),
        pytest.param(lambda marker: marker.write_bytes(b"[" * 3000), id="nested"),
        pytest.param(lambda marker: os.truncate(marker, 2**30), id="large", marks=pytest.mark.long),
        pytest.param(lambda marker: (marker.unlink(), os.mkfifo(marker)), id="a pipe", marks=pytest.mark.long),
        pytest.param(
            lambda marker: (marker.unlink(), marker.symlink_to("/dev/zero")), id="a link", marks=pytest.mark.long
        ),
    ],
)
def test_a_forged_marker_hides_no_rows(batch: Batch, night, days_pass, forge):
    """Whatever stands in it, the next night has what the killed run has left out."""
    audio = batch.recordings(2)
    with killed(**KILLS["before the first file"]):
        night(1).run(audio)
    (marker,) = (batch.memory.folder / ".nanostt" / "tables").glob("*")
    forge(marker)
    days_pass()
    night(2).run(audio)
    for table in ALL:
        assert told(batch, table) == once(audio)
    assert batch.charged == once(audio)


@pytest.mark.parametrize("kind", ["a pipe", "a link"])
def test_what_is_no_file_has_no_rows(batch: Batch, night, kind):
    """In the place of another run's table: the next night has the rows, which nobody could read there."""
    audio = batch.recordings(2)
    night(1).run(audio, tables="segments")
    (table,) = files(batch)
    table.unlink()
    os.mkfifo(table) if kind == "a pipe" else table.symlink_to("/dev/null")
    night(2).run(audio, tables="segments")
    table.unlink()
    assert told(batch) == once(audio)
    assert batch.charged == once(audio)


@pytest.mark.long
def test_a_damaged_file_is_written_anew(batch: Batch, night, logged):
    """Whatever stands in its place, the run's file has all of the run."""
    audio = batch.recordings(2)
    night(1).run(audio)
    for table in ALL:
        files(batch, table)[0].write_bytes(b"not a table")
    night(1).run(audio)
    assert_each_once(batch, audio)
    assert any("is damaged, and written anew" in line for line in logged())


@pytest.mark.long
def test_instances_of_a_mapped_batch_have_files_of_their_own(batch: Batch, night):
    """Two instances of a task in one run never write the same file."""
    audio = batch.recordings(4)
    for index in (0, 1):
        run = night(1)
        run.instance["map_index"] = index
        run.run(audio[2 * index : 2 * index + 2], skip_existing=False)
    assert told(batch) == once(audio)
    assert len(files(batch)) == 2


@pytest.mark.parametrize(
    ("tables", "words"),
    [("sentences", "any of segments, words"), ({"words": 1}, "list of words"), (7, "list of words")],
)
def test_unknown_tables_are_refused_before_anything_is_sent(batch: Batch, night, tables, words):
    """A mistake costs nothing."""
    with pytest.raises(AirflowFailException, match=words):
        night(1).run(batch.recordings(1), tables=tables)
    assert batch.submits == 0


def test_without_its_library_nothing_is_sent(batch: Batch, night, monkeypatch):
    """The message names the extra."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "pyarrow" else find(name, *more)
    )
    with pytest.raises(AirflowFailException, match=r"airflow-provider-nanostt\[parquet\]"):
        night(1).run(batch.recordings(1))
    assert batch.submits == 0
    assert set(night(1).run(batch.recordings(1), tables="chunks")["tables"]) == {"chunks"}


def test_a_storage_that_cannot_be_written_is_found_out_before_anything_is_sent(batch: Batch, night):
    """The marker comes first."""
    audio = batch.recordings(1)
    with (
        failing(lambda event: "tables" in event.path.parts, OSError("read only")),
        pytest.raises(errors.StorageUnavailable, match="tables cannot be written"),
    ):
        night(1).run(audio)
    assert batch.submits == 0


def test_in_an_object_store(batch: Batch, night, shelf: Shelf, days_pass):
    """Two nights, the first of them killed between its files: one data set that pyarrow reads where it is."""
    for name in ("a.wav", "b.wav"):
        shelf.put(f"calls/{name}", Path(batch.recording(name)).read_bytes())
    given = {"output_path": f"{shelf.uri}/results"}
    from airflow_provider_nanostt.common import object_storage

    put = object_storage.writing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_storage, "writing", lambda path: refuse() if "words" in str(path) else put(path))
        with pytest.raises(errors.StorageUnavailable):
            night(1).run(f"{shelf.uri}/calls/*.wav", **given)
    shelf.put("calls/c.wav", Path(batch.recording("c.wav")).read_bytes())
    days_pass()
    result = night(2).run(f"{shelf.uri}/calls/*.wav", **given)
    assert result["tables"]["words"].startswith(f"{shelf.uri}/results/words/day=2026-11-02/")
    for table, column in (("segments", "segment"), ("words", "start")):
        place = shelf.path(f"results/{table}")
        found = dataset.dataset(place, filesystem=shelf.fs, partitioning="hive").to_table().to_pylist()
        names = Counter(Path(row["source"]).name for row in found if row[column] == 0)
        assert names == {"a.wav": 1, "b.wav": 1, "c.wav": 1}
    assert sum(batch.charged.values()) == 3


def refuse() -> Any:
    raise OSError("gone")


def test_the_manifest_names_the_files(batch: Batch, night):
    """Of a recording that an earlier night has written, that night's."""
    audio = batch.recordings(1)
    night(1).run(audio)
    night(2).run([*audio, batch.recording("new.wav")])
    where = [json.dumps(row["tables"]) for row in batch.rows]
    assert "day=2026-11-01/batch-calls-transcribe-scheduled__2026_11_01-" in where[0]
    assert "day=2026-11-02/" in where[1]
