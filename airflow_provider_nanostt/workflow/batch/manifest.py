"""The rows of a batch as files, there whole or not at all: the manifest for users, the checkpoint for a resume."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.parsing import parse_words
from airflow_provider_nanostt.ledger.stores import FOLDER, ledger_errors
from airflow_provider_nanostt.outputs import FORMATS as FILE_FORMATS
from airflow_provider_nanostt.polling.transcript_spool import TranscriptSpool
from airflow_provider_nanostt.workflow.batch.items import WRITING
from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.ledger import TaskIdentity

    Writing = Mapping[str, object]

_FIELDS = [field.name for field in fields(ManifestRow) if field.name not in ("key", "files", "tables")]
_COLUMNS = [*_FIELDS, *(f"{name}_file" for name in FILE_FORMATS)]
_FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are the wide forms of the first
_ROWS_AT_ONCE = 5_000


def check_formats(formats: Sequence[str] | str) -> tuple[str, ...]:
    """Return the formats for the manifest.

    :raises InvalidInput: for a format that is unknown, or that needs what is not installed.
    """
    wanted = tuple(dict.fromkeys(word.lower() for word in parse_words("manifest_formats", formats)))
    for one in wanted:
        if one not in _WRITERS:
            raise errors.InvalidInput(f"manifest_formats must be any of {', '.join(_WRITERS)}; got {one!r}")
    if "parquet" in wanted and importlib.util.find_spec("pyarrow") is None:
        raise errors.InvalidInput(
            "a manifest as Parquet needs pyarrow: pip install 'airflow-provider-nanostt[parquet]' on the workers"
        )
    return wanted or ("jsonl",)


def write(folder: ObjectStoragePath, name: str, rows: Sequence[ManifestRow], formats: Sequence[str]) -> dict[str, str]:
    """Write the manifest in each format, and return the addresses.

    :param name: without suffix.
    :raises OSError: if it cannot be written.
    """
    written = {}
    for one in formats:
        path = folder / f"{name}.{one}"
        with object_storage.writing(path) as file:
            _WRITERS[one](file, rows)
        written[one] = str(path)
    return written


def write_lines(file: BinaryIO, rows: Iterable[ManifestRow]) -> None:
    """Write one JSON object a line."""
    for row in rows:
        line = json.dumps(row.to_json(), ensure_ascii=False)
        file.write(line.encode("utf-8", "replace") + b"\n")


def _flat(row: ManifestRow) -> dict[str, object]:
    """Return a row as columns: lists become text, files a column for each format."""
    flat = {name: getattr(row, name) for name in _FIELDS} | {"speakers": "; ".join(row.speakers)}
    flat["review"] = "; ".join(f"{_seconds(one.get('start'))}-{_seconds(one.get('end'))}" for one in row.review)
    flat |= {f"{name}_file": row.files.get(name) for name in FILE_FORMATS}
    # Names on a disk may be bytes that are no text.
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in flat.items()
    }


def _seconds(time: float | None) -> str:
    return "?" if time is None else f"{time:.2f}"


def _write_csv(file: BinaryIO, rows: Iterable[ManifestRow]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
    # Quoted, so that a semicolon in a name makes no further cell where a spreadsheet splits at semicolons.
    writer = csv.DictWriter(text, _COLUMNS, quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows({name: _as_cell(value) for name, value in _flat(row).items()} for row in rows)
    text.flush()
    text.detach()  # the block that opened the file closes it


def _as_cell(value: object) -> object:
    """Return a text that no spreadsheet takes for a formula: one that begins like one gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def _write_parquet(file: BinaryIO, rows: Sequence[ManifestRow]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {
        "number": pa.int64(),
        "charged_minutes": pa.float64(),
        "cost_usd": pa.float64(),
        "confidence": pa.float64(),
        "words": pa.int64(),
        "review_words": pa.int64(),
        "review_segments": pa.int64(),
        "retry": pa.bool_(),
    }
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in _COLUMNS])
    with parquet.ParquetWriter(file, schema) as writer:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = [_flat(row) for row in rows[start : start + _ROWS_AT_ONCE]]
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


_WRITERS: Mapping[str, Callable[[BinaryIO, Sequence[ManifestRow]], None]] = {
    "jsonl": write_lines,
    "csv": _write_csv,
    "parquet": _write_parquet,
}


class Checkpoint:
    """How a batch stood when its task was deferred, so that the resume need not look at the recordings again.

    A file beside the ledger's records. What has been paid for does not stand here but in the ledger; without this file
    a retry finds all of it again. ``spool`` is where the triggerer leaves answers, beside it.

    :param folder: for results.
    """

    def __init__(self, folder: ObjectStoragePath, identity: TaskIdentity) -> None:
        stem = identity.file_name.removesuffix(".json")
        self._folder = folder
        self._file = folder / FOLDER / f"{stem}.batch.jsonl"
        self._look = folder / FOLDER / f"{stem}.look"
        self.spool = TranscriptSpool(folder / FOLDER / f"{stem}.answers")

    def save(self, rows: Iterable[ManifestRow], writing: Iterable[Writing]) -> None:
        """Write the rows, and how the result of each is to be written.

        :raises LedgerError: if it cannot be written.
        """
        with (
            ledger_errors(f"{self._file} cannot be written, and a resume would not know the batch"),
            object_storage.writing(self._file) as file,
        ):
            for row, own in zip(rows, writing, strict=True):
                file.write(json.dumps({"row": row.to_json(), "writing": dict(own)}).encode() + b"\n")

    def load(self) -> tuple[list[ManifestRow], list[Writing]]:
        """Read what :meth:`save` has written.

        :raises LedgerMissing: if it is not there.
        :raises LedgerError: if it cannot be read.
        """
        with ledger_errors(f"{self._file} cannot be read; a retry finds each recording's record again"):
            data = object_storage.read(self._file)
            if data is not None:
                lines = [json.loads(line) for line in data.splitlines()]
                return [self._read(number, one["row"]) for number, one in enumerate(lines)], [
                    {name: value for name, value in one["writing"].items() if name in WRITING} for one in lines
                ]
        raise errors.LedgerMissing(str(self._file))

    def save_look(self, marks: Iterable[str]) -> None:
        """Keep how the files of the batch looked, for a second look by whichever worker comes next.

        :raises LedgerError: if it cannot be written.
        """
        with ledger_errors(f"{self._look} cannot be written"):
            object_storage.write(self._look, "\n".join(sorted(marks)).encode())

    def look(self) -> frozenset[str] | None:
        """Return what :meth:`save_look` has kept, None if it is not there.

        :raises LedgerError: if it cannot be read.
        """
        with ledger_errors(f"{self._look} cannot be read"):
            data = object_storage.read(self._look)
        return None if data is None else frozenset(data.decode("ascii", "replace").split())

    def forget_look(self) -> None:
        """Remove what :meth:`save_look` has kept; one that stays does no harm."""
        with contextlib.suppress(OSError):
            object_storage.remove(self._look)

    def _read(self, number: int, data: Mapping[str, object]) -> ManifestRow:
        """Read a row, whose files are in this folder: others may write here, too."""
        row = ManifestRow.from_json(data)
        if row.number != number:
            raise ValueError(f"row {number} has the number {row.number!r}")
        return replace(row, files={fmt: object_storage.in_folder(self._folder, uri) for fmt, uri in row.files.items()})
