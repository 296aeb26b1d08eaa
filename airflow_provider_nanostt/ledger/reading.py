"""Reading the records of whole folders, whoever wrote them. Nothing is written and nothing decided here."""

from __future__ import annotations

import glob
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_nanostt.api.body import decode
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.listing import matching
from airflow_provider_nanostt.ledger.record import Record
from airflow_provider_nanostt.ledger.stores import FOLDER, ledger_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider_nanostt._compat import ObjectStoragePath

T = TypeVar("T")

_READERS = 8
_MAX_RECORD_BYTES = 16 * 1024 * 1024


def records_of(folder: ObjectStoragePath, take: Callable[[Record], T]) -> list[T | None]:
    """Read the records of one folder of results; return what is taken of each, in any order, None if it is damaged.

    :param take: called in several threads; the whole of a record, which may be large, is not kept.
    :raises LedgerError: if the folder cannot be listed.
    """
    with ledger_errors(f"{folder} cannot be listed"):
        names = [name for name in object_storage.list_folder(folder / FOLDER) if name.endswith(".json")]
    return _read_all((folder / FOLDER / name for name in names), take)


def records_below(folder: ObjectStoragePath, take: Callable[[Record], T]) -> dict[str, T | None]:
    """Return the same of a folder and of all that are below it, by the records' files.

    On this machine links are not followed, and a folder that cannot be listed is there as a record that is damaged.

    :raises LedgerError: if it cannot be listed.
    """
    root = str(folder.path).strip("/")
    pattern = f"{glob.escape(str(folder.path).rstrip('/'))}/**/{FOLDER}/*.json"
    with ledger_errors(f"{folder} cannot be listed"):
        if object_storage.is_local(folder):
            found = list(_local_files(str(folder.path)))
        else:
            folder.fs.invalidate_cache()
            found = [str(entry["name"]) for entry in matching(folder.fs, pattern)]
    files = [folder / name.strip("/").removeprefix(root).strip("/") for name in found]
    return dict(zip(map(str, files), _read_all(files, take), strict=True))


def _local_files(root: str) -> Iterator[str]:
    """Yield whatever is in the place of a record: a pipe or a link, too, of which nobody should think it was read."""
    refused: list[str] = []
    for place, _, names in os.walk(root, onerror=lambda error: refused.append(str(error.filename))):
        if place.rpartition("/")[2] == FOLDER:
            yield from (f"{place}/{name}" for name in names if name.endswith(".json"))
    yield from (name for name in refused if Path(name).is_dir())


def _read_all(files: Iterable[ObjectStoragePath], take: Callable[[Record], T]) -> list[T | None]:
    def read(file: ObjectStoragePath) -> T | None:
        with suppress(Exception):  # others may write there, and what a storage raises is its own matter
            data = object_storage.read(file, at_most=_MAX_RECORD_BYTES)
            return take(Record.from_json(decode(data or b"")))
        return None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="nanostt-records") as pool:
        return list(pool.map(read, files))
