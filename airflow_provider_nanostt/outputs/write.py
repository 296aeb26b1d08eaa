"""Putting a transcript where the user wants it: files in a folder, or the small dict that goes to XCom.

Word lists never go to XCom; with an output location the text does not either.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api.errors import ResultTooLarge
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.urls import redact_value
from airflow_provider_nanostt.outputs.document import own_document, segments_of, to_document, written
from airflow_provider_nanostt.outputs.formats import render_all
from airflow_provider_nanostt.outputs.naming import file_stem, own_stem
from airflow_provider_nanostt.outputs.settings import FORMATS, OutputSettings
from airflow_provider_nanostt.outputs.speakers import rename, speakers

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.api.models import Transcript
    from airflow_provider_nanostt.outputs.naming import Named

_LOG = logging.getLogger(__name__)


def write_outputs(
    transcript: Transcript,
    *,
    folder: ObjectStoragePath | None,
    source: str | None,
    identity: Named | None,
    spent_before: float = 0.0,
    settings: OutputSettings | None = None,
) -> dict[str, Any]:
    """Write the transcript if there is a place for it, and return what goes to XCom.

    :param folder: where files go; None puts the text into XCom.
    :param source: the audio's name.
    :param identity: the task instance.
    :param spent_before: USD that earlier submits of this task instance have cost.
    :param settings: in which formats, under which names.
    :raises OSError: if a file cannot be written.
    :raises InvalidInput: for captions of a transcript without times; then no file is written.
    :raises ResultTooLarge: if the text is more than may go to XCom.
    """
    settings = settings or OutputSettings()
    named, unused = rename(transcript, settings.speaker_names)
    if unused:
        _LOG.warning("speaker_names has names that nobody in this transcript has: %s", ", ".join(unused))
    facts = {
        "run_id": named.run_id,
        "model": named.model,
        "language": named.language,
        "charged_minutes": named.charged_minutes,
        "cost_usd": None if named.cost is None else round(named.cost + spent_before, 9),
    }
    if folder is None:
        return _for_xcom(named, facts, settings)
    document = {
        **to_document(named, source=source),
        "landed_by": identity.digest if identity else None,
        "renamed": _undoing(transcript, named, settings.speaker_names),
        "settings": settings.digest,
    }
    return {
        "files": _Files(folder, identity, settings).write(named, document),
        **facts,
        "speakers": speakers(named),
        "words": len(named.text.split()),
    }


def save_locally(transcript: Transcript, source: str | None) -> str:
    """Put a transcript that is nowhere else into a file on this machine that only its user can read.

    :return: the file's path.
    :raises OSError: if it cannot be written.
    """
    handle, path = tempfile.mkstemp(prefix="nanostt-", suffix=".json")
    with os.fdopen(handle, "wb") as file:
        file.write(written(to_document(transcript, source=source)))
    return path


def _for_xcom(transcript: Transcript, facts: Mapping[str, Any], settings: OutputSettings) -> dict[str, Any]:
    result = {
        "transcription": transcript.text,
        "segments": segments_of(transcript),
        "metadata": redact_value(transcript.metadata),
        **facts,
    }
    size = len(json.dumps(result))  # in ASCII, which is how Airflow writes it
    if size > settings.xcom_limit:
        raise ResultTooLarge(size, settings.xcom_limit, run_id=transcript.run_id, cost=facts["cost_usd"])
    return result


def _undoing(before: Transcript, after: Transcript, names: Mapping[str, str]) -> dict[str, str]:
    """Return what gives renamed speakers their old names again; nothing if two have become one."""
    old, new = speakers(before), speakers(after)
    if len(old) != len(new):
        return {}
    return {names[name]: name for name in old if name in names}


class _Files:
    """The files of one transcript in one folder.

    The JSON file is written last and names the others, so whoever finds it finds all. It also tells whose they are.
    """

    def __init__(self, folder: ObjectStoragePath, identity: Named | None, settings: OutputSettings) -> None:
        self._folder = folder
        self._identity = identity
        self._settings = settings
        self._before: dict[str, Any] | None = None

    def write(self, transcript: Transcript, document: dict[str, Any]) -> dict[str, str]:
        """Write them all, and return their URIs by format."""
        beside = [name for name in self._settings.formats if name != "json"]
        stem = file_stem(
            document["source"],
            self._identity,
            self._settings.name,
            run_id=transcript.run_id,
            model=transcript.model,
            language=transcript.language,
        )
        texts = self._rendered(transcript, beside, document, stem)
        placed = self._free_stem(stem, texts)
        if placed != stem and "html" in texts:  # the page names the files beside it
            texts = self._rendered(transcript, beside, document, placed)
        document["files"] = {
            name: {"name": f"{placed}.{name}", "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in texts.items()
        }
        uris = {name: object_storage.write(self._place(placed, name), data) for name, data in texts.items()}
        uris = {"json": object_storage.write(self._place(placed, "json"), written(document)), **uris}
        self._remove_stale(placed)
        return uris

    def _rendered(
        self, transcript: Transcript, formats: list[str], document: Mapping[str, Any], stem: str
    ) -> dict[str, bytes]:
        texts = render_all(
            transcript,
            formats,
            self._settings,
            source=document["source"],
            audio_url=self._settings.page_audio_url,
            downloads={name: f"{stem}.{name}" for name in self._settings.formats if name != "html"},
        )
        return {name: text.encode("utf-8", "replace") for name, text in texts.items()}

    def _free_stem(self, stem: str, texts: Mapping[str, bytes]) -> str:
        """Return a name under which nothing lies that is not this task instance's own."""
        found = object_storage.read(self._place(stem, "json"))
        self._before = None if found is None else own_document(found, self._identity)
        if self._identity is None or self._before is not None or stem.endswith(self._identity.digest):
            return stem
        own = own_stem(stem, self._identity)
        owned = object_storage.read(self._place(own, "json"))
        if found is None and owned is None:
            # An attempt that was killed before it wrote the JSON file has left the very same bytes.
            there = ((object_storage.read(self._place(stem, name)), data) for name, data in texts.items())
            if all(found is None or found == data for found, data in there):
                return stem
        self._before = None if owned is None else own_document(owned, self._identity)
        return own

    def _remove_stale(self, stem: str) -> None:
        """Remove what an earlier attempt has written in formats that are no longer wanted, if nobody has touched it."""
        if self._identity is None or self._before is None:
            return
        files = self._before.get("files")
        for name in FORMATS:
            told = files.get(name) if isinstance(files, Mapping) and name not in self._settings.formats else None
            if not isinstance(told, Mapping) or told.get("name") != f"{stem}.{name}":
                continue
            place = self._place(stem, name)
            try:
                data = object_storage.read(place)
                if data is not None and hashlib.sha256(data).hexdigest() == told.get("sha256"):
                    object_storage.remove(place)
            except OSError as error:
                _LOG.warning("%s is of an earlier attempt and cannot be removed: %s", place, error)

    def _place(self, stem: str, name: str) -> ObjectStoragePath:
        return object_storage.join(self._folder, [f"{stem}.{name}"])
