"""Speakers get the names their people know them by, everywhere in a transcript."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_nanostt.api.models import Transcript


def speakers(transcript: Transcript) -> list[str]:
    """Return the speakers in order of appearance, those of the segments first."""
    named = (entry.speaker for entries in (transcript.segments, transcript.words) for entry in entries)
    return list(dict.fromkeys(speaker for speaker in named if speaker))


def rename(transcript: Transcript, names: Mapping[str, str]) -> tuple[Transcript, list[str]]:
    """Give speakers other names: in segments, in words, and where the text begins a turn with a name.

    :param names: from a speaker as shown (``Speaker 1``) to the new name. Two may get the same name.
    :return: the transcript, and the names of the mapping that nobody in it has.
    """
    known = speakers(transcript)
    unused = [name for name in names if name not in known]
    if len(unused) == len(names):
        return transcript, unused
    return (
        replace(
            transcript,
            text=_labels_renamed(transcript, names),
            segments=tuple(
                replace(one, speaker=names.get(one.speaker, one.speaker)) if one.speaker else one
                for one in transcript.segments
            ),
            words=tuple(
                replace(one, speaker=names.get(one.speaker, one.speaker)) if one.speaker else one
                for one in transcript.words
            ),
        ),
        unused,
    )


def _labels_renamed(transcript: Transcript, names: Mapping[str, str]) -> str:
    """Rename the labels in a text like ``Speaker 1: … Speaker 2: …``, as far as it goes along with the segments.

    What somebody says is never touched, though it sound like a label.
    """
    text, at = transcript.text, 0
    renamed: list[str] = []
    for segment in transcript.segments:
        begin = _after_space(text, at)
        label = f"{segment.speaker}:"
        if segment.speaker and text.startswith(label, begin):
            renamed.append(text[at:begin] + f"{names.get(segment.speaker, segment.speaker)}:")
            at = begin + len(label)
            begin = _after_space(text, at)
        if not text.startswith(segment.text, begin):
            break
        renamed.append(text[at : begin + len(segment.text)])
        at = begin + len(segment.text)
    return "".join(renamed) + text[at:]


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
