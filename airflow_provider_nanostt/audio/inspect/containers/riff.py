"""WAV, RF64, Wave64 and AIFF: the bytes of sound that are really there, divided by how many make a second.

The size that the header claims is believed only downwards: a recorder that wrote into a pipe claims 37 hours, and a
file that was cut off claims what it no longer has.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, chunks, read_at

_EXTENSIBLE = 0xFFFE
_LINEAR = {1: 8, 3: 32, 6: 8, 7: 8}
"""Format tags whose every sample has the same bytes: PCM, float, A-law, mu-law."""
_SAMPLE_BYTES = {
    b"in24": 3, b"in32": 4, b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8,
    b"alaw": 1, b"ALAW": 1, b"ulaw": 1, b"ULAW": 1,
}  # fmt: skip
"""Bytes of a sample by its compression type; PCM (:data:`_PCM`) says how many bits it has."""
_PCM = (b"NONE", b"none", b"twos", b"sowt", b"raw ")


@dataclass(slots=True)
class _Wave:
    tag: int = 0
    channels: int = 0
    rate: int = 0
    per_second: int = 0
    block: int = 0
    bits: int = 0
    samples: int | None = None
    data: tuple[int, int] | None = None


def measure(file: BinaryIO, size: int, *, whole: bool) -> Found:  # noqa: ARG001 - headers say all there is
    """Measure a WAV, RF64 or Wave64 file; one that is compressed only if its claims agree."""
    wave = _read(file, size)
    if wave.data is None or not wave.rate or not wave.block:
        raise Doubtful("the WAV header is not complete")
    start, claimed = wave.data
    real = max(0, min(claimed, size - start))
    if wave.tag in _LINEAR and wave.bits % 8 == 0:
        block = wave.channels * wave.bits // 8
        if block != wave.block or not 1000 <= wave.rate <= 1_000_000:
            raise Doubtful("the WAV header contradicts itself")
        return Found(real / (wave.rate * block), "the WAV's bytes of sound", counted=True, payload=real)
    if not wave.samples or not wave.per_second or real < claimed:
        raise Doubtful("a compressed WAV that does not say how long it is")
    seconds = wave.samples / wave.rate
    if abs(seconds - real / wave.per_second) > 0.01 * seconds:
        raise Doubtful("a compressed WAV that says two things of its length")
    return Found(seconds, "the WAV's header, in two places", payload=real)


def _read(file: BinaryIO, size: int) -> _Wave:
    head = read_at(file, 0, 40)
    wave = _Wave()
    longest, wide, order = 0, head[:4] == b"riff", ">" if head[:4] == b"RIFX" else "<"
    for mark, length, start in chunks(file, size, 40 if wide else 12, order=order, wide=wide):
        if mark == b"ds64" and length >= 24:
            longest = struct.unpack_from("<Q", read_at(file, start + 8, 8))[0]
        elif mark == b"fmt " and length >= 16:
            _fill(wave, read_at(file, start, 40), length, order)
        elif mark == b"fact" and length >= 4:
            wave.samples = struct.unpack(order + "I", read_at(file, start, 4))[0]
        elif mark == b"data":
            endless = length in (0, 0xFFFFFFFF)
            wave.data = start, longest if endless and longest else size - start if endless else length
            break
    return wave


def _fill(wave: _Wave, body: bytes, length: int, order: str) -> None:
    tag, wave.channels, wave.rate, wave.per_second, wave.block, wave.bits = struct.unpack_from(order + "HHIIHH", body)
    if tag == _EXTENSIBLE and length >= 26 and len(body) >= 26:
        tag = struct.unpack_from(order + "H", body, 24)[0]
    wave.tag = tag


def measure_aiff(file: BinaryIO, size: int, *, whole: bool) -> Found:  # noqa: ARG001  the headers are enough
    """Measure an AIFF file, if its sound is not compressed."""
    common, start, claimed = _aiff_chunks(file, size)
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


def _aiff_chunks(file: BinaryIO, size: int) -> tuple[bytes, int, int]:
    """Return the chunk that describes the sound, where the sound begins, and how many bytes it claims to have."""
    common, start, claimed = b"", 0, 0
    for mark, length, body in chunks(file, size, 12, order=">"):
        if mark == b"COMM":
            common = read_at(file, body, min(length, 22))
        elif mark == b"SSND":
            offset = int.from_bytes(read_at(file, body, 4), "big")
            start, claimed = body + 8 + offset, length - 8 - offset
    return common, start, claimed
