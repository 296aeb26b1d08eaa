"""Making what is submitted out of a recording: converted, compressed or split; then it is listened to.

Runs in a child process (``audio.sandbox``), which hands over plain JSON. What is made is decided in ``upload_plan``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.muxer import Codec
from airflow_provider_nanostt.audio.prepare.silence import Loudness, measure_loudness
from airflow_provider_nanostt.audio.prepare.split_points import plan_split_points
from airflow_provider_nanostt.audio.prepare.transcode import Output, Part, compress, convert, split_compress, split_copy

_COPY_MARGIN = 0.9


def make_parts(
    file: BinaryIO,
    progress: Callable[[float], object],
    *,
    name: str,
    folder: str,
    method: str,
    codec: Codec,
    longest: float,
    at_most: int,
    points: Sequence[float] | None,
) -> list[dict[str, object]]:
    """Make the parts; return the names of their files, and when they begin and how long they are, in seconds.

    Work for :func:`~airflow_provider_nanostt.audio.sandbox.run`.

    :param name: of the recording, for people.
    :param method: ``convert``, ``compress`` or ``split``.
    :param longest: seconds of a part of a split.
    :param at_most: bytes of each part.
    :param points: where it was split before, seconds; None looks for silences.
    :raises InvalidInput: if that is not possible, or what was made cannot be heard.
    """
    output = Output(Path(folder), at_most, progress)
    heard = measure_loudness(file, progress=progress if method == "split" else None)
    if method == "split":
        parts = _split(file, output, heard, codec=codec, longest=longest, points=points)
    else:
        part = convert(file, output, codec=codec, may_copy=heard.may_copy) if method == "convert" else None
        part = part or compress(file, output, seconds=heard.seconds, codec=codec)
        parts = [part] if part else None
    if not parts:
        hint = "" if method == "split" else "; allow 'split'"
        raise InvalidInput(f"{name!r} does not fit into uploads of {at_most:,} bytes even compressed{hint}")
    for part in parts:
        _listen(part, heard, name)
    return [{"file": part.path.name, "start": part.start, "seconds": part.seconds} for part in parts]


def _split(
    file: BinaryIO,
    output: Output,
    heard: Loudness,
    *,
    codec: Codec,
    longest: float,
    points: Sequence[float] | None,
) -> list[Part] | None:
    """Split at silences, by copying where the parts are small enough, else compressed; None if they do not fit."""
    if points is None:
        points = plan_split_points(heard.seconds, heard.silences(), longest, quietest=heard.quietest)
    parts = None
    if heard.may_copy and file.seek(0, 2) / max(heard.seconds, 1.0) * longest < output.limit_bytes * _COPY_MARGIN:
        parts = split_copy(file, output, points)
    return parts or split_compress(file, output, points, seconds=heard.seconds, codec=codec)


def _listen(part: Part, heard: Loudness, name: str) -> None:
    """Refuse a part that is all but silent where the recording is not."""
    with part.path.open("rb") as made:
        lost = heard.lost(measure_loudness(made), part.start)
    if lost is not None:
        here, there = (20 * math.log10(max(level, 1) / 32768) for level in lost)
        raise InvalidInput(
            f"{name!r} has sound of {here:.0f} dB where what was made of it has {there:.0f} dB; nothing was submitted"
        )
