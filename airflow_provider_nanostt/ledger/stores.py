"""Where a record is kept: beside the results, or in Airflow's task state. Each moves JSON and knows nothing of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.ledger.record import ANSWERED, INTENDED, RECEIVED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath

STATE_KEY = "nanostt"
FOLDER = ".nanostt"


class Store(Protocol):
    """Where one record is kept."""

    path: str
    max_result_chars: int
    """Characters of a result that may stay here once it is written; 0 where the result is a file anyway."""

    def load(self) -> dict[str, object] | None:
        """Return the record as JSON, or None if there certainly is none."""

    def save(self, record: Mapping[str, object], *, is_open: bool, verify: bool) -> None:
        """Keep the record: ``is_open`` while a job may still be running, ``verify`` to make sure that it is there."""


class StateAccessor(Protocol):
    """Airflow's ``context["task_state_store"]``."""

    def get(self, key: str) -> object:
        """Return a value, None if there is none."""

    def set(self, key: str, value: object, *, retention: object) -> None:
        """Set a value."""


class FileStore:
    """A record as a file beside the results."""

    max_result_chars = 0

    def __init__(self, folder: ObjectStoragePath, file_name: str) -> None:
        self._folder = folder
        self._file = folder / FOLDER / file_name
        self.path = str(self._file)

    def load(self) -> dict[str, object] | None:
        """Return the record, or None if the storage says that there is none.

        Files of its result are files of this folder, wherever it says they are: others may write here, too.
        """
        data = object_storage.read(self._file)
        record = None if data is None else _json_object(json.loads(data))
        result = record and record.get("result")
        if isinstance(result, dict) and isinstance(files := result.get("files"), dict):
            result["files"] = {fmt: object_storage.in_folder(self._folder, uri) for fmt, uri in files.items()}
        return record

    def save(self, record: Mapping[str, object], *, is_open: bool, verify: bool) -> None:  # noqa: ARG002  files stay
        """Replace the record."""
        object_storage.write(self._file, json.dumps(record, indent=1).encode())


class TaskStateStore:
    """A record in Airflow's own task state (3.3 and newer), which survives retries.

    :param part: the part whose record this is, 0 for the whole.
    """

    max_result_chars = 48_000  # Airflow warns above 64 KB
    path = "Airflow's task state"

    def __init__(self, accessor: StateAccessor, part: int = 0) -> None:
        self._key = f"{STATE_KEY}-part-{part:03d}" if part else STATE_KEY
        self._accessor = accessor

    def load(self) -> dict[str, object] | None:
        """Return the record, or None if there is none."""
        record = self._accessor.get(self._key)
        return None if record is None else _json_object(record)

    def save(self, record: Mapping[str, object], *, is_open: bool, verify: bool) -> None:
        """Replace the record; Airflow answers when its API server has it, and raises if that refused it."""
        from airflow_provider_nanostt._compat import NEVER_EXPIRE  # an open job's record must not expire

        self._accessor.set(self._key, record, retention=NEVER_EXPIRE if is_open else None)
        if verify and self._accessor.get(self._key) != json.loads(json.dumps(record)):
            raise OSError("Airflow did not keep the record")


class MirroredStore:
    """A record in Airflow's task state, which counts, and again beside the results, where more people may write.

    :param own: Airflow's; it also knows of a submit under another output folder, or under none.
    :param beside: has the text of an answer that came at once, too.
    """

    def __init__(self, beside: FileStore, own: TaskStateStore) -> None:
        self._beside = beside
        self._own = own
        self.path = beside.path
        self.max_result_chars = beside.max_result_chars

    def load(self) -> dict[str, object] | None:
        """Return Airflow's record, or None if neither has one.

        The file counts where it has received more of the same submit: Airflow may not have answered when that came.
        """
        beside, own = self._beside.load(), self._own.load()
        if beside is None or own is None:
            return own if beside is None else beside
        is_same = all(beside.get(name) == own.get(name) for name in ("intended_at", "fingerprint"))
        is_more = own.get("state") in (INTENDED, ANSWERED) and beside.get("state") in RECEIVED
        return beside if is_same and is_more else own

    def save(self, record: Mapping[str, object], *, is_open: bool, verify: bool) -> None:
        """Replace both, even if one cannot be; the text of an answer stays out of Airflow's database."""
        try:
            self._own.save({**record, "answer": None}, is_open=is_open, verify=verify)
        finally:
            self._beside.save(record, is_open=is_open, verify=verify)


def _json_object(record: object) -> dict[str, object]:
    if not isinstance(record, dict):
        raise TypeError(f"it has the type {type(record).__name__}, so it is not a record")
    return record
