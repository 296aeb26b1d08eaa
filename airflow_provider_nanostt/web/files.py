"""What the tab may read of a storage, and sign: files that are the task's own, of kinds that we write, of bounded size.

Which folder that is, only Airflow's record of the rendered ``output_path`` says: XCom can be changed by people who may
not read the storage. A file is a direct child of that folder, and a transcript also has to say that this very task
instance wrote it, so that two DAGs which share a folder do not share readers. Rendered fields are kept for as many runs
as Airflow is told to (30 by default); of older runs nothing is opened.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from airflow.models.connection import Connection

from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.errors import describe_exception
from airflow_provider_nanostt.common.numbers import from_text, mapping, number
from airflow_provider_nanostt.common.parsing import is_null
from airflow_provider_nanostt.common.presigning import presign
from airflow_provider_nanostt.outputs import FORMATS, from_document
from airflow_provider_nanostt.outputs.formats.registry import file_name
from airflow_provider_nanostt.outputs.html.page import page
from airflow_provider_nanostt.web.tasks import Task
from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

SOUND_SECONDS = 30 * 60.0
"""For which the address of a recording is signed."""

_MAX_DOCUMENT = 32 * 1024 * 1024  # some ten hours of words
_MAX_TEXT = 8 * 1024 * 1024
_MAX_MANIFEST = 64 * 1024 * 1024  # some 100,000 rows
_BESIDE = tuple(name for name in FORMATS if name not in ("json", "html"))

_SIGNABLE = r"s3[an]?|gcs|gs|abfss?|az|adl|wasbs?"
_STORAGE = re.compile(rf"(?:/|(?:file|hdfs|webhdfs|sftp|{_SIGNABLE})://)", re.IGNORECASE)
_RECORDING = re.compile(rf"(?:{_SIGNABLE})://[^/]+/.+", re.IGNORECASE)
_WILDCARD = re.compile(r"[*?\[]")
_LOG = logging.getLogger(__name__)

_OTHER_FILE = "XCom names a file that is not this task's own, so it is not opened."


class NotShownError(Exception):
    """There is nothing to be shown; the message says why, for people."""


def output_folder(task: Task) -> ObjectStoragePath:
    """Return the folder into which the task writes, by Airflow's own record of its arguments.

    :raises NotShownError: if there is none, or none that may be opened here.
    """
    text = _as_uri(task.rendered.get("output_path"))
    if not task.is_ours:
        raise NotShownError("This task makes no transcript.")
    if not task.rendered:
        raise NotShownError(
            "Airflow no longer has the rendered arguments of this run, which say where its files are. It keeps those "
            "of the last runs only (num_dag_runs_to_retain_rendered_fields)."
        )
    if not isinstance(text, str) or is_null(text):
        raise NotShownError("This task has no output_path.")
    return _opened(text)


def _as_uri(value: object) -> object:
    """Return what a user writes for a path that was given as an object: Airflow records it in parts."""
    path, conn_id = (value.get("path"), value.get("conn_id")) if isinstance(value, Mapping) else (None, None)
    if not isinstance(path, str):
        return value
    scheme, mark, rest = path.partition("://")
    is_complete = not mark or not isinstance(conn_id, str) or "@" in rest.partition("/")[0]
    return path if is_complete else f"{scheme}://{conn_id}@{rest}"


def _opened(text: str) -> ObjectStoragePath:
    """Return a path of a known kind of storage, whose connection exists: a missing one would ask the real cloud."""
    if not _STORAGE.match(text) or "::" in text or ".." in text.split("/"):
        raise NotShownError("The files of this task are in a place that is not opened here.")
    try:
        path = object_storage.resolve(text)
        if conn_id := object_storage.connection_of(path):
            # Without a team: a connection that belongs to one is for its tasks, not for the API server.
            Connection.get_connection_from_secrets(conn_id)
    except Exception as error:  # whatever a storage or a secrets backend raises
        _LOG.info("Not opening the files of a task: %s", describe_exception(error))
        raise NotShownError(
            "The API server cannot open the storage of this task: it needs the same connection, and the same packages, "
            "as the workers."
        ) from error
    return path


def _own(folder: ObjectStoragePath, uri: object, suffix: str) -> ObjectStoragePath:
    """Return a file that is directly in a folder; what names anything else is refused, however it is spelled."""
    name = uri.rpartition("/")[2] if isinstance(uri, str) else ""
    if not name.endswith(suffix) or name == suffix or uri != str(folder / name):
        raise NotShownError(_OTHER_FILE)
    return folder / name


def _read(path: ObjectStoragePath, at_most: int) -> bytes:
    try:
        data = object_storage.read(path, at_most=at_most)
    except ValueError as error:
        raise NotShownError(f"{path.name} is not shown: {error}.") from error
    except Exception as error:  # whatever a storage raises
        _LOG.warning("%s cannot be read: %s", path, describe_exception(error))
        raise NotShownError(f"The storage with {path.name} cannot be read just now; the log says why.") from error
    if data is None:
        where = "on this machine, the API server's" if object_storage.is_local(path) else "there any more"
        raise NotShownError(f"{path.name} is not {where}.")
    return data


def transcript_page(
    task: Task, row: ManifestRow | None = None, *, theme: str = "", audio_url: str | None = None
) -> str:
    """Return the page of the task's recording, or of one of a batch, rendered from its JSON file.

    :raises NotShownError: if it cannot be read, or is not the task's own.
    """
    folder = output_folder(task)
    path = _document_of(folder, mapping(task.result.get("files")) if row is None else row.files, row)
    data = _read(path, _MAX_DOCUMENT)
    try:
        document = mapping(json.loads(data))
        transcript = from_document(document)
    except (ValueError, RecursionError) as error:  # also InvalidInput
        raise NotShownError(f"{path.name} is no transcript of this provider.") from error
    if document.get("written_by") not in _writers(task, row):
        raise NotShownError(_OTHER_FILE if row is None else f"{path.name} is not what the manifest says that it is.")
    title = str(document.get("source") or "").rstrip("/").rpartition("/")[2]
    downloads = {path.name: data.decode("utf-8", "replace"), **_beside(folder, path.name, document)}
    below = number(document.get("review_below"))
    return page(transcript, title=title, audio_url=audio_url, downloads=downloads, theme=theme, review_below=below)


def _document_of(folder: ObjectStoragePath, files: Mapping[str, object], row: ManifestRow | None) -> ObjectStoragePath:
    """Return the JSON file, which is always written, also where only others were asked for and are named."""
    fmt = next((one for one in FORMATS if one in files), None)
    if fmt is None and row is not None:
        raise NotShownError(f"{row.name or row.audio}: {row.error or row.status}")
    if fmt is None:
        raise NotShownError("This task has written no transcript.")
    named = _own(folder, files[fmt], file_name("", fmt))
    return folder / file_name(named.name.removesuffix(file_name("", fmt)), "json")


def _writers(task: Task, row: ManifestRow | None) -> list[str]:
    """Return who may have written a file: the task instance, or the item that its batch, or all batches there, have."""
    if row is None:
        return [task.writer.digest]
    return [task.writer.for_item(row.key, shared=shared).digest for shared in (False, True)] if row.key else []


def _beside(folder: ObjectStoragePath, name: str, document: Mapping[str, object]) -> Mapping[str, str]:
    """Return the files in other formats that were written together with a JSON file and have not changed since."""
    found, recorded = {}, mapping(document.get("files"))
    for fmt in _BESIDE:
        file, other = mapping(recorded.get(fmt)), file_name(name.removesuffix(".json"), fmt)
        if file.get("name") != other:
            continue
        try:
            data = _read(folder / other, _MAX_TEXT)
        except NotShownError:
            continue
        if hashlib.sha256(data).hexdigest() == file.get("sha256"):
            found[other] = data.decode("utf-8", "replace")
    return found


def manifest_of(task: Task) -> list[ManifestRow]:
    """Return the rows of the batch's manifest.

    :raises NotShownError: if it cannot be read, or XCom names another than the task's arguments do.
    """
    folder, name = output_folder(task), task.rendered.get("manifest")
    named = mapping(task.result.get("manifest")) or mapping(task.xcom.get("manifest"))
    if not named:
        raise NotShownError("This task has written no manifest.")
    if "jsonl" not in named:
        raise NotShownError(f"The manifest is written as {', '.join(map(str, named))}; this table needs jsonl.")
    path = _own(folder, named.get("jsonl"), ".jsonl")
    if path.name != f"{name}.jsonl":
        raise NotShownError(_OTHER_FILE)
    data = _read(path, _MAX_MANIFEST)
    try:
        rows = [ManifestRow.from_json(mapping(json.loads(line))) for line in data.splitlines()]
        if [row.number for row in rows] != list(range(len(rows))):
            raise ValueError("its rows are not numbered")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NotShownError(f"{path.name} is no manifest of this provider.") from error
    return rows


def recording_of(task: Task, row: ManifestRow | None = None) -> str | None:
    """Return where the recording is, if it is in an object store and the task's own arguments name it.

    A manifest is a file that others may write: what only it names is not signed.
    """
    named = [*_texts(task.rendered.get("audio")), *_texts(task.rendered.get("audio_path"))]
    if row is None:
        recording = named[0] if len(named) == 1 and not _WILDCARD.search(named[0]) else ""
    else:
        recording = row.audio if any(_covers(name, row.audio) for name in named) else ""
    is_plain = ".." not in recording.split("/") and "::" not in recording
    return recording if is_plain and _RECORDING.fullmatch(recording) else None


def _texts(value: object) -> Iterator[str]:
    """Yield the recordings in an argument: one or a list of them, each as text or as a mapping."""
    read = from_text(_as_uri(value))
    for one in read if isinstance(read, list | tuple) else [read]:
        named = _as_uri(one.get("audio", one) if isinstance(one, Mapping) else one)
        if isinstance(named, str):
            yield named


def _covers(pattern: str, recording: str) -> bool:
    """Whether an argument names a recording: by itself, or by a pattern below whose fixed folder it is."""
    wildcard = _WILDCARD.search(pattern)
    if wildcard is None:
        return recording == pattern
    folder = pattern[: wildcard.start()].rpartition("/")[0] + "/"
    return bool(_RECORDING.match(folder + "x")) and recording.startswith(folder)


def signed(recording: str) -> str | None:
    """Return an address at which a browser finds a recording for some minutes; None if the storage has no such thing.

    :raises NotShownError: if the API server cannot open the storage.
    """
    path = _opened(recording)
    try:
        return presign(path, SOUND_SECONDS)
    except Exception as error:  # whatever a storage raises
        _LOG.warning("%s cannot be signed: %s", path, describe_exception(error))
        raise NotShownError("The recording cannot be played just now; the log says why.") from error
