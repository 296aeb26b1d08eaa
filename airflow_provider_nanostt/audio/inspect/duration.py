"""How long a recording is, or that this is unknown; a wrong length is a wrong price.

The file's own structure is asked first, checked against its bytes (``containers``); if that is in doubt, the packets of
sound are added up, where PyAV (the extra ``[audio]``) is installed and the whole file may be read. Nothing is decoded.
"""

from __future__ import annotations

import importlib.util
import itertools
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from airflow_provider_nanostt.audio.inspect.containers import (
    Doubtful,
    Found,
    Hopeless,
    Measure,
    amr,
    asf,
    flac,
    mp4,
    mpeg,
    ogg,
    riff,
)
from airflow_provider_nanostt.audio.inspect.formats import Format

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer

MIN_BITS_PER_SECOND = 4_000
MAX_BITS_PER_SECOND = 3_000_000
"""A header that implies less or more than this is not believed."""

MAX_SECONDS = 100 * 3600.0
"""No recording that the service would take is longer; a longer one is a mistake or a trap."""

_MIN_COUNTED = 400  # Opus says nothing of silence, at 20 bytes a second
_MAX_VIDEO_BITS = 400_000_000
_MAX_PACKET_SECONDS = 10.0
_MAX_TRACKS = 8
_STEADY = ("aac", "mp3", "mp2", "ac3")
"""Codecs whose packets all last as long."""

MAX_READ_BYTES = 1024 * 1024 * 1024
MAX_READ_SECONDS = 30.0
MAX_PACKETS = 20_000_000
"""How much of a file PyAV may read before its length is unknown."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a recording is.

    :param seconds: None if unknown.
    :param source: how it is known, or why it is not; for people.
    :param tracks: tracks of sound that play at the same time, of which the longest was measured.
    """

    seconds: float | None
    source: str
    tracks: int = 1

    @property
    def minutes(self) -> float | None:
        """The length in minutes, as the service counts."""
        return None if self.seconds is None else self.seconds / 60


_STRUCTURES: dict[str, Measure] = {
    "mp3": mpeg.measure_mp3,
    "aac": mpeg.measure_adts,
    "wav": riff.measure,
    "w64": riff.measure,
    "mov": mp4.measure,
    "ogg": ogg.measure,
    "flac": flac.measure,
    "amr": amr.measure,
    "aiff": riff.measure_aiff,
    "asf": asf.measure,
}


def measure(file: BinaryIO, size: int, kind: Format | None, *, whole: bool = True) -> Length:
    """Measure a recording.

    :param file: seekable, open for reading; left open, at an undefined position.
    :param size: its bytes.
    :param kind: see :func:`~airflow_provider_nanostt.audio.inspect.formats.identify`.
    :param whole: whether all of it may be read if need be. False for a remote file: then only headers and a few samples
        are read, at most 512 KB in 4 ranges for ordinary files.
    :return: the length within 1 %, or None with the reason; never an exception for the bytes of the file or because it
        cannot be read.
    """
    if size <= 0:
        return Length(None, "the file is empty")
    if kind is None:
        return Length(None, "the file has an unrecognised format")
    if not kind.is_media:
        return Length(None, f"the file is {kind.name}, not sound")
    try:
        return _measure(file, size, kind, whole=whole)
    except OSError as error:
        return Length(None, f"the file cannot be read: {error.strerror or error}")


def _measure(file: BinaryIO, size: int, kind: Format, *, whole: bool) -> Length:
    ways: list[Callable[[], Found]] = []
    if kind.demuxer in _STRUCTURES:
        ways.append(lambda: _STRUCTURES[kind.demuxer](file, size, whole=whole))
    if whole and importlib.util.find_spec("av") is not None:
        ways.append(lambda: _by_packets(file, kind))
    doubts: list[str] = []
    for way in ways:
        try:
            return _believed(way(), size, kind)
        except Hopeless as claim:
            return Length(None, str(claim))
        except Doubtful as doubt:
            doubts.append(str(doubt))
        except (struct.error, ValueError, IndexError, ZeroDivisionError, OverflowError):
            doubts.append(f"its {kind.name} headers are malformed")
    if not ways:
        needs = "with the extra [audio]" if whole else "only if the whole file can be read"
        doubts.append(f"{kind.name} is measured {needs}")
    return Length(None, "; ".join(dict.fromkeys(doubts)))


def _believed(found: Found, size: int, kind: Format) -> Length:
    if not 0 < found.seconds <= MAX_SECONDS:
        raise Doubtful(f"{found.source} would make it {found.seconds / 3600:,.1f} hours")
    bits = 8 * (size if found.payload is None else found.payload) / found.seconds
    lowest = _MIN_COUNTED if found.counted else MIN_BITS_PER_SECOND
    highest = _MAX_VIDEO_BITS if kind.is_video or found.counted else MAX_BITS_PER_SECOND
    if not lowest <= bits <= highest:
        raise Doubtful(f"{found.source} would make it {found.seconds:,.1f} s, or {bits / 1000:,.1f} kb/s")
    return Length(found.seconds, found.source, found.tracks)


