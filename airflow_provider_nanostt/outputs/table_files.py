"""Files that hold rows of tables: written recording by recording, one row group in memory, and read again.

Which recordings go into which file is not decided here, nor what their rows are.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Protocol

from airflow_provider_nanostt.outputs.chunks import to_chunks
from airflow_provider_nanostt.outputs.formats.as_chunks import lines
from airflow_provider_nanostt.outputs.merge import run_id_of
from airflow_provider_nanostt.outputs.tables import PARQUET, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_nanostt.api.models import Transcript
    from airflow_provider_nanostt.outputs.settings import ChunkRules

_ROW_GROUP = 4_000_000
"""Bytes of rows that are written at once, before they are compressed, about."""


class TableFile(Protocol):
    """A file that is being written."""

    def add(self, transcript: Transcript, source: str) -> None:
        """Add the rows of one transcript; ``source`` is the recording's name."""

    def keep(self, old: BinaryIO, without: Collection[str]) -> None:
        """Add the rows of an older file, but those of some sources.

        :raises ValueError: if it is no such file.
        """

    def close(self) -> None:
        """Write what is left, and the end of the file, which stays open."""


def write_table(table: str, file: BinaryIO, rules: ChunkRules | None = None) -> TableFile:
    """Begin the file of a table; ``rules`` are those of the chunks."""
    return _ParquetFile(PARQUET[table], file) if table in PARQUET else _ChunksFile(file, rules)


def read_keys(table: str, file: BinaryIO) -> Mapping[str, Collection[str | None]]:
    """Return which recordings a file has rows of, each with its run ids.

    :raises ValueError: if it is no such file.
    """
    found: defaultdict[str, set[str | None]] = defaultdict(set)
    for source, run_id in _parquet_keys(file) if table in PARQUET else map(_chunk_key, file):
        found[source].add(run_id)
    return found


def _parquet_keys(file: BinaryIO) -> Iterator[tuple[str, str | None]]:
    for group in _row_groups(file, ["source", "run_id"]):
        for row in group.group_by(["source", "run_id"]).aggregate([]).to_pylist():
            yield row["source"], row["run_id"]


def _chunk_key(line: bytes) -> tuple[str, str | None]:
    chunk = json.loads(line)
    source = chunk.get("source") if isinstance(chunk, dict) else None
    if not isinstance(source, str):
        raise ValueError("a line is no chunk")  # noqa: TRY004  its value is wrong, whatever it is
    return source, chunk.get("run_id")


def _row_groups(file: BinaryIO, columns: list[str] | None = None) -> Iterator[pa.Table]:
    from pyarrow import parquet

    opened = parquet.ParquetFile(file)
    for number in range(opened.num_row_groups):
        yield opened.read_row_group(number, columns=columns)


class _ParquetFile:
    """Parquet, compressed; a row group has the rows of several recordings."""

    def __init__(self, table: Table, file: BinaryIO) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._rows = table.rows
        self._schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in table.columns.items()])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._waiting = [self._schema.empty_table()]

    def add(self, transcript: Transcript, source: str) -> None:
        import pyarrow as pa

        rows = self._rows(transcript, source)
        try:
            columns = [pa.array(rows[one.name], one.type) for one in self._schema]
        except UnicodeError:  # halves of characters, which no file can hold
            columns = [pa.array(map(_utf8, rows[one.name]), one.type) for one in self._schema]
        self._add(pa.Table.from_arrays(columns, schema=self._schema))

    def keep(self, old: BinaryIO, without: Collection[str]) -> None:
        import pyarrow as pa
        from pyarrow import compute

        others = pa.array(without, pa.string())
        for group in _row_groups(old):
            kept = group.filter(compute.invert(compute.is_in(group["source"], others)))
            empty = {one.name: pa.nulls(len(kept), one.type) for one in self._schema}  # an earlier version's file
            self._add(pa.table({**empty, **{name: kept[name] for name in kept.column_names}}).cast(self._schema))

    def _add(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        if sum(one.nbytes for one in self._waiting) >= _ROW_GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        rows, self._waiting = pa.concat_tables(self._waiting), [self._schema.empty_table()]
        if len(rows):
            self._writer.write_table(rows)
        del rows
        # Arrow keeps what is freed, and with malloc it would be scattered among what Python holds.
        pa.default_memory_pool().release_unused()

    def close(self) -> None:
        self._write()
        self._writer.close()


def _utf8(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


class _ChunksFile:
    """Chunks for search, as JSON lines."""

    def __init__(self, file: BinaryIO, rules: ChunkRules | None) -> None:
        self._file = file
        self._rules = rules

    def add(self, transcript: Transcript, source: str) -> None:
        of_all_parts = replace(transcript, run_id=run_id_of(transcript))
        self._file.write(lines(to_chunks(of_all_parts, source=source, rules=self._rules)).encode("utf-8", "replace"))

    def keep(self, old: BinaryIO, without: Collection[str]) -> None:
        self._file.writelines(line for line in old if _chunk_key(line)[0] not in without)

    def close(self) -> None:
        """Nothing is left: each line was written at once."""
