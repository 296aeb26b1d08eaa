"""A transcript in each of the formats, as text; where files go is not decided here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs.captions import layout, srt_vtt
from airflow_provider_nanostt.outputs.document import encode, read_result, to_document
from airflow_provider_nanostt.outputs.html.page import page
from airflow_provider_nanostt.outputs.settings import CAPTION_FORMATS, FORMATS, CaptionStyle, OutputSettings
from airflow_provider_nanostt.outputs.speakers import rename
from airflow_provider_nanostt.outputs.text import to_txt
from airflow_provider_nanostt.outputs.timed_tokens import spoken


def render_all(
    transcript: Transcript,
    formats: Sequence[str],
    settings: OutputSettings | None = None,
    *,
    source: str | None = None,
    audio_url: str | None = None,
    downloads: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return a transcript in several formats; what they share is made once.

    :param formats: some of :data:`FORMATS`.
    :param source: the recording's name.
    :param audio_url: where a browser finds the recording, for ``html``.
    :param downloads: formats that the page offers, with the names of their files; they are inside the page.
    :raises InvalidInput: for captions of a transcript without times.
    """
    settings = settings or OutputSettings()
    speech = spoken(transcript) if {"txt", *CAPTION_FORMATS} & set(formats) else None
    captioned = (
        layout.make(transcript, settings.captions, estimate=settings.estimated_captions, speech=speech)
        if any(name in CAPTION_FORMATS for name in formats)
        else layout.Captions((), settings.captions)
    )
    makers: dict[str, Callable[[], str]] = {
        "json": lambda: encode(to_document(transcript, source=source)).decode(),
        "txt": lambda: to_txt(transcript, speech),
        "srt": lambda: srt_vtt.to_srt(captioned),
        "vtt": lambda: srt_vtt.to_vtt(captioned),
    }
    made = {name: makers[name]() for name in formats if name != "html"}
    if "html" in formats:
        inside = {file: made.get(name) or makers[name]() for name, file in (downloads or {}).items()}
        title = (source or "").rstrip("/").rpartition("/")[2] or "Transcript"
        made["html"] = page(transcript, title=title, audio_url=audio_url, downloads=inside)
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
    :param speaker_names: new names for speakers.
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
    )
    transcript, _ = rename(read_result(result), settings.speaker_names)
    return render_all(transcript, [fmt], settings, source=source, audio_url=audio_url)[fmt]
