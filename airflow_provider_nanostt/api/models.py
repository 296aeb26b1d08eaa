"""What goes to the service and what comes back, as frozen values; no I/O, and no knowledge of HTTP.

Units are in the names or beside them: costs are USD, ``charged_minutes`` and ``actual_minutes`` are minutes, times of
words and segments are seconds from the start of the audio. Vocabularies of the service stay open: the raw word is
kept, and properties say what it means to us.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

from airflow_provider_nanostt.api.body import label
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL, KnownModels, check_name
from airflow_provider_nanostt.api.extra_parameters import check_extra_parameters
from airflow_provider_nanostt.api.upload import Upload
from airflow_provider_nanostt.common.errors import InvalidInput
from airflow_provider_nanostt.common.numbers import amount, number, text_or_none
from airflow_provider_nanostt.common.reprs import redacted_repr
from airflow_provider_nanostt.common.urls import display, is_web_url, redact, remember_address

RUNNING_WORDS = frozenset({"pending", "queued", "in_queue", "processing", "in_progress", "running"})
COMPLETED_WORDS = frozenset({"completed", "complete", "succeeded", "success"})
FAILED_WORDS = frozenset({"failed", "error", "cancelled", "canceled", "expired", "content_policy_violation"})
_KNOWN_WORDS = RUNNING_WORDS | COMPLETED_WORDS | FAILED_WORDS

TICKET_VERSION = 1
"""Format of a stored job; one with a higher version is refused."""

MAX_RUN_ID_CHARS = 4000
"""Longer than any id of a job; an answer with a longer one cannot be read."""

_MAX_TICKET_CHARS = 16_384
_MAX_ECHOED_CHARS = 1000
_RUN_ID = re.compile(r"[A-Za-z0-9_.:~/=+@-]{1,200}")
_NOT_IN_RUN_ID = re.compile(r"[^A-Za-z0-9_.-]+")


def status_word(raw: object) -> str:
    """Fold the spelling of a status: ``In Progress`` is ``in_progress``; what is not text is ``""``."""
    if not isinstance(raw, str):
        return ""
    return raw if raw in _KNOWN_WORDS else raw.strip().lower().replace(" ", "_").replace("-", "_")


def shown_status(raw: str) -> str:
    """Return the service's word for how a job stands as it is shown; nothing is to be hidden in one known here."""
    return raw if raw in _KNOWN_WORDS else label(raw)


def shown_run_id(raw: str) -> str:
    """Return the id of a job as it is shown, logged and compared: ordinary characters, and never the same for two.

    An ordinary id stays as it is.
    """
    if _RUN_ID.fullmatch(raw) and redact(raw) == raw:
        return raw
    digest = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_NOT_IN_RUN_ID.sub('_', display(raw[:_MAX_ECHOED_CHARS]))[:60]}-{digest}"


@dataclass(frozen=True, slots=True)
class Options:
    """How a recording is to be transcribed; raises InvalidInput for what no model takes.

    What a model is known not to have is for :meth:`~airflow_provider_nanostt.api.catalogue.KnownModels.check` to say.
    """

    model: str = DEFAULT_MODEL  # the service's id
    language: str = "auto"  # or an ISO 639-1 or 639-3 code
    diarize: bool = False  # tell speakers apart
    tag_audio_events: bool = False  # mark laughter, applause and the like
    # More fields of the request, as check_extra_parameters allows them; they may be names of people.
    extra_parameters: Mapping[str, object] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        check_name(self.model)
        if not self.language.strip():
            raise InvalidInput("language is empty; 'auto' lets the service find out")
        object.__setattr__(self, "extra_parameters", check_extra_parameters(self.extra_parameters))

    def submission(
        self, audio: Upload | str, minutes: float | None = None, *, known: KnownModels | None = None
    ) -> Submission:
        """Return the request for a transcript of some audio, so many minutes long; ``known`` as of its model."""
        sends = None if known is None else known.facts(self.model).can.diarizes is not False
        return Submission(
            audio,
            self.model,
            self.language,
            self.diarize,
            self.tag_audio_events,
            minutes,
            extra_parameters=self.extra_parameters,
            sends_options=sends,
        )


