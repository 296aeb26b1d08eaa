"""Where a record may lie: beside the results, or in Airflow's task state. Each moves JSON and knows nothing of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_nanostt.common import object_storage

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.ledger.entry import TaskIdentity

STATE_KEY = "nanostt"
FOLDER = ".nanostt"


class Store(Protocol):
    """Where one record lies."""

    where: str
    most_kept: int
    """Characters of a result that may stay here once it has landed; 0 where the result is a file anyway."""

    def load(self) -> dict[str, Any] | None:
        """Return the record as JSON, or None if there certainly is none."""

    def save(self, record: dict[str, Any], *, is_open: bool, verify: bool) -> None:
        """Keep the record: ``is_open`` while a job may still be running, ``verify`` to make sure that it is there."""


class FileStore:
    """A record as a file beside the results."""

    most_kept = 0

    def __init__(self, folder: ObjectStoragePath, identity: TaskIdentity) -> None:
        self._file = object_storage.join(folder, (FOLDER, identity.file_name))
        self.where = str(self._file)

    def load(self) -> dict[str, Any] | None:
        """Return the record, or None if the storage says that there is none."""
        data = object_storage.read(self._file)
        return None if data is None else _an_object(json.loads(data))

    def save(self, record: dict[str, Any], *, is_open: bool, verify: bool) -> None:  # noqa: ARG002  files stay
        """Replace the record."""
        object_storage.write(self._file, json.dumps(record, indent=1).encode())


class TaskStateStore:
    """A record in Airflow's own task state (3.3 and newer), which survives retries.

    :param accessor: ``context["task_state_store"]``.
    :param forever: Airflow's ``NEVER_EXPIRE``; an open job's record must not expire.
    :param part: which part's record, 0 for that of the whole.
    """

    most_kept = 48_000  # Airflow warns above 64 KB
    where = "Airflow's task state"

    def __init__(self, accessor: Any, forever: Any, part: int = 0) -> None:
        self._key = f"{STATE_KEY}-part-{part:03d}" if part else STATE_KEY
        self._accessor = accessor
        self._forever = forever

    def load(self) -> dict[str, Any] | None:
        """Return the record, or None if there is none."""
        record = self._accessor.get(self._key)
        return None if record is None else _an_object(record)

    def save(self, record: dict[str, Any], *, is_open: bool, verify: bool) -> None:
        """Replace the record; Airflow answers when its API server has it, and raises if that refused it."""
        self._accessor.set(self._key, record, retention=self._forever if is_open else None)
        if verify and self._accessor.get(self._key) != json.loads(json.dumps(record)):
            raise OSError("Airflow did not keep the record")


class MirroredStore:
    """A record beside the results and again in Airflow's task state, so that a changed ``output`` still finds it.

    :param beside: the store that counts while both tell of the same submit; it is written first.
    :param mirror: tells what was submitted later under another ``output``, or under none.
    """

    def __init__(self, beside: FileStore, mirror: TaskStateStore) -> None:
        self._beside = beside
        self._mirror = mirror
        self.where = beside.where
        self.most_kept = beside.most_kept

    def load(self) -> dict[str, Any] | None:
        """Return the record of the later submit, or None if neither has one."""
        beside, mirror = self._beside.load(), self._mirror.load()
        if beside is None or mirror is None:
            return mirror if beside is None else beside
        return mirror if mirror["intended_at"] > beside["intended_at"] else beside

    def save(self, record: dict[str, Any], *, is_open: bool, verify: bool) -> None:
        """Replace both; of an answer that came at once, the text stays out of Airflow's database."""
        self._beside.save(record, is_open=is_open, verify=verify)
        self._mirror.save({**record, "answer": None}, is_open=is_open, verify=False)


def _an_object(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise TypeError(f"what lies there is of type {type(record).__name__}, not a record")
    return record
