"""Files that hold rows of tables: written recording by recording, one row group in memory, and read again.

Which recordings go into which file is not decided here, nor what their rows are. Others may write files, too: whatever
is in one that is read, some thousand rows of it are in memory at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Protocol

from airflow_provider_nanostt.api.body import decode_object
from airflow_provider_nanostt.outputs.chunks import to_chunks, to_json_lines
from airflow_provider_nanostt.outputs.merge import run_id_of
from airflow_provider_nanostt.outputs.tables import PARQUET, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_nanostt.api.models import Transcript
    from airflow_provider_nanostt.outputs.settings import ChunkRules

_ROW_GROUP = 4_000_000
"""Bytes of rows that are written at once, before they are compressed, about."""

_LOOSE = 100
"""Recordings whose rows wait apart: each takes some kilobytes besides, however short it is."""

_MAX_ROWS, _MAX_BYTES = 2**20, 512 * 1024 * 1024
"""Of a row group that is read; ours have fewer."""

_BATCH = 10_000
"""Rows that are read at once."""

_KINDS = frozenset(kind for table in PARQUET.values() for kind in table.columns.values())
"""Of columns."""

_MAX_FOOTER_BYTES = 64 * 1024 * 1024
_MAX_LINE_BYTES = 64 * 1024 * 1024
"""A chunk may be a whole transcript."""

_MAX_KEY_CHARS = 64 * 1024 * 1024
_KEY_CHARS = 100
"""That each recording counts beside its names."""


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
    chars = 0
    for source, run_id in map(_key, _parquet_keys(file) if table in PARQUET else map(decode_object, _lines(file))):
        if run_id not in found[source]:
            chars += len(source) + len(run_id or "") + _KEY_CHARS
            if chars > _MAX_KEY_CHARS:
                raise ValueError("it has more recordings than any batch")
            found[source].add(run_id)
    return found


def _parquet_keys(file: BinaryIO) -> Iterator[Mapping[str, object]]:
    names = ["source", "run_id"]
    with _as_damage():
        for rows in _batches(file, names):
            yield from rows.group_by(names).aggregate([]).to_pylist()


def _key(row: Mapping[str, object]) -> tuple[str, str | None]:
    source, run_id = row.get("source"), row.get("run_id")
    if not isinstance(source, str) or not (run_id is None or isinstance(run_id, str)):
        raise ValueError("a row or a line is of no recording")
    return source, run_id


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines, each with its end."""
    while line := file.readline(_MAX_LINE_BYTES + 1):
        if len(line) > _MAX_LINE_BYTES:
            raise ValueError("a line is too long for a chunk")
        yield line.rstrip(b"\n") + b"\n"


def _batches(file: BinaryIO, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield some rows after the other; texts that a file has once for many rows are looked at before they are many.

    :param columns: those to read, as far as the file has them.
    """
    import pyarrow as pa
    from pyarrow import compute, parquet

    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    footer, magic = file.read(4), file.read(4)
    if magic == b"PAR1" and int.from_bytes(footer, "little") > _MAX_FOOTER_BYTES:
        raise ValueError("its end is too long")
    schema = parquet.ParquetFile(file).schema_arrow
    kinds = {name: str(schema.field(name).type) for name in columns if name in schema.names}
    if not set(kinds.values()) <= _KINDS:
        raise ValueError("its columns have other types")
    opened = parquet.ParquetFile(file, read_dictionary=[name for name, kind in kinds.items() if kind == "string"])
    for number in range(opened.num_row_groups):
        group = opened.metadata.row_group(number)
        if group.num_rows > _MAX_ROWS or group.total_byte_size > _MAX_BYTES:
            raise ValueError("a row group is too large")
        for batch in opened.iter_batches(_BATCH, row_groups=[number], columns=list(kinds)):
            made = {}
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if pa.types.is_dictionary(column.type):
                    lengths = compute.binary_length(column.dictionary).take(column.indices)
                    if (compute.sum(lengths).as_py() or 0) > _MAX_BYTES:
                        raise ValueError("its texts are too long")
                made[name] = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
            yield pa.table(made)


@contextmanager
def _as_damage() -> Iterator[None]:
    """Raise a ValueError for whatever Arrow raises of a file that it cannot read; a storage's own errors stay."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, KeyError, TypeError) as error:
        raise ValueError(f"it is no such table: {error}") from error
    except OSError as error:
        if type(error) is not OSError or error.errno is not None:
            raise
        raise ValueError(f"it is no such table: {error}") from error


class _ParquetFile:
    """Parquet, compressed; a row group has the rows of several recordings."""

    def __init__(self, table: Table, file: BinaryIO) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._rows = table.rows
        self._schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in table.columns.items()])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._waiting = [self._schema.empty_table()]
        self._bytes = 0

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
        with _as_damage():
            for rows in _batches(old, self._schema.names):
                kept = rows.filter(compute.invert(compute.is_in(rows["source"], others)))
                empty = {one.name: pa.nulls(len(kept), one.type) for one in self._schema}  # an earlier version's file
                self._add(pa.table({**empty, **{name: kept[name] for name in kept.column_names}}).cast(self._schema))

    def _add(self, rows: pa.Table) -> None:
        import pyarrow as pa

        self._waiting.append(rows)
        self._bytes += rows.nbytes
        if self._bytes >= _ROW_GROUP:
            self._write()
        elif len(self._waiting) > _LOOSE:
            self._waiting = [pa.concat_tables(self._waiting).combine_chunks()]

    def _write(self) -> None:
        import pyarrow as pa

        rows, self._waiting, self._bytes = pa.concat_tables(self._waiting), [self._schema.empty_table()], 0
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
        chunks = to_chunks(of_all_parts, source=source, rules=self._rules)
        self._file.write(to_json_lines(chunks).encode("utf-8", "replace"))

    def keep(self, old: BinaryIO, without: Collection[str]) -> None:
        self._file.writelines(line for line in _lines(old) if _key(decode_object(line))[0] not in without)

    def close(self) -> None:
        """Nothing is left: each line was written at once."""
