"""The manifest of a batch as files: JSON lines, CSV, Parquet; written row by row, and there whole or not at all."""

from __future__ import annotations

import csv
import importlib.util
import io
import itertools
import json
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_provider_nanostt._compat import ObjectStoragePath

FORMATS = ("jsonl", "csv", "parquet")
_FILES = ("json", "txt", "srt", "vtt", "html")
_COLUMNS = (
    "number", "audio", "name", "status", "run_id", "model", "language", "charged_minutes", "cost_usd", "speakers",
    "words", "error", "error_type", "retry",
)  # fmt: skip
_ROWS_AT_ONCE = 5_000


def check_name(name: object) -> None:
    """Refuse a name that would be in another folder.

    :raises InvalidInput: saying so.
    """
    if not str(name) or "/" in str(name):
        raise InvalidInput(f'manifest must be a file name without "/", got {name!r}')


def check_formats(formats: Sequence[str] | str) -> tuple[str, ...]:
    """Return the formats for the manifest.

    :raises InvalidInput: for a format that is unknown, or that needs what is not installed.
    """
    given = formats.split(",") if isinstance(formats, str) else formats
    wanted = tuple(dict.fromkeys(name for one in given if (name := str(one).strip().lower())))
    for one in wanted:
        if one not in FORMATS:
            raise InvalidInput(f"manifest_formats must be any of {', '.join(FORMATS)}; got {one!r}")
    if "parquet" in wanted and importlib.util.find_spec("pyarrow") is None:
        raise InvalidInput(
            "a manifest as Parquet needs pyarrow: pip install 'airflow-provider-nanostt[parquet]' on the workers"
        )
    return wanted or ("jsonl",)


def write(folder: ObjectStoragePath, name: str, rows: Iterable[ManifestRow], formats: Sequence[str]) -> dict[str, str]:
    """Write the manifest in each format, and return the addresses.

    :param name: without suffix.
    :raises OSError: if it cannot be written.
    """
    writers: dict[str, Callable[[BinaryIO, Iterable[ManifestRow]], None]] = {
        "jsonl": write_lines,
        "csv": _write_csv,
        "parquet": _write_parquet,
    }
    all_rows = rows if isinstance(rows, list) else list(rows)
    places = {}
    for one in formats:
        place = folder / f"{name}.{one}"
        with object_storage.writing(place) as file:
            writers[one](file, all_rows)
        places[one] = str(place)
    return places


def write_lines(file: BinaryIO, rows: Iterable[ManifestRow]) -> None:
    """Write one JSON object a line."""
    for row in rows:
        line = json.dumps(row.to_json(), ensure_ascii=False)
        file.write(line.encode("utf-8", "replace") + b"\n")


def read_lines(data: bytes) -> list[ManifestRow]:
    """Read what :func:`write_lines` has written.

    :raises ValueError: if it is something else.
    """
    try:
        return [ManifestRow.from_json(json.loads(line)) for line in data.splitlines()]
    except (TypeError, AttributeError) as error:
        raise ValueError(f"this is not a manifest: {error}") from error


def _flat(row: ManifestRow) -> dict[str, object]:
    """Return a row as columns: lists become text, files a column for each format."""
    plain = {name: getattr(row, name) for name in _COLUMNS}
    files = {f"{one}_file": row.files.get(one) for one in _FILES}
    flat = {**plain, "speakers": "; ".join(row.speakers), **files}
    return {name: _encodable(value) if isinstance(value, str) else value for name, value in flat.items()}


def _encodable(text: str) -> str:
    """Return a text that every format can hold: names on a disk may be bytes that are no text."""
    return text.encode("utf-8", "replace").decode()


def _write_csv(file: BinaryIO, rows: Iterable[ManifestRow]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
    writer = csv.DictWriter(text, [*_COLUMNS, *(f"{one}_file" for one in _FILES)])
    writer.writeheader()
    writer.writerows(map(_flat, rows))
    text.flush()
    text.detach()  # the block that opened the file closes it


def _write_parquet(file: BinaryIO, rows: Iterable[ManifestRow]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {
        "number": pa.int64(),
        "charged_minutes": pa.float64(),
        "cost_usd": pa.float64(),
        "words": pa.int64(),
        "retry": pa.bool_(),
    }
    names = [*_COLUMNS, *(f"{one}_file" for one in _FILES)]
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    with parquet.ParquetWriter(file, schema) as writer:
        for some in _batched(rows):
            writer.write_table(pa.Table.from_pylist([_flat(row) for row in some], schema=schema))


def _batched(rows: Iterable[ManifestRow]) -> Iterator[list[ManifestRow]]:
    left = iter(rows)
    while some := list(itertools.islice(left, _ROWS_AT_ONCE)):
        yield some
