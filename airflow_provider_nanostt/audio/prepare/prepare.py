"""Carrying out an upload plan: a recording becomes what is submitted, whole or in parts.

Files that are written on the way are in a private folder, which is removed when the block is left. Bytes from outside
are read through file objects only, and their number is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from airflow_provider_nanostt.api.errors import FileChanged, InvalidInput
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES, REMEDY, Upload
from airflow_provider_nanostt.audio.inspect.containers import Hopeless, mp4
from airflow_provider_nanostt.audio.inspect.formats import upload_name
from airflow_provider_nanostt.audio.inspect.probe import AudioInfo, probe
from airflow_provider_nanostt.audio.prepare.muxer import Codec
from airflow_provider_nanostt.audio.prepare.silence import measure_loudness
from airflow_provider_nanostt.audio.prepare.split_points import plan_split_points
from airflow_provider_nanostt.audio.prepare.staging import Staging
from airflow_provider_nanostt.audio.prepare.temp_dir import temp_dir
from airflow_provider_nanostt.audio.prepare.transcode import (
    Output,
    Part,
    compress,
    convert,
    measured_seconds,
    split_compress,
    split_copy,
)
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, UploadPlan
from airflow_provider_nanostt.audio.sources import LocalFile, Recording, StoredObject, WebAddress
from airflow_provider_nanostt.common.reprs import redacted_repr

MAX_FETCHED_BYTES = 4_000_000_000
"""The largest object that is copied from object storage to be compressed or split here."""

_COPY_MARGIN = 0.9


@dataclass(frozen=True, slots=True)
class AudioPart:
    """What is submitted: a whole recording, or one part of it.

    :param audio: the upload, whose file exists as long as the block lasts, or the address to fetch it from.
    :param start: where it begins in the recording, seconds.
    :param seconds: its length, None if unknown.
    """

    __repr__ = redacted_repr

    audio: Upload | str
    start: float
    seconds: float | None

    @property
    def minutes(self) -> float | None:
        """Its length in minutes, None if unknown."""
        return None if self.seconds is None else self.seconds / 60


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """What carrying out a plan needs beside the recording.

    :param staging: for ``stage``.
    :param presign_seconds: how long addresses are valid.
    :param progress: called with the seconds of sound done.
    :param sha256: of a local recording, if known; an upload of other bytes is refused.
    """

    preparation: PreparationRules
    staging: Staging | None = None
    presign_seconds: float = 86_400.0
    progress: Callable[[float], object] | None = None
    sha256: str | None = None


@contextmanager
def prepared_audio(
    source: Recording,
    info: AudioInfo,
    plan: UploadPlan,
    options: PrepareOptions,
    split_points: Sequence[float] | None = None,
) -> Iterator[list[AudioPart]]:
    """Make the parts of a recording; their files are removed after the block.

    :param info: of the recording; see :func:`~airflow_provider_nanostt.audio.inspect.probe.probe`.
    :param split_points: for ``split``: where it was split before, seconds; None looks for silences.
    :raises InvalidInput: if that is not possible.
    :raises FileChanged: if the recording is not the one that was probed.
    """
    if isinstance(source, WebAddress):
        yield [AudioPart(source.url, 0.0, info.length.seconds)]
    elif plan.method == "presign" and isinstance(source, StoredObject):
        url = source.presign(options.presign_seconds)
        if url is None:
            raise InvalidInput(f"{source.name!r} can no longer be signed")
        yield [AudioPart(url, 0.0, info.length.seconds)]
    else:
        with temp_dir() as folder:
            name = source.name
            if isinstance(source, StoredObject):
                suffix = info.format.suffix if info.format else ""
                source = source.fetch(folder / f"original{suffix}", MAX_FETCHED_BYTES)
                info = info if info.length.seconds is not None else probe(source)
            if plan.method == "upload":
                yield [AudioPart(_upload(source, name, info, options), 0.0, info.length.seconds)]
            elif plan.method == "stage":
                yield [AudioPart(_stage(source, name, info, options), 0.0, info.length.seconds)]
            else:
                yield _transcode(source, name, info, plan, options, folder=folder, points=split_points)


def _upload(file: LocalFile, name: str, info: AudioInfo, options: PrepareOptions) -> Upload:
    if info.format is None:
        raise InvalidInput(f"{name!r} has an unrecognised format")
    try:
        size = file.path.stat().st_size
    except OSError as error:
        raise FileChanged(f"{name!r} cannot be read any more ({error}); nothing was submitted. {REMEDY}") from error
    if size != info.size:
        raise FileChanged(f"{name!r} changed after it was probed; nothing was submitted. {REMEDY}")
    return Upload(upload_name(name, info.format), info.format.content_type, file.path, sha256=options.sha256)


def _stage(file: LocalFile, name: str, info: AudioInfo, options: PrepareOptions) -> str:
    if options.staging is None or info.format is None:
        raise InvalidInput(f"{name!r} cannot be staged: there is no staging folder")
    return options.staging.put(file, suffix=info.format.suffix, seconds=options.presign_seconds)


def _transcode(
    file: LocalFile,
    name: str,
    info: AudioInfo,
    plan: UploadPlan,
    options: PrepareOptions,
    *,
    folder: Path,
    points: Sequence[float] | None,
) -> list[AudioPart]:
    _check_table(file, name, info)
    output, codec = Output(folder, MAX_UPLOAD_BYTES, options.progress), options.preparation.codec
    with file.open() as opened:
        if plan.method == "split":
            parts = _split(opened, info, plan, output, codec=codec, points=points)
        else:
            part = convert(opened, output, codec=codec) if plan.method == "convert" else None
            part = part or compress(opened, output, seconds=info.length.seconds, codec=codec)
            parts = [part] if part else None
    if not parts:
        hint = "" if plan.method == "split" else "; allow 'split'"
        raise InvalidInput(f"{name!r} does not fit into uploads of {MAX_UPLOAD_BYTES:,} bytes even compressed{hint}")
    stem = upload_name(name, None)
    stem = stem.rpartition(".")[0] or stem
    numbers = [f".part-{number:03d}" if plan.method == "split" else "" for number in range(1, len(parts) + 1)]
    return [
        AudioPart(Upload(stem + number + part.path.suffix, part.content_type, part.path), part.start, part.seconds)
        for number, part in zip(numbers, parts, strict=True)
    ]


def _split(
    file: BinaryIO, info: AudioInfo, plan: UploadPlan, output: Output, *, codec: Codec, points: Sequence[float] | None
) -> list[Part] | None:
    """Split at silences, by copying where the parts are small enough, else compressed; None if they do not fit."""
    longest = plan.longest_seconds or 0.0
    if points is None:
        loudness = measure_loudness(file, progress=output.progress)
        seconds = loudness.seconds
        points = plan_split_points(seconds, loudness.silences(), longest, quietest=loudness.quietest)
    else:
        seconds = info.length.seconds or measured_seconds(file)
    parts = None
    if (info.size or 0) / max(seconds, 1.0) * longest < MAX_UPLOAD_BYTES * _COPY_MARGIN:
        parts = split_copy(file, output, points)
    return parts or split_compress(file, output, points, seconds=seconds, codec=codec)


def _check_table(file: LocalFile, name: str, info: AudioInfo) -> None:
    """Refuse an MP4 whose table of contents would fill the memory of FFmpeg."""
    if info.format is not None and info.format.demuxer == "mov":
        try:
            with file.open() as opened:
                mp4.measure(opened, info.size or 0, whole=True)
        except Hopeless as error:
            raise InvalidInput(f"{name!r}: {error}") from error
        except Exception:  # noqa: BLE001, S110  PyAV may cope with everything else that is odd about it
            pass
