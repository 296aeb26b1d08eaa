"""What goes to the service and what comes back, as frozen values; no I/O, and no knowledge of HTTP.

Units are in the names or beside them: costs are USD, ``charged_minutes`` and ``actual_minutes`` are minutes, times of
words and segments are seconds from the start of the audio. Vocabularies of the service stay open: the raw word is
kept, and properties say what it means to us.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL, KNOWN_MODELS, check_model
from airflow_provider_nanostt.api.upload import Upload
from airflow_provider_nanostt.common.errors import InvalidInput
from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.common.urls import display, is_web_url, redact

RUNNING_WORDS = frozenset({"pending", "queued", "in_queue", "processing", "in_progress", "running"})
COMPLETED_WORDS = frozenset({"completed", "complete", "succeeded", "success"})
FAILED_WORDS = frozenset({"failed", "error", "cancelled", "canceled", "expired", "content_policy_violation"})

TICKET_VERSION = 1
"""Format of a stored job; one with a higher version is refused."""

_MAX_TICKET_CHARS = 16_384


def status_word(raw: object) -> str:
    """Fold the spelling of a status: ``In Progress`` is ``in_progress``; what is not text is ``""``."""
    return raw.strip().lower().replace(" ", "_").replace("-", "_") if isinstance(raw, str) else ""


@dataclass(frozen=True, slots=True)
class Options:
    """How a recording is to be transcribed; which of them a model has is checked here.

    :param model: the service's model id.
    :param language: ISO 639-1 or 639-3 code, or ``auto``.
    :param diarize: tell speakers apart.
    :param tag_audio_events: mark laughter, applause and the like.
    :raises InvalidInput: if it is known not to work.
    """

    model: str = DEFAULT_MODEL
    language: str = "auto"
    diarize: bool = False
    tag_audio_events: bool = False

    def __post_init__(self) -> None:
        check_model(self.model, diarize=self.diarize, tag_audio_events=self.tag_audio_events)
        if not self.language.strip():
            raise InvalidInput("language is empty; 'auto' lets the service find out")

    def submission(self, audio: Upload | str, minutes: float | None = None) -> Submission:
        """Return the request for a transcript of some audio, so many minutes long."""
        return Submission(audio, self.model, self.language, self.diarize, self.tag_audio_events, minutes)


@dataclass(frozen=True, slots=True)
class Submission:
    """One request for a transcript.

    :param audio: an :class:`Upload`, or the URL the service shall fetch (http or https).
    :param model: as in :class:`Options`, like the next three.
    :param actual_minutes: length of the audio in minutes, for accurate billing; None if not known.
    :raises InvalidInput: if it is known not to work.
    """

    audio: Upload | str
    model: str = DEFAULT_MODEL
    language: str = "auto"
    diarize: bool = False
    tag_audio_events: bool = False
    actual_minutes: float | None = None

    def __post_init__(self) -> None:
        _ = self.options
        if isinstance(self.audio, str) and not is_web_url(self.audio):
            shown = redact(display(self.audio))
            raise InvalidInput(f"audio_url must be an http(s) URL, got {shown!r}; for a file on disk use audio_path")
        if self.actual_minutes is not None and not 0 < self.actual_minutes < float("inf"):
            raise InvalidInput(f"actual_duration must be a positive number of minutes, got {self.actual_minutes!r}")

    @property
    def options(self) -> Options:
        """How it is to be transcribed."""
        return Options(self.model, self.language, self.diarize, self.tag_audio_events)

    @property
    def sends_options(self) -> bool:
        """Whether ``diarize`` and ``tagAudioEvents`` are sent: always, unless the model is known to have neither."""
        facts = KNOWN_MODELS.get(self.model)
        return facts is None or facts.diarizes

    @property
    def name(self) -> str:
        """The audio's name for people: the file's name, or the URL without what may be secret in it."""
        return self.audio.name if isinstance(self.audio, Upload) else display(self.audio)


class Ticket(TypedDict):
    """A :class:`Job` as it is stored: plain JSON."""

    version: int
    run_id: str
    model: str
    submitted_at: float
    cost: float | None
    charged_minutes: float | None
    body: dict[str, object]


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted, paid job.

    :param run_id: the service's id of it.
    :param model: model id.
    :param submitted_at: epoch seconds.
    :param cost: USD, if the service said so.
    :param charged_minutes: minutes charged, if the service said so.
    :param body: the whole answer that accepted the job; the status call echoes it.
    """

    run_id: str
    model: str
    submitted_at: float
    cost: float | None = None
    charged_minutes: float | None = None
    body: Mapping[str, object] = field(default_factory=dict, repr=False)

    def to_json(self) -> Ticket:
        """Return the job as plain JSON; :meth:`from_json` reads it back."""
        body = dict(self.body)
        if len(json.dumps(body, default=str)) > _MAX_TICKET_CHARS:
            body = {key: value for key, value in body.items() if key in _ECHOED}
        return {
            "version": TICKET_VERSION,
            "run_id": self.run_id,
            "model": self.model,
            "submitted_at": self.submitted_at,
            "cost": self.cost,
            "charged_minutes": self.charged_minutes,
            "body": body,
        }

    @classmethod
    def from_json(cls, data: object) -> Job:
        """Read a job; a mapping that has only ``run_id`` is enough.

        :raises InvalidInput: if it names no run, or is of a later version of the format.
        """
        data = data if isinstance(data, Mapping) else {}
        run_id, version, body = data.get("run_id"), data.get("version", TICKET_VERSION), data.get("body")
        if not isinstance(run_id, str) or not run_id:
            raise InvalidInput("this is not a ticket: it has no 'run_id'")
        if type(version) is not int or not 1 <= version <= TICKET_VERSION:
            raise InvalidInput(
                f"the ticket of run {run_id} has format version {version!r}, and this version of the provider reads "
                f"{TICKET_VERSION}; read it with the version that wrote it, or a later one"
            )
        return cls(
            run_id=run_id,
            model=str(data.get("model") or "unknown"),
            submitted_at=number(data.get("submitted_at")) or 0.0,
            cost=number(data.get("cost")),
            charged_minutes=number(data.get("charged_minutes")),
            body=dict(body) if isinstance(body, Mapping) else {},
        )

    def echo(self) -> dict[str, object]:
        """Return the body of the status call: all that the accepting answer said, in the types the contract names."""
        read = {key: _ECHOED[key](value) if key in _ECHOED else value for key, value in self.body.items()}
        echoed = {key: value for key, value in read.items() if value is not None and key not in ("status", "error")}
        return {"isApiRequest": True, **echoed, "runId": self.run_id}


