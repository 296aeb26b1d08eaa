"""A source named by a user becomes something the service accepts: a checked upload, or a URL it can fetch.

Every refusal here comes before any request, names the value and says what to do instead. Nothing here talks to the
service.
"""

from __future__ import annotations

from pathlib import Path

from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import MAX_UPLOAD_BYTES, Upload

AUDIO_TYPES = {
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".aac": "audio/aac",
}
"""What the service takes, by suffix. It refuses a file whose suffix, content type and bytes do not agree."""

VIDEO_TYPES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
}
"""What only a video model takes."""


def resolve(audio_path: str | Path | None, audio_url: str | None, *, model: str) -> Upload | str:
    """Turn the two arguments a user may give into what a submission carries.

    :param audio_path: a file on this machine's disk, at most 3 MB.
    :param audio_url: an address the service can fetch, up to 500 MB.
    :param model: decides whether video is welcome.
    :return: the upload, or the URL.
    :raises InvalidInput: if both or neither are given, or the file is missing, empty, too large or of a kind that the
        service refuses.
    """
    if bool(audio_path) == bool(audio_url):
        given = f"audio_path={str(audio_path)!r} and a URL" if audio_path else "neither"
        raise InvalidInput(f"exactly one of audio_path and audio_url is needed; got {given}")
    return _read(Path(audio_path), model) if audio_path else str(audio_url).strip()


def _read(path: Path, model: str) -> Upload:
    content_type = _content_type(path, model)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise InvalidInput(f"audio_path={str(path)!r} is not a file")
        if size > MAX_UPLOAD_BYTES:
            raise InvalidInput(
                f"audio_path={str(path)!r} has {size:,} bytes; direct uploads end at {MAX_UPLOAD_BYTES:,}. Put the "
                "file where the service can fetch it and pass audio_url (up to 500 MB)"
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInput(
            f"audio_path={str(path)!r} does not exist on the worker of this task; a file elsewhere needs audio_url"
        ) from error
    except OSError as error:
        raise InvalidInput(f"audio_path={str(path)!r} cannot be read: {error.strerror or error}") from error
    return Upload(path.name, content_type, data)


def _content_type(path: Path, model: str) -> str:
    suffix = path.suffix.lower()
    facts = KNOWN_MODELS.get(model)
    if suffix in VIDEO_TYPES and (facts is None or facts.takes_video):
        return VIDEO_TYPES[suffix]
    if suffix in AUDIO_TYPES:
        return AUDIO_TYPES[suffix]
    if suffix in VIDEO_TYPES:
        able = ", ".join(repr(known.id) for known in KNOWN_MODELS.values() if known.takes_video)
        raise InvalidInput(f"audio_path={str(path)!r} is video; model={model!r} takes none, {able} does")
    raise InvalidInput(
        f"audio_path={str(path)!r} has the suffix {suffix!r}; the service takes {', '.join(AUDIO_TYPES)}. "
        "Convert the file, for example with ffmpeg"
    )
