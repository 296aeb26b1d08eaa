"""Sound copied as it is: packets go from one container into another, or into several files, without being decoded.

Times are counted in samples, not read from the file, because files lie about them and round them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_nanostt.audio.prepare.decoding import packet_seconds
from airflow_provider_nanostt.audio.prepare.muxer import Writer

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream

    from airflow_provider_nanostt.audio.prepare.decoding import Recording


@dataclass(frozen=True, slots=True)
class Kind:
    """What a codec is copied into: FFmpeg's name of the container, the suffix, the content type.

    ``sample_bytes`` is one sample's size in PCM, whose packets can be cut anywhere; 0 for everything else.
    """

    container: str
    suffix: str
    content_type: str
    sample_bytes: int = 0


_OGG = Kind("ogg", ".ogg", "audio/ogg")
_MP3 = Kind("mp3", ".mp3", "audio/mpeg")
_M4A = Kind("ipod", ".m4a", "audio/mp4")
_KINDS = {
    **dict.fromkeys(("opus", "libopus", "vorbis", "libvorbis"), _OGG),
    **dict.fromkeys(("mp3", "mp3float"), _MP3),
    **dict.fromkeys(("aac", "aac_fixed"), _M4A),
    **{
        f"pcm_{name}": Kind("wav", ".wav", "audio/wav", size)
        for name, size in {
            "u8": 1, "mulaw": 1, "alaw": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8,
        }.items()
    },
}  # fmt: skip


def copyable(recording: Recording) -> Kind | None:
    """Return what a recording's sound can be copied into so that the service takes it, or None."""
    return _KINDS.get(recording.codec)


def sample_count(recording: Recording, packet: Packet[AudioStream]) -> int:
    """Return the samples (of one channel) that a packet of a copyable codec holds."""
    kind = _KINDS[recording.codec]
    if kind.sample_bytes:
        return packet.size // (kind.sample_bytes * recording.channels)
    return round(packet_seconds(recording, packet) * recording.rate)


def cut_packet(recording: Recording, packet: Packet[AudioStream], samples: int) -> tuple[Any, Any]:
    """Cut a PCM packet after so many samples and return both pieces."""
    import av

    at = samples * _KINDS[recording.codec].sample_bytes * recording.channels
    data = bytes(packet)
    return av.Packet(data[:at]), av.Packet(data[at:])


class Copy(Writer):
    """One file that packets are copied into.

    :param file: written and sought in; it stays open.
    :param kind: what :func:`copyable` said.
    """

    def __init__(self, file: BinaryIO, recording: Recording, kind: Kind) -> None:
        super().__init__(file, kind.container, recording.rate)
        container: Any = self._container
        if hasattr(container, "add_stream_from_template"):
            self._stream = container.add_stream_from_template(recording.stream)
        else:  # pragma: no cover  # PyAV 13
            self._stream = container.add_stream(template=recording.stream)

    def write(self, item: Any, samples: int) -> None:
        """Copy a packet that holds so many samples.

        Its side data stay behind: they say what to leave out at the end of the old file, which a part may not have.
        """
        import av

        item = av.Packet(bytes(item))
        item.is_keyframe = True
        item.stream = self._stream
        item.time_base = Fraction(1, self._rate)
        item.pts = item.dts = self._samples
        item.duration = samples
        self._container.mux(item)
        self._samples += samples
