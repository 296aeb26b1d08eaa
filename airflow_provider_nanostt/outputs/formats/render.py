"""Makes a transcript into texts: what formats are made of, and which function makes each of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs.captions.layout import Captions, make, no_times
from airflow_provider_nanostt.outputs.captions.srt_vtt import to_srt, to_vtt
from airflow_provider_nanostt.outputs.chunks import to_chunks, to_json_lines
from airflow_provider_nanostt.outputs.document import encode, read_result, to_document
from airflow_provider_nanostt.outputs.formats.foreign_json import to_diarized_json, to_podcast, to_whisperx
from airflow_provider_nanostt.outputs.formats.registry import FORMATS
from airflow_provider_nanostt.outputs.formats.texts import to_md, to_tsv, to_txt
from airflow_provider_nanostt.outputs.html.page import page
from airflow_provider_nanostt.outputs.passages import Passage, sentences
from airflow_provider_nanostt.outputs.settings import CaptionStyle, ChunkRules, OutputSettings
from airflow_provider_nanostt.outputs.speakers import rename
from airflow_provider_nanostt.outputs.timed_tokens import Spoken, spoken


@dataclass(frozen=True)
class RenderJob:
    """One transcript that is to be written in some formats; what they share is made once.

    :param source: the recording's name, without what may be secret in it.
    :param downloads: formats that the page carries inside, with the names of their files.
    """

    transcript: Transcript
    settings: OutputSettings
    source: str | None = None
    downloads: Mapping[str, str] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def text(self, name: str) -> str:
        """Return the transcript in a format.

        :raises InvalidInput: for times of a transcript that has none.
        """
        if name not in self._texts:
            self._texts[name] = _WRITERS[name](self)
        return self._texts[name]

    @property
    def title(self) -> str:
        """What stands above the text: the recording's name without its folder."""
        return (self.source or "").rstrip("/").rpartition("/")[2] or "Transcript"

    @functools.cached_property
    def speech(self) -> Spoken:
        """All that was said, in order."""
        return spoken(self.transcript)

    @functools.cached_property
    def sentences(self) -> list[Passage]:
        """All that was said with its times, which are never estimated ones.

        :raises InvalidInput: if the transcript has no times.
        """
        if not self.speech.timed:
            raise no_times(self.transcript.model)
        return list(sentences(self.speech.tokens))

    @functools.cached_property
    def captions(self) -> Captions:
        """The captions.

        :raises InvalidInput: if the transcript has no times, and none may be estimated.
        """
        settings = self.settings
        return make(self.transcript, settings.captions, estimate=settings.estimated_captions, speech=self.speech)


def _to_html(job: RenderJob) -> str:
    """Return the page to read, search and listen along, with the other formats inside."""
    return page(
        job.transcript,
        title=job.title,
        audio_url=job.settings.page_audio_url,
        downloads={file: job.text(name) for name, file in job.downloads.items()},
        review_below=job.settings.review_below,
    )


def _to_chunks(job: RenderJob) -> str:
    chunks = to_chunks(job.transcript, source=job.source, rules=job.settings.chunks, speech=job.speech)
    return to_json_lines(chunks)


_WRITERS: Mapping[str, Callable[[RenderJob], str]] = {
    "json": lambda job: encode(to_document(job.transcript, source=job.source)).decode(),
    "txt": lambda job: to_txt(job.speech),
    "srt": lambda job: to_srt(job.captions),
    "vtt": lambda job: to_vtt(job.captions),
    "html": _to_html,
    "md": lambda job: to_md(job.speech, job.title),
    "chunks": _to_chunks,
    "whisperx": lambda job: to_whisperx(job.sentences, job.transcript.language),
    "diarized_json": lambda job: to_diarized_json(job.sentences, job.speech.tokens, job.transcript.charged_minutes),
    "podcast": lambda job: to_podcast(job.sentences),
    "tsv": lambda job: to_tsv(job.sentences),
}


def format_transcript(
    result: Transcript | Mapping[str, object],
    fmt: str = "txt",
    *,
    speaker_names: Mapping[str, str] | None = None,
    captions: Mapping[str, object] | None = None,
    chunks: Mapping[str, object] | None = None,
    estimated_captions: bool = False,
    source: str | None = None,
    audio_url: str | None = None,
) -> str:
    """Return a transcript as text, for scripts and for tasks that have a result in hand.

    :param result: a ``Transcript``, the content of one of our JSON files, or the result of an operator without
        ``output_path``.
    :param fmt: one of :data:`FORMATS`.
    :param captions: reading rules, by the names in :class:`~airflow_provider_nanostt.outputs.settings.CaptionStyle`.
    :param chunks: how chunks are cut, by the names in :class:`~airflow_provider_nanostt.outputs.settings.ChunkRules`.
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
        chunks=ChunkRules.of(chunks),
        estimated_captions=estimated_captions,
        page_audio_url=audio_url,
    )
    transcript, _ = rename(read_result(result), settings.speaker_names)
    return RenderJob(transcript, settings, source).text(fmt)
