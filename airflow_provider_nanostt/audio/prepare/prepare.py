"""Carrying out an upload plan: a recording becomes what is submitted, whole or in parts.

Files that are written on the way are in a private folder, which is removed when the block is left. Bytes from outside
are read through file objects only, and their number is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_nanostt.api.errors import FileChanged, InvalidInput
from airflow_provider_nanostt.api.upload import REMEDY, Upload
from airflow_provider_nanostt.audio import sandbox
from airflow_provider_nanostt.audio.inspect.formats import upload_name
from airflow_provider_nanostt.audio.inspect.probe import AudioInfo, probe
from airflow_provider_nanostt.audio.prepare.making import make_parts
from airflow_provider_nanostt.audio.prepare.muxer import CONTENT_TYPES
from airflow_provider_nanostt.audio.prepare.staging import Staging
from airflow_provider_nanostt.audio.prepare.temp_dir import temp_dir
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, UploadPlan
from airflow_provider_nanostt.audio.sources import LocalFile, Recording, StoredObject, WebAddress
from airflow_provider_nanostt.common.reprs import redacted_repr

MAX_FETCHED_BYTES = 4_000_000_000
"""The largest object that is copied from object storage to be compressed or split here."""

_MIN_CPU_SECONDS = 300.0
_SLOWEST = 4.0
"""Seconds of sound for each second of processor time; no machine is as slow."""


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
            if isinstance(source, StoredObject):
                (folder / "original").mkdir()
                source = source.fetch(folder / "original" / upload_name(source.name, None), MAX_FETCHED_BYTES)
                info = info if info.length.seconds is not None else probe(source)
            if plan.method == "upload":
                yield [AudioPart(_upload(source, info, options), 0.0, info.length.seconds)]
            elif plan.method == "stage":
                yield [AudioPart(_stage(source, info, options), 0.0, info.length.seconds)]
            else:
                yield _transcode(source, info, plan, options, folder=folder, points=split_points)


def _upload(file: LocalFile, info: AudioInfo, options: PrepareOptions) -> Upload:
    if info.format is None:
        raise InvalidInput(f"{file.name!r} has an unrecognised format")
    try:
        size = file.path.stat().st_size
    except OSError as error:
        problem = f"{file.name!r} cannot be read any more ({error})"
        raise FileChanged(f"{problem}; nothing was submitted. {REMEDY}") from error
    if size != info.size:
        raise FileChanged(f"{file.name!r} changed after it was probed; nothing was submitted. {REMEDY}")
    return Upload(upload_name(file.name, info.format), info.format.content_type, file.path, sha256=options.sha256)


def _stage(file: LocalFile, info: AudioInfo, options: PrepareOptions) -> str:
    if options.staging is None or info.format is None:
        raise InvalidInput(f"{file.name!r} cannot be staged: there is no staging folder")
    return options.staging.put(file, suffix=info.format.suffix, seconds=options.presign_seconds)


def _transcode(
    file: LocalFile,
    info: AudioInfo,
    plan: UploadPlan,
    options: PrepareOptions,
    *,
    folder: Path,
    points: Sequence[float] | None,
) -> list[AudioPart]:
    stem = upload_name(file.name, None)
    stem = stem.rpartition(".")[0] or stem

    def read(made: list[dict[str, Any]]) -> list[AudioPart]:
        number = ".part-{:03d}" if plan.method == "split" else ""
        return [_read_part(part, folder, stem + number.format(at)) for at, part in enumerate(made, 1)]

    with file.open() as opened:
        return sandbox.run(
            make_parts,
            opened,
            read=read,
            cpu_seconds=_MIN_CPU_SECONDS + (info.length.seconds or 0.0) / _SLOWEST,
            progress=options.progress,
            name=file.name,
            folder=str(folder),
            method=plan.method,
            codec=options.preparation.codec,
            longest=plan.longest_seconds or 0.0,
            at_most=plan.max_bytes,
            points=list(points) if points else None,
        )


def _read_part(part: dict[str, Any], folder: Path, stem: str) -> AudioPart:
    """Read what the child says of a part; nothing but a file that it has made is submitted."""
    path = folder / part["file"]
    if path.parent != folder or path.is_symlink() or not path.is_file():
        raise ValueError(f"{path} was not made here")
    upload = Upload(stem + path.suffix, CONTENT_TYPES[path.suffix], path)
    return AudioPart(upload, float(part["start"]), float(part["seconds"]))
