"""What can be set on the emulator: its models and prices, its limits, and how long its jobs take.

Values only. The defaults are the documented behaviour of the service; what was never seen live is a setting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from airflow_provider_nanostt.emulator.transcript import Script

Mode = Literal["sync", "async", "voice-clone"]


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the catalogue.

    :param per_minute: price, USD per minute of audio.
    :param mode: ``sync`` answers 200 with the text, ``async`` 202 with a run id, ``voice-clone`` is refused.
    :param timestamps: whether it gives words with times, speakers and audio events.
    :param video: whether it takes MP4 and MOV.
    :param max_seconds: the longest audio it takes.
    :param max_megabytes: the largest file it takes.
    :param listed: whether the catalogue has it; one that has vanished there may still transcribe.
    :param entry: laid over its entry in the catalogue, which may be anything then.
    """

    id: str
    name: str = ""
    per_minute: float = 0.01
    mode: Mode = "sync"
    timestamps: bool = False
    video: bool = False
    max_seconds: float = math.inf
    max_megabytes: float | None = None
    listed: bool = True
    entry: Mapping[str, Any] = field(default_factory=dict)

    def catalogue_entry(self, *, detailed: bool) -> dict[str, Any]:
        """Return this model as ``GET /v1/audio-models`` lists it."""
        entry: dict[str, Any] = {"id": self.id, "object": "model", "owned_by": "nanogpt", "name": self.name or self.id}
        if detailed:
            entry["pricing"] = {"per_minute": self.per_minute, "currency": "USD"}
            entry["capabilities"] = {
                "async": self.mode == "async",
                "diarization": self.timestamps,
                "word_timestamps": self.timestamps,
                "audio_events": self.timestamps,
                "video_input": self.video,
            }
            extra = ["diarize", "tagAudioEvents"] if self.timestamps else []
            entry["supported_parameters"] = ["model", "language", "actualDuration", *extra]
            if self.max_megabytes is not None:
                entry["capabilities"]["max_file_size_mb"] = self.max_megabytes
        return {**entry, **self.entry}


