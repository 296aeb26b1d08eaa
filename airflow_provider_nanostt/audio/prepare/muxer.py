"""The files that are made of a recording: in which containers, by which codec at which bit rate, encoded or copied.

A file is a generator of what FFmpeg is to write into it. Times are counted in samples, not read from the recording,
because those in files are rounded, and sometimes wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.channels import RATE
from airflow_provider_nanostt.audio.prepare.decoding import AudioTrack, packet_seconds

if TYPE_CHECKING:
    from av import AudioFrame, Packet
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.stream import Stream

    Written: TypeAlias = tuple[Sequence[Packet[AudioStream]] | Packet[Stream], int]

Codec = Literal["opus", "mp3"]


@dataclass(frozen=True, slots=True)
class Container:
    """A container: FFmpeg's name of it, its suffix, its content type."""

    name: str
    suffix: str
    content_type: str


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """How speech is encoded. Rates in bits per second and per channel; ``overhead`` is the container's."""

    encoder: Literal["libopus", "libmp3lame"]
    container: Container
    frame: int
    lowest: int
    highest: int
    plain: int
    overhead: int
    options: dict[str, str]


_OGG = Container("ogg", ".ogg", "audio/ogg")
_MP3 = Container("mp3", ".mp3", "audio/mpeg")
_M4A = Container("ipod", ".m4a", "audio/mp4")
_WAV = Container("wav", ".wav", "audio/wav")

CONTENT_TYPES = {container.suffix: container.content_type for container in (_OGG, _MP3, _M4A, _WAV)}
"""Of what is made here, by suffix."""

_OPUS_OPTIONS = {"application": "voip", "vbr": "constrained", "frame_duration": "60"}
_SPECS: dict[str, CodecSpec] = {
    # 15,000 makes 16 kb/s with what Ogg adds; the word error is that of 24 kb/s. MP3 below 32 kb/s is not understood.
    "opus": CodecSpec("libopus", _OGG, 960, 15_000, 24_000, 32_000, 450, _OPUS_OPTIONS),
    "mp3": CodecSpec("libmp3lame", _MP3, 576, 32_000, 32_000, 48_000, 0, {}),
}

_PCM_BYTES = {"u8": 1, "mulaw": 1, "alaw": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8}
"""Bytes of a sample."""

COPIED_INTO = {
    **dict.fromkeys(("opus", "libopus", "vorbis", "libvorbis"), _OGG),
    **dict.fromkeys(("mp3", "mp3float"), _MP3),
    **dict.fromkeys(("aac", "aac_fixed"), _M4A),
    **{f"pcm_{name}": _WAV for name in _PCM_BYTES},
}
"""What the sound of a codec can be copied into so that the service takes it."""

_HEADER_BYTES = 4096
_MARGIN = 0.01


def codec_spec(codec: str) -> CodecSpec:
    """Return how a codec is written; raises InvalidInput for one that is not ``opus`` or ``mp3``."""
    if codec not in _SPECS:
        raise InvalidInput(f"codec must be {' or '.join(map(repr, _SPECS))}, got {codec!r}")
    return _SPECS[codec]


def bit_rate_for(seconds: float, limit_bytes: int, *, codec: Codec = "opus") -> int | None:
    """Return the highest bits per second at which speech stays under a limit; None if the lowest understood do not."""
    spec = codec_spec(codec)
    fitting = ((limit_bytes - _HEADER_BYTES) * 8 / max(seconds, 0.1) - spec.overhead) * (1 - _MARGIN)
    return min(spec.highest, int(fitting)) if fitting >= spec.lowest else None


def longest_seconds(limit_bytes: int, *, codec: Codec = "opus") -> float:
    """Return how long a recording may be to fit under a limit at the lowest bit rate, seconds (3 MB: 25.6 minutes)."""
    spec = codec_spec(codec)
    return max(0.0, (limit_bytes - _HEADER_BYTES) * 8 / (spec.lowest / (1 - _MARGIN) + spec.overhead))


def encoded(
    file: OutputContainer, frames: Iterable[tuple[AudioFrame, int]], spec: CodecSpec, *, channels: int, bit_rate: int
) -> Iterator[Written]:
    """Encode one file; yield what is to be written, and how many samples were read for it.

    :param frames: at :data:`RATE`, of the codec's frame size, 16 bits; with each, its samples.
    :param bit_rate: bits per second, of all channels together.
    """
    layout = "stereo" if channels == 2 else "mono"
    stream = file.add_stream(spec.encoder, rate=RATE, options=spec.options, layout=layout)
    stream.bit_rate = bit_rate
    stream.codec_context.thread_count = 1
    position = 0
    for frame, samples in frames:
        frame.pts = position
        position += samples
        yield stream.encode(frame), samples
    yield stream.encode(None), 0


def copied(file: OutputContainer, track: AudioTrack, packets: Iterable[tuple[bytes, int]]) -> Iterator[Written]:
    """Copy packets, which :func:`packet_bytes` returns, into one file; yield as :func:`encoded`.

    Their side data stay behind: they say what to leave out at the end of the old file, which a part may not have.
    """
    import av

    if hasattr(file, "add_stream_from_template"):
        stream = file.add_stream_from_template(track.stream)
    else:  # pragma: no cover  # PyAV 13
        stream = file.add_stream(template=track.stream)  # type: ignore[call-overload]
    position = 0
    for data, samples in packets:
        packet = av.Packet(data)
        packet.is_keyframe = True
        packet.stream = stream
        packet.time_base = Fraction(1, track.rate)
        packet.pts = packet.dts = position
        packet.duration = samples
        position += samples
        yield packet, samples


def packet_bytes(track: AudioTrack, split_points: Sequence[int]) -> Iterator[tuple[bytes, int]]:
    """Yield the packets of a codec that can be copied, and the samples (of one channel) in each.

    :param split_points: samples, ascending; PCM is cut there, packets of other codecs cannot be.
    """
    size = _PCM_BYTES.get(track.codec.removeprefix("pcm_"), 0) * track.channels
    position = 0
    for packet in track.packets():
        data = bytes(packet)
        samples = len(data) // size if size else round(packet_seconds(track, packet) * track.rate)
        for point in split_points if size else ():
            before = point - position
            if 0 < before < samples:
                yield data[: before * size], before
                data, samples, position = data[before * size :], samples - before, point
        if samples:
            yield data, samples
            position += samples