def _whole(value: object) -> int | None:
    read = number(value)
    return None if read is None else int(read)


def _flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(status_word(value))


def text_or_none(value: object) -> str | None:
    """Return a text; None for anything else."""
    return value if isinstance(value, str) else None


_ECHOED: dict[str, Callable[[object], object]] = {
    "runId": text_or_none,
    "cost": number,
    "paymentSource": text_or_none,
    "isApiRequest": _flag,
    "fileName": text_or_none,
    "fileSize": _whole,
    "chargedDuration": number,
    "diarize": _flag,
}


@dataclass(frozen=True, slots=True)
class Word:
    """One entry of the word list.

    ``start`` and ``end`` in seconds or None; ``type`` is the service's word for it (``word``, ``punctuation``,
    ``spacing``, ``audio_event``, or something new); ``speaker`` as shown to people, or None.
    """

    text: str
    start: float | None = None
    end: float | None = None
    type: str = "word"
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one speaker: ``speaker`` as shown to people or None, ``start`` and ``end`` in seconds or None."""

    speaker: str | None
    start: float | None
    end: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """A finished transcript. ``text`` may be ``""``: silence is an answer.

    :param text: the whole text.
    :param segments: stretches by speaker or pause, empty for models that give no times.
    :param words: the word list with times, empty for models that give none.
    :param language: one tag (``en``), or None; ``metadata`` keeps what the service wrote.
    :param model: model id.
    :param cost: USD, or None if unknown.
    :param charged_minutes: minutes charged, or None.
    :param run_id: the job it came from; None for a synchronous answer.
    :param metadata: as the service sent it.
    :param raw: the service's whole answer.
    """

    text: str
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = field(default=(), repr=False)
    language: str | None = None
    model: str = ""
    cost: float | None = None
    charged_minutes: float | None = None
    run_id: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    raw: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What the service says of a job now.

    :param raw_status: its own word.
    :param transcript: there when it is completed.
    :param error: the service's reason, when it failed.
    """

    raw_status: str
    transcript: Transcript | None = None
    error: str | None = None

    @property
    def is_completed(self) -> bool:
        """Whether the transcript is there."""
        return self.transcript is not None

    @property
    def is_failed(self) -> bool:
        """Whether the service gave up."""
        return not self.is_completed and status_word(self.raw_status) in FAILED_WORDS

    @property
    def is_terminal(self) -> bool:
        """Whether the status is final."""
        return self.is_completed or self.is_failed

    @property
    def is_known(self) -> bool:
        """Whether the status is a word known here; any other counts as still running."""
        return status_word(self.raw_status) in RUNNING_WORDS | COMPLETED_WORDS | FAILED_WORDS


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left in the account; each None if the service did not say."""

    usd: float | None
    nano: float | None = None
    deposit_address: str | None = None


@dataclass(frozen=True, slots=True)
class AudioModel:
    """A model in the service's catalogue; ``price_per_minute`` in USD or None; ``raw`` is the whole entry."""

    id: str
    name: str
    price_per_minute: float | None
    raw: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class YouTubeTranscript:
    """The result for one video: ``text`` when ``success``, else ``error``."""

    url: str
    success: bool
    title: str | None = None
    text: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class YouTubeAnswer:
    """The results of one request, in the service's order, and what they cost together in USD."""

    results: tuple[YouTubeTranscript, ...]
    cost: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What this key spent in a range of days (UTC): net USD, number of requests, and the whole answer."""

    net_cost: float | None
    requests: int | None
    raw: Mapping[str, object] = field(default_factory=dict, repr=False)
