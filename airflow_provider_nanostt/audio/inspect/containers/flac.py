"""FLAC: the total its first block claims, confirmed by the number of its last frame."""

from __future__ import annotations

import re
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, read_at

_TAIL = 64 * 1024


def measure(file: BinaryIO, size: int, *, whole: bool) -> Found:  # noqa: ARG001  the header and the end are enough
    """Measure a FLAC file, if its end agrees with its beginning."""
    head = read_at(file, 0, 42)
    if len(head) < 42 or head[:4] != b"fLaC" or head[4] & 0x7F:
        raise Doubtful("the FLAC header is not complete")
    smallest, largest = int.from_bytes(head[8:10], "big"), int.from_bytes(head[10:12], "big")
    packed = int.from_bytes(head[18:26], "big")
    rate, total = packed >> 44, packed & (1 << 36) - 1
    if not rate or not largest:
        raise Doubtful("the FLAC header makes no sense")
    ends = _ends(read_at(file, max(42, size - _TAIL), _TAIL), smallest, largest)
    if not ends:
        raise Doubtful("no FLAC frame was found at the end")
    # A header may turn up by chance within a frame, so the last of them is believed only near the claim.
    last = min(ends, key=lambda end: abs(end - total)) if total else ends[-1]
    if total and abs(last - total) > max(largest, 0.005 * total):
        raise Doubtful("the FLAC claims a length that its last frame does not bear out")
    if not total and len(ends) > 1 and not 0 < ends[-1] - ends[-2] <= 4 * largest:
        raise Doubtful("the FLAC says nothing of its length")
    middle = _ends(read_at(file, max(42, size // 2), _TAIL), smallest, largest)
    if size > 4 * _TAIL and not (middle and 0.1 < middle[0] / last < 0.9):
        raise Doubtful("the FLAC's beginning, middle and end do not fit together")
    return Found((total or last) / rate, "the FLAC's header and its last frame")


def _ends(data: bytes, smallest: int, largest: int) -> list[int]:
    """Return where the frames end whose headers are in some bytes, in samples."""
    starts = (match.start() for match in re.finditer(rb"\xff[\xf8\xf9]", data))
    return [end for at in starts if (end := _end_of(data[at : at + 16], smallest, largest))]


def _end_of(head: bytes, smallest: int, largest: int) -> int | None:
    """Return how many samples there are up to the end of the frame with this header; None if it is none."""
    if len(head) < 16 or head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] & 1:
        return None
    first = head[4]
    extra = max(0, 7 - (first ^ 0xFF).bit_length())  # as many bytes follow as the first has leading ones, less one
    if 0x80 <= first < 0xC0 or first == 0xFF or any(byte & 0xC0 != 0x80 for byte in head[5 : 5 + extra]):
        return None
    number = first & (0x3F >> extra) if extra else first
    for byte in head[5 : 5 + extra]:
        number = number << 6 | byte & 0x3F
    at = 5 + extra + {6: 1, 7: 2}.get(head[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if _crc8(head[:at]) != head[at]:
        return None
    return number + largest if head[1] & 1 else (number + 1) * (smallest if smallest == largest else largest)


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x07 if crc & 0x80 else 0)) & 0xFF
    return crc