@dataclass(frozen=True, slots=True)
class Submission:
    """One request for a transcript, with the fields of :class:`Options`, and refused as they are.

    :param sends_options: whether ``diarize`` and ``tagAudioEvents`` are sent even when they are off, since the
        service's own default may be on; None does so unless the built-in table says that the model has neither.
    """

    __repr__ = redacted_repr

    audio: Upload | str  # or the http(s) URL that the service shall fetch
    model: str = DEFAULT_MODEL
    language: str = "auto"
    diarize: bool = False
    tag_audio_events: bool = False
    actual_minutes: float | None = None  # length of the audio, for accurate billing; None if not known
    extra_parameters: Mapping[str, object] = field(default_factory=dict, repr=False, hash=False)
    sends_options: bool | None = None

    def __post_init__(self) -> None:
        options = Options(self.model, self.language, self.diarize, self.tag_audio_events, self.extra_parameters)
        object.__setattr__(self, "extra_parameters", options.extra_parameters)
        if isinstance(self.audio, str) and not is_web_url(self.audio):
            shown = redact(display(self.audio))
            raise InvalidInput(f"audio_url must be an http(s) URL, got {shown!r}; for a file on disk use audio_path")
        if isinstance(self.audio, str):
            remember_address(self.audio)
        if self.actual_minutes is not None and not 0 < self.actual_minutes < float("inf"):
            raise InvalidInput(f"actual_duration must be a positive number of minutes, got {self.actual_minutes!r}")

    @property
    def named_options(self) -> bool:
        """Whether the request names ``diarize`` and ``tagAudioEvents``."""
        sends = self.sends_options
        if sends is None:
            sends = KnownModels().facts(self.model).can.diarizes is not False
        return sends or self.diarize or self.tag_audio_events


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted, paid job; cost and minutes are there if the service said them."""

    __repr__ = redacted_repr

    run_id: str  # as it is shown; one with odd characters is in the body as the service wants it back
    model: str
    submitted_at: float  # epoch seconds
    cost: float | None = None
    charged_minutes: float | None = None
    body: Mapping[str, object] = field(default_factory=dict, repr=False)  # the answer; the status call echoes all of it
    has_extra_parameters: bool = False  # then what the service says of it may repeat their values

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", label(self.model) or "unknown")
        shown = shown_run_id(self.run_id)
        if shown != self.run_id:
            object.__setattr__(self, "body", {**self.body, "runId": self.run_id})
            object.__setattr__(self, "run_id", shown)

    def to_json(self) -> dict[str, object]:
        """Return the job as plain JSON; :meth:`from_json` reads it back."""
        body = dict(self.body)
        if len(json.dumps(body, default=str)) > _MAX_TICKET_CHARS:
            body = {key: value for key, value in body.items() if key in _ECHOED and _is_short(key, value)}
        plain = {"version": TICKET_VERSION, **asdict(replace(self, body=body))}
        if not self.has_extra_parameters:  # it is stored for each of thousands of jobs
            del plain["has_extra_parameters"]
        return plain

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
            submitted_at=amount(data.get("submitted_at")) or 0.0,
            cost=amount(data.get("cost")),
            charged_minutes=amount(data.get("charged_minutes")),
            body=dict(body) if isinstance(body, Mapping) else {},
            has_extra_parameters=data.get("has_extra_parameters") is True,
        )

    def echo(self) -> dict[str, object]:
        """Return the body of the status call: all that the accepting answer said, in the types the contract names."""
        read = {key: _ECHOED[key](value) if key in _ECHOED else value for key, value in self.body.items()}
        echoed = {key: value for key, value in read.items() if value is not None and key not in ("status", "error")}
        raw = self.body.get("runId")
        is_ours = isinstance(raw, str) and shown_run_id(raw) == self.run_id
        return {"isApiRequest": True, **echoed, "runId": raw if is_ours else self.run_id}


def whole_or_none(value: object) -> int | None:
    """Return a number without its fraction; None for anything else."""
    read = number(value)
    return None if read is None else int(read)


def _is_short(key: str, value: object) -> bool:
    return key == "runId" or not isinstance(value, str) or len(value) <= _MAX_ECHOED_CHARS


def flag_or_none(value: object) -> bool | None:
    """Return a flag, which may be text; None for anything else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(status_word(value))


