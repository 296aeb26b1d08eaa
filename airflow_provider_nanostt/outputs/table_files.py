"""Files that hold rows of tables: written recording by recording, one row group in memory, and read again.

Which recordings go into which file is not decided here, nor what their rows are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, Protocol

from airflow_provider_nanostt.outputs.tables import TABLES

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_nanostt.api.models import Transcript

_ROW_GROUP = 100_000
"""Rows that are written at once, about."""


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


def write_table(table: str, file: BinaryIO) -> TableFile:
    """Begin the file of a table."""
    return _ParquetFile(table, file)


def read_keys(file: BinaryIO) -> Mapping[str, Collection[str | None]]:
    """Return which recordings a file has rows of, each with its run ids.

    :raises ValueError: if it is no such file.
    """
    found: defaultdict[str, set[str | None]] = defaultdict(set)
    for group in _row_groups(file, ["source", "run_id"]):
        for row in group.group_by(["source", "run_id"]).aggregate([]).to_pylist():
            found[row["source"]].add(row["run_id"])
    return found


def _row_groups(file: BinaryIO, columns: list[str] | None = None) -> Iterator[pa.Table]:
    from pyarrow import parquet

    opened = parquet.ParquetFile(file)
    for number in range(opened.num_row_groups):
        yield opened.read_row_group(number, columns=columns)


class _ParquetFile:
    """Parquet, compressed; a row group has the rows of several recordings."""

    def __init__(self, table: str, file: BinaryIO) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._rows = TABLES[table].rows
        columns = TABLES[table].columns
        self._schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._waiting = [self._schema.empty_table()]

    def add(self, transcript: Transcript, source: str) -> None:
        import pyarrow as pa

        rows = dict(self._rows(transcript, source))
        try:
            self._add(pa.table(rows, schema=self._schema))
        except UnicodeError:  # halves of characters, which no file can hold
            self._add(pa.table({name: [*map(_utf8, values)] for name, values in rows.items()}, schema=self._schema))

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
        if sum(map(len, self._waiting)) >= _ROW_GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        rows, self._waiting = pa.concat_tables(self._waiting), [self._schema.empty_table()]
        if len(rows):
            self._writer.write_table(rows)

    def close(self) -> None:
        self._write()
        self._writer.close()


def _utf8(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
