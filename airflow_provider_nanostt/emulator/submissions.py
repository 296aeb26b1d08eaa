"""What a submit asks for: fields checked, audio fetched and measured, model and price known. Nothing is charged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import aiohttp

from airflow_provider_nanostt.emulator import sound
from airflow_provider_nanostt.emulator.bodies import Body, Refused

if TYPE_CHECKING:
    from airflow_provider_nanostt.emulator.settings import Model, Settings
    from airflow_provider_nanostt.emulator.transcript import Script

ENGLISH = ("", "auto", "en", "eng", "english")


@dataclass(frozen=True, slots=True)
class Submission:
    """A submit that may be accepted.

    :param source: file name or URL.
    :param seconds: length of the audio.
    :param minutes: what is charged for.
    :param cost: USD.
    :param sound: the decoded audio, None when a script tells the transcript or nothing here can decode it.
    :param problem: why recognition cannot give a transcript, None when it can.
    """

    model: Model
    source: str
    file_name: str
    size: int
    seconds: float
    diarize: bool
    events: bool
    script: Script | None
    sound: sound.Sound | None = None
    problem: str | None = None

    @property
    def minutes(self) -> float:
        """Minutes of audio, to four places."""
        return round(self.seconds / 60, 4)

    @property
    def cost(self) -> float:
        """USD, to six places."""
        return round(self.minutes * self.model.per_minute, 6)


@dataclass(frozen=True, slots=True)
class _Options:
    model: Model
    language: str
    actual_seconds: float | None
    diarize: bool
    events: bool


async def read_submission(
    body: Body, settings: Settings, models: dict[str, Model], script_for: Any, session: aiohttp.ClientSession
) -> Submission:
    """Return what the body of ``POST /transcribe`` asks for.

    :param script_for: name or URL -> its :class:`Script`, or None.
    :raises Refused: 400 or 413, with the reason.
    """
    options = _options(body, models)
    upload, url = body.files.get("audio"), body.fields.get("audioUrl")
    if (upload is None) == (url is None):
        raise Refused(400, "Provide exactly one of the file field 'audio' and 'audioUrl'")
    if upload is not None:
        name, source, data = upload.file_name, upload.file_name, upload.data
        if len(data) > settings.max_upload_bytes:
            raise Refused(
                413,
                f"The file exceeds the upload limit of {settings.max_upload_bytes} bytes; use audioUrl for it",
            )
        if settings.check_formats:
            _check(name, upload.content_type or "no content type", data, options.model)
        script = script_for(source)
    else:
        name, source = _url_name(url), str(url)
        script = script_for(source)
        data = b"" if script else await _fetch(source, settings.max_url_bytes, session)
        if script is None and settings.check_formats:
            _check(name, None, data, options.model)
    _check_size(len(data), options.model)
    return await _measured(options, settings, script, source=source, name=name, data=data)


def _check_size(size: int, model: Model) -> None:
    if model.max_megabytes is not None and size > model.max_megabytes * 1_000_000:
        raise Refused(413, f"The file has {size} bytes; {model.id} takes {model.max_megabytes:g} MB")


async def _measured(
    options: _Options, settings: Settings, script: Script | None, *, source: str, name: str, data: bytes
) -> Submission:
    seconds = script.seconds() if script else None
    heard = problem = None
    if data and seconds is None:
        try:
            heard = await asyncio.to_thread(sound.decode, data, pyav=settings.decoder != "none")
        except sound.UndecodableError as error:
            if not script and sound.can_decode(pyav=settings.decoder != "none"):
                raise Refused(400, f"Invalid audio file: {error}") from error
            problem = str(error)
    if seconds is None:
        seconds = heard.seconds if heard else options.actual_seconds or settings.default_seconds
    if seconds > options.model.max_seconds:
        raise Refused(
            400,
            f"Audio of {seconds:.0f} s is longer than the {options.model.max_seconds:.0f} s {options.model.id} takes",
        )
    if problem is None and options.language.lower().partition("-")[0] not in ENGLISH:
        problem = (
            f"The recogniser here understands English only, not {options.language!r}: script a transcript for this file"
        )
    return Submission(
        model=options.model,
        source=source,
        file_name=name,
        size=len(data),
        seconds=seconds,
        diarize=options.diarize,
        events=options.events,
        script=script,
        sound=None if script else heard,
        problem=None if script else problem,
    )


def _options(body: Body, models: dict[str, Model]) -> _Options:
    fields = body.fields
    model_id = fields.get("model", "Whisper-Large-V3")
    model = models.get(model_id) if isinstance(model_id, str) else None
    if model is None:
        raise Refused(400, f"Model {model_id!r} is not a known transcription model")
    if model.mode == "voice-clone":
        raise Refused(400, f"Model {model_id} clones voices and does not transcribe")
    language = fields.get("language", "auto")
    if not isinstance(language, str):
        raise Refused(400, "language must be a string")
    return _Options(
        model,
        language,
        _actual_seconds(fields.get("actualDuration")),
        _flag(body, "diarize") and model.timestamps,
        _flag(body, "tagAudioEvents") and model.timestamps,
    )


def _flag(body: Body, name: str) -> bool:
    value = body.fields.get(name, "false" if body.form else False)
    if body.form:
        if value not in ("true", "false"):
            raise Refused(400, f"{name} must be 'true' or 'false', not {value!r}")
        return bool(value == "true")
    if not isinstance(value, bool):
        raise Refused(400, f"{name} must be a boolean, not {value!r}")
    return value


def _actual_seconds(value: Any) -> float | None:
    if value is None:
        return None
    try:
        minutes = float(value) if isinstance(value, str) else -1.0
    except ValueError:
        minutes = -1.0
    if not 0 < minutes < 100_000:
        raise Refused(400, f"actualDuration must be a string with a number of minutes, not {value!r}")
    return minutes * 60


def _check(name: str, content_type: str | None, data: bytes, model: Model) -> None:
    problem = sound.disagreement(name, content_type, data, video=model.video)
    if problem:
        raise Refused(400, problem)


def _url_name(url: Any) -> str:
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise Refused(400, f"audioUrl must be an http or https URL, not {url!r}")
    return PurePosixPath(unquote(urlsplit(url).path)).name or "audio"


async def _fetch(url: str, limit: int, session: aiohttp.ClientSession) -> bytes:
    data = bytearray()
    try:
        async with session.get(url) as answer:
            if answer.status != 200:
                raise Refused(400, f"The audio URL answered {answer.status}")
            async for chunk in answer.content.iter_chunked(1 << 16):
                data += chunk
                if len(data) > limit:
                    raise Refused(413, f"The file behind the URL exceeds the limit of {limit} bytes")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Refused(400, f"The audio URL cannot be fetched: {type(error).__name__}") from error
    return bytes(data)
