"""What an earlier attempt has left: whether its files are still there and its own, and as they are wanted now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.outputs.document import from_document, own_document
from airflow_provider_nanostt.outputs.formats import read_result
from airflow_provider_nanostt.outputs.settings import OutputSettings
from airflow_provider_nanostt.outputs.speakers import rename
from airflow_provider_nanostt.outputs.write import write_outputs

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.api.models import Transcript
    from airflow_provider_nanostt.outputs.naming import Named


@dataclass(frozen=True, slots=True)
class ExistingResult:
    """A recorded result: ``lost`` says why it is none any more; ``anew`` that it was written once more just now."""

    result: dict[str, Any]
    lost: str = ""
    rewritten: bool = False


def check_existing(
    result: Mapping[str, Any],
    *,
    folder: ObjectStoragePath | None,
    source: str | None,
    identity: Named | None,
    settings: OutputSettings,
    moved: bool = False,
) -> ExistingResult:
    """Look at a recorded result; write its files once more if they are wanted otherwise now, which costs nothing.

    :param folder: where files are wanted now; None leaves the result as it is.
    :param moved: its files lie somewhere else.
    :raises LedgerError: if a storage cannot tell.
    """

    def again(transcript: Transcript) -> ExistingResult:
        landed = write_outputs(transcript, folder=folder, source=source, identity=identity, settings=settings)
        return ExistingResult(
            {**landed, "cost_usd": result.get("cost_usd")}, rewritten=True
        )  # what it has cost is known already

    files = result.get("files", {})
    data = {name: _read(uri) for name, uri in files.items()}
    if not data:
        if folder is None or "transcription" not in result:
            return ExistingResult(dict(result))
        return again(read_result(result))
    there = data.get("json")
    document = None if there is None else own_document(there, identity)
    if document is None:
        return ExistingResult(dict(result), "gone" if there is None else "overwritten by another task")
    as_wanted = not moved and None not in data.values() and _is_as_wanted(document, settings)
    if folder is None or as_wanted:
        return ExistingResult(dict(result))
    return again(_reread(document))


def _read(uri: str) -> bytes | None:
    try:
        return object_storage.read(object_storage.resolve(uri))
    except Exception as error:  # whatever a storage raises, it is not the answer "no file"
        raise errors.LedgerError.of(f"{uri} cannot be read", error) from error


def _is_as_wanted(document: Mapping[str, Any], settings: OutputSettings) -> bool:
    """Whether a JSON file, and all that was written with it, is as these settings would write it."""
    return bool(document.get("settings", OutputSettings().digest) == settings.digest)


def _reread(document: Mapping[str, Any]) -> Transcript:
    """Return a file's transcript with the service's names of speakers, where these can be had again."""
    renamed = document.get("renamed")
    return rename(from_document(document), renamed if isinstance(renamed, Mapping) else {})[0]
