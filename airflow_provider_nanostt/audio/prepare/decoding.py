"""Recordings from outside become sound, with FFmpeg (through PyAV, the extra ``[audio]``) kept on a short leash.

FFmpeg only ever sees a file object, and only demuxers that read nothing else: no address, path, playlist or stream
description gets through. Damage is skipped and counted; what never ends, or decodes to hours out of kilobytes, is
refused. Everything streams, so the length of a recording costs time and no memory.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_nanostt.api.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from av import AudioFrame, Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,asf,au,avi,caf,eac3,flac,flv,gsm,loas,matroska,mov,mp3,mpeg,mpegts,ogg,tta,voc,w64,"
    "wav,webm,wv"
)
"""The demuxers that find all they need in the one file they are given."""

_LONGEST_FRAME = 60.0  # seconds; a frame of 65,535 samples at one per second would fill the memory once resampled
_TOLERATED_BREAKS = 1000
_TRIES_AFTER_BREAK = 100


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a recording may go before it is taken for an attack or an accident.

    :param max_seconds: of decoded sound.
    :param max_packets: of the sound track; five milliseconds is about the shortest there is.
    """

    max_seconds: float = 24 * 3600.0
    max_packets: int = 20_000_000


DEFAULT_BOUNDS = Bounds()


class Progress:
    """Tells how far long work has come, every ten seconds of sound.

    :param tell: called with the seconds done; None for nobody.
    """

    def __init__(self, tell: Callable[[float], object] | None) -> None:
        self._tell = tell
        self._told = 0.0

    def at(self, seconds: float) -> None:
        """Be told of every step; passes on some."""
        if self._tell is not None and seconds - self._told >= 10:
            self._told = seconds
            self._tell(seconds)


class _OnlyBytes:
    """A file object without a name: FFmpeg would take the name as a hint, and some have numbers for one."""

    def __init__(self, source: BinaryIO) -> None:
        self.read = source.read
        self.seek = source.seek
        self.tell = source.tell

    def seekable(self) -> bool:
        return True


class Recording:
    """One sound track of an open file; :func:`opened` makes it.

    ``seconds`` and ``broken`` count while :meth:`packets` or :meth:`frames` is read: seconds of sound decoded so far,
    and pieces that were skipped because they cannot be decoded.
    """

    def __init__(self, container: InputContainer, stream: AudioStream, bounds: Bounds, name: str) -> None:
        self.stream = stream
        self.name = name
        self.seconds = 0.0
        self.broken = 0
        self._container = container
        self._bounds = bounds
        self._packets = 0

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec: ``mp3``, ``opus``, ``pcm_s16le``."""
        return str(self.stream.codec_context.name)

    @property
    def rate(self) -> int:
        """Samples per second, as the header says."""
        return self.stream.codec_context.sample_rate

    @property
    def channels(self) -> int:
        """Channels, as the header says."""
        return len(self.stream.codec_context.layout.channels)

    def packets(self) -> Iterator[Packet[AudioStream]]:
        """Yield the track's packets, an empty one at the end.

        :raises InvalidInput: if there are too many, or most of the file is damaged.
        :raises OSError: if the source cannot be read.
        """
        import av

        for _ in range(_TRIES_AFTER_BREAK):
            try:
                for packet in self._container.demux(self.stream):
                    self._packets += 1
                    if self._packets > self._bounds.max_packets:
                        raise InvalidInput(
                            f"{self.name} has more than {self._bounds.max_packets:,} packets; it was given up"
                        )
                    yield packet
            except av.FFmpegError:
                self._broke()  # what follows the damage may be readable
            else:
                return

    def frames(self) -> Iterator[AudioFrame]:
        """Yield the track's decoded frames; what cannot be decoded is skipped and counted in ``broken``.

        :raises InvalidInput: if it goes on for too long, most of it is damaged, or there is no sound at all.
        :raises OSError: if the source cannot be read.
        """
        import av

        for packet in self.packets():
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._broke()
                continue
            for frame in frames:
                self._heard(frame.samples / max(frame.sample_rate, 1))
                yield frame
        if not self.seconds:
            raise InvalidInput(f"{self.name} has a sound track in which nothing can be decoded")
        if self.broken > self._packets / 2:
            raise InvalidInput(self._damaged())

    def _heard(self, seconds: float) -> None:
        self.seconds += seconds
        if seconds > _LONGEST_FRAME:
            raise InvalidInput(f"{self.name} has {self.stream.codec_context.sample_rate} samples per second: no sound")
        if self.seconds > self._bounds.max_seconds:
            raise InvalidInput(f"{self.name} is longer than {self._bounds.max_seconds / 3600:g} hours; it was given up")

    def _broke(self) -> None:
        self.broken += 1
        if self.broken > _TOLERATED_BREAKS and self.broken > self._packets / 2:
            raise InvalidInput(self._damaged())

    def _damaged(self) -> str:
        return f"{self.name} is damaged: {self.broken:,} of {self._packets:,} pieces of it cannot be decoded"


def need_av() -> Any:
    """Return PyAV.

    :raises InvalidInput: if the extra is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InvalidInput(
            "converting, compressing and splitting recordings needs PyAV: pip install 'airflow-provider-nanostt[audio]'"
        ) from error
    return av


