"""The length of a recording by its packets of sound, added up with PyAV (the extra ``[audio]``); nothing is decoded.

PyAV is given a file object and the one reader that belongs to the recognised format, so that no playlist and no address
in a file can make it open anything else; and no more than :class:`ReadLimits` allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found
from airflow_provider_nanostt.audio.inspect.formats import Format

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream

_MAX_PACKET_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much of a file PyAV may read before its length is unknown: bytes, packets of sound, seconds of time."""

    max_bytes: int = 1024 * 1024 * 1024
    max_packets: int = 20_000_000
    max_seconds: float = 30.0


class _LimitedFile:
    """The reading half of a file, which seems to end once the limits are reached."""

    def __init__(self, file: BinaryIO, limits: ReadLimits) -> None:
        self.seek, self.tell, self.seekable, self._file = file.seek, file.tell, file.seekable, file
        self._left = limits.max_bytes
        self._until = time.monotonic() + limits.max_seconds

    def read(self, size: int = -1, /) -> bytes:
        data = b"" if self.is_over() else self._file.read(size)
        self._left -= len(data)
        return data

    def is_over(self) -> bool:
        return self._left <= 0 or time.monotonic() > self._until


def measure(file: BinaryIO, kind: Format, limits: ReadLimits) -> Found:
    """Add up the packets of sound.

    :raises Doubtful: if there are none, they leave gaps that cannot be judged, or it takes too long.
    """
    import av

    file.seek(0)
    limited = _LimitedFile(file, limits)
    options = {"probesize": "2000000", "analyzeduration": "5000000", "protocol_whitelist": "none"}
    try:
        with av.open(limited, "r", format=kind.demuxer, options=options, io_open=refuse_other_files) as container:
            if not container.streams.audio:
                raise Doubtful("there is no sound in this file")
            stream = container.streams.audio[0]
            packets = container.demux(stream)
            seconds, size = add_up(packets, stream.time_base or Fraction(1), limits.max_packets, limited.is_over)
    except (av.FFmpegError, ValueError, LookupError, RuntimeError) as error:
        raise Doubtful(f"FFmpeg cannot read it as {kind.name}: {type(error).__name__}") from error
    return Found(seconds, "the packets of sound, added up", counted=True, payload=size)


def refuse_other_files(*_: object) -> NoReturn:
    """Stand in for FFmpeg's opening of further files.

    :raises PermissionError: always.
    """
    raise PermissionError("recordings that refer to other files are not followed")


def add_up(
    packets: Iterable[Packet[AudioStream]], unit: Fraction, max_packets: int, is_over: Callable[[], bool]
) -> tuple[float, int]:
    """Return seconds and bytes of packets; gaps between them count, as in a player.

    :param unit: of the packets' times, seconds.
    :param is_over: whether time or bytes are used up.
    :raises Doubtful: as :func:`measure`.
    """
    total, size, begin, end, before, missing, steady = 0, 0, None, 0, None, 0, True
    longest = _MAX_PACKET_SECONDS / unit
    for count, packet in enumerate(packets):
        if count > max_packets or (count % 256 == 0 and is_over()):
            raise Doubtful("reading the file takes too long")
        if packet.size <= 0 or packet.is_discard:
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
