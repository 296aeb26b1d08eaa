"""AMR, narrow and wide band: 20 ms a frame, counted."""

from __future__ import annotations

import re
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, Found, Hopeless, read_at

_MAX_BYTES = 64 * 1024 * 1024
_SIZES = {
    b"#!AMR\n": (12, 13, 15, 17, 19, 20, 26, 31, 5, None, None, None, None, None, None, 0),
    b"#!AMR-WB\n": (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, None, None, None, None, 0, 0),
}
"""Bytes behind the first of a frame, by the type in the first; None for undefined types."""


def measure(file: BinaryIO, size: int, *, whole: bool) -> Found:
    """Measure an AMR file of one channel, if it may be read whole."""
    head = read_at(file, 0, 9)
    mark = next((mark for mark in _SIZES if head.startswith(mark)), None)
    if mark is None or not whole or size > _MAX_BYTES:
        raise Doubtful("this AMR says nothing of its length unless all of it is read")
    frame = rb"|".join(
        b"[%s].{%d}" % (re.escape(bytes((kind << 3, kind << 3 | 4))), length)
        for kind, length in enumerate(_SIZES[mark])
        if length is not None
    )
    data = read_at(file, len(mark), size - len(mark))
    end, count = 0, 0
    for match in re.finditer(frame, data, re.DOTALL):
        if match.start() != end:
            break
        end, count = match.end(), count + 1
    if len(data) - end > max(64, 0.01 * len(data)):
        raise Hopeless("much of the AMR is not what it began as")
    return Found(count * 0.02, f"all {count:,} frames counted", counted=True)
