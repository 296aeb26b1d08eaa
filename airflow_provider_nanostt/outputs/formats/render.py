"""Makes a transcript into texts, one for each format: what formats are made of, and the functions that ask for them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs.captions.layout import Captions, make, no_times
from airflow_provider_nanostt.outputs.document import read_result
from airflow_provider_nanostt.outputs.formats.registry import FORMATS
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
            render: Callable[[RenderJob], str] = importlib.import_module(f"{__package__}.as_{name}").render
            self._texts[name] = render(self)
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
