"""Reading the records of whole folders, whoever wrote them. Nothing is written and nothing decided here."""

from __future__ import annotations

import glob
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.listing import matching
from airflow_provider_nanostt.ledger.record import Record
from airflow_provider_nanostt.ledger.stores import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_nanostt._compat import ObjectStoragePath

T = TypeVar("T")

_READERS = 8
_MAX_RECORD_BYTES = 16 * 1024 * 1024


def records_of(folder: ObjectStoragePath, take: Callable[[Record], T]) -> list[T | None]:
    """Read the records of one folder of results; return what is taken of each, in any order, None if it is damaged.

    :param take: called in several threads; the whole of a record, which may be large, is not kept.
    :raises LedgerError: if the folder cannot be listed.
    """
    try:
        names = [name for name in object_storage.list_folder(folder / FOLDER) if name.endswith(".json")]
    except Exception as error:  # whatever a storage raises
        raise errors.LedgerError.of(f"{folder} cannot be listed", error) from error
    return _read_all((folder / FOLDER / name for name in names), take)


def records_below(folder: ObjectStoragePath, take: Callable[[Record], T]) -> list[T | None]:
    """Return the same of a folder and of all that are below it.

    :raises LedgerError: if it cannot be listed.
    """
    root = str(folder.path).strip("/")
    pattern = f"{glob.escape(str(folder.path).rstrip('/'))}/**/{FOLDER}/*.json"
    try:
        folder.fs.invalidate_cache()
        found = [str(entry["name"]).strip("/") for entry in matching(folder.fs, pattern)]
    except Exception as error:  # whatever a storage raises
        raise errors.LedgerError.of(f"{folder} cannot be listed", error) from error
    return _read_all((folder / name.removeprefix(root).strip("/") for name in found), take)


def _read_all(files: Iterable[ObjectStoragePath], take: Callable[[Record], T]) -> list[T | None]:
    def read(file: ObjectStoragePath) -> T | None:
        with suppress(Exception):  # others may write there, and what a storage raises is its own matter
            data = object_storage.read(file, at_most=_MAX_RECORD_BYTES)
            return take(Record.from_json(json.loads(data or b"")))
        return None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="nanostt-records") as pool:
        return list(pool.map(read, files))
