"""Where a record is kept: beside the results, or in Airflow's task state. Each moves JSON and knows nothing of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol, cast

from airflow_provider_nanostt.common import object_storage

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
        self._file = folder / FOLDER / file_name
        self.path = str(self._file)

    def load(self) -> dict[str, object] | None:
        """Return the record, or None if the storage says that there is none."""
        data = object_storage.read(self._file)
        return None if data is None else _json_object(json.loads(data))

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
    """A record beside the results and again in Airflow's task state, so that a changed output folder still finds it.

    :param beside: the store that counts while both are about the same submit; it is written first.
    :param mirror: knows of a later submit under another output folder, or under none.
    """

    def __init__(self, beside: FileStore, mirror: TaskStateStore) -> None:
        self._beside = beside
        self._mirror = mirror
        self.path = beside.path
        self.max_result_chars = beside.max_result_chars

    def load(self) -> dict[str, object] | None:
        """Return the record of the later submit, or None if neither has one."""
        beside, mirror = self._beside.load(), self._mirror.load()
        if beside is None or mirror is None:
            return mirror if beside is None else beside
        return max(beside, mirror, key=lambda record: cast("float", record["intended_at"]))

    def save(self, record: Mapping[str, object], *, is_open: bool, verify: bool) -> None:
        """Replace both; of an answer that came at once, the text stays out of Airflow's database."""
        self._beside.save(record, is_open=is_open, verify=verify)
        self._mirror.save({**record, "answer": None}, is_open=is_open, verify=False)


def _json_object(record: object) -> dict[str, object]:
    if not isinstance(record, dict):
        raise TypeError(f"it has the type {type(record).__name__}, so it is not a record")
    return record
