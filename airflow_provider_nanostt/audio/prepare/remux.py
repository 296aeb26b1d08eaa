"""Sound copied as it is: packets go from one container into another, or into several files, without being decoded.

Times are counted in samples, not read from the file, because those in files are rounded, and sometimes wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_nanostt.audio.prepare.decoding import AudioTrack, packet_seconds
from airflow_provider_nanostt.audio.prepare.muxer import Muxer

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream


@dataclass(frozen=True, slots=True)
class RemuxTarget:
    """What a codec is copied into: FFmpeg's name of the container, the suffix, the content type.

    ``sample_bytes`` is one sample's size in PCM, whose packets can be cut anywhere; 0 for everything else.
    """

    container: str
    suffix: str
    content_type: str
    sample_bytes: int = 0


_OGG = RemuxTarget("ogg", ".ogg", "audio/ogg")
_MP3 = RemuxTarget("mp3", ".mp3", "audio/mpeg")
_M4A = RemuxTarget("ipod", ".m4a", "audio/mp4")
_TARGETS = {
    **dict.fromkeys(("opus", "libopus", "vorbis", "libvorbis"), _OGG),
    **dict.fromkeys(("mp3", "mp3float"), _MP3),
    **dict.fromkeys(("aac", "aac_fixed"), _M4A),
    **{
        f"pcm_{name}": RemuxTarget("wav", ".wav", "audio/wav", size)
        for name, size in {
            "u8": 1, "mulaw": 1, "alaw": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8,
        }.items()
    },
}  # fmt: skip


def remux_target(track: AudioTrack) -> RemuxTarget | None:
    """Return what a recording's sound can be copied into so that the service takes it, or None."""
    return _TARGETS.get(track.codec)


def sample_count(track: AudioTrack, packet: Packet[AudioStream]) -> int:
    """Return the samples (of one channel) that a packet of a copyable codec holds."""
    size = _TARGETS[track.codec].sample_bytes
    if size:
        return packet.size // (size * track.channels)
    return round(packet_seconds(track, packet) * track.rate)


def cut_packet(track: AudioTrack, data: bytes, samples: int) -> tuple[bytes, bytes]:
    """Cut a PCM packet after so many samples and return both halves."""
    at = samples * _TARGETS[track.codec].sample_bytes * track.channels
    return data[:at], data[at:]


class Remuxer(Muxer[bytes]):
    """One file that packets are copied into.

    :param file: written and sought in; it stays open.
    :param target: see :func:`remux_target`.
    """

    def __init__(self, file: BinaryIO, track: AudioTrack, target: RemuxTarget) -> None:
        super().__init__(file, target.container, track.rate)
        if hasattr(self.container, "add_stream_from_template"):
            self._stream = self.container.add_stream_from_template(track.stream)
        else:  # pragma: no cover  # PyAV 13
            self._stream = self.container.add_stream(template=track.stream)  # type: ignore[call-overload]

    def write(self, item: bytes, samples: int) -> None:
        """Copy the bytes of a packet that holds so many samples.

        Its side data stay behind: they say what to leave out at the end of the old file, which a part may not have.
        """
        import av

        packet = av.Packet(item)
        packet.is_keyframe = True
        packet.stream = self._stream
        packet.time_base = Fraction(1, self.rate)
        packet.pts = packet.dts = self.samples
        packet.duration = samples
        self.container.mux(packet)
        self.samples += samples
