"""Checks a recorded result: its files are still there, its own, and in the form the settings ask for.

A listing of the folder answers for files that are as they were written. Only a JSON file that differs is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.numbers import mapping
from airflow_provider_nanostt.common.object_storage import FileInfo
from airflow_provider_nanostt.outputs.document import from_document, own_document, read_result
from airflow_provider_nanostt.outputs.naming import FileOwner
from airflow_provider_nanostt.outputs.results import ExistingResult, TranscriptResult, WrittenFile, WrittenFiles
from airflow_provider_nanostt.outputs.settings import OutputSettings
from airflow_provider_nanostt.outputs.speakers import rename
from airflow_provider_nanostt.outputs.write import write_outputs

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

_Answer = TypeVar("_Answer")
_MD5 = re.compile(r"[0-9a-f]{32}")


def check_existing(
    result: Mapping[str, object],
    written: WrittenFiles | None,
    *,
    listing: Mapping[str, FileInfo] | None,
    folder: ObjectStoragePath | None,
    source: str | None,
    identity: FileOwner | None,
    settings: OutputSettings,
    moved: bool = False,
) -> ExistingResult:
    """Check a recorded result; write its files again, without a request to the service, if the settings differ.

    A listing confirms that files exist; it never proves that they are gone. A file that it does not have is read.

    :param written: the record of its files; None reads the JSON file.
    :param listing: the files in ``folder``, by name; None asks the storage for each file of the result.
    :param folder: where files belong now; None leaves the result as it is.
    :param moved: its files are in another folder.
    :raises LedgerError: if a storage cannot be asked.
    """
    known = TranscriptResult.__annotations__
    recorded = cast("TranscriptResult", {name: value for name, value in result.items() if name in known})
    uris = recorded.get("files") or {}
    found = {fmt: _find(uri, listing, folder) for fmt, uri in uris.items()}
    is_complete = not moved and None not in found.values()

    def rewrite(transcript: Transcript, applied: object) -> ExistingResult:
        new = write_outputs(
            transcript,
            folder=folder,
            source=source,
            identity=identity,
            settings=settings,
            applied=applied if isinstance(applied, str) else None,
        )
        # What it cost is known already.
        return ExistingResult({**new.result, "cost_usd": recorded.get("cost_usd")}, new.written, rewritten=True)

    def is_current(digest: object) -> bool:
        return folder is None or (is_complete and digest == settings.digest)

    if not uris:
        applied = recorded.get("transform")
        is_raw = bool(applied and recorded.get("metadata") and not settings.keep_raw)
        is_kept = "transcription" not in recorded or (folder is None and applied == settings.transform and not is_raw)
        return ExistingResult(recorded) if is_kept else rewrite(read_result(recorded), applied)
    uri, info = uris.get("json", ""), found.get("json")
    if written and is_current(written.settings) and _is_as_written(written.files.get("json"), uri, info):
        return ExistingResult(recorded, written)
    data = _ask(object_storage.read, uri) if uri else None
    document = None if data is None else own_document(data, identity)
    if data is None or document is None:
        return ExistingResult(recorded, lost="gone" if data is None else "overwritten by another task")
    if is_current(document.get("settings")):
        return ExistingResult(recorded, _confirmed(written, data, info))
    # With the service's names of speakers, where these can be had again.
    renamed = {str(new): str(old) for new, old in mapping(document.get("renamed")).items()}
    return rewrite(rename(from_document(document), renamed)[0], document.get("transform"))


def _find(uri: str, listing: Mapping[str, FileInfo] | None, folder: ObjectStoragePath | None) -> FileInfo | None:
    """Return the entry of a file in the listing; for a file in another folder, ask the storage."""
    home, _, name = uri.rpartition("/")
    if listing is not None and folder is not None and home == str(folder).rstrip("/"):
        return listing.get(name)
    return _ask(object_storage.file_info, uri)


def _ask(ask: Callable[[ObjectStoragePath], _Answer], uri: str) -> _Answer:
    try:
        return ask(object_storage.resolve(uri))
    except Exception as error:  # whatever a storage raises, it is not the answer "no file"
        raise errors.LedgerError.of(f"{uri} cannot be read", error) from error


def _is_as_written(file: WrittenFile | None, uri: str, info: FileInfo | None) -> bool:
    """Whether a file is the one on record, by its ETag if that is an MD5, else by the time of its last change."""
    if file is None or info is None or (file.name, file.size) != (uri.rpartition("/")[2], info.size):
        return False
    if info.etag is not None and _MD5.fullmatch(info.etag):
        return info.etag == file.md5
    return file.mtime is not None and file.mtime == info.mtime


def _confirmed(written: WrittenFiles | None, data: bytes, info: FileInfo | None) -> WrittenFiles | None:
    """Return the record with the JSON file as it has just been read, so that it need not be read next time."""
    if written is None or "json" not in written.files or info is None or info.size != len(data):
        return written
    now = WrittenFile.of(written.files["json"].name, data, info.mtime)
    return replace(written, files={**written.files, "json": now})