@contextmanager
def opened(source: BinaryIO, *, track: int = 0, bounds: Bounds = DEFAULT_BOUNDS) -> Iterator[Recording]:
    """Open a recording from its first byte; the source stays open afterwards.

    :param source: seekable.
    :param track: which sound track, from 0; video and cover art do not count.
    :raises InvalidInput: if PyAV is missing, the bytes are no recording, or there is no such track.
    :raises OSError: if the source cannot be read.
    """
    av = need_av()
    name = _name(source)
    source.seek(0)
    try:
        container = av.open(
            _OnlyBytes(source),
            "r",
            container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"},
            metadata_errors="replace",
            io_open=_refuse,
        )
    except (av.FFmpegError, PermissionError) as error:
        raise InvalidInput(f"{name} is no recording that can be read here ({reason(error)})") from error
    with container:
        tracks = container.streams.audio
        if track >= len(tracks):
            raise InvalidInput(f"{name} has {len(tracks) or 'no'} sound track{'s' * (len(tracks) != 1)}, {track=}")
        stream = tracks[track]
        if stream.codec_context is None:
            raise InvalidInput(f"{name} has a sound track in a codec that cannot be decoded here")
        stream.codec_context.thread_count = 1
        yield Recording(container, stream, bounds, name)


def channel_count(source: BinaryIO, wanted: int = 2, *, track: int = 0) -> int:
    """Return how many channels of a recording are worth keeping: those it has, at most as many as wanted.

    :raises InvalidInput: if PyAV is missing, the bytes are no recording, or there is no such track.
    :raises OSError: if the source cannot be read.
    """
    if wanted <= 1:
        return 1
    with opened(source, track=track) as recording:
        return min(recording.channels, wanted)


def packet_seconds(recording: Recording, packet: Packet[AudioStream]) -> float:
    """Return the length of a packet's sound in seconds; by the codec's frame size, since time stamps may be rounded."""
    if not packet.size:
        return 0.0
    if size := recording.stream.codec_context.frame_size:
        return size / recording.rate
    base = packet.time_base
    return float((packet.duration or 0) * base) if base else 0.0


def _refuse(*_: object) -> None:
    raise PermissionError("recordings that refer to other files are not followed")


def _name(source: BinaryIO) -> str:
    name = getattr(source, "name", None)
    return repr(PurePath(name).name) if isinstance(name, str) and name else "the recording"


def reason(error: BaseException) -> str:
    """Return what FFmpeg says was wrong."""
    return str(getattr(error, "strerror", None) or error).strip().lower()