_ECHOED: dict[str, Callable[[object], object]] = {
    "runId": text_or_none,
    "cost": number,
    "paymentSource": text_or_none,
    "isApiRequest": flag_or_none,
    "fileName": text_or_none,
    "fileSize": whole_or_none,
    "chargedDuration": number,
    "diarize": flag_or_none,
}


@dataclass(frozen=True, slots=True)
class Word:
    """One entry of the word list."""

    text: str
    start: float | None = None
    end: float | None = None
    type: str = "word"  # or "punctuation", "spacing", "audio_event", or something new of the service's
    speaker: str | None = None  # as shown to people
    confidence: float | None = None  # the model's own probability of it, 0 to 1; None where it gives none


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one speaker."""

    speaker: str | None  # as shown to people
    start: float | None
    end: float | None
    text: str
    confidence: float | None = None  # the geometric mean of its words' (see ``confidence.overall``), 0 to 1


@dataclass(frozen=True, slots=True)
class Transcript:
    """A finished transcript; cost and minutes are None if unknown."""

    text: str  # may be "": silence is an answer
    segments: tuple[Segment, ...] = ()  # by speaker or pause; empty for models that give no times
    words: tuple[Word, ...] = field(default=(), repr=False)  # with times; empty for models that give none
    language: str | None = None  # one tag ("en"); metadata keeps what the service wrote
    model: str = ""
    cost: float | None = None
    charged_minutes: float | None = None
    run_id: str | None = None  # the job it came from; None for a synchronous answer
    confidence: float | None = None  # of all words, as of a segment's
    metadata: Mapping[str, object] = field(default_factory=dict)  # as the service sent it
    raw: Mapping[str, object] = field(default_factory=dict, repr=False)  # the service's whole answer


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What the service says of a job now."""

    __repr__ = redacted_repr

    raw_status: str  # its own word
    transcript: Transcript | None = None  # there when it is completed, if somebody wanted to read it
    answer: bytes | None = field(default=None, repr=False)  # else the answer as it may be stored, when it is completed
    error: str | None = None  # the service's reason, when it failed

    @property
    def is_completed(self) -> bool:
        """Whether the transcript is there."""
        return self.transcript is not None or self.answer is not None

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
        return status_word(self.raw_status) in _KNOWN_WORDS


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left in the account; each None if the service did not say."""

    usd: float | None
    nano: float | None = None
    deposit_address: str | None = None


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
class UsageRow:
    """What a key spent on one day with one model.

    :param day: UTC, as in ``2026-05-04``.
    :param model: the service's label of it, which need not be its id.
    :param requests: that were billed.
    :param cost: USD, before refunds.
    :param refunded: USD.
    """

    day: str
    model: str
    requests: int
    cost: float
    refunded: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What this key spent in a range of days (UTC): net USD, number of requests, and the whole answer.

    :param key_id: the service's number for the key.
    :param as_of: when the answer was made, epoch seconds; it may come from a cache.
    :param rows: by day and model; None if they cannot be read, or do not add up.
    """

    net_cost: float | None
    requests: int | None
    raw: Mapping[str, object] = field(default_factory=dict, repr=False)
    key_id: str | None = None
    as_of: float | None = None
    rows: tuple[UsageRow, ...] | None = None
