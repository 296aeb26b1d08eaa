"""The manifest as files, read back by what others would read them with."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.workflow.batch import ManifestRow, manifest
from airflow_provider_nanostt.workflow.batch.manifest_row import FAILED, WRITTEN

ODD = 'ü "quoted", with\na line and \udcff'


def rows(count: int) -> Iterator[ManifestRow]:
    """Rows of which every other one is written."""
    for number in range(count):
        written = number % 2 == 0
        yield ManifestRow(
            number,
            f"/calls/{number}.wav" if number else f"/calls/{ODD}.wav",
            key=f"{number:024x}",
            status=WRITTEN if written else FAILED,
            files={"json": f"/t/{number}.json", "srt": f"/t/{number}.srt"} if written else {},
            run_id=f"run-{number}" if written else None,
            charged_minutes=1.5 if written else None,
            cost_usd=0.045 if written else None,
            speakers=("Agent", "Caller") if written else (),
            words=number if written else None,
            error=None if written else "it is silent",
            retry=not written,
        )


def write(folder: Path, count: int, *formats: str) -> dict[str, Path]:
    given = list(rows(count))
    written = manifest.write(object_storage.resolve(str(folder)), "night", given, formats)
    return {name: Path(uri.removeprefix("file://")) for name, uri in written.items()}


def test_each_row_is_a_line_of_json(tmp_path: Path):
    """In order, readable by any JSON reader, and the same rows when read back."""
    file = write(tmp_path, 4, "jsonl")["jsonl"]
    assert file == tmp_path / "night.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line["number"] for line in lines] == [0, 1, 2, 3]
    assert lines[0]["files"] == {"json": "/t/0.json", "srt": "/t/0.srt"}
    assert lines[1]["error"] == "it is silent"
    read = [ManifestRow.from_json(line) for line in lines]
    assert [row.to_json() for row in read][1:] == [json.loads(json.dumps(row.to_json())) for row in rows(4)][1:]


def test_csv_is_read_back(tmp_path: Path):
    """Quotes and line breaks survive; bytes that are no text do not break it; files have a column for each format."""
    with write(tmp_path, 3, "csv")["csv"].open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [one["number"] for one in read] == ["0", "1", "2"]
    assert read[0]["audio"] == '/calls/ü "quoted", with\na line and ?.wav'
    assert (read[0]["json_file"], read[0]["srt_file"], read[0]["html_file"]) == ("/t/0.json", "/t/0.srt", "")
    assert (read[0]["speakers"], read[1]["speakers"]) == ("Agent; Caller", "")
    assert (read[1]["status"], read[1]["error"], read[1]["cost_usd"]) == ("failed", "it is silent", "")


def test_parquet_is_read_back(tmp_path: Path):
    """Columns have types, also when a batch has nothing to put into them."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write(tmp_path, 3, "parquet")["parquet"])
    assert table.column("cost_usd").to_pylist() == [0.045, None, 0.045]
    assert table.column("words").to_pylist() == [0, None, 2]
    assert table.column("retry").to_pylist() == [False, True, False]
    assert table.column("json_file").to_pylist() == ["/t/0.json", None, "/t/2.json"]
    (tmp_path / "empty").mkdir()
    assert parquet.read_table(write(tmp_path / "empty", 0, "parquet")["parquet"]).schema == table.schema


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_ten_thousand_rows(tmp_path: Path, form):
    """None is lost, and they stay in order."""
    if form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
    file = write(tmp_path, 10_000, form)[form]
    if form == "jsonl":
        numbers = [json.loads(line)["number"] for line in file.read_bytes().splitlines()]
    elif form == "csv":
        with file.open(newline="", encoding="utf-8") as text:
            numbers = [int(one["number"]) for one in csv.DictReader(text)]
    else:
        numbers = parquet.read_table(file).column("number").to_pylist()
    assert numbers == list(range(10_000))


def test_an_unfinished_manifest_leaves_the_old_one(tmp_path: Path):
    """Whoever reads sees the old or the new one, never a part."""
    file = write(tmp_path, 3, "jsonl")["jsonl"]
    before = file.read_bytes()

    def broken() -> Iterator[ManifestRow]:
        yield from rows(2)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"), object_storage.writing(object_storage.resolve(str(file))) as out:
        manifest.write_lines(out, broken())
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["night.jsonl"]


def test_in_a_bucket(bucket):
    """Object storage gets the manifest in one piece."""
    written = manifest.write(object_storage.resolve("s3://bucket/results"), "night", rows(3), ("jsonl", "csv"))
    assert written == {"jsonl": "s3://bucket/results/night.jsonl", "csv": "s3://bucket/results/night.csv"}
    assert len(bucket.cat_file("/bucket/results/night.jsonl").splitlines()) == 3


def test_formats_are_checked_before_anything_is_paid(monkeypatch):
    """An unknown one is named; for Parquet without its library the extra is named."""
    assert manifest.check_formats("csv") == ("csv",)
    assert manifest.check_formats(()) == ("jsonl",)
    with pytest.raises(InvalidInput, match="any of jsonl, csv, parquet; got 'xlsx'"):
        manifest.check_formats(["jsonl", "xlsx"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InvalidInput, match=r"airflow-provider-nanostt\[parquet\]"):
        manifest.check_formats(("parquet",))
