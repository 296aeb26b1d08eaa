"""A transcript as plain text: paragraphs, with the speakers' names where there are any. Lines are not wrapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_nanostt.outputs.timed_tokens import spoken
from airflow_provider_nanostt.outputs.unicode_layout import SENTENCE, cleaned, ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_nanostt.api.models import Transcript
    from airflow_provider_nanostt.outputs.timed_tokens import Spoken, Token

_PAUSE = 2000
"""Milliseconds; a silence this long after a sentence begins a new paragraph."""
_LONG = 700
"""Characters; after so many, a paragraph ends with the next sentence."""


def to_txt(transcript: Transcript, heard: Spoken | None = None) -> str:
    """Return the text in paragraphs: one per turn of a speaker, a long turn in several.

    An empty line stands between paragraphs; with speakers, each begins with the name of its own and a colon.

    :param heard: what ``spoken`` makes of the transcript, if somebody has it already.
    """
    paragraphs = []
    for speaker, run in _paragraphs((heard or spoken(transcript)).tokens):
        text = run[0].text + "".join(f" {one.text}" if one.spaced else one.text for one in run[1:])
        paragraphs.append(f"{' '.join(cleaned(speaker).split())}: {text}" if speaker else text)
    return "\n\n".join(paragraphs) + "\n" if paragraphs else ""


def _paragraphs(tokens: list[Token]) -> Iterator[tuple[str | None, list[Token]]]:
    run: list[Token] = []
    speaker: str | None = None
    length = 0
    for token in tokens:
        changed = token.speaker is not None and token.speaker != speaker
        if run and (changed or _is_end(run[-1], token, length)):
            yield speaker, run
            run, length = [], 0
        speaker = token.speaker or speaker
        run.append(token)
        length += len(token.text) + 1
    if run:
        yield speaker, run


def _is_end(before: Token, after: Token, length: int) -> bool:
    return ending(before.text) == SENTENCE and (length >= _LONG or after.start - before.end >= _PAUSE)
