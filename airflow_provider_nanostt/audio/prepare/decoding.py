"""Recordings from outside are opened with FFmpeg (through PyAV, the extra ``[audio]``), within limits.

FFmpeg only ever sees a file object, and only demuxers that read nothing else: no address, path, playlist or stream
description gets through. Damage is skipped and counted; a recording that never ends, or decodes to hours out of
kilobytes, is refused. Everything streams, so the length of a recording costs time and no memory.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect.duration import refuse_other_files

if TYPE_CHECKING:
    from av import AudioFrame, Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,asf,au,avi,caf,eac3,flac,flv,gsm,loas,matroska,mov,mp3,mpeg,mpegts,ogg,tta,voc,w64,"
    "wav,webm,wv"
)
"""The demuxers that find all they need in the one file they are given."""

_MAX_FRAME_SECONDS = 60.0  # a frame of 65,535 samples at one per second would fill the memory once resampled
_MIN_BREAKS = 1000
_MAX_RESUMES = 100
_PROGRESS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a recording may go before it is taken for an attack or an accident.

    :param max_seconds: of decoded sound.
    :param max_packets: of the sound track; five milliseconds is about the shortest there is.
    """

    max_seconds: float = 24 * 3600.0
    max_packets: int = 20_000_000


_BOUNDS = Bounds()


class _OnlyBytes:
    """A file object without a name: FFmpeg would take the name as a hint, and some have numbers for one."""

    def __init__(self, source: BinaryIO) -> None:
        self.read, self.seek, self.tell, self.seekable = source.read, source.seek, source.tell, source.seekable


class AudioTrack:
    """One sound track of an open file; :func:`open_track` makes it.

    ``seconds`` and ``broken`` count while :meth:`packets` or :meth:`frames` is read: seconds of sound decoded so far,
    and damaged packets that were skipped.
    """

    def __init__(self, container: InputContainer, stream: AudioStream, bounds: Bounds, name: str) -> None:
        self.stream, self.name, self.bounds = stream, name, bounds
        self.seconds = 0.0
        self.broken = 0
        self._container = container
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

        for _ in range(_MAX_RESUMES):
            try:
                for packet in self._container.demux(self.stream):
                    self._packets += 1
                    if self._packets > self.bounds.max_packets:
                        raise InvalidInput(f"{self.name} has more than {self.bounds.max_packets:,} packets")
                    yield packet
            except av.FFmpegError:
                self._skip_broken()  # what follows the damage may be readable
            else:
                return

    def frames(self) -> Iterator[AudioFrame]:
        """Yield the track's decoded frames; damaged packets are skipped and counted in ``broken``.

        :raises InvalidInput: if it goes on for too long, most of it is damaged, or there is no sound at all.
        :raises OSError: if the source cannot be read.
        """
        import av

        for packet in self.packets():
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._skip_broken()
                continue
            for frame in frames:
                self._count(frame.samples / max(frame.sample_rate, 1))
                yield frame
        if not self.seconds:
            raise InvalidInput(f"{self.name} has a sound track in which nothing can be decoded")
        if self.broken > self._packets / 2:
            raise InvalidInput(self._damaged())

    def _count(self, seconds: float) -> None:
        self.seconds += seconds
        if seconds > _MAX_FRAME_SECONDS:
            raise InvalidInput(
                f"{self.name} has {self.stream.codec_context.sample_rate} samples per second, too few for sound"
            )
        if self.seconds > self.bounds.max_seconds:
            raise InvalidInput(f"{self.name} is longer than {self.bounds.max_seconds / 3600:g} hours")

    def _skip_broken(self) -> None:
        self.broken += 1
        if self.broken > _MIN_BREAKS and self.broken > self._packets / 2:
            raise InvalidInput(self._damaged())

    def _damaged(self) -> str:
        return f"{self.name} is damaged: {self.broken:,} of {self._packets:,} packets cannot be decoded"


def can_transcode() -> bool:
    """Whether recordings can be converted, compressed and split here."""
    return importlib.util.find_spec("av") is not None


@contextmanager
def open_track(source: BinaryIO, *, bounds: Bounds = _BOUNDS) -> Iterator[AudioTrack]:
    """Open the first sound track of a recording from its first byte; the source stays open afterwards.

    :param source: seekable; of a video, the sound is taken.
    :raises InvalidInput: if PyAV is missing, the bytes are not a recording, or there is no sound in it.
    :raises OSError: if the source cannot be read.
    """
    try:
        import av
    except ImportError as error:
        raise InvalidInput(
            "converting, compressing and splitting recordings needs PyAV: pip install 'airflow-provider-nanostt[audio]'"
        ) from error
    name = _name(source)
    source.seek(0)
    try:
        container = av.open(
            _OnlyBytes(source),
            "r",
            container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"},
            metadata_errors="replace",
            io_open=refuse_other_files,
        )
    except (av.FFmpegError, PermissionError) as error:
        raise InvalidInput(f"{name} is not a recording that can be read here ({ffmpeg_reason(error)})") from error
    with container:
        if not container.streams.audio:
            raise InvalidInput(f"{name} has no sound tracks")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise InvalidInput(f"{name} has a sound track in a codec that cannot be decoded here")
        stream.codec_context.thread_count = 1
        yield AudioTrack(container, stream, bounds, name)


def packet_seconds(track: AudioTrack, packet: Packet[AudioStream]) -> float:
    """Return the length of a packet's sound in seconds; by the codec's frame size, since time stamps may be rounded."""
    if not packet.size:
        return 0.0
    if size := track.stream.codec_context.frame_size:
        return size / track.rate
    base = packet.time_base
    return float((packet.duration or 0) * base) if base else 0.0


def throttled(progress: Callable[[float], object] | None) -> Callable[[float], None]:
    """Return a function to call with the seconds done at every step; it passes on one in ten seconds of sound."""
    reported = 0.0

    def report(seconds: float) -> None:
        nonlocal reported
        if progress is not None and seconds - reported >= _PROGRESS_SECONDS:
            reported = seconds
            progress(seconds)

    return report


def ffmpeg_reason(error: BaseException) -> str:
    """Return FFmpeg's own words for an error."""
    return str(getattr(error, "strerror", None) or error).strip().lower()


def _name(source: BinaryIO) -> str:
    name = getattr(source, "name", None)
    return repr(PurePath(name).name) if isinstance(name, str) and name else "the recording"
