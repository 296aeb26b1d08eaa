"""What becomes of a transcript: a file of our own documented form, and the small dict that goes to XCom.

Word lists never go to XCom; with an output location the text does not either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_nanostt import storage
from airflow_provider_nanostt.signed_urls import shown

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.api.models import Transcript

SCHEMA_VERSION = 1
_LONGEST_STEM = 100


class Named(Protocol):
    """Whose transcript it is; gives files names of their own where the audio's name would not do."""

    @property
    def map_index(self) -> int:
        """-1 for a task that is not mapped."""

    @property
    def digest(self) -> str:
        """A short name of the task instance."""


def land(
    transcript: Transcript,
    *,
    folder: ObjectStoragePath | None,
    source: str | None,
    identity: Named | None,
    spent_before: float = 0.0,
) -> dict[str, Any]:
    """Write the transcript if there is a place for it, and return what goes to XCom.

    :param folder: where files go; None puts the text into XCom.
    :param source: the audio's name.
    :param identity: the task instance.
    :param spent_before: USD that earlier submits of this task instance have cost.
    :raises OSError: if a file cannot be written.
    """
    facts = {
        "run_id": transcript.run_id,
        "model": transcript.model,
        "language": transcript.language,
        "charged_minutes": transcript.charged_minutes,
        "cost_usd": None if transcript.cost is None else round(transcript.cost + spent_before, 9),
    }
    if folder is None:
        return {
            "transcription": transcript.text,
            "segments": [asdict(segment) for segment in transcript.segments],
            "metadata": {name: shown(value) for name, value in transcript.metadata.items()},
            **facts,
        }
    document = {**to_document(transcript, source=source), "landed_by": identity.digest if identity else None}
    text = json.dumps(document, ensure_ascii=False, indent=1)
    uri = storage.write(_place(folder, source, identity), text.encode("utf-8", "replace"))
    speakers = dict.fromkeys(segment.speaker for segment in transcript.segments if segment.speaker)
    return {
        "files": {"json": uri},
        **facts,
        "speakers": list(speakers),
        "words": len(transcript.text.split()),
    }


def to_document(transcript: Transcript, *, source: str | None) -> dict[str, Any]:
    """Return a transcript in the form of our JSON files; times in seconds, cost in USD."""
    return {
        "version": SCHEMA_VERSION,
        "source": source,
        "run_id": transcript.run_id,
        "model": transcript.model,
        "language": transcript.language,
        "charged_minutes": transcript.charged_minutes,
        "cost_usd": transcript.cost,
        "text": transcript.text,
        "segments": [asdict(segment) for segment in transcript.segments],
        "words": [asdict(word) for word in transcript.words],
        "raw": _shown(transcript.raw),
    }


def file_stem(source: str | None, identity: Named | None) -> str:
    """Return a file name without suffix: the audio's own name, cleaned; mapped tasks add what tells them apart.

    Two mapped tasks may have recordings of the same name and land in the same moment, so asking whether a name is
    taken would not do.
    """
    clean = re.sub(r"[^\w.-]+", "_", PurePosixPath(source or "").stem).strip("._")
    # File systems count bytes: 255 of them with all that is added to the name.
    short = clean.encode("utf-8", "replace")[:_LONGEST_STEM].decode("utf-8", "ignore") or "transcript"
    return f"{short}-{identity.digest}" if identity is not None and identity.map_index >= 0 else short


def belongs_to_another(data: bytes, identity: Named | None) -> bool:
    """Whether a file is something else than a transcript that this task instance has left there."""
    if identity is None:
        return False
    try:
        return bool(json.loads(data).get("landed_by") != identity.digest)
    except (ValueError, AttributeError, RecursionError):
        return True


def _place(folder: ObjectStoragePath, source: str | None, identity: Named | None) -> ObjectStoragePath:
    """Return where the transcript goes; another's file of the same name (of an earlier run, say) is left alone."""
    stem = file_stem(source, identity)
    place = storage.child(folder, [f"{stem}.json"])
    if identity is not None and not stem.endswith(identity.digest):
        there = storage.read(place)
        if there is not None and belongs_to_another(there, identity):
            return storage.child(folder, [f"{stem}-{identity.digest}.json"])
    return place


def _shown(value: Any) -> Any:
    """Return the service's answer as it may be stored: signatures are taken out of addresses, however deep they lie."""
    if isinstance(value, Mapping):
        return {key: _shown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return shown(value)
