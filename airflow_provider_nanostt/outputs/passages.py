"""What was said in passages of one speaker: sentences, paragraphs, turns. Formats decide only how these are written.

Pure functions on tokens; where a sentence may end is a property of the text alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from airflow_provider_nanostt.api.confidence import mean
from airflow_provider_nanostt.outputs.timed_tokens import IsEnd, Token, turns
from airflow_provider_nanostt.outputs.unicode_layout import SENTENCE, can_break, ending, join_spaced, one_line

# Where a paragraph ends with a sentence: before a silence, or when it is this long.
_PARAGRAPH_PAUSE_MS = 2000
_PARAGRAPH_CHARACTERS = 700

_SENTENCE_CHARACTERS = 300

Fits = Callable[[int, Token, Token], bool]
"""Whether a part of so many characters may go from one token to another."""


class Passage(NamedTuple):
    """Some tokens of one speaker; without a name if nobody is known."""

    speaker: str | None
    tokens: Sequence[Token]

    @property
    def text(self) -> str:
        """The text, in one line."""
        return join_spaced((one.text, one.spaced) for one in self.tokens)

    @property
    def confidence(self) -> float | None:
        """How sure the model was of its words, 0 to 1, as of a segment; None if it does not say."""
        return mean(one.confidence for one in self.tokens)

    @property
    def start(self) -> float:
        """Seconds."""
        return self.tokens[0].start / 1000

    @property
    def end(self) -> float:
        """Seconds."""
        return self.tokens[-1].end / 1000


def passages(tokens: Iterable[Token], is_end: IsEnd | None = None) -> Iterator[Passage]:
    """Cut what was said where the speaker changes, and where a passage may end before the token that follows."""
    speaker: str | None = None
    for turn in turns(tokens, is_end):
        speaker = next((one.speaker for one in turn if one.speaker), speaker)
        yield Passage(one_line(speaker or "") or None, turn)


def paragraphs(tokens: Iterable[Token]) -> Iterator[Passage]:
    """Yield paragraphs to read: one for a turn, a long turn in several."""
    return passages(tokens, _ends_paragraph)


def sentences(tokens: Iterable[Token]) -> Iterator[Passage]:
    """Yield sentences; one of more than some 300 characters in parts."""
    for turn in passages(tokens):
        for part in parts(turn.tokens, lambda size, *_: size <= _SENTENCE_CHARACTERS):
            yield Passage(turn.speaker, part)


def words(passage: Passage) -> Iterator[Passage]:
    """Yield the words of a passage, marks with the word they belong to; in scripts without spaces, each entry."""
    word: list[Token] = []
    for token in passage.tokens:
        if word and can_break(word[-1].text, token.text, spaced=token.spaced):
            yield Passage(passage.speaker, word)
            word = []
        word.append(token)
    yield Passage(passage.speaker, word)


def parts(turn: Sequence[Token], fits: Fits) -> Iterator[Sequence[Token]]:
    """Yield the sentences of a turn; those that do not fit are cut, rather after a comma. A word stays whole."""
    for sentence in turns(turn, _ends_sentence):
        rest: Sequence[Token] = sentence
        while rest:
            until = _until(rest, fits)
            yield rest[:until]
            rest = rest[until:]


def _until(tokens: Sequence[Token], fits: Fits) -> int:
    """Return where the first part of a sentence ends."""
    size = word = clause = 0
    for at, token in enumerate(tokens):
        if at and can_break(tokens[at - 1].text, token.text, spaced=token.spaced):
            word = at
            clause = at if ending(tokens[at - 1].text) else clause
        size += len(token.text) + (token.spaced and at > 0)
        if at and not fits(size, tokens[0], token):
            return clause if clause > at // 2 else word or at
    return len(tokens)


def _ends_sentence(tokens: Sequence[Token], after: Token) -> bool:
    """Whether a sentence ends before a token; a mark that stands for itself, such as a closing quote, belongs to it."""
    last = tokens[-1].text
    return ending(last) == SENTENCE and can_break(last, after.text, spaced=after.spaced)


def _ends_paragraph(tokens: Sequence[Token], after: Token) -> bool:
    if ending(tokens[-1].text) != SENTENCE:
        return False
    is_pause = after.start - tokens[-1].end >= _PARAGRAPH_PAUSE_MS
    return is_pause or sum(len(one.text) + 1 for one in tokens) >= _PARAGRAPH_CHARACTERS
