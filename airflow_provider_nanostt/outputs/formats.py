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
from airflow_provider_nanostt.outputs.timed_tokens import Spoken, Token, spoken, turns
from airflow_provider_nanostt.outputs.unicode_layout import SENTENCE, ending, join_spaced, one_line

# Where a paragraph of plain text ends with a sentence: before a silence, or when it is this long.
_PARAGRAPH_PAUSE_MS = 2000
_PARAGRAPH_CHARACTERS = 700


def render_all(
    transcript: Transcript,
    formats: Sequence[str],
    settings: OutputSettings,
    *,
    source: str | None,
    downloads: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return a transcript in several formats; what they share is made once.

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
        "txt": lambda: _to_txt(speech()),
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
        captions=CaptionStyle.of(captions),
        estimated_captions=estimated_captions,
        page_audio_url=audio_url,
    )
    transcript, _ = rename(read_result(result), settings.speaker_names)
    return render_all(transcript, [fmt], settings, source=source)[fmt]


def _to_txt(speech: Spoken) -> str:
    """Return what was said in paragraphs: one per turn of a speaker, a long turn in several. Lines are not wrapped.

    An empty line stands between paragraphs; with speakers, each begins with the name and a colon.
    """
    speaker: str | None = None
    paragraphs = []
    for turn in turns(speech.tokens, _is_end):
        speaker = next((one.speaker for one in turn if one.speaker), speaker)
        text = join_spaced((one.text, one.spaced) for one in turn)
        paragraphs.append(f"{one_line(speaker)}: {text}" if speaker else text)
    return "\n\n".join(paragraphs) + "\n" if paragraphs else ""


def _is_end(turn: Sequence[Token], after: Token) -> bool:
    if ending(turn[-1].text) != SENTENCE:
        return False
    is_pause = after.start - turn[-1].end >= _PARAGRAPH_PAUSE_MS
    return is_pause or sum(len(one.text) + 1 for one in turn) >= _PARAGRAPH_CHARACTERS
