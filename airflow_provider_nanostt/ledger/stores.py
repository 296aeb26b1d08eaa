"""Where a record is kept: beside the results, or in Airflow's task state. Each moves JSON and knows nothing of it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.ledger.record import ANSWERED, INTENDED, RECEIVED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath

STATE_KEY = "nanostt"
FOLDER = ".nanostt"


@contextmanager
def ledger_errors(problem: str) -> Iterator[None]:
    """Raise whatever a storage raises in the block as a LedgerError: it is not the answer "no record"."""
    try:
        yield
    except Exception as error:
        raise errors.LedgerError.of(problem, error) from error


class Store(Protocol):
    """Where one record is kept."""

    path: str
    max_result_chars: int
    """Characters of a result that may stay here once it is written; 0 where the result is a file anyway."""

    def load(self) -> dict[str, object] | None:
        """Return the record as JSON, or None if there certainly is none."""

    def claim(self, record: Mapping[str, object]) -> bool:
        """Keep an intent if nobody has written since :meth:`load`; return whether it is there."""

    def save(self, record: Mapping[str, object], *, is_open: bool) -> None:
        """Keep the record: ``is_open`` while a job may still be running."""


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
        self._seen: bytes | None = None
        self.path = str(self._file)

    def load(self) -> dict[str, object] | None:
        """Return the record, or None if the storage says that there is none.

        Files of its result are files of this folder, wherever it says they are: others may write here, too.
        """
        data = self._seen = object_storage.read(self._file)
        record = None if data is None else _json_object(json.loads(data))
        result = record and record.get("result")
        if isinstance(result, dict) and isinstance(files := result.get("files"), dict):
            result["files"] = {fmt: object_storage.in_folder(self._folder, uri) for fmt, uri in files.items()}
        return record

    def claim(self, record: Mapping[str, object]) -> bool:
        """Create the record, or replace the one that was read; only one of any number of writers can."""
        data = _to_bytes(record)
        if self._seen is None:
            is_ours = object_storage.create(self._file, data)
        else:
            is_ours = object_storage.replace(self._file, self._seen, data)
        self._seen = data if is_ours else self._seen
        return is_ours

    def save(self, record: Mapping[str, object], *, is_open: bool) -> None:  # noqa: ARG002  files stay
        """Replace the record."""
        data = _to_bytes(record)
        object_storage.write(self._file, data)
        self._seen = data


class TaskStateStore:
    """A record in Airflow's own task state (3.3 and newer), which survives retries.

    :param part: the part whose record this is, 0 for the whole.
    """

    max_result_chars = 48_000  # Airflow warns above 64 KB
    path = "Airflow's task state"

    def __init__(self, accessor: StateAccessor, part: int = 0) -> None:
        self._key = f"{STATE_KEY}-part-{part:03d}" if part else STATE_KEY
        self._accessor = accessor
        self._seen: object = None

    def load(self) -> dict[str, object] | None:
        """Return the record, or None if there is none."""
        record = self._seen = self._accessor.get(self._key)
        return None if record is None else _json_object(record)

    def claim(self, record: Mapping[str, object]) -> bool:
        """Replace the record if it is still the one that was read. Two attempts in the same instant may both do so."""
        if self._accessor.get(self._key) != self._seen:
            return False
        self.save(record, is_open=True)
        # An intent is worth a second round trip, since nothing is paid for yet.
        found = self._accessor.get(self._key)
        if found != self._seen:
            if isinstance(found, dict) and found.get("claim"):
                return False
            raise OSError("Airflow did not keep the record")
        return True

    def save(self, record: Mapping[str, object], *, is_open: bool) -> None:
        """Replace the record; Airflow answers when its API server has it, and raises if that refused it."""
        from airflow_provider_nanostt._compat import NEVER_EXPIRE  # an open job's record must not expire

        self._accessor.set(self._key, record, retention=NEVER_EXPIRE if is_open else None)
        self._seen = json.loads(json.dumps(record))


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

    def claim(self, record: Mapping[str, object]) -> bool:
        """Claim the file, which only one can, then replace Airflow's."""
        return self._beside.claim(record) and self._own.claim(record)

    def save(self, record: Mapping[str, object], *, is_open: bool) -> None:
        """Replace both, even if one cannot be; the text of an answer stays out of Airflow's database."""
        try:
            self._own.save({**record, "answer": None}, is_open=is_open)
        finally:
            self._beside.save(record, is_open=is_open)


def _to_bytes(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, indent=1).encode()


def _json_object(record: object) -> dict[str, object]:
    if not isinstance(record, dict):
        raise TypeError(f"it has the type {type(record).__name__}, so it is not a record")
    return record
