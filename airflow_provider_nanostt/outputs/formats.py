"""A transcript in each of the formats, as text; where files go is not decided here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs.captions.layout import Captions, make
from airflow_provider_nanostt.outputs.captions.srt_vtt import to_srt, to_vtt
from airflow_provider_nanostt.outputs.document import encode, read_result, to_document
from airflow_provider_nanostt.outputs.html.page import page
from airflow_provider_nanostt.outputs.settings import FORMATS, CaptionStyle, OutputSettings
from airflow_provider_nanostt.outputs.speakers import rename
from airflow_provider_nanostt.outputs.text import to_txt
from airflow_provider_nanostt.outputs.timed_tokens import Spoken, spoken


def render_all(
    transcript: Transcript,
    formats: Sequence[str],
    settings: OutputSettings,
    *,
    source: str | None,
    downloads: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return a transcript in several formats; what they share is made once.

    :param formats: some of :data:`FORMATS`.
    :param source: the recording's name.
    :param downloads: formats that the page carries inside, with the names of their files.
    :raises InvalidInput: for captions of a transcript without times.
    """

    @functools.cache
    def speech() -> Spoken:
        return spoken(transcript)

    @functools.cache
    def captions() -> Captions:
        return make(transcript, settings.captions, estimate=settings.estimated_captions, speech=speech())

    makers: dict[str, Callable[[], str]] = {
        "json": lambda: encode(to_document(transcript, source=source)).decode(),
        "txt": lambda: to_txt(speech()),
        "srt": lambda: to_srt(captions()),
        "vtt": lambda: to_vtt(captions()),
    }
    inside = downloads if downloads and "html" in formats else {}
    made = {name: maker() for name, maker in makers.items() if name in formats or name in inside}
    if "html" in formats:
        title = (source or "").rstrip("/").rpartition("/")[2] or "Transcript"
        files = {file: made[name] for name, file in inside.items()}
        made["html"] = page(transcript, title=title, audio_url=settings.page_audio_url, downloads=files)
    return {name: made[name] for name in formats}


def format_transcript(
    result: Transcript | Mapping[str, object],
    fmt: str = "txt",
    *,
    speaker_names: Mapping[str, str] | None = None,
    captions: Mapping[str, object] | None = None,
    estimated_captions: bool = False,
    source: str | None = None,
    audio_url: str | None = None,
) -> str:
    """Return a transcript as text, for scripts and for tasks that have a result in hand.

    :param result: a ``Transcript``, the content of one of our JSON files, or the result of an operator without
        ``output_path``.
    :param fmt: one of :data:`FORMATS`.
    :param captions: reading rules, by the names in :class:`~airflow_provider_nanostt.outputs.settings.CaptionStyle`.
    :param estimated_captions: estimate times where there are none.
    :param source: the recording's name; default as in a JSON file.
    :param audio_url: where a browser finds the recording, for ``html``.
    :raises InvalidInput: if it is not a transcript, or cannot be written in that format.
    """
    if fmt not in FORMATS:
        raise InvalidInput(f"unknown format {fmt!r}; allowed: {', '.join(FORMATS)}")
    if isinstance(result, Mapping) and source is None and isinstance(named := result.get("source"), str):
        source = named
    settings = OutputSettings(
        speaker_names=speaker_names or {},
        captions=CaptionStyle.of(captions or {}),
        estimated_captions=estimated_captions,
        page_audio_url=audio_url,
    )
    transcript, _ = rename(read_result(result), settings.speaker_names)
    return render_all(transcript, [fmt], settings, source=source)[fmt]
