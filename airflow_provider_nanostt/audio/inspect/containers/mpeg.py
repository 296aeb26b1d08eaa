"""MPEG audio frames: MP3 with or without a Xing header, and AAC in ADTS; counted one by one wherever that is cheap.

A frame's header says how many bytes and how much time it is. A file whose Xing header accounts for all of its bytes is
believed; any other is walked from frame to frame, or, if it is remote, sampled in three positions.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Callable
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, Hopeless, read_at

MAX_WALK_BYTES = 512 * 1024 * 1024
"""No file is walked further than this; the service takes nothing longer."""

_CHUNK = 1024 * 1024
_PROBE = 16 * 1024
_LONGEST_FRAME = 8192
_LONGEST_MPEG = 2881
_MAX_TAGS = 8
_MAX_PADDING = 60 * 1024
_MAX_LOST = 2000
_MAX_STRANGE = 8 * 1024 * 1024
"""How often frames may be lost, and how many bytes may be passed over, before the walk gives up."""

_KBITS = {
    (1, 1): "32 64 96 128 160 192 224 256 288 320 352 384 416 448",
    (1, 2): "32 48 56 64 80 96 112 128 160 192 224 256 320 384",
    (1, 3): "32 40 48 56 64 80 96 112 128 160 192 224 256 320",
    (2, 1): "32 48 56 64 80 96 112 128 144 160 176 192 224 256",
    (2, 2): "8 16 24 32 40 48 56 64 80 96 112 128 144 160",
    (2, 3): "8 16 24 32 40 48 56 64 80 96 112 128 144 160",
}
_MPEG_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_GAPS = "there are other things between the MP3's frames"
_TRAILERS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"3DI")

Step = tuple[int, float]
"""A frame: bytes and seconds."""

Finder = Callable[[bytes, int], Step | None]


def id3_size(head: bytes) -> int:
    """Return the bytes of the ID3v2 tag at the beginning, with its header and footer; 0 if there is none."""
    if len(head) < 10 or head[:3] != b"ID3" or head[3] == 0xFF or any(byte & 0x80 for byte in head[6:10]):
        return 0
    return 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)


def after_tags(file: BinaryIO, size: int, length: int) -> tuple[int, bytes]:
    """Return where the file goes on behind its ID3v2 tags and padding, and the bytes there; none if it ends there."""
    start = 0
    for _ in range(_MAX_TAGS):
        head = read_at(file, start, length)
        tag = id3_size(head)
        if not tag and head[:1] in (b"\0", b"\xff") and head == head[:1] * length:
            return _after_padding(file, start, length, head[:1])
        if not tag:
            return start, head
        start += tag
        if start >= size:
            break
    return start, b""


def _after_padding(file: BinaryIO, start: int, length: int, byte: bytes) -> tuple[int, bytes]:
    """Pass over padding that FFmpeg passes over as well; what is behind any other cannot be decoded."""
    data = read_at(file, start, _MAX_PADDING)
    at = start + len(data) - len(data.lstrip(byte)) - (byte == b"\xff")  # with which a frame begins as well
    head = read_at(file, at, length)
    if at + 1 >= start + len(data) or (byte == b"\xff" and _adts_step(head, 0)):
        return start, data[:length]
    return at, head


def is_latm(head: bytes) -> bool:
    """Whether these are frames of AAC in LATM: two that follow each other."""
    following = 3 + (int.from_bytes(head[1:3], "big") & 0x1FFF)
    return all(head[at : at + 1] == b"\x56" and head[at + 1 : at + 2] >= b"\xe0" for at in (0, following))


def _speed(key: int) -> int:
    """Return the bits per second that the second and third byte of a header name; 0 if they name none."""
    version, layer, bits = key >> 11 & 3, 4 - (key >> 9 & 3), key >> 4 & 15
    if key < 0xE000 or version == 1 or layer == 4 or bits in (0, 15):
        return 0
    return 1000 * int(_KBITS[1 if version == 3 else 2, layer].split()[bits - 1])


@functools.cache
def _frame(key: int) -> Step | None:
    """Return the frame for the second and third byte of a header, as a number of 16 bits; None if they make none."""
    version, layer, rate, speed = key >> 11 & 3, 4 - (key >> 9 & 3), key >> 2 & 3, _speed(key)
    if not speed or rate == 3:
        return None
    hertz, padding = _MPEG_RATES[version][rate], key >> 1 & 1
    if layer == 1:
        return (12 * speed // hertz + padding) * 4, 384 / hertz
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * speed // hertz + padding, samples / hertz


def _mpeg_step(data: bytes, at: int) -> Step | None:
    """Return the frame whose header is here; None if there is none."""
    if len(data) < at + 4 or data[at] != 0xFF:
        return None
    return _frame(data[at + 1] << 8 | data[at + 2])


def _adts_step(data: bytes, at: int) -> Step | None:
    """Return the frame whose header is here; None if there is none."""
    head = int.from_bytes(data[at : at + 7], "big")
    if head >> 40 & 0xFFF6 != 0xFFF0:
        return None
    rate, length = head >> 34 & 15, head >> 13 & 0x1FFF
    if rate >= len(_ADTS_RATES) or length < 7:
        return None
    return length, 1024 * ((head & 3) + 1) / _ADTS_RATES[rate]


def _run(data: bytes, at: int, step: Finder) -> tuple[int, float, int]:
    """Pass over all whole frames from here on; return where they end, and their seconds and number."""
    seconds, count, size = 0.0, 0, len(data)
    while (frame := step(data, at)) and at + frame[0] <= size:
        at, seconds, count = at + frame[0], seconds + frame[1], count + 1
    return at, seconds, count


def _find(data: bytes, start: int, step: Finder) -> int | None:
    """Return where two frames that agree follow each other, or one that ends with the data."""
    at = data.find(b"\xff", start)
    while at >= 0:
        here = step(data, at)
        if here:
            following = at + here[0]
            same = step(data, following) and not (data[at + 1] ^ data[following + 1]) & 0xFE
            if same or following == len(data) or (at == start and following > len(data)):
                return at
        at = data.find(b"\xff", at + 1)
    return None


def first_frame(head: bytes) -> int | None:
    """Return where the first frame of MPEG audio begins; None if there is none."""
    return _find(head, 0, _mpeg_step)


def first_adts(head: bytes) -> int | None:
    """Return where the first frame of AAC in ADTS begins; None if there is none."""
    return _find(head, 0, _adts_step)


def measure_mp3(file: BinaryIO, size: int, *, whole: bool) -> Found:
    """Measure MPEG audio; by its headers and three samples unless ``whole``."""
    start, head = _beginning(file, size, first_frame, "MPEG")
    end = _before_trailers(file, size)
    seconds, covered = _xing(head)
    is_covered = covered and abs(covered - (end - start)) <= 0.005 * covered + 2048
    if is_covered and _is_plausible(file, start, end, seconds):
        return Found(seconds, "the MP3's Xing header, which accounts for all of its bytes", payload=end - start)
    if whole and end - start <= MAX_WALK_BYTES:
        return _walk(file, start, end, _mpeg_step)
    if covered:
        raise Doubtful("the MP3's Xing header accounts for more or less than the file")
    return _constant(file, start, end)


def measure_adts(file: BinaryIO, size: int, *, whole: bool) -> Found:
    """Measure AAC in ADTS; it has no headers, so each frame is counted."""
    start, _ = _beginning(file, size, first_adts, "ADTS")
    if not whole or size > MAX_WALK_BYTES:
        raise Doubtful("AAC says nothing of its length unless all of it is read")
    return _walk(file, start, size, _adts_step)


def _beginning(file: BinaryIO, size: int, first: Callable[[bytes], int | None], name: str) -> tuple[int, bytes]:
    """Return where the first frame begins, and the bytes there."""
    start, head = after_tags(file, size, _PROBE)
    if start and not head:
        raise Doubtful("the file ends within its tags")
    at = first(head)
    if at is None:
        raise Doubtful(f"there are no {name} frames where they should begin")
    return start + at, head[at:]


def _before_trailers(file: BinaryIO, size: int) -> int:
    """Return where the frames end: before ID3v1 and APE tags."""
    tail = read_at(file, max(0, size - _PROBE - 160), _PROBE + 160)  # together with what is probed later
    end = size
    if tail[-128:-125] == b"TAG":
        tail, end = tail[:-128], size - 128
    if len(tail) >= 32 and tail[-32:-24] == b"APETAGEX":
        length, _, flags = struct.unpack_from("<III", tail, len(tail) - 20)
        end -= length + (32 if flags >> 31 else 0)
    return max(0, end)


def _xing(head: bytes) -> tuple[float, int]:
    """Return what the header in the first frame says: seconds, and how many bytes it accounts for; 0 if it does not."""
    _, lasts = _mpeg_step(head, 0) or (0, 0.0)
    match = re.compile(rb"(Xing|Info)\0\0\0[\3\7\x0b\x0f]").search(head, 4, 64)  # with both numbers
    frames, covered = 0, 0
    if match:
        frames, covered = struct.unpack_from(">II", head, match.end())
    elif head[36:40] == b"VBRI":
        covered, frames = struct.unpack_from(">II", head, 46)
    return frames * lasts, covered


def _walk(file: BinaryIO, start: int, end: int, step: Finder) -> Found:
    """Add up all frames; tags and bytes between them are passed over, as a player does."""
    seconds, counted, lost, strange = 0.0, 0, 0, 0
    position, data, at = start, b"", 0
    while True:
        if at + _LONGEST_FRAME > len(data) and position < end:
            more = read_at(file, position, min(_CHUNK, end - position))
            data, at, position = data[at:] + more, 0, position + len(more) if more else end
        at, lasted, count = _run(data, at, step)
        seconds, counted = seconds + lasted, counted + count
        if at + _LONGEST_FRAME > len(data) and position < end:
            continue
        if step(data, at) or at + 4 > len(data) or data.startswith(_TRAILERS, at):  # cut off, or over
            break
        tag = id3_size(data[at : at + 10])
        if tag:
            at += tag
            if at > len(data):
                at, position, data = 0, position - len(data) + at, b""
            continue
        again = _find(data, at + 1, step)
        again = max(at + 1, len(data) - 16) if again is None else again
        at, lost, strange = again, lost + 1, strange + again - at
        if lost > _MAX_LOST or strange > _MAX_STRANGE:
            break
    strange += max(0, len(data) - at)
    if lost > _MAX_LOST or strange > max(4096, 0.1 * (end - start)):
        raise Hopeless("much of the file is not what it began as")
    # The first frame of a file with a Xing header holds no sound, which is 26 ms.
    return Found(seconds, f"all {counted:,} frames counted", counted=True, payload=end - start - strange)


def _is_plausible(file: BinaryIO, start: int, end: int, seconds: float) -> bool:
    """Whether frames in the beginning, the middle and the end are about as long as a header says they are."""
    lasted, covered = 0.0, 0
    for data in _samples(file, start, end):
        at = first_frame(data)
        if at is not None:
            stop, passed, _ = _run(data, at, _mpeg_step)
            lasted, covered = lasted + passed, covered + stop - at
    return lasted > 0 and 1 / 1.5 < seconds / (end - start) * covered / lasted < 1.5


def _samples(file: BinaryIO, start: int, end: int) -> list[bytes]:
    """Return some bytes from the beginning, the middle and the end."""
    offsets = (0, (end - start) // 2, max(0, end - start - _PROBE))
    return [read_at(file, start + offset, min(_PROBE, end - start)) for offset in offsets]


def _constant(file: BinaryIO, start: int, end: int) -> Found:
    """Return the length of a file whose bit rate is the same in the beginning, the middle and the end."""
    speeds = set[int]().union(*map(_speeds, _samples(file, start, end)))
    if len(speeds) != 1:
        raise Doubtful("the bit rate varies and no header says how long it is")
    (speed,) = speeds
    return Found((end - start) * 8 / speed, "a bit rate that is the same in three positions", payload=end - start)


def _speeds(data: bytes) -> set[int]:
    """Return the bits per second of the frames in a probe; raises Doubtful if they do not fill it."""
    at, found = first_frame(data), set()
    if at is None or at > _LONGEST_MPEG:
        raise Doubtful(_GAPS)
    while at + 4 <= len(data):
        step = _mpeg_step(data, at)
        if step is None:
            raise Doubtful(_GAPS)
        found.add(_speed(data[at + 1] << 8 | data[at + 2]))
        at += step[0]
    return found
