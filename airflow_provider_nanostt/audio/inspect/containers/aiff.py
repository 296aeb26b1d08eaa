"""AIFF and AIFC: the bytes of sound that are really there, divided by the bytes of a second.

As in a WAV, the size that the header claims is believed only downwards: a file that was cut off claims too much.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, read_at

_MAX_CHUNKS = 200
_SAMPLE_BYTES = {
    b"in24": 3, b"in32": 4, b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8,
    b"alaw": 1, b"ALAW": 1, b"ulaw": 1, b"ULAW": 1,
}  # fmt: skip
"""Bytes of a sample by its compression type; PCM (:data:`_PCM`) says how many bits it has."""
_PCM = (b"NONE", b"none", b"twos", b"sowt", b"raw ")


def measure(file: BinaryIO, size: int, *, whole: bool) -> Found:  # noqa: ARG001  the headers are enough
    """Measure an AIFF file.

    :raises Doubtful: if its header is not complete, contradicts itself, or its sound is compressed.
    :raises OSError: if the file cannot be read.
    """
    common, start, claimed = _chunks(file, size)
    if len(common) < 18 or claimed <= 0:
        raise Doubtful("the AIFF header is not complete")
    channels, frames, bits, exponent, mantissa = struct.unpack_from(">HIHHQ", common)
    rate = mantissa * 2.0 ** (min(exponent & 0x7FFF, 16_500) - 16_383 - 63)
    kind = common[18:22] or b"NONE"
    block = channels * (_SAMPLE_BYTES.get(kind, 0) if kind not in _PCM else (bits + 7) // 8)
    if not block:
        raise Doubtful("a compressed AIFF does not say how long it is")
    if not 1000 <= rate <= 1_000_000 or abs(frames * block - claimed) > 0.01 * claimed + block:
        raise Doubtful("the AIFF header contradicts itself")
    real = max(0, min(claimed, size - start))
    return Found(real / (rate * block), "the AIFF's bytes of sound", counted=True, payload=real)


def _chunks(file: BinaryIO, size: int) -> tuple[bytes, int, int]:
    """Return the chunk that describes the sound, where the sound begins, and how many bytes it claims to have."""
    common, start, claimed, at = b"", 0, 0, 12
    for _ in range(_MAX_CHUNKS):
        head = read_at(file, at, 8)
        if len(head) < 8 or at >= size:
            break
        length, body = int.from_bytes(head[4:], "big"), at + 8
        if head[:4] == b"COMM":
            common = read_at(file, body, min(length, 22))
        elif head[:4] == b"SSND":
            offset = int.from_bytes(read_at(file, body, 4), "big")
            start, claimed = body + 8 + offset, length - 8 - offset
        at = body + length + (length & 1)
    return common, start, claimed
