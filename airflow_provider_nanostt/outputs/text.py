"""A transcript as plain text: paragraphs, with the speakers' names where there are any. Lines are not wrapped."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_nanostt.outputs.timed_tokens import Spoken, Token
from airflow_provider_nanostt.outputs.unicode_layout import SENTENCE, ending, join_spaced, one_line

PARAGRAPH_PAUSE_MS = 2000
"""A silence this long after a sentence begins a new paragraph."""
PARAGRAPH_CHARACTERS = 700
"""A paragraph of this length ends with the next sentence."""


def to_txt(speech: Spoken) -> str:
    """Return what was said in paragraphs: one per turn of a speaker, a long turn in several.

    An empty line stands between paragraphs; with speakers, each begins with the name and a colon.
    """
    paragraphs = []
    for speaker, run in _paragraphs(speech.tokens):
        text = join_spaced((one.text, one.spaced) for one in run)
        paragraphs.append(f"{one_line(speaker)}: {text}" if speaker else text)
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
    is_pause = after.start - before.end >= PARAGRAPH_PAUSE_MS
    return ending(before.text) == SENTENCE and (length >= PARAGRAPH_CHARACTERS or is_pause)