_MINI = "gpt-4o-mini-transcribe"
MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        Model("Whisper-Large-V3", "Whisper Large V3", 0.0005),
        Model("Wizper", "Wizper", 0.01),
        Model("Elevenlabs-STT", "ElevenLabs Speech to Text", 0.03, "async", timestamps=True),
        *(
            Model(_MINI + version, "GPT-4o mini Transcribe", 0.003, max_seconds=1400)
            for version in ("", "-2025-03-20", "-2025-12-15", "-latest")
        ),
        Model("openai-whisper-with-video", "Whisper with video", 0.06, video=True),
        Model("qwen-voice-clone", "Qwen voice clone", 0.0, "voice-clone"),
        Model("minimax-voice-clone", "MiniMax voice clone", 0.0, "voice-clone"),
    )
}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a job takes, for `a` seconds of audio: ``Q + overhead + a / (R * min(lanes, ceil(a / lane_seconds)))``.

    Q, the queue, is log-normal with now and then a backlog on top; R, the speed in multiples of real time, is
    log-normal. All durations in seconds.
    """

    queue_median: float = 2.0
    queue_sigma: float = 0.9
    backlog_probability: float = 0.02
    backlog: tuple[float, float] = (20.0, 180.0)
    overhead: float = 1.3
    rate_median: float = 11.6
    rate_sigma: float = 0.45
    lanes: int = 4
    lane_seconds: float = 480.0
    sync_overhead: float = 0.5
    sync_rate: tuple[float, float] = (60.0, 190.0)

    def job(self, audio_seconds: float, rng: random.Random) -> tuple[float, float]:
        """Draw (seconds in the queue, seconds until done) for an async job."""
        queue = rng.lognormvariate(math.log(self.queue_median), self.queue_sigma)
        if rng.random() < self.backlog_probability:
            queue += rng.uniform(*self.backlog)
        rate = rng.lognormvariate(math.log(self.rate_median), self.rate_sigma)
        lanes = min(self.lanes, max(1, math.ceil(audio_seconds / self.lane_seconds)))
        return queue, queue + self.overhead + audio_seconds / (rate * lanes)

    def sync(self, audio_seconds: float, rng: random.Random) -> float:
        """Draw how long a synchronous model holds the connection, in seconds."""
        return self.sync_overhead + audio_seconds / rng.uniform(*self.sync_rate)


@dataclass(frozen=True, slots=True)
class Books:
    """How what the service says of money differs from what it has taken.

    :param usage_delay: seconds until a charge shows in the usage.
    :param balance_delay: seconds until it shows in the balance.
    :param tells_delay: the usage's ``asOf`` is as old as what it shows; else it is the present.
    :param usage_hides: pattern of file names or URLs whose charges the usage never shows, as ``call-*.wav``.
    :param balance_hides: likewise for the balance.
    :param balance_off: USD that the balance shows too much.
    """

    usage_delay: float = 0.0
    balance_delay: float = 0.0
    tells_delay: bool = False
    usage_hides: str = ""
    balance_hides: str = ""
    balance_off: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How one emulator behaves.

    :param host: address to listen on; anything but loopback needs `allow_remote`.
    :param port: 0 takes a free one.
    :param keys: API keys known from the start; empty makes one.
    :param balance: USD each key starts with.
    :param speed: by how much the formula's times are shortened: 10 makes a job take a tenth.
    :param processing_seconds: every job takes exactly this long (not scaled), or a list: one entry per accepted job, in
        order, then the formula again.
    :param timing: the formula's parameters.
    :param seed: of everything drawn at random.
    :param mode: ``async`` or ``sync`` makes every transcription model answer that way.
    :param extra_models: models besides `MODELS`, by id; the same id replaces one.
    :param max_upload_bytes: above it a direct upload is refused with 413.
    :param max_url_bytes: above it the file behind a URL is refused with 413.
    :param requests_per_second: per key, in any one second, all endpoints together; 0 turns the limit off.
    :param youtube_per_minute: YouTube requests per key in any one minute.
    :param youtube_price: USD per transcript found.
    :param daily_requests: requests per key and UTC day, or None.
    :param daily_usd: USD per key and UTC day, or None.
    :param strict_echo: a status request must repeat every field of the 202, unchanged.
    :param refund_failed: a job that fails is refunded.
    :param label_transcription: diarized text begins each turn with "Speaker 1:".
    :param check_formats: suffix, content type and bytes of an upload must agree.
    :param recogniser: ``none`` behaves as if pocketsphinx were not installed.
    :param decoder: ``none`` behaves as if PyAV were not installed.
    :param books: what usage and balance show; `State.keep_books` changes it.
    :param default_script: transcript of whatever has no script of its own.
    :param default_seconds: length of audio nothing is known about (scripted, or no decoder), in seconds.
    :param ledger: file to which each charge and refund is appended as a JSON line before the answer is sent.
    :param request_log: how many requests `Emulator.requests` remembers.
    :param keepalive_seconds: how long an idle connection is kept.
    """

    host: str = "127.0.0.1"
    port: int = 0
    allow_remote: bool = False
    keys: Sequence[str] = ()
    balance: float = 100.0
    speed: float = 1.0
    processing_seconds: float | Sequence[float] | None = None
    timing: Timing = field(default_factory=Timing)
    seed: int = 0
    mode: Literal["sync", "async"] | None = None
    extra_models: Mapping[str, Model] = field(default_factory=dict)
    max_upload_bytes: int = 3_000_000
    max_url_bytes: int = 500_000_000
    requests_per_second: int = 25
    youtube_per_minute: int = 10
    youtube_price: float = 0.01
    daily_requests: int | None = None
    daily_usd: float | None = None
    strict_echo: bool = True
    refund_failed: bool = True
    label_transcription: bool = True
    check_formats: bool = True
    recogniser: Literal["auto", "none"] = "auto"
    decoder: Literal["auto", "none"] = "auto"
    books: Books = field(default_factory=Books)
    default_script: Script | None = None
    default_seconds: float = 60.0
    ledger: str | None = None
    request_log: int = 20_000
    keepalive_seconds: float = 120.0

    def models(self) -> dict[str, Model]:
        """Return all models by id."""
        return {**MODELS, **self.extra_models}
