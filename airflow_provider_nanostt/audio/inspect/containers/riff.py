"""WAV, RF64 and Wave64: the bytes of sound that are really there, divided by how many make a second.

The size that the header claims is believed only downwards: a recorder that wrote into a pipe claims 37 hours, and a
file that was cut off claims what it no longer has.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, read_at

_MAX_CHUNKS = 200
_EXTENSIBLE = 0xFFFE
_LINEAR = {1: 8, 3: 32, 6: 8, 7: 8}
"""Format tags whose every sample has the same bytes: PCM, float, A-law, mu-law."""


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
    """Measure a WAV file.

    :raises Doubtful: if its header makes no sense, or it is compressed and its claims disagree.
    :raises OSError: if the file cannot be read.
    """
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
    at, longest = (40, 0) if head[:4] == b"riff" else (12, 0)
    wide, order = at == 40, ">" if head[:4] == b"RIFX" else "<"
    for _ in range(_MAX_CHUNKS):
        mark, length, start = _chunk(file, at, wide=wide, order=order)
        if not mark:
            break
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
        at = start + length + (-length % 8 if wide else length & 1)
        if at >= size:
            break
    return wave


def _chunk(file: BinaryIO, at: int, *, wide: bool, order: str) -> tuple[bytes, int, int]:
    """Return a chunk's mark, the length of its content, and where that starts."""
    head = read_at(file, at, 24 if wide else 8)
    if len(head) < (24 if wide else 8):
        return b"", 0, at
    if wide:
        return head[:4], max(0, struct.unpack_from("<Q", head, 16)[0] - 24), at + 24
    return head[:4], struct.unpack_from(order + "I", head, 4)[0], at + 8


def _fill(wave: _Wave, body: bytes, length: int, order: str) -> None:
    tag, wave.channels, wave.rate, wave.per_second, wave.block, wave.bits = struct.unpack_from(order + "HHIIHH", body)
    if tag == _EXTENSIBLE and length >= 26 and len(body) >= 26:
        tag = struct.unpack_from(order + "H", body, 24)[0]
    wave.tag = tag
