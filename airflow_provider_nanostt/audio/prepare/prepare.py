"""Carrying out a plan: a recording becomes what is submitted, in one piece or in parts.

Whatever is written on the way lies in a private folder that goes when the block is left, however it is left. Bytes
from outside are read through file objects only, and how much of them there may be is bounded.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api.errors import FileChanged, InvalidInput
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES, REMEDY, Upload
from airflow_provider_nanostt.audio.inspect.containers import Hopeless, mp4
from airflow_provider_nanostt.audio.inspect.formats import upload_name
from airflow_provider_nanostt.audio.prepare import split, transcode, upload_plan
from airflow_provider_nanostt.audio.prepare.encoder import form
from airflow_provider_nanostt.audio.prepare.temp_dir import scratch
from airflow_provider_nanostt.audio.sources import LocalFile, StoredObject, WebAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_provider_nanostt.audio.prepare.staging import Staging
    from airflow_provider_nanostt.audio.prepare.upload_plan import AudioPreparation, Plan

MAX_FETCHED_BYTES = 4_000_000_000
"""The largest object that is copied from object storage to be compressed or split here."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is submitted: a whole recording, or one part of it.

    :param audio: the upload, whose file is there as long as the block lasts, or the address to fetch it from.
    :param start: where it begins in the recording, seconds.
    :param seconds: its length, None if unknown.
    """

    audio: Upload | str
    start: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """What carrying out a plan needs beside the recording.

    :param staging: for ``stage``.
    :param signed_seconds: how long addresses are good for.
    :param progress: called with the seconds of sound done.
    """

    means: AudioPreparation
    staging: Staging | None = None
    signed_seconds: float = 86_400.0
    progress: Callable[[float], object] | None = None


@contextmanager
def made(
    source: LocalFile | StoredObject | WebAddress,
    plan: Plan,
    bench: PrepareOptions,
    cuts: Sequence[float] | None = None,
) -> Iterator[list[Piece]]:
    """Make the pieces of a recording; their files are gone after the block.

    :param cuts: for ``split``: where it was cut before, seconds; None looks for silences.
    :raises InvalidInput: if it cannot be done.
    """
    with scratch() as folder:
        yield _make(source, plan, bench, cuts, folder)


def _make(
    source: LocalFile | StoredObject | WebAddress,
    plan: Plan,
    bench: PrepareOptions,
    cuts: Sequence[float] | None,
    folder: Path,
) -> list[Piece]:
    seconds = source.length.seconds
    if isinstance(source, WebAddress):
        return [Piece(source.url, 0.0, seconds)]
    if plan.way == upload_plan.PRESIGN and isinstance(source, StoredObject):
        url = source.signed(bench.signed_seconds)
        if url is None:
            raise InvalidInput(f"{source.name!r} can no longer be signed")
        return [Piece(url, 0.0, seconds)]
    name = source.name
    if isinstance(source, StoredObject):
        source = source.fetch(folder / f"original{source.format.suffix if source.format else ''}", MAX_FETCHED_BYTES)
        seconds = source.length.seconds if seconds is None else seconds
    if plan.way == upload_plan.UPLOAD:
        return [Piece(_upload(source, name), 0.0, seconds)]
    if plan.way == upload_plan.STAGE:
        return [Piece(_staged(source, bench), 0.0, seconds)]
    _check_table(source)
    if plan.way == upload_plan.SPLIT:
        return _split(source, name, plan, bench, cuts, folder)
    return [_compressed(source, name, plan, bench, folder)]


def _upload(file: LocalFile, name: str) -> Upload:
    if file.format is None:
        raise InvalidInput(f"{name!r} is of no kind that is known here")
    try:
        size = file.path.stat().st_size
    except OSError as error:
        raise FileChanged(f"{name!r} cannot be read any more ({error}); nothing was submitted. {REMEDY}") from error
    if size != file.size:
        raise FileChanged(f"{name!r} changed after it was looked at; nothing was submitted. {REMEDY}")
    # The digest is that of the record: should the file change until it is sent, nothing else is paid for in its name.
    return Upload(upload_name(name, file.format), file.format.content_type, file.path, sha256=file.key)


def _staged(file: LocalFile, bench: PrepareOptions) -> str:
    if bench.staging is None or file.format is None:
        raise InvalidInput(f"{file.name!r} cannot be staged: there is no staging folder")
    return bench.staging.put(file, suffix=file.format.suffix, seconds=bench.signed_seconds)


def _compressed(file: LocalFile, name: str, plan: Plan, bench: PrepareOptions, folder: Path) -> Piece:
    codec: Any = bench.means.codec
    with file.open() as opened:
        done = None
        if plan.way == upload_plan.CONVERT:
            try:
                done = transcode.convert(
                    opened, folder / "converted", codec=codec, limit_bytes=MAX_UPLOAD_BYTES, progress=bench.progress
                )
            except InvalidInput:
                if file.length.seconds is None:
                    raise
        done = done or transcode.compress(
            opened,
            folder / f"compressed{form(codec).suffix}",
            limit_bytes=MAX_UPLOAD_BYTES,
            seconds=file.length.seconds,
            codec=codec,
            progress=bench.progress,
        )
    if done is None or done.path is None:
        raise InvalidInput(
            f"{name!r} does not fit into an upload of {MAX_UPLOAD_BYTES:,} bytes even compressed; allow 'split'"
        )
    return Piece(_written(done.path, name, done.content_type), 0.0, done.seconds)


def _written(path: Path, name: str, content_type: str, part: str = "") -> Upload:
    stem = upload_name(name, None)
    stem = stem.rpartition(".")[0] or stem
    return Upload(f"{stem}{part}{path.suffix}", content_type, path)


def _split(  # noqa: PLR0917  all of them what a plan is about
    file: LocalFile, name: str, plan: Plan, bench: PrepareOptions, cuts: Sequence[float] | None, folder: Path
) -> list[Piece]:
    """Split at silences, by copying where the parts are small enough, else compressed."""
    longest, codec = plan.longest or 0.0, bench.means.codec
    with file.open() as opened:
        loudness = None if cuts is not None else split.measure(opened, progress=bench.progress)
        seconds = loudness.seconds if loudness else file.length.seconds or transcode.measured_seconds(opened)
        if loudness is not None:
            cuts = split.plan_split_points(seconds, loudness.silences(), longest, quietest=loudness.quietest)
        parts = None
        if (file.size / max(seconds, 1.0)) * longest < MAX_UPLOAD_BYTES * 0.9:
            parts = split.split_copy(opened, folder, cuts or [], progress=bench.progress)
        if parts is None or any(part.bytes > MAX_UPLOAD_BYTES for part in parts):
            parts = split.split_compress(
                opened,
                folder,
                cuts or [],
                limit_bytes=MAX_UPLOAD_BYTES,
                seconds=seconds,
                codec=codec,  # type: ignore[arg-type]  # checked by AudioPreparation
                progress=bench.progress,
            )
    if not parts:
        raise InvalidInput(f"{name!r} cannot be split into parts that fit")
    return [
        Piece(_written(part.path, name, part.content_type, f".part-{at:03d}"), part.start_seconds, part.seconds)
        for at, part in enumerate(parts, 1)
    ]


def _check_table(file: LocalFile) -> None:
    """Refuse an MP4 whose table of contents would fill the memory of whoever reads it."""
    if file.format is not None and file.format.demuxer == "mov":
        try:
            with file.open() as opened:
                mp4.measure(opened, file.size, whole=True)
        except Hopeless as error:
            raise InvalidInput(f"{file.name!r}: {error}") from error
        except Exception:  # noqa: BLE001, S110  whatever else is odd about it, PyAV may cope with
            pass
