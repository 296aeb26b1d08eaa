"""How a batch stood when its task was deferred, so that the resume need not look at the recordings again.

A file beside the ledger's records, of one task instance. What has been paid for does not stand here but in the ledger;
without this file a retry finds all of it again.
"""

from __future__ import annotations

import json
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

    Writing = Mapping[str, object]


class Checkpoint:
    """The file, in the folder for results; ``spool`` is where the triggerer leaves answers, beside it."""

    def __init__(self, folder: ObjectStoragePath, identity: TaskIdentity) -> None:
        stem = identity.file_name.removesuffix(".json")
        self._file = folder / FOLDER / f"{stem}.batch.jsonl"
        self.spool = TranscriptSpool(folder / FOLDER / f"{stem}.answers")

    def save(self, rows: Iterable[ManifestRow], writing: Iterable[Writing]) -> None:
        """Write the rows, and how the result of each is to be written.

        :raises LedgerError: if it cannot be written.
        """
        try:
            with object_storage.writing(self._file) as file:
                for row, own in zip(rows, writing, strict=True):
                    file.write(json.dumps({"row": row.to_json(), "writing": dict(own)}).encode() + b"\n")
        except Exception as error:  # whatever a storage raises
            raise errors.LedgerError(
                f"{self._file} cannot be written ({type(error).__name__}: {error}), and a resume would not know the "
                "batch"
            ) from error

    def load(self) -> tuple[list[ManifestRow], list[Writing]]:
        """Read what :meth:`save` has written.

        :raises LedgerMissing: if it is not there.
        :raises LedgerError: if it cannot be read.
        """
        try:
            data = object_storage.read(self._file)
            lines = None if data is None else [json.loads(line) for line in data.splitlines()]
            if lines is not None:
                return [ManifestRow.from_json(one["row"]) for one in lines], [one["writing"] for one in lines]
        except Exception as error:
            raise errors.LedgerError(
                f"{self._file} cannot be read ({type(error).__name__}: {error}); a retry finds each recording's record "
                "again"
            ) from error
        raise errors.LedgerMissing(str(self._file))
