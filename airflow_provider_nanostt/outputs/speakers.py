"""Renames speakers everywhere in a transcript: in segments, in words, and in the labels of the text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from airflow_provider_nanostt.api.models import Transcript


def speakers(transcript: Transcript) -> list[str]:
    """Return the speakers in order of appearance, those of the segments first."""
    named = (entry.speaker for entries in (transcript.segments, transcript.words) for entry in entries)
    return list(dict.fromkeys(speaker for speaker in named if speaker))


def rename(transcript: Transcript, names: Mapping[str, str]) -> tuple[Transcript, list[str]]:
    """Give speakers other names: in segments, in words, and where the text begins a turn with a name.

    :param names: from a speaker as shown (``Speaker 1``) to the new name. Two may get the same name.
    :return: the transcript, and the names in the mapping that no speaker has.
    """
    known = speakers(transcript)
    unused = [name for name in names if name not in known]
    if len(unused) == len(names):
        return transcript, unused

    def new(speaker: str | None) -> str | None:
        return names.get(speaker, speaker) if speaker else speaker

    renamed = replace(
        transcript,
        text=_rename_labels(transcript, names),
        segments=tuple(replace(one, speaker=new(one.speaker)) for one in transcript.segments),
        words=tuple(replace(one, speaker=new(one.speaker)) for one in transcript.words),
    )
    return renamed, unused


def _rename_labels(transcript: Transcript, names: Mapping[str, str]) -> str:
    """Rename the labels in a text like ``Speaker 1: … Speaker 2: …``, as long as it agrees with the segments.

    What somebody says is never changed, even if it looks like a label.
    """
    text, at = transcript.text, 0
    renamed: list[str] = []
    for segment in transcript.segments:
        name = segment.speaker or ""
        label = re.compile(rf"\s*{re.escape(name)}:\s*").match(text, at)
        if name and label:
            renamed.append(label[0].replace(name, names.get(name, name), 1))
            at = label.end()
        begin = text.find(segment.text, at)
        if begin < 0 or text[at:begin].strip():
            break
        end = begin + len(segment.text)
        renamed.append(text[at:end])
        at = end
    return "".join(renamed) + text[at:]
