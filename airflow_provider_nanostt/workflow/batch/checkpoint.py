"""How a batch stood when its task was deferred, so that the resume need not look at the recordings again.

A file beside the ledger's records, of one task instance. What has been paid for does not stand here but in the ledger;
without this file a retry finds all of it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.ledger import FOLDER
from airflow_provider_nanostt.polling.transcript_spool import TranscriptSpool
from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.ledger import TaskIdentity


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """One row, and how its result is to be written (``name`` and ``speaker_names`` of the item)."""

    row: ManifestRow
    writing: Mapping[str, object] = field(default_factory=dict)


class Checkpoint:
    """The file; ``spool`` is where the triggerer leaves answers, beside it.

    :param folder: where results go.
    :param identity: the task instance.
    """

    def __init__(self, folder: ObjectStoragePath, identity: TaskIdentity) -> None:
        stem = identity.file_name.removesuffix(".json")
        self._file = folder / FOLDER / f"{stem}.batch.jsonl"
        self.spool = TranscriptSpool(folder / FOLDER / f"{stem}.answers")

    def save(self, rows: Iterable[CheckpointRow]) -> None:
        """Write it.

        :raises LedgerError: if it cannot be written.
        """
        try:
            with object_storage.writing(self._file) as file:
                for one in rows:
                    line = json.dumps({"row": one.row.to_json(), "writing": dict(one.writing)})
                    file.write(line.encode() + b"\n")
        except Exception as error:  # whatever a storage raises
            raise errors.LedgerError(
                f"{self._file} cannot be written ({type(error).__name__}: {error}), and a resume would not know the "
                "batch"
            ) from error

    def load(self) -> list[CheckpointRow]:
        """Read it.

        :raises LedgerMissing: if it is not there.
        :raises LedgerError: if it cannot be read.
        """
        try:
            data = object_storage.read(self._file)
            if data is None:
                raise errors.LedgerMissing(str(self._file))
            lines = [json.loads(line) for line in data.splitlines()]
            return [CheckpointRow(ManifestRow.from_json(one["row"]), one.get("writing") or {}) for one in lines]
        except errors.LedgerMissing:
            raise
        except Exception as error:
            raise errors.LedgerError(
                f"{self._file} cannot be read ({type(error).__name__}: {error}); a retry finds each recording's record "
                "again"
            ) from error
