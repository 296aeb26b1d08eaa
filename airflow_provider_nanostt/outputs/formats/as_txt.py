"""Plain text in paragraphs."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_nanostt.outputs.formats.render import RenderJob
from airflow_provider_nanostt.outputs.timed_tokens import Token, turns
from airflow_provider_nanostt.outputs.unicode_layout import SENTENCE, ending, join_spaced, one_line

# Where a paragraph ends with a sentence: before a silence, or when it is this long.
_PARAGRAPH_PAUSE_MS = 2000
_PARAGRAPH_CHARACTERS = 700


def render(job: RenderJob) -> str:
    """Return what was said in paragraphs: one per turn of a speaker, a long turn in several. Lines are not wrapped.

    An empty line stands between paragraphs; with speakers, each begins with the name and a colon.
    """
    speaker: str | None = None
    paragraphs = []
    for turn in turns(job.speech.tokens, _is_end):
        speaker = next((one.speaker for one in turn if one.speaker), speaker)
        text = join_spaced((one.text, one.spaced) for one in turn)
        paragraphs.append(f"{one_line(speaker)}: {text}" if speaker else text)
    return "\n\n".join(paragraphs) + "\n" if paragraphs else ""


def _is_end(turn: Sequence[Token], after: Token) -> bool:
    if ending(turn[-1].text) != SENTENCE:
        return False
    is_pause = after.start - turn[-1].end >= _PARAGRAPH_PAUSE_MS
    return is_pause or sum(len(one.text) + 1 for one in turn) >= _PARAGRAPH_CHARACTERS
