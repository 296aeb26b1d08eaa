"""ASF, which is WMA and WMV: the length its header claims, if its size, its packets and their times agree."""

from __future__ import annotations

import struct
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, read_at

_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_MAX_HEADER = 256 * 1024
_LIVE = 1
_WIDTHS = (0, 1, 2, 4)


def measure(file: BinaryIO, size: int, *, whole: bool) -> Found:  # noqa: ARG001  the headers are enough
    """Measure an ASF file, if it was finished."""
    length = int.from_bytes(read_at(file, 16, 8), "little")
    head = read_at(file, 0, min(length, _MAX_HEADER, size))
    at = head.find(_PROPERTIES)
    if at < 0 or len(head) < at + 100:
        raise Doubtful("the ASF header is not complete")
    claimed, _, packets, play, _, preroll, flags, packet_size, largest = struct.unpack_from("<6Q3I", head, at + 40)
    data = read_at(file, length, 50)
    if flags & _LIVE or not packets or packet_size != largest:
        raise Doubtful("the ASF says nothing of its length")
    if claimed != size or data[:16] != _DATA or length + 50 + packets * packet_size > size:
        raise Doubtful("the ASF was not finished, was cut off, or is more than one recording")
    seconds = play / 1e7 - preroll / 1e3
    first, _ = _times(read_at(file, length + 50, 32))
    _, last = _times(read_at(file, length + 50 + (packets - 1) * packet_size, 32))
    if abs(last - first - seconds) > 0.005 * seconds + 0.1:
        raise Doubtful("the ASF claims a length that its last packet does not bear out")
    return Found(seconds, "the ASF's header and its last packet", payload=packets * packet_size)


def _times(packet: bytes) -> tuple[float, float]:
    """Return when a packet of sound begins and ends, in seconds."""
    at = 1 + (packet[0] & 15) if packet[0] & 0x80 else 0
    kinds = packet[at]
    at += 2 + sum(_WIDTHS[kinds >> shift & 3] for shift in (5, 1, 3))
    begin, lasts = struct.unpack_from("<IH", packet, at)
    return begin / 1e3, (begin + lasts) / 1e3