class _LimitedFile:
    """The reading half of a file, which seems to end once the limits are reached."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.seekable, self._file = file.seek, file.tell, file.seekable, file
        self._left = MAX_READ_BYTES
        self._until = time.monotonic() + MAX_READ_SECONDS

    def read(self, size: int = -1, /) -> bytes:
        data = b"" if self.is_over() else self._file.read(size)
        self._left -= len(data)
        return data

    def is_over(self) -> bool:
        return self._left <= 0 or time.monotonic() > self._until


def _by_packets(file: BinaryIO, kind: Format) -> Found:
    """Add up the packets of sound with PyAV, of each track by itself; the longest counts.

    It is given a file object and the one reader that belongs to the recognised format, so that no playlist and no
    address in a file can make it open anything else.
    """
    import av

    options = {"probesize": "2000000", "analyzeduration": "5000000", "protocol_whitelist": "none"}
    found: list[tuple[float, int]] = []
    tracks = 1
    while len(found) < min(tracks, _MAX_TRACKS):
        file.seek(0)
        limited = _LimitedFile(file)
        try:
            with av.open(limited, "r", format=kind.demuxer, options=options, io_open=refuse_other_files) as container:
                if not container.streams.audio:
                    raise Doubtful("there is no sound in this file")
                tracks = len(container.streams.audio)
                found.append(_added_up(container, container.streams.audio[len(found)], limited.is_over))
        except (av.FFmpegError, ValueError, LookupError, RuntimeError) as error:
            raise Doubtful(f"FFmpeg cannot read it as {kind.name}: {type(error).__name__}") from error
    seconds, size = max(found)
    if not size:
        raise Doubtful("there is nothing in the sound tracks of this file")
    return Found(seconds, "the packets of sound, added up", counted=True, payload=size, tracks=tracks)


def _added_up(container: InputContainer, stream: AudioStream, is_over: Callable[[], bool]) -> tuple[float, int]:
    """Return seconds and bytes of the packets of one track; none of an empty one."""
    counter = itertools.count()
    sounding = (packet for packet in container.demux(stream) if _has_sound(packet) and next(counter) >= 0)
    first = next(sounding, None)
    if first is None:
        return 0.0, 0
    seconds, size = add_up(itertools.chain([first], sounding), stream.time_base or Fraction(1), is_over)
    codec = stream.codec_context
    steady = codec.codec.canonical_name in _STEADY and codec.frame_size and codec.sample_rate
    decoded = next(counter) * codec.frame_size / codec.sample_rate if steady else seconds
    if abs(seconds - decoded) > 0.01 * decoded + 0.2:
        raise Doubtful(f"its times make {seconds:,.1f} s, its packets hold {decoded:,.1f} s")
    return seconds, size


def refuse_other_files(*_: object) -> NoReturn:
    """Stand in for FFmpeg's opening of further files, and refuse it."""
    raise PermissionError("recordings that refer to other files are not followed")


def _has_sound(packet: Packet[AudioStream]) -> bool:
    return packet.size > 0 and not packet.is_discard


def add_up(packets: Iterable[Packet[AudioStream]], unit: Fraction, is_over: Callable[[], bool]) -> tuple[float, int]:
    """Return seconds and bytes of packets; gaps between them count, as in a player.

    :param unit: of the packets' times, seconds.
    :param is_over: whether time or bytes are used up.
    :raises Doubtful: if there are none, they leave gaps that cannot be judged, or it takes too long.
    """
    total, size, begin, end, before, missing, steady = 0, 0, None, 0, None, 0, True
    longest = _MAX_PACKET_SECONDS / unit
    for count, packet in enumerate(packets):
        if count > MAX_PACKETS or (count % 256 == 0 and is_over()):
            raise Doubtful("reading the file takes too long")
        if not _has_sound(packet):
            continue
        length, at = packet.duration or 0, packet.pts
        size, total, missing = size + packet.size, total + length, missing + (not length)
        if at is not None:
            begin = at if begin is None else begin
            steady = steady and (before is None or 0 <= at - before <= longest)
            before, end = at, max(end, at + length)
        if length > longest:
            raise Doubtful("a single packet claims more than ten seconds")
    span = end - begin if begin is not None and steady else None
    if not size or (span is None and missing):
        raise Doubtful("the packets of sound do not say how long they are")
    if is_over():
        raise Doubtful("reading the file takes too long")
    if span is not None and (missing or span > 1.005 * total):
        total = span
    return float(total * unit), size
