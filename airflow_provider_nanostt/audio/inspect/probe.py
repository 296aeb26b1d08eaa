"""What a recording is: its size, format and length, from headers and a few samples of its bytes, read once.

Nothing is decoded, and nothing is kept: :class:`AudioInfo` is passed on to the plan and the preparation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

from airflow_provider_nanostt.api.errors import NanoGPTError
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES
from airflow_provider_nanostt.audio.inspect import formats
from airflow_provider_nanostt.audio.inspect.duration import Length, measure
from airflow_provider_nanostt.audio.inspect.ranged_file import HashingFile
from airflow_provider_nanostt.audio.inspect.remote import SMALL_FILE_BYTES
from airflow_provider_nanostt.audio.sources import LocalFile, Recording, SourceVersion, WebAddress


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a recording is.

    :param size: bytes, None if unknown.
    :param format: None if its bytes are not recognised, or could not be read.
    """

    size: int | None
    format: formats.Format | None
    length: Length


def probe(source: Recording) -> AudioInfo:
    """Read what a recording is.

    Of an object that is too large for an upload, and of a web address, only a few ranges are read.

    :raises InvalidInput: if a file or an object cannot be read. Of an address that cannot be read, everything is
        unknown, and the length has the reason.
    :raises StorageUnavailable: if an object cannot be read now.
    """
    if isinstance(source, WebAddress):
        return _probe_url(source)
    if isinstance(source, LocalFile):
        with source.open() as file:
            return _inspect(file)
    found = source.with_info()
    with found.open() as file:
        return replace(_inspect(file, MAX_UPLOAD_BYTES), size=found.size())


def identify_and_probe(source: LocalFile) -> tuple[SourceVersion, AudioInfo]:
    """Return version and info of a recording on this machine, which is read once for both.

    Some formats have to be read to their end to be measured; so has every file that is identified.

    :raises InvalidInput: if it cannot be read.
    """
    with source.open() as file:
        hashing = HashingFile(file)
        info = _inspect(cast("BinaryIO", hashing))
        return source.version_of(hashing), info


def _probe_url(source: WebAddress) -> AudioInfo:
    size = None
    try:
        with source.open() as file:
            size = file.seek(0, 2)
            return _inspect(file, SMALL_FILE_BYTES)
    except (NanoGPTError, OSError) as error:
        return AudioInfo(size, None, Length(None, str(error)))


def _inspect(file: BinaryIO, whole_up_to: float = math.inf) -> AudioInfo:
    """Identify and measure a file; one of more bytes than ``whole_up_to`` by a few ranges."""
    size = file.seek(0, 2)
    found = formats.identify(file, size)
    return AudioInfo(size, found, measure(file, size, found, whole=size <= whole_up_to))
