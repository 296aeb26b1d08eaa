"""The shapes of a result: our JSON files, what a task returns, and the record of the files it wrote. Values only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import NotRequired, TypedDict

from airflow_provider_nanostt.api.models import Transcript


class SegmentJson(TypedDict):
    """A segment; times in seconds, the confidence from 0 to 1."""

    speaker: str | None
    start: float | None
    end: float | None
    text: str
    confidence: float | None


class WordJson(SegmentJson):
    """An entry of the list of words, with the service's own word for its type."""

    type: str


class EventJson(TypedDict):
    """A sound that is not speech."""

    event: str
    start: float | None
    end: float | None
    speaker: str | None


class JobFacts(TypedDict):
    """What is known of the job; costs in USD, the confidence from 0 to 1, None for what is unknown."""

    run_id: str | None
    model: str
    language: str | None
    charged_minutes: float | None
    cost_usd: float | None
    confidence: float | None


class ReviewPlace(TypedDict):
    """A segment to look at: times in seconds, its confidence, and how many of its words are in doubt."""

    start: float | None
    end: float | None
    confidence: float | None
    words: int


class TranscriptDocument(JobFacts):
    """A whole JSON file. The keys that may be missing are only in files of a task, not where a script formats.

    ``files`` has the name and the SHA-256 of each file that was written together with it, by format. ``transform`` is
    the function that every text in it went through, ``review_below`` what its page marks.
    """

    version: int
    source: str | None
    text: str
    segments: list[SegmentJson]
    words: list[WordJson]
    audio_events: list[EventJson]
    raw: dict[str, object]
    written_by: NotRequired[str | None]
    renamed: NotRequired[dict[str, str]]
    settings: NotRequired[str]
    files: NotRequired[dict[str, dict[str, str]]]
    transform: NotRequired[str]
    review_below: NotRequired[float]


class TranscriptResult(JobFacts):
    """What goes to XCom: without a folder the text, with a folder the URIs of the files by format.

    ``cost_usd`` is what this task instance has cost, earlier submits included. Of words and segments below
    ``review_below`` there are the numbers, and the first of the segments.
    """

    transcription: NotRequired[str]
    segments: NotRequired[list[SegmentJson]]
    metadata: NotRequired[dict[str, object]]
    files: NotRequired[dict[str, str]]
    speakers: NotRequired[list[str]]
    words: NotRequired[int]
    review_words: NotRequired[int]
    review_segments: NotRequired[int]
    review: NotRequired[list[ReviewPlace]]
    transform: NotRequired[str]


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file as it was written.

    :param size: bytes.
    :param md5: what most object storages return as the ETag of a file that was uploaded in one request.
    :param mtime: epoch seconds; None where the storage was not asked.
    """

    name: str
    size: int
    sha256: str
    md5: str
    mtime: float | None = None

    @classmethod
    def of(cls, name: str, data: bytes, mtime: float | None = None) -> WrittenFile:
        """Describe a file by its bytes."""
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return cls(name, len(data), hashlib.sha256(data).hexdigest(), md5, mtime)


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """All files of one transcript, by format, and the digest of the settings they were written with.

    A ledger's record keeps it, so that a later task knows the files by a listing of their folder.
    """

    settings: str
    files: Mapping[str, WrittenFile]

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON; :meth:`from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> WrittenFiles | None:
        """Read it from plain JSON; None for anything else, since the files themselves can be read instead.

        A value of the wrong type is no error here: it equals nothing that a listing has, so its file is read.
        """
        if not isinstance(data, Mapping):
            return None
        try:
            return cls(data["settings"], {fmt: WrittenFile(**file) for fmt, file in data["files"].items()})
        except (AttributeError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class WrittenResult:
    """What goes to XCom, and the record of the files for the ledger; None if there are no files, or no record.

    :param transcript: what was written just now, as the files have it.
    """

    result: TranscriptResult
    written: WrittenFiles | None = None
    transcript: Transcript | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ExistingResult(WrittenResult):
    """A recorded result after a look at its files.

    :param lost: why the result can no longer be used; empty if it can.
    :param rewritten: the files were written again just now.
    """

    lost: str = ""
    rewritten: bool = False
