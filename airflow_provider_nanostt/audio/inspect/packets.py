"""How long the packets of sound in a file are together, as FFmpeg finds them. Nothing is decoded.

Runs in a child process (``audio.sandbox``): bytes from outside can make FFmpeg take any amount of memory.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from airflow_provider_nanostt.audio.inspect.clock import Clock, clock_of, with_silence
from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_MAX_PACKET_SECONDS = 10.0
_MAX_TRACKS = 8
_GAP = 4  # times the length of a packet by its codec
_BY_PACKETS = "the packets of sound, added up"
_STEADY = ("aac", "mp3", "mp2", "ac3")
"""Codecs whose packets all last as long."""

MAX_READ_BYTES = 1024 * 1024 * 1024
MAX_READ_SECONDS = 30.0
MAX_PACKETS = 20_000_000
"""How much of a file may be read before its length is unknown."""


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


def by_packets(file: BinaryIO, progress: Callable[[float], object], *, demuxer: str, name: str) -> dict[str, object]:  # noqa: ARG001
    """Add up the packets of sound with PyAV, of each track by itself; return the longest, as plain JSON.

    It is given a file object and the one reader that belongs to the recognised format, so that no playlist and no
    address in a file can make it open anything else. Work for :func:`~airflow_provider_nanostt.audio.sandbox.run`.

    :param demuxer: FFmpeg's reader of the format, and ``name`` of that for people.
    :raises Doubtful: if the packets do not say how long it is.
    """
    import av

    options = {"probesize": "2000000", "analyzeduration": "5000000", "protocol_whitelist": "none"}
    found: list[Found] = []
    tracks = 1
    while len(found) < min(tracks, _MAX_TRACKS):
        file.seek(0)
        limited = _LimitedFile(file)
        try:
            # Not options=, which go to each stream, too: PyAV before 18 crashes if one is only found while reading.
            with av.open(
                limited, "r", format=demuxer, container_options=options, io_open=refuse_other_files
            ) as container:
                if not container.streams.audio:
                    raise Doubtful("there is no sound in this file")
                tracks = len(container.streams.audio)
                found.append(_added_up(container, container.streams.audio[len(found)], limited.is_over))
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError, LookupError, RuntimeError) as error:
            raise Doubtful(f"FFmpeg cannot read it as {name}: {type(error).__name__}") from error
    longest = max(found, key=lambda one: one.seconds + one.silence)
    if not longest.seconds:
        raise Doubtful("there is nothing in the sound tracks of this file")
    return asdict(replace(longest, tracks=tracks))


def _added_up(container: InputContainer, stream: AudioStream, is_over: Callable[[], bool]) -> Found:
    """Measure one track by its packets; an empty one lasts nothing."""
    codec = stream.codec_context
    if codec is None:
        raise Doubtful("it has a sound track in a codec that FFmpeg does not know")
    steady = codec.codec.canonical_name in _STEADY and codec.frame_size and codec.sample_rate
    piece = Fraction(codec.frame_size, codec.sample_rate) if steady else Fraction(0)
    packets = container.demux(stream)
    first = next((packet for packet in packets if _has_sound(packet)), None)
    if first is None:
        return Found(0.0, _BY_PACKETS)
    return add_up(
        itertools.chain([first], packets), stream.time_base or Fraction(1), is_over, clock_of(container), piece
    )


def refuse_other_files(*_: object) -> NoReturn:
    """Stand in for FFmpeg's opening of further files, and refuse it."""
    raise PermissionError("recordings that refer to other files are not followed")


def _has_sound(packet: Packet[AudioStream]) -> bool:
    return packet.size > 0 and not packet.is_discard


def add_up(
    packets: Iterable[Packet[AudioStream]],
    unit: Fraction,
    is_over: Callable[[], bool],
    clock: Clock | None = None,
    piece: Fraction = Fraction(0),
) -> Found:
    """Add up packets; where there is a clock, the gaps between them are silence.

    :param unit: of the packets' times, seconds.
    :param is_over: whether time or bytes are used up.
    :param piece: how long each packet is by its codec, seconds; 0 if that varies.
    :raises Doubtful: if there are none, they leave gaps that cannot be judged, or it takes too long.
    """
    tick, usual = float(unit), float(piece)

    def timed(packet: Packet[AudioStream]) -> tuple[float | None, float]:
        return None if packet.pts is None else packet.pts * tick, usual or (packet.duration or 0) * tick

    total, size, number, missing, gaps, span = 0, 0, 0, False, 0, _Span(_MAX_PACKET_SECONDS / unit)
    for number, (_, packet) in enumerate(with_silence(filter(_has_sound, packets), timed, clock), 1):
        if number > MAX_PACKETS or (number % 256 == 1 and is_over()):
            raise Doubtful("reading the file takes too long")
        length = packet.duration or 0
        if usual and length * tick > _GAP * usual:  # a codec cannot fill that, so the rest is a gap
            length, gaps = round(usual / tick), gaps + 1
        if length > span.longest:
            raise Doubtful("a single packet claims more than ten seconds")
        size, total, missing = size + packet.size, total + length, missing or not length
        span.add(packet.pts, length)
    if not size or (span.length is None and missing):
        raise Doubtful("the packets of sound do not say how long they are")
    if is_over():
        raise Doubtful("reading the file takes too long")
    silence = clock.silence if clock and not missing else 0.0
    seconds = total * tick
    if span.length is not None and (missing or span.length * tick > 1.005 * (seconds + silence)):
        seconds = span.length * tick - silence
    decoded = number * usual or seconds
    if gaps > number / 2 or abs(seconds - decoded) > 0.01 * decoded + 0.2:
        raise Doubtful(f"its times make {seconds:,.1f} s, its packets hold {decoded:,.1f} s")
    return Found(seconds, _BY_PACKETS, counted=True, payload=size, silence=silence)


class _Span:
    """From when to when packets last, in the unit of their times.

    :param longest: packets whose times are further apart, or go back, do not make one span.
    """

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self._times: tuple[int, int, int] | None = None
        self._is_one = True

    def add(self, at: int | None, length: int) -> None:
        if at is not None:
            begin, before, end = self._times or (at, at, at)
            self._is_one = self._is_one and 0 <= at - before <= self.longest
            self._times = begin, at, max(end, at + length)

    @property
    def length(self) -> int | None:
        return self._times[2] - self._times[0] if self._times and self._is_one else None
