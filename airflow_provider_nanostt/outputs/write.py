"""Writes a transcript: to files in a folder, or into the small dict that goes to XCom.

Word lists never go to XCom; with a folder the text does not either.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.errors import ResultTooLarge
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.numbers import mapping
from airflow_provider_nanostt.common.urls import redact_value
from airflow_provider_nanostt.outputs.document import encode, entry_json, own_document, to_document
from airflow_provider_nanostt.outputs.formats.registry import FORMATS, file_name
from airflow_provider_nanostt.outputs.formats.render import RenderJob
from airflow_provider_nanostt.outputs.naming import FileOwner, file_stem, own_stem
from airflow_provider_nanostt.outputs.redaction import transformed
from airflow_provider_nanostt.outputs.results import (
    TranscriptDocument,
    TranscriptResult,
    WrittenFile,
    WrittenFiles,
    WrittenResult,
)
from airflow_provider_nanostt.outputs.review import review_of
from airflow_provider_nanostt.outputs.settings import OutputSettings
from airflow_provider_nanostt.outputs.speakers import rename, speakers

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

_LOG = logging.getLogger(__name__)


def write_outputs(
    transcript: Transcript,
    *,
    folder: ObjectStoragePath | None,
    source: str | None,
    identity: FileOwner | None,
    spent_before: float = 0.0,
    settings: OutputSettings | None = None,
    applied: str | None = None,
) -> WrittenResult:
    """Write the transcript to files if there is a folder, and return what goes to XCom and what was written.

    :param folder: where files go; None puts the text into XCom.
    :param source: the recording's name.
    :param spent_before: USD that earlier submits of this task instance have cost.
    :param applied: the transform that its texts have gone through already; the same one is not applied again.
    :raises OSError: if a file cannot be written.
    :raises InvalidInput: for captions of a transcript without times; then no file is written.
    :raises ResultTooLarge: if the text is more than may go to XCom.
    :raises TransformFailed: if the transform does not do its work; then no file is written.
    """
    settings = settings or OutputSettings()
    named, unused = rename(transcript, settings.speaker_names)
    if unused:
        _LOG.warning("speaker_names: no such speakers: %s", ", ".join(unused))
    renamed = _old_names(transcript, named, settings.speaker_names)
    named = _transformed(named, settings, applied)
    transform = settings.transform or applied
    facts = _facts(named, settings, transform, spent_before)
    if folder is None:
        return WrittenResult(_with_text(facts, named, settings), None)
    document: TranscriptDocument = {
        **to_document(named, source=source),
        "written_by": identity.digest if identity else None,
        "renamed": renamed,
        "settings": settings.digest,
    }
    if transform:
        document["transform"] = transform
    if settings.review_below is not None:
        document["review_below"] = settings.review_below
    uris, written = _Folder(folder, identity, settings).write(named, document)
    words = len(named.text.split())
    return WrittenResult({**facts, "files": uris, "speakers": speakers(named), "words": words}, written, named)


def _facts(
    transcript: Transcript, settings: OutputSettings, transform: str | None, spent_before: float
) -> TranscriptResult:
    """Return what every result has."""
    facts: TranscriptResult = {
        "run_id": transcript.run_id,
        "model": transcript.model,
        "language": transcript.language,
        "charged_minutes": transcript.charged_minutes,
        "cost_usd": None if transcript.cost is None else round(transcript.cost + spent_before, 9),
        "confidence": transcript.confidence,
    }
    if review := review_of(transcript, settings.review_below):
        facts["review_words"], facts["review_segments"], facts["review"] = review
    if transform:
        facts["transform"] = transform
    return facts


def save_locally(transcript: Transcript, source: str | None, settings: OutputSettings) -> str:
    """Save a transcript that is stored nowhere else to a file on this machine that only its user can read.

    :param settings: of which only the transform counts.
    :return: the file's path.
    :raises OSError: if it cannot be written.
    """
    transcript = _transformed(transcript, settings, None)
    with tempfile.NamedTemporaryFile(prefix="nanostt-", suffix=".json", delete=False) as file:
        file.write(encode(to_document(transcript, source=source)))
        return file.name


def _with_text(facts: TranscriptResult, transcript: Transcript, settings: OutputSettings) -> TranscriptResult:
    result: TranscriptResult = {
        **facts,
        "transcription": transcript.text,
        "segments": [entry_json(segment) for segment in transcript.segments],
        "metadata": redact_value(dict(transcript.metadata), opaque=True),
    }
    size = len(json.dumps(result))  # in ASCII, which is how Airflow writes it
    if size > settings.xcom_limit:
        raise ResultTooLarge(size, settings.xcom_limit, run_id=transcript.run_id, cost=facts["cost_usd"])
    return result


def _transformed(transcript: Transcript, settings: OutputSettings, applied: str | None) -> Transcript:
    """Return what may be written of a transcript."""
    if settings.transform and settings.transform != applied:
        return transformed(transcript, settings.transform, keep_raw=settings.keep_raw)
    return replace(transcript, raw={}, metadata={}) if applied and not settings.keep_raw else transcript


def _old_names(before: Transcript, after: Transcript, names: Mapping[str, str]) -> dict[str, str]:
    """Return the mapping that gives renamed speakers their old names again; empty if two have become one."""
    old, new = speakers(before), speakers(after)
    if len(old) != len(new):
        return {}
    return {names[name]: name for name in old if name in names}


@dataclass(frozen=True, slots=True)
class _Folder:
    """Writes the files of one transcript to one folder.

    The JSON file is written last and names the others, so a reader who finds it finds all. It also says whose they are.
    """

    folder: ObjectStoragePath
    identity: FileOwner | None
    settings: OutputSettings

    def write(self, transcript: Transcript, document: TranscriptDocument) -> tuple[dict[str, str], WrittenFiles]:
        """Write all files; return their URIs by format, and the record of them."""
        source, formats = document["source"], self.settings.formats
        stem = file_stem(
            source,
            self.identity,
            self.settings.filename,
            run_id=transcript.run_id,
            model=transcript.model,
            language=transcript.language,
        )
        texts = self._render(transcript, source, stem)
        free, previous = self._claim(stem, texts)
        if free != stem and "html" in texts:  # the page names the files beside it
            texts = self._render(transcript, source, free)
        written = {fmt: self._put(free, fmt, data) for fmt, data in texts.items()}
        document["files"] = {fmt: {"name": file.name, "sha256": file.sha256} for fmt, file in written.items()}
        written["json"] = self._put(free, "json", encode(document))
        self._remove_stale(free, previous)
        uris = {fmt: str(self._path(free, fmt)) for fmt in formats}
        return uris, WrittenFiles(self.settings.digest, {fmt: written[fmt] for fmt in formats})

    def _put(self, stem: str, fmt: str, data: bytes) -> WrittenFile:
        """Write one file, and return the record of it. Object storage is not asked for the time."""
        path, mtime = self._path(stem, fmt), None
        object_storage.write(path, data)
        if object_storage.is_local(path):
            with contextlib.suppress(OSError):  # removed already
                found = Path(path.path).stat()
                mtime = found.st_mtime if found.st_size == len(data) else None
        return WrittenFile.of(path.name, data, mtime)

    def _render(self, transcript: Transcript, source: str | None, stem: str) -> dict[str, bytes]:
        """Return the files beside the JSON file, by format."""
        formats = self.settings.formats
        downloads = {fmt: file_name(stem, fmt) for fmt in formats if fmt != "html"}
        job = RenderJob(transcript, self.settings, source, downloads)
        return {fmt: job.text(fmt).encode("utf-8", "replace") for fmt in formats if fmt != "json"}

    def _claim(self, stem: str, texts: Mapping[str, bytes]) -> tuple[str, Mapping[str, object] | None]:
        """Find a stem under which there are only files of this task instance.

        :return: the stem, and the document that an earlier attempt has written under it.
        """
        found = _content(self._path(stem, "json"))
        previous = None if found is None else own_document(found, self.identity)
        if self.identity is None or stem.endswith(self.identity.digest):
            return stem, previous
        own = own_stem(stem, self.identity)
        owned = _content(self._path(own, "json"))
        if owned is None and (found is None or previous is not None):
            # An attempt that was killed before it wrote the JSON file has left the very same bytes.
            known = mapping(previous.get("files")) if previous else {}
            others = {self._path(stem, fmt): data for fmt, data in texts.items() if fmt not in known}
            if all(_content(path) in (None, data) for path, data in others.items()):
                return stem, previous
        return own, None if owned is None else own_document(owned, self.identity)

    def _remove_stale(self, stem: str, previous: Mapping[str, object] | None) -> None:
        """Remove an earlier attempt's files in formats that are not asked for now, unless they were changed since."""
        files = mapping(previous.get("files")) if previous and self.identity else {}
        for fmt in set(FORMATS) - set(self.settings.formats):
            path, old = self._path(stem, fmt), mapping(files.get(fmt))
            if old.get("name") != path.name:
                continue
            try:
                data = object_storage.read(path)
                if data is not None and hashlib.sha256(data).hexdigest() == old.get("sha256"):
                    object_storage.remove(path)
            except (OSError, ValueError) as error:
                _LOG.warning("Could not remove %s of an earlier attempt: %s", path, error)

    def _path(self, stem: str, fmt: str) -> ObjectStoragePath:
        return self.folder / file_name(stem, fmt)


def _content(path: ObjectStoragePath) -> bytes | None:
    """Return a file's bytes, none for what cannot be a file of ours; None if nothing is there."""
    try:
        return object_storage.read(path)
    except ValueError:
        return b""
