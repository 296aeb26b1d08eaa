"""Speech as small as recognition allows, as Ogg-Opus or MP3; and which bit rate makes how many bytes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.muxer import Writer

if TYPE_CHECKING:
    from av import AudioFrame

Codec = Literal["opus", "mp3"]

RATE = 16_000
"""Samples per second of what is written: recognisers listen at this rate, and spend no bits on what is above."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How a codec is written. Rates in bits per second and per channel; ``overhead`` is the container's."""

    encoder: str
    container: str
    suffix: str
    content_type: str
    frame: int
    lowest: int
    highest: int
    plain: int
    overhead: int
    options: dict[str, str]


_OPUS = {"application": "voip", "vbr": "constrained", "frame_duration": "60"}

_FORMS: dict[str, _Form] = {
    # 15,000 makes 16 kb/s with what Ogg adds; the word error is that of 24 kb/s. MP3 below 32 kb/s is not understood.
    "opus": _Form("libopus", "ogg", ".ogg", "audio/ogg", 960, 15_000, 24_000, 32_000, 450, _OPUS),
    "mp3": _Form("libmp3lame", "mp3", ".mp3", "audio/mpeg", 576, 32_000, 32_000, 48_000, 0, {}),
}

_HEADERS = 4096
_MARGIN = 0.01


def form(codec: str) -> _Form:
    """Return how a codec is written.

    :raises InvalidInput: for a codec that is not ``opus`` or ``mp3``.
    """
    if codec not in _FORMS:
        raise InvalidInput(f"{codec=} is not written here; {' or '.join(map(repr, _FORMS))} is")
    return _FORMS[codec]


def bit_rate_for(seconds: float, limit_bytes: int, *, codec: Codec = "opus", channels: int = 1) -> int | None:
    """Return the highest speech bit rate at which a recording stays under a limit, bits per second.

    :return: None if it does not even fit at the lowest that recognition survives.
    """
    told = form(codec)
    fitting = ((limit_bytes - _HEADERS) * 8 / max(seconds, 0.1) - told.overhead) * (1 - _MARGIN)
    return min(told.highest * channels, int(fitting)) if fitting >= told.lowest * channels else None


def longest_seconds(limit_bytes: int, *, codec: Codec = "opus", channels: int = 1) -> float:
    """Return how long a recording may be to fit under a limit at the lowest bit rate, seconds (3 MB: 25.6 minutes)."""
    told = form(codec)
    return max(0.0, (limit_bytes - _HEADERS) * 8 / (told.lowest * channels / (1 - _MARGIN) + told.overhead))


class Encoder(Writer):
    """One file being encoded.

    :param file: written and sought in; it stays open.
    :param bit_rate: bits per second, of all channels together.
    """

    def __init__(self, file: BinaryIO, *, codec: Codec, channels: int, bit_rate: int) -> None:
        told = form(codec)
        super().__init__(file, told.container, RATE)
        stream: Any = self._container.add_stream(
            told.encoder, rate=RATE, options=told.options, layout="stereo" if channels == 2 else "mono"
        )
        stream.bit_rate = bit_rate
        stream.codec_context.thread_count = 1
        self._stream = stream

    def write(self, item: AudioFrame, samples: int) -> None:
        """Encode a frame of so many samples: :data:`RATE`, the codec's frame size, 16 bits."""
        item.pts = self._samples
        self._container.mux(self._stream.encode(item))
        self._samples += samples

    def finish(self) -> None:
        """Write what the encoder holds back, and complete the file."""
        self._container.mux(self._stream.encode(None))
        super().finish()
