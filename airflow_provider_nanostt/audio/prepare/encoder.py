"""Speech as small as recognition allows, as Ogg-Opus or MP3; and which bit rate makes how many bytes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.muxer import Muxer

if TYPE_CHECKING:
    from av import AudioFrame

Codec = Literal["opus", "mp3"]

RATE = 16_000
"""Samples per second of what is written: recognisers listen at this rate, and spend no bits on what is above."""


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """How a codec is written. Rates in bits per second and per channel; ``overhead`` is the container's."""

    encoder: Literal["libopus", "libmp3lame"]
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

_SPECS: dict[str, CodecSpec] = {
    # 15,000 makes 16 kb/s with what Ogg adds; the word error is that of 24 kb/s. MP3 below 32 kb/s is not understood.
    "opus": CodecSpec("libopus", "ogg", ".ogg", "audio/ogg", 960, 15_000, 24_000, 32_000, 450, _OPUS),
    "mp3": CodecSpec("libmp3lame", "mp3", ".mp3", "audio/mpeg", 576, 32_000, 32_000, 48_000, 0, {}),
}

_HEADER_BYTES = 4096
_MARGIN = 0.01


def codec_spec(codec: str) -> CodecSpec:
    """Return how a codec is written.

    :raises InvalidInput: for a codec that is not ``opus`` or ``mp3``.
    """
    if codec not in _SPECS:
        raise InvalidInput(f"codec must be {' or '.join(map(repr, _SPECS))}, got {codec!r}")
    return _SPECS[codec]


def bit_rate_for(seconds: float, limit_bytes: int, *, codec: Codec = "opus") -> int | None:
    """Return the highest speech bit rate at which a recording stays under a limit, bits per second.

    :return: None if it does not even fit at the lowest that recognition survives.
    """
    spec = codec_spec(codec)
    fitting = ((limit_bytes - _HEADER_BYTES) * 8 / max(seconds, 0.1) - spec.overhead) * (1 - _MARGIN)
    return min(spec.highest, int(fitting)) if fitting >= spec.lowest else None


def longest_seconds(limit_bytes: int, *, codec: Codec = "opus") -> float:
    """Return how long a recording may be to fit under a limit at the lowest bit rate, seconds (3 MB: 25.6 minutes)."""
    spec = codec_spec(codec)
    return max(0.0, (limit_bytes - _HEADER_BYTES) * 8 / (spec.lowest / (1 - _MARGIN) + spec.overhead))


class Encoder(Muxer["AudioFrame"]):
    """One file being encoded.

    :param file: written and sought in; it stays open.
    :param bit_rate: bits per second, of all channels together.
    """

    def __init__(self, file: BinaryIO, *, codec: Codec, channels: int, bit_rate: int) -> None:
        spec = codec_spec(codec)
        super().__init__(file, spec.container, RATE)
        layout = "stereo" if channels == 2 else "mono"
        self._stream = self.container.add_stream(spec.encoder, rate=RATE, options=spec.options, layout=layout)
        self._stream.bit_rate = bit_rate
        self._stream.codec_context.thread_count = 1

    def write(self, item: AudioFrame, samples: int) -> None:
        """Encode a frame of so many samples: :data:`RATE`, the codec's frame size, 16 bits."""
        item.pts = self.samples
        self.container.mux(self._stream.encode(item))
        self.samples += samples

    def finish(self) -> None:
        """Write what the encoder holds back, and complete the file."""
        self.container.mux(self._stream.encode(None))
        super().finish()
